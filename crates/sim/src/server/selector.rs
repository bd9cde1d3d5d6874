//! Label and field selectors.

use super::failure::Failure;
use crate::json::{dig, list, pairs, text};
use serde_json::Value;

/// What a list or a watch is narrowed to by labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    ///
    /// # Errors
    /// 400 with the part that does not parse.
    pub(crate) fn parse(selector: &str) -> Result<Self, Failure> {
        split_outside_parentheses(selector)
            .into_iter()
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                requirement(part).ok_or_else(|| {
                    Failure::bad_request(format!("unable to parse requirement: {part}"))
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The selector of a workload: `matchLabels` and `matchExpressions`.
    pub(crate) fn of_workload(selector: &Value) -> Self {
        let mut all: Vec<Requirement> = pairs(selector, &["matchLabels"])
            .map(|(key, value)| Requirement::In(key.to_owned(), vec![value.to_owned()]))
            .collect();
        for expression in list(selector, &["matchExpressions"]) {
            let key = text(expression, &["key"]).to_owned();
            let values = list(expression, &["values"])
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            all.push(match text(expression, &["operator"]) {
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Missing(key),
                _ => Requirement::In(key, values),
            });
        }
        Self(all)
    }

    /// How `/scale` spells it.
    pub(crate) fn spell(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|requirement| match requirement {
                Requirement::In(key, values) => match values.as_slice() {
                    [only] => format!("{key}={only}"),
                    many => format!("{key} in ({})", many.join(",")),
                },
                Requirement::NotIn(key, values) => format!("{key} notin ({})", values.join(",")),
                Requirement::Exists(key) => key.clone(),
                Requirement::Missing(key) => format!("!{key}"),
            })
            .collect();
        parts.join(",")
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = dig(object, &["metadata", "labels"]);
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                label(key).is_some_and(|it| values.iter().any(|value| value == it))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|it| values.iter().all(|value| value != it))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Missing(key) => label(key).is_none(),
        })
    }
}

fn split_outside_parentheses(selector: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    selector
        .split(|letter| {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            letter == ',' && depth == 0
        })
        .collect()
}

fn requirement(part: &str) -> Option<Requirement> {
    let key = |text: &str| {
        let text = text.trim();
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        (!text.is_empty() && text.chars().all(allowed)).then(|| text.to_owned())
    };
    let values = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(
            inner
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect(),
        )
    };
    if let Some((left, right)) = part.split_once(" notin ") {
        return Some(Requirement::NotIn(key(left)?, values(right)?));
    }
    if let Some((left, right)) = part.split_once(" in ") {
        return Some(Requirement::In(key(left)?, values(right)?));
    }
    if let Some((left, right)) = part.split_once("!=") {
        return Some(Requirement::NotIn(
            key(left)?,
            vec![right.trim().to_owned()],
        ));
    }
    if let Some((left, right)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key(left)?, vec![right.trim().to_owned()]));
    }
    match part.strip_prefix('!') {
        Some(left) => Some(Requirement::Missing(key(left)?)),
        None => Some(Requirement::Exists(key(part)?)),
    }
}

/// What a list or a watch is narrowed to by fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldSelector(Vec<(Vec<String>, String, Wanted)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Equal,
    Different,
}

/// The fields that the server can select by beside name and namespace.
const SELECTABLE: [(&str, &[&str]); 4] = [
    (
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "status.phase",
            "status.podIP",
        ],
    ),
    (
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "regarding.kind",
            "regarding.name",
            "regarding.namespace",
            "regarding.uid",
            "reason",
            "type",
            "reportingController",
        ],
    ),
    ("Secret", &["type"]),
    ("ReplicaSet", &["status.replicas"]),
];

impl FieldSelector {
    /// Parses `metadata.name=a,status.phase!=Running`.
    ///
    /// # Errors
    /// 400 for a field that the kind cannot be selected by.
    pub(crate) fn parse(selector: &str, kind: &str) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for part in selector
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (field, value, wanted) = comparison(part).ok_or_else(|| {
                let message = format!("invalid selector: '{selector}'; can't understand '{part}'");
                Failure::bad_request(message)
            })?;
            let of_kind = SELECTABLE
                .iter()
                .find(|(name, _)| *name == kind)
                .map_or(&[][..], |it| it.1);
            if !["metadata.name", "metadata.namespace"].contains(&field)
                && !of_kind.contains(&field)
            {
                let message = if of_kind.is_empty() {
                    format!(
                        "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                } else {
                    format!("field label not supported: {field}")
                };
                return Err(Failure::bad_request(message));
            }
            let path = field.split('.').map(str::to_owned).collect();
            all.push((path, value.to_owned(), wanted));
        }
        Ok(Self(all))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, value, wanted)| {
            let found = path.iter().fold(object, |at, step| dig(at, &[step]));
            let equal = match found {
                Value::String(text) => text == value,
                Value::Null => value.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    serde_json::from_str(value).is_ok_and(|wanted: Value| wanted == *found)
                }
            };
            equal == (*wanted == Wanted::Equal)
        })
    }
}

fn comparison(part: &str) -> Option<(&str, &str, Wanted)> {
    if let Some((field, value)) = part.split_once("!=") {
        return Some((field, value, Wanted::Different));
    }
    let (field, value) = part.split_once("==").or_else(|| part.split_once('='))?;
    Some((field, value, Wanted::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_select_as_the_real_server_does() {
        let object = json!({"metadata": {"labels": {"app": "podinfo", "tier": "web"}}});
        let check = |selector: &str, expected: bool| {
            let matches = LabelSelector::parse(selector).unwrap().matches(&object);
            assert_eq!(matches, expected, "{selector}");
        };
        check("", true);
        check("app=podinfo", true);
        check("app==podinfo,tier=web", true);
        check("app=other", false);
        check("app!=other", true);
        check("missing!=x", true);
        check("app in (a, podinfo),tier", true);
        check("app notin (podinfo)", false);
        check("!tier", false);
        check("!missing", true);
    }

    #[test]
    fn a_selector_that_does_not_parse_is_a_bad_request() {
        assert_eq!(LabelSelector::parse("a b c").unwrap_err().code, 400);
        assert_eq!(
            FieldSelector::parse("spec.replicas=1", "Deployment")
                .unwrap_err()
                .code,
            400
        );
        assert_eq!(FieldSelector::parse("name", "Pod").unwrap_err().code, 400);
    }
}
