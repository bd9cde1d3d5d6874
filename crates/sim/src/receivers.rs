//! Everything outside of the cluster that a controller calls: hooks, gates, chat rooms, metric providers.

use crate::clock::Clock;
use crate::reply::{Reply, ReplyBody, Script};
use crate::service::Broken;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request that a receiver got.
#[derive(Clone, Debug)]
pub struct Received {
    /// Virtual time of day.
    pub at: DateTime<Utc>,
    /// GET, POST.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// As sent.
    pub headers: HeaderMap,
    /// As sent.
    pub body: Bytes,
    /// What it was answered.
    pub answer: Reply,
}

impl Received {
    /// The body as JSON, null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    received: Vec<Received>,
}

/// The scripted receivers of a world; a handle, cheap to clone.
///
/// Replies are chosen by a part of the URL: first those for once, in order, then the last one that was set for always, and else `200 OK`.
#[derive(Clone, Debug)]
pub struct Receivers {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Receivers {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, URLs with this part get this reply.
    pub fn answer(&self, part: &str, reply: Reply) {
        self.state().script.always(part, reply);
    }

    /// The next URL with this part gets this reply; more of them queue up.
    pub fn answer_once(&self, part: &str, reply: Reply) {
        self.state().script.once(part, reply);
    }

    /// Closes a gate: URLs with this part get 403.
    pub fn close(&self, part: &str) {
        self.answer(part, Reply::status(403));
    }

    /// Opens a gate again.
    pub fn open(&self, part: &str) {
        self.state().script.forget(part);
    }

    /// Forgets all replies that were set.
    pub fn clear(&self) {
        self.state().script.clear();
    }

    /// Everything that was received, in order.
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// What was received at URLs with this part, in order.
    pub fn received_at(&self, part: &str) -> Vec<Received> {
        let state = self.state();
        state
            .received
            .iter()
            .filter(|it| it.url.contains(part))
            .cloned()
            .collect()
    }

    /// Receives a request.
    ///
    /// # Errors
    /// [`Broken`] where the script says so.
    pub async fn respond(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<ReplyBody>, Broken> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let reply = {
            let mut state = self.state();
            let reply = state
                .script
                .answer(&url)
                .unwrap_or_else(|| Reply::text("OK"));
            state.received.push(Received {
                at: self.clock.now(),
                method: parts.method.to_string(),
                url,
                headers: parts.headers,
                body,
                answer: reply.clone(),
            });
            reply
        };
        reply.give(self.clock.unix()).await
    }
}
