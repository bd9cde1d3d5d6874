//! A request as the API server understands it: a verb on a resource, from path, query and headers.

use super::failure::Failure;
use super::kinds::{KindId, Registry};
use http::Method;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Resource(Resource),
    /// A document about the server itself: discovery, version, health.
    Document(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) kind: KindId,
    pub(crate) version: String,
    /// Empty for cluster-scoped kinds and for requests over all namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Target {
    /// # Errors
    /// 404 for a path that nothing serves, a kind that is not installed included.
    pub(crate) fn parse(path: &str, registry: &Registry) -> Result<Self, Failure> {
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => {
                let steps = steps.into_iter().map(str::to_owned).collect();
                return Ok(Self::Document(steps));
            }
        };
        let at = |namespace: &str, plural: &str, name: &str, subresource: &str| {
            let kind = registry
                .at(group, version, plural)
                .ok_or_else(Failure::no_such_path)?;
            Ok(Self::Resource(Resource {
                kind,
                version: version.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                subresource: subresource.to_owned(),
            }))
        };
        match rest {
            ["namespaces", name, sub @ ("status" | "finalize")] => at("", "namespaces", name, sub),
            ["namespaces", namespace, plural] => at(namespace, plural, "", ""),
            ["namespaces", namespace, plural, name] => at(namespace, plural, name, ""),
            ["namespaces", namespace, plural, name, sub] => at(namespace, plural, name, sub),
            [plural] => at("", plural, "", ""),
            [plural, name] => at("", plural, name, ""),
            [plural, name, sub] => at("", plural, name, sub),
            _ => Err(Failure::no_such_path()),
        }
    }
}

/// The query of a request, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect();
        Self(pairs)
    }

    /// The value of a parameter, empty if it is absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(it, _)| it == name)
            .map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }
}

/// Undoes percent and plus encoding.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let pair = std::str::from_utf8(&pair).unwrap_or("00");
                u8::from_str_radix(pair, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What a request does, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH, an apply included.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
}

impl Verb {
    pub(crate) fn of(method: &Method, path: &str, query: &Query) -> Option<Self> {
        // `/api/v1/pods`, `/apis/apps/v1/namespaces/x/deployments`: what stands after the version, without the namespace.
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let skip = if steps.first() == Some(&"api") { 2 } else { 3 };
        let rest = steps.get(skip..).unwrap_or_default();
        let is_collection = match rest {
            ["namespaces", _, _] => !matches!(rest.last(), Some(&("status" | "finalize"))),
            [_] => true,
            _ => false,
        };
        Some(match (method.as_str(), is_collection) {
            ("GET", _) if query.is_set("watch") => Self::Watch,
            ("GET", true) => Self::List,
            ("GET", false) => Self::Get,
            ("POST", _) => Self::Create,
            ("PUT", _) => Self::Update,
            ("PATCH", _) => Self::Patch,
            ("DELETE", true) => Self::DeleteCollection,
            ("DELETE", false) => Self::Delete,
            _ => return None,
        })
    }

    /// RBAC's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it may change something.
    pub fn is_write(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection => {
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::kinds;

    #[test]
    fn paths_name_what_the_real_server_takes_them_for() {
        let registry = Registry::new();
        let check = |path: &str, kind: KindId, namespace: &str, name: &str, subresource: &str| {
            let Target::Resource(found) = Target::parse(path, &registry).unwrap() else {
                panic!("{path} is no resource");
            };
            assert_eq!(
                (
                    found.kind,
                    found.namespace.as_str(),
                    found.name.as_str(),
                    found.subresource.as_str()
                ),
                (kind, namespace, name, subresource),
                "{path}"
            );
        };
        check("/api/v1/namespaces", kinds::NAMESPACE, "", "", "");
        check("/api/v1/namespaces/test", kinds::NAMESPACE, "", "test", "");
        check(
            "/api/v1/namespaces/test/status",
            kinds::NAMESPACE,
            "",
            "test",
            "status",
        );
        check("/api/v1/namespaces/test/pods", kinds::POD, "test", "", "");
        check("/apis/apps/v1/deployments", kinds::DEPLOYMENT, "", "", "");
        check(
            "/apis/apps/v1/namespaces/test/deployments/a/scale",
            kinds::DEPLOYMENT,
            "test",
            "a",
            "scale",
        );
        let missing = Target::parse("/apis/flagger.app/v1beta1/canaries", &registry).unwrap_err();
        assert_eq!(
            (missing.code, missing.message.as_str()),
            (404, "404 page not found")
        );
    }

    #[test]
    fn a_query_is_decoded() {
        let query =
            Query::parse("labelSelector=app%3Dpodinfo%2Ctier+in+%28a%29&watch=true&limit=5");
        assert_eq!(query.get("labelSelector"), "app=podinfo,tier in (a)");
        assert!(query.is_set("watch"));
        assert_eq!(query.number("limit"), Some(5));
        assert_eq!(query.get("absent"), "");
    }
}
