//! Texts: bounded and clean for people, and templates with `${…}` for suites.

use std::collections::BTreeMap;

use serde_json::Value;

/// The values that `${name}` stands for.
pub type Variables = BTreeMap<String, String>;

/// The text without control characters and not longer than `most` bytes, for one line of a message.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    let clean = |it: char| if it.is_control() { ' ' } else { it };
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let short = text.get(..end).unwrap_or_default();
    let mut result: String = short.chars().map(clean).collect();
    if end == text.len() {
        return result;
    }
    result.push_str("… (");
    result.push_str(&text.len().to_string());
    result.push_str(" bytes)");
    result
}

/// A text with `${name}` in it. `$${` is a literal `${`; every other `$` is itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
}

/// A variable that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no value for ${{{0}}}")]
pub struct Missing(pub String);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is allowed, when a `${` is not closed or holds no name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            if let Some(escaped) = before.strip_suffix('$') {
                literal.push_str(escaped);
                literal.push_str("${");
                rest = behind;
                continue;
            }
            literal.push_str(before);
            let (name, behind) = behind.split_once('}').ok_or(ALLOWED)?;
            if !is_name(name) {
                return Err(ALLOWED.to_owned());
            }
            parts.push(Part::Literal(std::mem::take(&mut literal)));
            parts.push(Part::Variable(name.to_owned()));
            rest = behind;
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        Ok(Self(parts))
    }

    /// A text that is no template.
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Part::Literal(text.into())])
    }

    /// The text with every variable replaced. A value is never looked into again.
    ///
    /// # Errors
    /// The first variable without a value.
    pub fn fill(&self, variables: &Variables) -> Result<String, Missing> {
        let Self(parts) = self;
        let mut text = String::new();
        for part in parts {
            text.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Variable(name) => variables.get(name).ok_or_else(|| Missing(name.clone()))?,
            });
        }
        Ok(text)
    }
}

const ALLOWED: &str = "${…} must hold a name of letters, digits, dots, dashes and underscores; a literal one is written $${";

fn is_name(text: &str) -> bool {
    let is_fine = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
    !text.is_empty() && text.chars().all(is_fine)
}

/// A JSON value whose strings are templates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonTemplate(Value);

impl JsonTemplate {
    /// Checks every string in it.
    pub(crate) fn parse(value: Value) -> Result<Self, String> {
        map_strings(&value, &mut |text| {
            Template::parse(text).map(|_| String::new())
        })?;
        Ok(Self(value))
    }

    pub(crate) fn fill(&self, variables: &Variables) -> Result<Value, Missing> {
        let Self(value) = self;
        map_strings(value, &mut |text| match Template::parse(text) {
            Ok(template) => template.fill(variables),
            Err(_) => Ok(text.to_owned()),
        })
    }
}

fn map_strings<E>(
    value: &Value,
    map: &mut impl FnMut(&str) -> Result<String, E>,
) -> Result<Value, E> {
    Ok(match value {
        Value::String(text) => Value::String(map(text)?),
        Value::Array(items) => {
            let items: Result<_, E> = items.iter().map(|it| map_strings(it, map)).collect();
            Value::Array(items?)
        }
        Value::Object(fields) => {
            let field = |(key, it): (&String, &Value)| Ok((key.clone(), map_strings(it, map)?));
            let fields: Result<_, E> = fields.iter().map(field).collect();
            Value::Object(fields?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        let pairs = [("name", "podinfo"), ("tricky", "${name}")];
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn variables_are_replaced_once() {
        let rows = [
            ("http://${name}-canary/", Ok("http://podinfo-canary/")),
            ("a $ and $$ stay", Ok("a $ and $$ stay")),
            ("$${name}", Ok("${name}")),
            ("${tricky}", Ok("${name}")),
            ("${nobody}", Err(Missing("nobody".to_owned()))),
        ];
        for (text, expected) in rows {
            let filled = Template::parse(text).unwrap().fill(&variables());
            assert_eq!(filled, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn an_open_or_empty_variable_is_refused() {
        for text in ["${name", "${}", "${a b}", "x${"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_cannot_break_out_of_json() {
        let body = JsonTemplate::parse(json!({"who": "${name}", "n": [1, "${quote}"]})).unwrap();
        let mut variables = variables();
        variables.insert("quote".to_owned(), "\",\"x\":\"".to_owned());
        let filled = body.fill(&variables).unwrap();
        assert_eq!(filled, json!({"who": "podinfo", "n": [1, "\",\"x\":\""]}));
    }

    #[test]
    fn a_bounded_text_is_one_clean_line() {
        assert_eq!(bounded("a\nb", 10), "a b");
        assert_eq!(bounded("äöü", 3), "ä… (6 bytes)");
    }
}
