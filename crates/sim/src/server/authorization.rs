//! Who may do what: everybody everything, but what a scenario takes away; and the reviews that tell of it.

use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Verb;
use super::{Answer, Call, Request};
use crate::json::text;

/// A right that somebody lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lack {
    user: String,
    verb: String,
    group: String,
    /// With its subresource: `deployments/scale`.
    resource: String,
}

/// The rights that were taken away.
#[derive(Debug, Default)]
pub(crate) struct Rights(Vec<Lack>);

impl Rights {
    pub(crate) fn deny(&mut self, user: &str, verb: &str, group: &str, resource: &str) {
        let [user, verb, group, resource] = [user, verb, group, resource].map(str::to_owned);
        self.0.push(Lack {
            user,
            verb,
            group,
            resource,
        });
    }

    fn may(&self, user: &str, verb: &str, group: &str, resource: &str) -> bool {
        !self.0.iter().any(|lack| {
            (
                lack.user.as_str(),
                lack.verb.as_str(),
                lack.group.as_str(),
                lack.resource.as_str(),
            ) == (user, verb, group, resource)
        })
    }

    /// # Errors
    /// 403 where the right was taken away.
    pub(super) fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (user, verb) = (call.request.by.as_ref(), call.request.verb.word());
        let (group, plural) = (call.kind.group.as_str(), call.kind.plural.as_str());
        let resource = joined(plural, &call.resource.subresource);
        if self.may(user, verb, group, &resource) {
            return Ok(());
        }
        let namespace = call.resource.namespace.as_str();
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        let why = format!(
            "User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
        );
        Err(Failure::forbidden(&call.kind, &call.resource.name, &why))
    }

    /// The answer to a review, where the request is one.
    pub(super) fn review(&self, request: &Request) -> Option<Answer> {
        let base = "/apis/authorization.k8s.io/v1/";
        let plural = request.path.strip_prefix(base)?;
        let is_own = match plural {
            "selfsubjectaccessreviews" => true,
            "subjectaccessreviews" => false,
            _ => return None,
        };
        if request.verb != Verb::Create {
            return Some(Answer::failure(&Failure::method_not_allowed()));
        }
        let Ok(mut review) = serde_json::from_slice::<Value>(&request.body) else {
            return Some(Answer::failure(&Failure::bad_request("no JSON")));
        };
        let user = if is_own {
            request.by.as_ref()
        } else {
            text(&review, &["spec", "user"])
        };
        let of = |field| text(&review, &["spec", "resourceAttributes", field]);
        let resource = joined(of("resource"), of("subresource"));
        let allowed = self.may(user, of("verb"), of("group"), &resource);
        crate::json::set(&mut review, &["status"], json!({"allowed": allowed}));
        Some(Answer::value(201, &review))
    }
}

fn joined(resource: &str, subresource: &str) -> String {
    if subresource.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}/{subresource}")
    }
}
