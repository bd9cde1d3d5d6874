//! Which requests a rule is about.

use crate::json::{dig, list, text};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the data plane can tell requests apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Visit {
    /// The path, `/` if nothing else is said.
    pub path: String,
    /// The method, GET if nothing else is said.
    pub method: String,
    /// Headers by their lower-case name; cookies are in `cookie`.
    pub headers: BTreeMap<String, String>,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
}

impl Default for Visit {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
        }
    }
}

impl Visit {
    /// A request with one header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_lowercase(), value.to_owned());
        self
    }
}

/// All of its conditions must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Match(Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Path(Test),
    Method(Test),
    Header(String, Test),
    NoHeader(String, Test),
    Query(String, Test),
    /// Something that no user of the simulation has, such as labels of the calling pod.
    Never,
}

#[derive(Clone, Debug)]
enum Test {
    Exact(String),
    Prefix(String),
    Whole(Regex),
    Present,
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Whole(a), Self::Whole(b)) => a.as_str() == b.as_str(),
            (Self::Present, Self::Present) => true,
            (Self::Exact(_) | Self::Prefix(_) | Self::Whole(_) | Self::Present, _) => false,
        }
    }
}

impl Test {
    /// An expression that must match the whole text, as in Envoy; one that does not parse matches nothing.
    fn whole(expression: &str) -> Option<Self> {
        Regex::new(&format!("^(?:{expression})$"))
            .ok()
            .map(Self::Whole)
    }

    fn holds(&self, found: Option<&str>) -> bool {
        found.is_some_and(|found| match self {
            Self::Exact(wanted) => found == wanted,
            Self::Prefix(wanted) => found.starts_with(wanted.as_str()),
            Self::Whole(expression) => expression.is_match(found),
            Self::Present => true,
        })
    }
}

impl Condition {
    fn holds(&self, visit: &Visit) -> bool {
        let header = |name: &str| visit.headers.get(name).map(String::as_str);
        match self {
            Self::Path(test) => test.holds(Some(&visit.path)),
            Self::Method(test) => test.holds(Some(&visit.method)),
            Self::Header(name, test) => test.holds(header(name)),
            Self::NoHeader(name, test) => !test.holds(header(name)),
            Self::Query(name, test) => test.holds(visit.query.get(name).map(String::as_str)),
            Self::Never => false,
        }
    }
}

impl Match {
    pub(crate) fn holds(&self, visit: &Visit) -> bool {
        self.0.iter().all(|condition| condition.holds(visit))
    }

    /// How narrow it is, for the Gateway API's order of rules.
    pub(super) fn narrowness(&self) -> usize {
        self.0
            .iter()
            .map(|condition| match condition {
                Condition::Path(Test::Exact(path)) => 10_000 + path.len(),
                Condition::Path(Test::Prefix(path)) => 10 * path.len(),
                Condition::Path(_) | Condition::Method(_) => 5,
                Condition::Header(..)
                | Condition::NoHeader(..)
                | Condition::Query(..)
                | Condition::Never => 1,
            })
            .sum()
    }

    /// An Istio `HTTPMatchRequest`.
    pub(super) fn of_istio(value: &Value) -> Self {
        let fields = value.as_object().into_iter().flatten();
        let mut conditions = Vec::new();
        for (field, inner) in fields {
            match field.as_str() {
                "headers" => conditions.extend(named(inner, Condition::Header)),
                "withoutHeaders" => conditions.extend(named(inner, Condition::NoHeader)),
                "queryParams" => conditions.extend(named(inner, Condition::Query)),
                "uri" => {
                    conditions.push(string_match(inner).map_or(Condition::Never, Condition::Path));
                }
                "method" => {
                    conditions
                        .push(string_match(inner).map_or(Condition::Never, Condition::Method));
                }
                "name" | "port" | "gateways" | "ignoreUriCase" => {}
                _ => conditions.push(Condition::Never),
            }
        }
        Self(conditions)
    }

    /// A Gateway API `HTTPRouteMatch`.
    pub(super) fn of_gateway(value: &Value) -> Self {
        let mut conditions = Vec::new();
        let path = text(value, &["path", "value"]);
        conditions.extend(match text(value, &["path", "type"]) {
            _ if path.is_empty() || path == "/" => None,
            "Exact" => Some(Condition::Path(Test::Exact(path.to_owned()))),
            "RegularExpression" => {
                Some(Test::whole(path).map_or(Condition::Never, Condition::Path))
            }
            _ => Some(Condition::Path(Test::Prefix(path.to_owned()))),
        });
        let method = text(value, &["method"]);
        if !method.is_empty() {
            conditions.push(Condition::Method(Test::Exact(method.to_owned())));
        }
        conditions.extend(listed(value, "headers", |name, test| {
            Condition::Header(name.to_lowercase(), test)
        }));
        conditions.extend(listed(value, "queryParams", Condition::Query));
        Self(conditions)
    }
}

/// `{exact: …}`, `{prefix: …}`, `{regex: …}`, `{}`.
fn string_match(value: &Value) -> Option<Test> {
    let field = |name: &str| dig(value, &[name]).as_str();
    match (field("exact"), field("prefix"), field("regex")) {
        (Some(exact), _, _) => Some(Test::Exact(exact.to_owned())),
        (_, Some(prefix), _) => Some(Test::Prefix(prefix.to_owned())),
        (_, _, Some(regex)) => Test::whole(regex),
        (None, None, None) => Some(Test::Present),
    }
}

fn named(map: &Value, make: impl Fn(String, Test) -> Condition) -> Vec<Condition> {
    map.as_object()
        .into_iter()
        .flatten()
        .map(|(name, inner)| {
            string_match(inner).map_or(Condition::Never, |test| make(name.to_lowercase(), test))
        })
        .collect()
}

fn listed(value: &Value, field: &str, make: impl Fn(String, Test) -> Condition) -> Vec<Condition> {
    list(value, &[field])
        .iter()
        .map(|entry| {
            let (name, wanted) = (text(entry, &["name"]).to_owned(), text(entry, &["value"]));
            let test = match text(entry, &["type"]) {
                "RegularExpression" => Test::whole(wanted),
                _ => Some(Test::Exact(wanted.to_owned())),
            };
            test.map_or(Condition::Never, |test| make(name, test))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn istio_matches_tell_requests_apart() {
        let insider = Visit::default()
            .header("Cookie", "a=b; type=insider; c=d")
            .header("x-user", "beta-1");
        let check = |rule: Value, plain: bool, special: bool| {
            let rule = Match::of_istio(&rule);
            assert_eq!(
                (rule.holds(&Visit::default()), rule.holds(&insider)),
                (plain, special),
                "{rule:?}"
            );
        };
        check(json!({}), true, true);
        check(
            json!({"headers": {"x-user": {"exact": "beta-1"}}}),
            false,
            true,
        );
        check(
            json!({"headers": {"X-User": {"prefix": "beta"}}}),
            false,
            true,
        );
        check(
            json!({"headers": {"cookie": {"regex": "^(.*?;)?\\s*(type=insider)(;.*)?$"}}}),
            false,
            true,
        );
        check(
            json!({"headers": {"x-user": {"regex": "beta"}}}),
            false,
            false,
        );
        check(json!({"withoutHeaders": {"x-user": {}}}), true, false);
        check(json!({"uri": {"prefix": "/"}}), true, true);
        check(json!({"sourceLabels": {"app": "x"}}), false, false);
    }

    #[test]
    fn gateway_matches_tell_requests_apart() {
        let beta = Visit::default().header("x-user", "beta");
        let rule = Match::of_gateway(
            &json!({"headers": [{"name": "X-User", "value": "beta"}], "path": {"type": "PathPrefix", "value": "/"}}),
        );
        assert!(rule.holds(&beta));
        assert!(!rule.holds(&Visit::default()));
    }
}
