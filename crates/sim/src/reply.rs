//! Scripted answers of everything that speaks HTTP: hooks, notifiers, Prometheus.

use crate::service::Broken;
use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What a receiver answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Status and body, at once.
    Http(u16, Bytes),
    /// What Prometheus says to an instant query: a sample for each number, none for none.
    Samples(Vec<f64>),
    /// Another reply, this much later.
    Late(Duration, Box<Self>),
    /// No answer, ever.
    Hang,
    /// The connection breaks.
    Reset,
    /// Status 200 and a body that comes byte by byte, with this pause between two.
    Drip(Duration, Bytes),
    /// Status 200 and so many bytes of body.
    Huge(usize),
    /// Status 200 and a body that breaks off.
    Truncated(Bytes),
}

impl Reply {
    /// A status without a body.
    pub fn status(code: u16) -> Self {
        Self::Http(code, Bytes::new())
    }

    /// Status 200 and a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Http(200, text.into().into())
    }

    /// Status 200 and a JSON document.
    pub fn json(value: &Value) -> Self {
        Self::text(value.to_string())
    }

    /// Prometheus answers one number.
    pub fn value(number: f64) -> Self {
        Self::Samples(vec![number])
    }

    /// Prometheus answers with no series.
    pub fn no_data() -> Self {
        Self::Samples(Vec::new())
    }

    /// The same, this much later.
    pub fn after(self, delay: Duration) -> Self {
        Self::Late(delay, Box::new(self))
    }

    /// Gives the answer, at the virtual time of day in seconds `now`.
    pub(crate) async fn give(self, now: f64) -> Result<http::Response<ReplyBody>, Broken> {
        let mut reply = self;
        while let Self::Late(delay, later) = reply {
            tokio::time::sleep(delay).await;
            reply = *later;
        }
        let (code, body) = match reply {
            Self::Http(code, body) => (code, ReplyBody::Whole(Some(body))),
            Self::Samples(numbers) => (
                200,
                ReplyBody::Whole(Some(samples(&numbers, now).to_string().into())),
            ),
            Self::Hang | Self::Late(..) => return std::future::pending().await,
            Self::Reset => return Err(Broken),
            Self::Drip(pause, body) => (200, ReplyBody::drip(pause, body)),
            Self::Huge(size) => (200, ReplyBody::Huge(size)),
            Self::Truncated(body) => (200, ReplyBody::Truncated(Some(body))),
        };
        let mut response = http::Response::new(body);
        *response.status_mut() =
            http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        Ok(response)
    }
}

/// An instant vector as Prometheus writes it.
pub(crate) fn samples(numbers: &[f64], now: f64) -> Value {
    let result: Vec<Value> = numbers
        .iter()
        .enumerate()
        .map(|(at, number)| {
            let metric = if numbers.len() > 1 {
                json!({"instance": at.to_string()})
            } else {
                json!({})
            };
            json!({"metric": metric, "value": [now, spell(*number)]})
        })
        .collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}})
}

/// A number as Prometheus spells it.
pub(crate) fn spell(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "+Inf" } else { "-Inf" }).to_owned()
    } else {
        number.to_string()
    }
}

/// The body of a reply, which can be slow, large or broken.
#[derive(Debug)]
pub enum ReplyBody {
    /// All at once.
    Whole(Option<Bytes>),
    /// Byte by byte.
    Drip {
        /// Between two bytes.
        pause: Duration,
        /// What is still to come.
        rest: Bytes,
        /// Until the next byte.
        timer: Pin<Box<Sleep>>,
    },
    /// So many bytes are still to come.
    Huge(usize),
    /// Breaks off after this.
    Truncated(Option<Bytes>),
}

impl ReplyBody {
    fn drip(pause: Duration, rest: Bytes) -> Self {
        Self::Drip {
            pause,
            rest,
            timer: Box::pin(tokio::time::sleep(pause)),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Truncated(body) => Poll::Ready(Some(body.take().map(Frame::data).ok_or(Broken))),
            Self::Huge(0) => Poll::Ready(None),
            Self::Huge(left) => {
                let piece = (*left).min(64 * 1024);
                *left -= piece;
                Poll::Ready(Some(Ok(Frame::data(vec![b'x'; piece].into()))))
            }
            Self::Drip { pause, rest, timer } => {
                if rest.is_empty() {
                    return Poll::Ready(None);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                timer.as_mut().reset(Instant::now() + *pause);
                Poll::Ready(Some(Ok(Frame::data(rest.split_to(1)))))
            }
        }
    }
}

/// Replies by a part of what is asked: those for once in order, then the last that holds always.
#[derive(Debug, Default)]
pub(crate) struct Script {
    once: VecDeque<(String, Reply)>,
    always: Vec<(String, Reply)>,
}

impl Script {
    pub(crate) fn once(&mut self, part: &str, reply: Reply) {
        self.once.push_back((part.to_owned(), reply));
    }

    pub(crate) fn always(&mut self, part: &str, reply: Reply) {
        self.forget(part);
        self.always.push((part.to_owned(), reply));
    }

    pub(crate) fn forget(&mut self, part: &str) {
        self.always.retain(|(known, _)| known != part);
    }

    pub(crate) fn clear(&mut self) {
        self.once.clear();
        self.always.clear();
    }

    pub(crate) fn answer(&mut self, asked: &str) -> Option<Reply> {
        if let Some(at) = self
            .once
            .iter()
            .position(|(part, _)| asked.contains(part.as_str()))
        {
            return self.once.remove(at).map(|(_, reply)| reply);
        }
        let found = self
            .always
            .iter()
            .rev()
            .find(|(part, _)| asked.contains(part.as_str()));
        found.map(|(_, reply)| reply.clone())
    }
}
