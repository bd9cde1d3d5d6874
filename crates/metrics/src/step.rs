//! Asking in steps: most providers answer one request, some want to be told who asks first, or to be asked again until they are done.

use chrono::TimeDelta;
use http::{Request, StatusCode};
use slipway_core::observation::Reading;

use crate::Transport;

/// What is to be done next.
#[expect(
    missing_debug_implementations,
    reason = "the body of a request may hold who we are"
)]
pub enum Step {
    /// This is sent, and what comes of it is heard.
    Send(Box<Sending>),
    /// Nothing more: this is what the answers say.
    Read(Reading),
}

/// One request, and how it is sent.
#[expect(
    missing_debug_implementations,
    reason = "the body of a request may hold who we are"
)]
pub struct Sending {
    /// What is sent.
    pub request: Request<Vec<u8>>,
    /// How.
    pub transport: Transport,
    /// How long to wait before; zero for most.
    pub after: TimeDelta,
}

impl Step {
    /// A request that is sent at once.
    pub(crate) fn send(request: Request<Vec<u8>>, transport: Transport) -> Self {
        Self::Send(Box::new(Sending {
            request,
            transport,
            after: TimeDelta::zero(),
        }))
    }
}

/// What came of a request.
#[expect(
    missing_debug_implementations,
    reason = "the body of an answer may hold who we are"
)]
pub enum Heard {
    /// An answer, whatever its status.
    Answer {
        /// Its status.
        status: StatusCode,
        /// Its body, whole.
        body: Vec<u8>,
    },
    /// No whole answer, and why not.
    Nothing(String),
}

impl Heard {
    /// The status of the answer, where there is one.
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            Self::Nothing(_) => None,
        }
    }

    /// What the answer says; none is a failure.
    pub(crate) fn reading(&self, read: impl FnOnce(StatusCode, &[u8]) -> Reading) -> Reading {
        match self {
            Self::Answer { status, body } => read(*status, body),
            Self::Nothing(why) => Reading::Failed(why.clone()),
        }
    }
}
