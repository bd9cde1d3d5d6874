//! Failures as the API server words them.

use super::kinds::Kind;
use serde_json::{Value, json};

/// A request that the API server refused: the `Status` that a client gets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} ({code} {reason})")]
pub struct Failure {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason, `NotFound` for example; empty where the server answers without a `Status`.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    details: Value,
}

impl Failure {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = details(name, &kind.group, &kind.plural);
        self
    }

    /// A path that nothing serves: a plain text, as from the real server's mux.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found")
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::new(404, "NotFound", message).about(kind, name)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.resource());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    /// A resource that exists without the door that was knocked at.
    pub(crate) fn no_such_subresource() -> Self {
        let mut failure = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        failure.details = json!({});
        failure
    }

    /// A PATCH in a form that the server has never heard of.
    pub(crate) fn unknown_patch() -> Self {
        let mut failure = Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
        failure.details = json!({});
        failure
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.resource()
        );
        Self::new(409, "Conflict", message).about(kind, name)
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// Another manager owns fields that an apply without force would change; each with its manager.
    pub(crate) fn ownership(conflicts: &[(String, String)]) -> Self {
        let plural = if conflicts.len() == 1 {
            "conflict"
        } else {
            "conflicts"
        };
        let all: Vec<String> = conflicts
            .iter()
            .map(|(manager, field)| format!("conflict with {manager}: {field}"))
            .collect();
        let message = format!(
            "Apply failed with {} {plural}: {}",
            conflicts.len(),
            all.join(", ")
        );
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "field": field, "message": format!("conflict with {manager}")})
            })
            .collect();
        let mut failure = Self::new(409, "Conflict", message);
        failure.details = json!({"causes": causes});
        failure
    }

    /// The value of one field is not allowed; `why` begins with the class, as in `Required value: …`.
    pub(crate) fn invalid(kind: &Kind, name: &str, field: &str, why: &str) -> Self {
        Self::invalid_as(&kind.name, &kind.group, name, field, why)
    }

    /// The same under another name than the kind's: some checks of the real server say the resource.
    pub(crate) fn invalid_as(kind: &str, group: &str, name: &str, field: &str, why: &str) -> Self {
        let dot = if group.is_empty() { "" } else { "." };
        let message = format!("{kind}{dot}{group} \"{name}\" is invalid: {field}: {why}");
        let reason = match why.split(':').next() {
            Some("Required value") => "FieldValueRequired",
            Some("Forbidden") => "FieldValueForbidden",
            Some("Too long") => "FieldValueTooLong",
            _ => "FieldValueInvalid",
        };
        let mut failure = Self::new(422, "Invalid", message);
        failure.details = details(name, group, kind);
        let cause = json!({"reason": reason, "message": why, "field": field});
        crate::json::set(&mut failure.details, &["causes"], vec![cause]);
        failure
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.resource());
        Self::new(403, "Forbidden", message).about(kind, name)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// What the real server says when a JSON patch does not fit the object, a failed `test` included.
    pub(crate) fn patch_does_not_fit() -> Self {
        let message = "the server rejected our request due to an error in our request";
        let mut failure = Self::new(422, "Invalid", message);
        failure.details = json!({});
        failure
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut failure = Self::new(405, "MethodNotAllowed", message);
        failure.details = json!({});
        failure
    }

    pub(crate) fn unsupported_media_type(offered: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {offered}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// The `Status` object of this failure.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            crate::json::set(&mut status, &["details"], self.details.clone());
        }
        status
    }
}

/// What a status is about; empty parts are left out.
pub(super) fn details(name: &str, group: &str, kind: &str) -> Value {
    [("name", name), ("group", group), ("kind", kind)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(field, value)| (field.to_owned(), Value::from(value)))
        .collect()
}
