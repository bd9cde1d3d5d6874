//! The wire to everything outside of the API server: Prometheus and receivers of the simulated world, with faults by the number of the call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use slipway_controller::http::{Excess, Http, HttpError, HttpErrorKind, Limits};
use slipway_sim::{Reply, ReplyBody, World};

/// One call that went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// From 1 on.
    pub number: u64,
    /// The URL.
    pub url: String,
    /// Whether it asked Prometheus.
    pub is_query: bool,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<u64, Reply>,
    calls: Vec<Call>,
}

/// The wire between a controller and what is outside of the cluster; a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire {
    world: World,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// A wire to the Prometheus and the receivers of this world.
    pub fn new(world: World) -> Self {
        Self {
            world,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `n`th call, counted from 1, gets this answer instead of the world's.
    pub fn at_call(&self, n: u64, reply: Reply) {
        self.state().faults.insert(n, reply);
    }

    /// Everything that was called, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Notes a call, and takes the fault that is meant for it.
    fn note(&self, url: &http::Uri) -> Option<Reply> {
        let mut state = self.state();
        let number = u64::try_from(state.calls.len()).unwrap_or(u64::MAX) + 1;
        state.calls.push(Call {
            number,
            url: url.to_string(),
            is_query: is_query(url),
        });
        state.faults.remove(&number)
    }

    async fn answer(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, (HttpErrorKind, String)> {
        if let Some(reply) = self.note(request.uri()) {
            // Taken by this very request: nothing else runs in between.
            if is_query(request.uri()) {
                self.world.prometheus().answer_once("", reply);
            } else {
                self.world.receivers().answer_once("", reply);
            }
        }
        let answer = self.world.http(request).await;
        let (parts, body) = answer.map_err(|broken| broke(&broken))?.into_parts();
        let body = read(body, limits).await?;
        Ok(http::Response::from_parts(parts, body))
    }
}

fn is_query(url: &http::Uri) -> bool {
    url.host()
        .is_some_and(|host| host.starts_with("prometheus"))
}

fn broke(broken: &dyn std::fmt::Display) -> (HttpErrorKind, String) {
    (HttpErrorKind::Broken, broken.to_string())
}

async fn read(mut body: ReplyBody, limits: &Limits) -> Result<Vec<u8>, (HttpErrorKind, String)> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|broken| broke(&broken))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = limits.body_bytes.saturating_sub(read.len());
        read.extend(data.iter().take(room));
        if data.len() > room {
            return match limits.excess {
                Excess::Cut => Ok(read),
                Excess::Refuse => Err((
                    HttpErrorKind::TooLarge,
                    format!("the answer is longer than {} bytes", limits.body_bytes),
                )),
            };
        }
    }
    Ok(read)
}

#[async_trait]
impl Http for Wire {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.answer(request.map(Bytes::from), limits);
        let answer = tokio::time::timeout(limits.timeout, answer).await;
        let answer = answer
            .unwrap_or_else(|_| Err((HttpErrorKind::Timeout, "no answer in time".to_owned())));
        answer.map_err(|(kind, cause)| HttpError::new(kind, &method, &uri, &cause))
    }
}
