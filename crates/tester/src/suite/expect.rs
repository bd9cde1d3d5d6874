//! What an answer is expected to be, and in which words it was something else.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use regex::Regex;
use serde::Serialize;
use serde_json::Value;

use crate::duration::shown;
use crate::json_path::JsonPath;
use crate::text::{JsonTemplate, Missing, Template, Variables, bounded};
use crate::wire::Answer;

/// The longest value that a failure shows, in bytes.
const SHOWN_MAX: usize = 200;

/// One thing that was expected and did not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What was looked at: `status`, `header content-type`, `$.token`.
    pub what: String,
    /// What it should have been.
    pub expected: String,
    /// What it was.
    pub got: String,
}

impl Failure {
    pub(crate) fn new(
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        let Missing(name) = missing;
        Self::new(format!("${{{name}}}"), "a value", "nothing")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            expected,
            got,
        } = self;
        write!(formatter, "{what}: expected {expected}, got {got}")
    }
}

/// What the answer to a request is expected to be.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Any of these; see [`Statuses::default`].
    pub status: Statuses,
    /// Each header against its matcher; several values are joined by `, `.
    pub headers: Vec<(HeaderName, Matcher)>,
    /// Places in the body, read as JSON.
    pub json: Vec<(JsonPath, Matcher)>,
    /// The body as a text.
    pub body: Option<Matcher>,
    /// From the request to the last byte of the body, at most.
    pub latency: Option<Duration>,
}

impl Expect {
    /// Everything that is not as expected; empty means passed.
    ///
    /// # Errors
    /// A variable of an expected value that has no value.
    pub(crate) fn failures(
        &self,
        answer: &Answer,
        variables: &Variables,
    ) -> Result<Vec<Failure>, Missing> {
        let mut failures = Vec::new();
        failures.extend(self.status.failure(answer));
        for (name, matcher) in &self.headers {
            let got = header(answer, name);
            failures.extend(matcher.failures(
                &format!("header {name}"),
                got.as_ref(),
                variables,
            )?);
        }
        failures.extend(self.json_failures(answer, variables)?);
        if let Some(matcher) = &self.body {
            let got = Value::String(answer.text());
            failures.extend(matcher.failures("body", Some(&got), variables)?);
        }
        failures.extend(self.latency_failure(answer.latency));
        Ok(failures)
    }

    fn json_failures(
        &self,
        answer: &Answer,
        variables: &Variables,
    ) -> Result<Vec<Failure>, Missing> {
        if self.json.is_empty() {
            return Ok(Vec::new());
        }
        let Some(body) = answer.json() else {
            return Ok(vec![Failure::new("body", "JSON", quoted(&answer.text()))]);
        };
        let mut failures = Vec::new();
        for (path, matcher) in &self.json {
            failures.extend(matcher.failures(&path.to_string(), path.find(&body), variables)?);
        }
        Ok(failures)
    }

    fn latency_failure(&self, got: Duration) -> Option<Failure> {
        let most = self.latency.filter(|most| got > *most)?;
        let expected = format!("at most {}", shown(most));
        Some(Failure::new("latency", expected, shown(got)))
    }
}

fn header(answer: &Answer, name: &HeaderName) -> Option<Value> {
    let values = answer.headers.get_all(name).iter();
    let texts: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!texts.is_empty()).then(|| Value::String(texts.join(", ")))
}

/// Statuses that are expected, as closed ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

impl Default for Statuses {
    /// Any of 200 to 299.
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl Statuses {
    /// Reads `200`, `"2xx"` or a list of them.
    ///
    /// # Errors
    /// What is allowed.
    pub(crate) fn parse(value: &Value) -> Result<Self, &'static str> {
        let each = value
            .as_array()
            .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        let ranges: Option<Vec<_>> = each.iter().map(range).collect();
        ranges
            .filter(|ranges| !ranges.is_empty())
            .map(Self)
            .ok_or("must be a status such as 200, a class such as 2xx, or a list of these")
    }

    /// Whether the status is one of these.
    pub fn contain(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&status))
    }

    fn failure(&self, answer: &Answer) -> Option<Failure> {
        if self.contain(answer.status) {
            return None;
        }
        let got = match answer.text() {
            empty if empty.trim().is_empty() => answer.status.to_string(),
            body => format!("{} with the body {}", answer.status, quoted(&body)),
        };
        Some(Failure::new("status", self.to_string(), got))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ranges) = self;
        let texts: Vec<_> = ranges
            .iter()
            .map(|(low, high)| {
                if low == high {
                    low.to_string()
                } else {
                    format!("{}xx", low / 100)
                }
            })
            .collect();
        formatter.write_str(&texts.join(" or "))
    }
}

fn range(value: &Value) -> Option<(u16, u16)> {
    let text = plain(value);
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok()?;
        return (1..=5)
            .contains(&class)
            .then(|| (class * 100, class * 100 + 99));
    }
    let status: u16 = text.parse().ok()?;
    (100..=599).contains(&status).then_some((status, status))
}

/// What one value is expected to be: every rule must hold.
#[derive(Clone, Debug)]
pub struct Matcher(Vec<Rule>);

#[derive(Clone, Debug)]
enum Rule {
    Equals(JsonTemplate),
    Not(JsonTemplate),
    OneOf(JsonTemplate),
    Contains(Template),
    Matches(Regex),
    Exists(bool),
    AtLeast(f64),
    AtMost(f64),
    Length(u64),
}

/// Whether values are JSON, or texts that only look like it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Text,
}

/// The rules, as they are written.
const RULES: &str = "must be a value to equal, or a map with: equals, not, one-of, contains, matches, exists, at-least, at-most, length";

impl Matcher {
    /// Reads a matcher: a map holds rules, anything else is what the value must equal.
    ///
    /// # Errors
    /// What is allowed.
    pub(crate) fn parse(value: Value, kind: Kind) -> Result<Self, String> {
        let Value::Object(rules) = value else {
            return Ok(Self(vec![Rule::parse("equals", value, kind)?]));
        };
        if rules.is_empty() {
            return Err(RULES.to_owned());
        }
        let rules = rules.into_iter();
        let rules: Result<_, _> = rules
            .map(|(name, value)| Rule::parse(&name, value, kind))
            .collect();
        Ok(Self(rules?))
    }

    /// In which words `got` is not what was expected.
    ///
    /// # Errors
    /// A variable without a value.
    fn failures(
        &self,
        what: &str,
        got: Option<&Value>,
        variables: &Variables,
    ) -> Result<Vec<Failure>, Missing> {
        let mut failures = Vec::new();
        for rule in &self.0 {
            if let Some(expected) = rule.broken(got, variables)? {
                let got = got.map_or_else(|| "nothing".to_owned(), value_shown);
                failures.push(Failure::new(what, expected, got));
            }
        }
        Ok(failures)
    }
}

impl Rule {
    fn parse(name: &str, value: Value, kind: Kind) -> Result<Self, String> {
        let json = |value: Value| JsonTemplate::parse(as_kind(value, kind));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(match name {
            "equals" => Self::Equals(json(value)?),
            "not" => Self::Not(json(value)?),
            "one-of" if value.is_array() => Self::OneOf(json(value)?),
            "one-of" => return Err("one-of must be a list".to_owned()),
            "contains" => Self::Contains(Template::parse(
                &text(&value).ok_or("contains must be a text")?,
            )?),
            "matches" => Self::Matches(pattern(&text(&value).ok_or("matches must be a text")?)?),
            "exists" => Self::Exists(value.as_bool().ok_or("exists must be true or false")?),
            "at-least" => Self::AtLeast(value.as_f64().ok_or("at-least must be a number")?),
            "at-most" => Self::AtMost(value.as_f64().ok_or("at-most must be a number")?),
            "length" => Self::Length(value.as_u64().ok_or("length must be a whole number")?),
            other => return Err(format!("has the unknown rule {other:?}: {RULES}")),
        })
    }

    /// What was expected, where `got` is something else.
    fn broken(
        &self,
        got: Option<&Value>,
        variables: &Variables,
    ) -> Result<Option<String>, Missing> {
        let (holds, expected) = match self {
            Self::Equals(value) => {
                let value = value.fill(variables)?;
                (
                    got.is_some_and(|got| is_same(&value, got)),
                    value_shown(&value),
                )
            }
            Self::Not(value) => {
                let value = value.fill(variables)?;
                let holds = got.is_none_or(|got| !is_same(&value, got));
                (holds, format!("anything but {}", value_shown(&value)))
            }
            Self::OneOf(values) => {
                let values = values.fill(variables)?;
                let mut each = values.as_array().into_iter().flatten();
                let holds = got.is_some_and(|got| each.any(|value| is_same(value, got)));
                (holds, format!("one of {}", value_shown(&values)))
            }
            Self::Contains(part) => {
                let part = part.fill(variables)?;
                let holds = got.is_some_and(|got| does_contain(got, &part));
                (holds, format!("something with {}", quoted(&part)))
            }
            Self::Matches(pattern) => {
                let text = got.map(plain);
                let holds = text.is_some_and(|text| pattern.is_match(&text));
                (holds, format!("a match of {pattern}"))
            }
            Self::Exists(wanted) => (
                got.is_some() == *wanted,
                if *wanted { "a value" } else { "nothing" }.to_owned(),
            ),
            Self::AtLeast(least) => (
                number(got).is_some_and(|it| it >= *least),
                format!("at least {least}"),
            ),
            Self::AtMost(most) => (
                number(got).is_some_and(|it| it <= *most),
                format!("at most {most}"),
            ),
            Self::Length(wanted) => (
                got.and_then(length) == Some(*wanted),
                format!("a length of {wanted}"),
            ),
        };
        Ok((!holds).then_some(expected))
    }
}

/// The text of a header or body never is a number: `equals: 1` means the text.
fn as_kind(value: Value, kind: Kind) -> Value {
    match (kind, value) {
        (Kind::Text, Value::Array(items)) => {
            let items = items.into_iter().map(|it| as_kind(it, kind));
            Value::Array(items.collect())
        }
        (Kind::Text, value @ (Value::Number(_) | Value::Bool(_))) => {
            Value::String(value.to_string())
        }
        (_, value) => value,
    }
}

/// The longest a pattern may grow when it is compiled, in bytes.
const PATTERN_MAX: usize = 1 << 20;

fn pattern(text: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(text)
        .size_limit(PATTERN_MAX)
        .build();
    built.map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        format!("must be a regular expression: {reason}")
    })
}

fn is_same(expected: &Value, got: &Value) -> bool {
    match (expected.as_f64(), got.as_f64()) {
        // 1 and 1.0 are one number; whole numbers beyond what a float holds are compared as they are.
        (Some(one), Some(other)) if expected != got => {
            let is_float = expected.is_f64() || got.is_f64();
            is_float && (one - other).abs() == 0.0
        }
        _ => expected == got,
    }
}

fn does_contain(got: &Value, part: &str) -> bool {
    match got {
        Value::Array(items) => items.iter().any(|it| plain(it) == part),
        Value::Object(fields) => fields.contains_key(part),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            plain(got).contains(part)
        }
    }
}

/// A string without quotes, anything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A number, also where a text holds one: headers and many APIs write numbers so.
fn number(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    let of_text = value.as_str().and_then(|text| text.trim().parse().ok());
    of_text.or_else(|| value.as_f64())
}

fn length(value: &Value) -> Option<u64> {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => return None,
    };
    u64::try_from(length).ok()
}

fn value_shown(value: &Value) -> String {
    let text = value.as_str().map(quoted);
    text.unwrap_or_else(|| bounded(&value.to_string(), SHOWN_MAX))
}

fn quoted(text: &str) -> String {
    format!("{:?}", bounded(text.trim_end(), SHOWN_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "rows read better")]
    fn check(matcher: Value, got: Option<Value>, expected: &[&str]) {
        let read = Matcher::parse(matcher.clone(), Kind::Json).unwrap();
        let variables = Variables::from([("version".to_owned(), "6.9.1".to_owned())]);
        let failures = read.failures("$.x", got.as_ref(), &variables).unwrap();
        let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected, "{matcher} against {got:?}");
    }

    #[test]
    fn every_rule_says_what_was_expected_and_what_came() {
        check(json!("a"), Some(json!("a")), &[]);
        check(json!(1), Some(json!(1.0)), &[]);
        check(json!(1), Some(json!("1")), &["$.x: expected 1, got \"1\""]);
        check(
            json!(u64::MAX),
            Some(json!(u64::MAX - 1)),
            &["$.x: expected 18446744073709551615, got 18446744073709551614"],
        );
        check(json!({"equals": {"a": 1}}), Some(json!({"a": 1})), &[]);
        check(json!("${version}"), Some(json!("6.9.1")), &[]);
        check(
            json!("${version}"),
            Some(json!("6.9.0")),
            &["$.x: expected \"6.9.1\", got \"6.9.0\""],
        );
        check(
            json!({"not": 1}),
            Some(json!(1)),
            &["$.x: expected anything but 1, got 1"],
        );
        check(json!({"not": 1}), None, &[]);
        check(
            json!({"one-of": [1, 2]}),
            Some(json!(3)),
            &["$.x: expected one of [1,2], got 3"],
        );
        check(json!({"contains": "b"}), Some(json!(["a", "b"])), &[]);
        check(
            json!({"contains": "b"}),
            Some(json!("a")),
            &["$.x: expected something with \"b\", got \"a\""],
        );
        check(
            json!({"matches": "^ey"}),
            Some(json!("no")),
            &["$.x: expected a match of ^ey, got \"no\""],
        );
        check(json!({"exists": false}), None, &[]);
        check(
            json!({"exists": true}),
            None,
            &["$.x: expected a value, got nothing"],
        );
        check(
            json!({"exists": false}),
            Some(json!(null)),
            &["$.x: expected nothing, got null"],
        );
        check(
            json!({"at-least": 1, "at-most": 2}),
            Some(json!("1.5")),
            &[],
        );
        check(
            json!({"at-least": 2}),
            Some(json!(1)),
            &["$.x: expected at least 2, got 1"],
        );
        check(
            json!({"length": 2}),
            Some(json!([1])),
            &["$.x: expected a length of 2, got [1]"],
        );
    }

    #[test]
    fn an_unknown_rule_names_the_known_ones() {
        let refused = |matcher| Matcher::parse(matcher, Kind::Json).unwrap_err();
        assert_eq!(
            refused(json!({"equal": 1})),
            format!("has the unknown rule \"equal\": {RULES}")
        );
        assert_eq!(refused(json!({})), RULES);
        assert!(refused(json!({"matches": "("})).starts_with("must be a regular expression: "));
        // What would need hundreds of megabytes is refused, not compiled.
        assert!(Matcher::parse(json!({"matches": "(a{999}){999}"}), Kind::Json).is_err());
    }

    #[test]
    fn statuses_are_single_ones_classes_or_lists() {
        let texts = |value| Statuses::parse(&value).map(|it| it.to_string());
        assert_eq!(texts(json!(200)), Ok("200".to_owned()));
        assert_eq!(texts(json!(["2xx", 404])), Ok("2xx or 404".to_owned()));
        assert!(Statuses::default().contain(204));
        assert!(!Statuses::default().contain(301));
        for wrong in [
            json!("6xx"),
            json!(99),
            json!(200.5),
            json!([]),
            json!("xx"),
        ] {
            assert!(Statuses::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
