//! Faults between a client and the API server: one request answered wrongly, late, twice or never, and watches that lag.
//!
//! Requests of one client are numbered from 1, and so are its writes; numbers go on when the client is started again after a crash.
//! So one run counts the writes, and then a run for each of them kills the client there.

use crate::server::Failure;
use crate::server::request::Verb;
use chrono::{DateTime, Utc};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server answers with this HTTP status and does nothing.
    Refuse(u16),
    /// The connection breaks before the server has the request.
    Unreachable,
    /// The server does what was asked, and the answer is lost.
    LoseAnswer,
    /// The request reaches the server this much later.
    Delay(Duration),
    /// The server does what was asked, and the answer comes this much later.
    DelayAnswer(Duration),
    /// The server never gets the request and the client never gets an answer, but lives on.
    Hang,
    /// The client dies before the server has the request: nothing of it is ever answered again.
    CrashBefore,
    /// The client dies after the server did what was asked.
    CrashAfter,
}

/// One request of a client, as its faults see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// From 1 on.
    pub number: u64,
    /// From 1 on, `None` for requests that read.
    pub write: Option<u64>,
    /// Virtual time of day.
    pub at: DateTime<Utc>,
    /// What is asked.
    pub verb: Verb,
    /// The path without its query.
    pub path: String,
    /// The plural of the kind, `deployments` for example.
    pub resource: String,
    /// Empty for cluster-scoped kinds and requests over all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// `status` or `scale`, or empty.
    pub subresource: String,
}

impl Asked {
    pub(crate) fn new(verb: Verb, path: &str, at: DateTime<Utc>) -> Self {
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let skip = if steps.first() == Some(&"api") { 2 } else { 3 };
        let rest = steps.get(skip..).unwrap_or_default();
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..]
                if !["status", "finalize"].contains(plural) =>
            {
                (*namespace, [&[*plural], rest].concat())
            }
            other => ("", other.to_vec()),
        };
        let step = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        Self {
            number: 0,
            write: None,
            at,
            verb,
            path: path.to_owned(),
            resource: step(0),
            namespace: namespace.to_owned(),
            name: step(1),
            subresource: step(2),
        }
    }

    /// One line for a report: `Patch deployments test/podinfo-primary`.
    pub fn summary(&self) -> String {
        let through = if self.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", self.subresource)
        };
        format!(
            "{:?} {}{through} {}/{}",
            self.verb, self.resource, self.namespace, self.name
        )
    }
}

type Matcher = dyn Fn(&Asked) -> bool + Send;

struct Plan {
    matches: Box<Matcher>,
    /// Which of the matching requests, from 1 on; `None` for all of them.
    nth: Option<u64>,
    seen: u64,
    fault: Fault,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}, {} seen", self.fault, self.nth, self.seen)
    }
}

/// How far behind the watches of a client are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) delay: Duration,
    pub(crate) behind: usize,
    pub(crate) duplicates: bool,
    pub(crate) is_dead: bool,
}

/// One life of a client: shares its lag with the lives before and after, but not its death.
#[derive(Debug)]
pub(crate) struct Staleness {
    client: Arc<Shared>,
    dead: AtomicBool,
}

impl Staleness {
    pub(crate) fn now(&self) -> Stale {
        let lag = self.client.state().lag;
        Stale {
            is_dead: self.is_dead(),
            ..lag
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    writes: u64,
    plans: Vec<Plan>,
    log: Vec<Asked>,
    lag: Stale,
    crashes: u64,
}

#[derive(Debug)]
struct Shared {
    identity: Arc<str>,
    state: Mutex<State>,
    crashed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The faults of one client, by its identity; a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl Faults {
    pub(crate) fn new(identity: &str) -> Self {
        Self {
            shared: Arc::new(Shared {
                identity: identity.into(),
                state: Mutex::default(),
                crashed: Notify::new(),
            }),
        }
    }

    pub(crate) fn identity(&self) -> &Arc<str> {
        &self.shared.identity
    }

    /// A new life of the client.
    pub(crate) fn life(&self) -> Arc<Staleness> {
        Arc::new(Staleness {
            client: Arc::clone(&self.shared),
            dead: AtomicBool::new(false),
        })
    }

    /// Does `fault` to the client's `n`th write, counted from 1 over all its lives.
    pub fn at_write(&self, n: u64, fault: Fault) -> &Self {
        self.plan(Some(1), fault, move |asked| asked.write == Some(n))
    }

    /// Does `fault` to the client's `n`th request, counted from 1 over all its lives.
    pub fn at_request(&self, n: u64, fault: Fault) -> &Self {
        self.plan(Some(1), fault, move |asked| asked.number == n)
    }

    /// Does `fault` to the `n`th request from now on that matches, counted from 1.
    pub fn at_nth(
        &self,
        n: u64,
        fault: Fault,
        matches: impl Fn(&Asked) -> bool + Send + 'static,
    ) -> &Self {
        self.plan(Some(n), fault, matches)
    }

    /// Does `fault` to every request that matches, until [`Self::clear`].
    pub fn always(&self, fault: Fault, matches: impl Fn(&Asked) -> bool + Send + 'static) -> &Self {
        self.plan(None, fault, matches)
    }

    fn plan(
        &self,
        nth: Option<u64>,
        fault: Fault,
        matches: impl Fn(&Asked) -> bool + Send + 'static,
    ) -> &Self {
        self.shared.state().plans.push(Plan {
            matches: Box::new(matches),
            nth,
            seen: 0,
            fault,
        });
        self
    }

    /// Forgets all faults that have not happened yet; lags of watches stay.
    pub fn clear(&self) {
        self.shared.state().plans.clear();
    }

    /// How many requests the client has made.
    pub fn requests(&self) -> u64 {
        self.shared.state().requests
    }

    /// How many of them were writes.
    pub fn writes(&self) -> u64 {
        self.shared.state().writes
    }

    /// Everything that the client has asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().log.clone()
    }

    /// How often the client has been killed.
    pub fn crashes(&self) -> u64 {
        self.shared.state().crashes
    }

    /// Waits until a fault has killed the client, so that the harness can drop what is left of it.
    ///
    /// A crash before the call counts if nobody has waited for it.
    pub async fn crashed(&self) {
        self.shared.crashed.notified().await;
    }

    /// Delivers watch events this much later; the order stays. [`crate::World::refresh`] wakes the watches after a change of lag.
    pub(crate) fn set_lag(&self, change: impl FnOnce(&mut Stale)) {
        change(&mut self.shared.state().lag);
    }

    /// Numbers a request, and says what is to happen to it.
    pub(crate) fn meet(&self, mut asked: Asked) -> Option<Fault> {
        let mut state = self.shared.state();
        state.requests += 1;
        asked.number = state.requests;
        if asked.verb.is_write() {
            state.writes += 1;
            asked.write = Some(state.writes);
        }
        let mut fault = None;
        for plan in &mut state.plans {
            if (plan.matches)(&asked) {
                plan.seen += 1;
                if fault.is_none() && plan.nth.is_none_or(|nth| nth == plan.seen) {
                    fault = Some(plan.fault);
                }
            }
        }
        state
            .plans
            .retain(|plan| plan.nth.is_none_or(|nth| plan.seen < nth));
        state.log.push(asked);
        fault
    }

    pub(crate) fn kill(&self, life: &Staleness) {
        life.dead.store(true, Ordering::Release);
        self.shared.state().crashes += 1;
        self.shared.crashed.notify_one();
    }

    pub(crate) fn is_dead(life: &Staleness) -> bool {
        life.is_dead()
    }
}

/// The answer of a server that refuses without having looked.
pub(crate) fn refusal(code: u16) -> Failure {
    match code {
        409 => Failure::new(
            409,
            "Conflict",
            "the object has been modified; please apply your changes to the latest version and try again",
        ),
        429 => Failure::new(
            429,
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        403 => Failure::new(403, "Forbidden", "the server forbids this request"),
        503 => Failure::new(
            503,
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => Failure::new(
            504,
            "Timeout",
            "the server was unable to return a response in the time allotted",
        ),
        other => Failure::new(
            other,
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        ),
    }
}
