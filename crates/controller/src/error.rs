//! What went wrong at the API server, by what is to be done about it.
//!
//! The one place that looks at the codes of [`kube::Error`].

use std::fmt;

use kube::core::Status;

/// What is to be done about an error; also a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The world was not there for a moment: try again with back-off.
    Transient,
    /// What was decided on is no longer so: observe again now.
    Conflict,
    /// We may not: show it, try again slowly.
    Denied,
    /// The server refuses the object: show it, wait for a change.
    Invalid,
    /// Ours: report it, keep the last good state.
    Bug,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::Transient,
        Self::Conflict,
        Self::Denied,
        Self::Invalid,
        Self::Bug,
    ];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A request to the API server that failed: what was tried on which object, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {object}: {}", brief(.source))]
pub struct ApiError {
    /// What was tried: `apply`, `scale`, `get`.
    pub verb: &'static str,
    /// The object: `Deployment test/podinfo-primary`.
    pub object: String,
    /// Why it failed. Its text is in ours already: do not print the chain.
    #[source]
    pub source: Box<kube::Error>,
}

impl ApiError {
    /// The error of `verb` on `object`.
    pub fn new(verb: &'static str, object: impl fmt::Display, source: kube::Error) -> Self {
        Self {
            verb,
            object: object.to_string(),
            source: Box::new(source),
        }
    }

    /// What is to be done about it.
    pub fn class(&self) -> Class {
        class(&self.source)
    }

    /// Whether the object, or its whole kind, does not exist.
    pub fn is_not_found(&self) -> bool {
        is_not_found(&self.source)
    }
}

/// What is to be done about an error of the API server or on the way to it.
pub fn class(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) => class_of_code(status.code),
        kube::Error::HyperError(_)
        | kube::Error::Service(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::LinesCodecMaxLineLengthExceeded
        | kube::Error::FromUtf8(_)
        | kube::Error::Discovery(_) => Class::Transient,
        kube::Error::Auth(_) => Class::Denied,
        kube::Error::SerdeError(_)
        | kube::Error::InferConfig(_)
        | kube::Error::InferKubeconfig(_)
        | kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. }
        | kube::Error::RustlsTls(_) => Class::Invalid,
        kube::Error::HttpError(_) | kube::Error::BuildRequest(_) | kube::Error::TlsRequired => {
            Class::Bug
        }
    }
}

/// The class of an HTTP status of the API server.
///
/// An object that is gone (404, 410) is a conflict: it was there when the write was decided.
const fn class_of_code(code: u16) -> Class {
    match code {
        404 | 409 | 410 => Class::Conflict,
        401 | 403 => Class::Denied,
        400 | 405 | 406 | 413 | 415 | 422 => Class::Invalid,
        // 0: the server sent no status at all (a proxy on the way, a connection cut off).
        0 | 408 | 425 | 429 | 500..=599 => Class::Transient,
        _ => Class::Bug,
    }
}

/// Whether the object, or its whole kind, does not exist.
pub fn is_not_found(error: &kube::Error) -> bool {
    code(error) == Some(404)
}

/// Whether an object of that name is there already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// Whether another writer was faster: the resourceVersion that the write was decided on is old.
pub fn is_conflict(error: &kube::Error) -> bool {
    code(error) == Some(409) && !is_already_exists(error)
}

/// Whether nothing can be created because the namespace is going.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403 && has_cause(status, "NamespaceTerminating"))
}

fn has_cause(status: &Status, reason: &str) -> bool {
    status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .any(|cause| cause.reason == reason)
}

fn code(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error {
        return Some(status.code);
    }
    None
}

/// The longest text of an error from outside, in bytes.
const TEXT_MAX: usize = 512;

/// The error in one bounded line: what the API server said, or the innermost reason why it could not be asked.
pub fn brief(error: &kube::Error) -> String {
    if let kube::Error::Service(inner) = error {
        return bounded(&chain(inner.as_ref()), TEXT_MAX);
    }
    let kube::Error::Api(status) = error else {
        return bounded(&chain(error), TEXT_MAX);
    };
    if status.message.is_empty() {
        return format!("the API server answered {}", status.code);
    }
    bounded(&status.message, TEXT_MAX)
}

/// The texts of an error and of its sources, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let inner = source.to_string();
        // Many libraries print their source in their own text.
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        next = source.source();
    }
    text
}

/// The text in one line of at most so many bytes, cut between characters and marked when it was cut.
pub fn bounded(text: &str, bytes: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let clean = clean.trim();
    if clean.len() <= bytes {
        return clean.to_owned();
    }
    let mark = "...";
    let end = clean.floor_char_boundary(bytes.saturating_sub(mark.len()));
    format!("{}{mark}", clean.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str) -> kube::Error {
        let mut status = Status::failure("the server said no", reason);
        status.code = code;
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn each_code_has_the_class_that_says_what_to_do() {
        let rows = [
            (0, Class::Transient),
            (400, Class::Invalid),
            (401, Class::Denied),
            (403, Class::Denied),
            (404, Class::Conflict),
            (409, Class::Conflict),
            (410, Class::Conflict),
            (418, Class::Bug),
            (422, Class::Invalid),
            (429, Class::Transient),
            (500, Class::Transient),
            (503, Class::Transient),
            (504, Class::Transient),
        ];
        for (code, expected) in rows {
            assert_eq!(class(&api(code, "")), expected, "{code}");
        }
    }

    #[test]
    fn a_lost_connection_is_transient() {
        let error = kube::Error::Service("connection reset".into());
        assert_eq!(class(&error), Class::Transient);
        assert_eq!(brief(&error), "connection reset");
    }

    #[test]
    fn an_object_that_exists_is_no_conflict_of_writers() {
        assert!(is_already_exists(&api(409, "AlreadyExists")));
        assert!(!is_conflict(&api(409, "AlreadyExists")));
        assert!(is_conflict(&api(409, "Conflict")));
        assert!(!is_already_exists(&api(409, "Conflict")));
    }

    #[test]
    fn a_namespace_that_is_going_is_told_from_missing_rights() {
        let mut status = Status::failure("forbidden", "Forbidden");
        status.code = 403;
        assert!(!is_namespace_terminating(&kube::Error::Api(Box::new(
            status.clone()
        ))));
        let details = serde_json::json!({"causes": [{"reason": "NamespaceTerminating"}]});
        status.details = serde_json::from_value(details).unwrap();
        assert!(is_namespace_terminating(&kube::Error::Api(Box::new(
            status
        ))));
    }

    #[test]
    fn the_text_names_verb_and_object_and_what_the_server_said() {
        let error = ApiError::new(
            "apply",
            "Deployment test/podinfo-primary",
            api(422, "Invalid"),
        );
        assert_eq!(
            error.to_string(),
            "apply Deployment test/podinfo-primary: the server said no"
        );
        assert_eq!(error.class(), Class::Invalid);
    }

    #[test]
    fn texts_from_outside_are_one_bounded_line() {
        assert_eq!(bounded("a\nb\tc ", 10), "a b c");
        assert_eq!(bounded("abcdefgh", 6), "abc...");
        assert_eq!(bounded("\u{e4}\u{e4}\u{e4}\u{e4}", 6), "\u{e4}...");
    }
}
