//! A place in a JSON value: `$.items[0].name`, `$['a key'].b`, `$.items[-1]`.
//!
//! A small subset of RFC 9535 on purpose: every path means at most one value, so a check that fails can say what was there. Wildcards,
//! slices and filters mean many and are refused by name.

use std::fmt;

use serde_json::Value;

/// One place in a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
    FromEnd(usize),
}

/// What is allowed, as a sentence part.
const ALLOWED: &str = "must be a JSON path with names and indices only, such as $.items[0].name, $['a key'] or $.items[-1]";

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut rest = text.strip_prefix('$').ok_or(ALLOWED)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = step(rest).ok_or(ALLOWED)?;
            steps.push(step);
            rest = behind;
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// The value at that place.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.as_object()?.get(key),
            Step::Index(index) => value.as_array()?.get(*index),
            Step::FromEnd(back) => {
                let items = value.as_array()?;
                items.get(items.len().checked_sub(*back)?)
            }
        })
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (name, behind) = name.split_at_checked(end)?;
        let is_plain = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-');
        let is_name = !name.is_empty() && name.chars().all(is_plain);
        return is_name.then(|| (Step::Key(name.to_owned()), behind));
    }
    let inside = text.strip_prefix('[')?;
    match inside.chars().next()? {
        quote @ ('\'' | '"') => quoted(inside.get(1..)?, quote),
        _ => index(inside),
    }
}

/// A key up to its closing quote; `\` takes the next character as it is.
fn quoted(text: &str, quote: char) -> Option<(Step, &str)> {
    let mut key = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            let behind = text.get(at + 1..)?.strip_prefix(']')?;
            return Some((Step::Key(key), behind));
        }
        key.push(if letter == '\\' {
            letters.next()?.1
        } else {
            letter
        });
    }
    None
}

fn index(text: &str) -> Option<(Step, &str)> {
    let (number, behind) = text.split_once(']')?;
    let is_number = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_digit());
    let step = match number.strip_prefix('-') {
        Some(back) if is_number(back) => Step::FromEnd(back.parse().ok().filter(|it| *it > 0)?),
        None if is_number(number) => Step::Index(number.parse().ok()?),
        _ => return None,
    };
    Some((step, behind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_means_one_place() {
        let value = json!({"a": [{"b": 1}, {"b": 2}], "a key": {"x.y": 3}, "0": 4});
        let rows = [
            ("$.a[0].b", Some(json!(1))),
            ("$.a[-1].b", Some(json!(2))),
            ("$['a key'][\"x.y\"]", Some(json!(3))),
            ("$['a\\ key']['x.y']", Some(json!(3))),
            ("$.0", Some(json!(4))),
            ("$.a[2]", None),
            ("$.a[-3]", None),
            ("$.a.b", None),
            ("$.none.at.all", None),
        ];
        for (path, expected) in rows {
            let found = JsonPath::parse(path).unwrap();
            assert_eq!(found.find(&value), expected.as_ref(), "{path}");
        }
        assert_eq!(JsonPath::parse("$").unwrap().find(&value), Some(&value));
    }

    #[test]
    fn what_means_many_places_or_none_is_refused() {
        for path in [
            "",
            "a",
            "$a",
            "$.",
            "$..a",
            "$.*",
            "$[*]",
            "$[0:2]",
            "$[?(@.a)]",
            "$[",
            "$['a",
            "$['a'",
            "$[-0]",
            "$[1",
            "$[+1]",
            "$[]",
        ] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
