//! Conformance suites: checks of a service as data, so that no shell is needed to ask "is this a podinfo that works?".
//!
//! [`Suite::parse`] reads YAML and tells everything that is wrong with it at once; [`run`] carries it out over a [`Wire`];
//! the [`Report`] names each check that failed with what was expected and what came.

pub(crate) mod expect;
mod parse;
mod raw;
mod report;
mod run;

use std::time::Duration;

use http::{HeaderName, Method};

use crate::grpc::Health;
use crate::json_path::JsonPath;
use crate::load::Limits;
use crate::problem::Problem;
use crate::text::{JsonTemplate, Template, Variables};
use crate::wire::{Certificate, Protocol};

#[cfg(doc)]
use crate::wire::Wire;
pub use expect::{Expect, Failure, Matcher, Statuses};
pub(crate) use parse::load_from_pairs;
pub use report::{CheckReport, Report};
pub use run::run;

/// A suite, all of it checked.
#[derive(Clone, Debug)]
pub struct Suite {
    /// What it is called.
    pub name: String,
    /// Values of variables, where the caller gives none.
    pub variables: Variables,
    /// All checks end by then.
    pub deadline: Duration,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

/// Why a text is no suite.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// It is no YAML, or YAML of another shape.
    #[error("read the suite: {0}")]
    Shape(String),
    /// Everything that is wrong in it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Meaning(Vec<Problem>),
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is called.
    pub name: String,
    /// What is done.
    pub work: Work,
    /// Whether a failure may be mended by another try.
    pub retry: Option<Retry>,
    /// Values of the answer that later checks use as `${name}`.
    pub save: Vec<(String, JsonPath)>,
}

/// How often a check is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// From the first try on, no try begins later.
    pub within: Duration,
    /// From the end of a try to the next.
    pub every: Duration,
}

/// What a check does.
#[derive(Clone, Debug)]
pub enum Work {
    /// Sends a request and looks at the answer.
    Request {
        /// The request.
        request: RequestTemplate,
        /// What the answer is expected to be.
        expect: Expect,
    },
    /// Asks a gRPC server for its health.
    Grpc {
        /// The request, without body.
        request: RequestTemplate,
        /// The service; empty: the whole server.
        service: Template,
        /// Its health.
        expect: Health,
        /// How long the answer takes, at most.
        latency: Option<Duration>,
    },
    /// Puts load on a service.
    Load {
        /// The load.
        load: LoadTemplate,
        /// What it is held to.
        limits: Limits,
    },
}

/// A request whose texts are templates.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    pub(crate) method: Method,
    pub(crate) url: Template,
    pub(crate) headers: Vec<(HeaderName, Template)>,
    pub(crate) body: BodyTemplate,
    pub(crate) protocol: Protocol,
    pub(crate) certificate: Certificate,
    pub(crate) timeout: Duration,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) enum BodyTemplate {
    Text(Template),
    Json(JsonTemplate),
}

/// A load whose request is a template.
#[derive(Clone, Debug)]
pub struct LoadTemplate {
    pub(crate) request: RequestTemplate,
    pub(crate) rate: f64,
    pub(crate) duration: Duration,
    pub(crate) concurrency: usize,
    pub(crate) status: Statuses,
}
