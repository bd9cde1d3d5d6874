//! The wire between a client and the simulated API server: a `tower` service that `kube::Client::new` takes.

use crate::engine::Inner;
use crate::faults::{Asked, Fault, Faults, Staleness, refusal};
use crate::server::request::{Query, Verb};
use crate::server::watch::WatchBody;
use crate::server::{Answer, Failure, Request};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// One client's connection to the API server, from its start to its death.
///
/// Requests go through the client's [`Faults`]; a connection whose client has been killed never answers again.
#[derive(Clone, Debug)]
pub struct ClientService {
    world: Arc<Inner>,
    faults: Faults,
    life: Arc<Staleness>,
}

/// The connection broke: what a client sees of an unreachable server or of a lost answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection reset by peer")]
pub struct Broken;

/// The body of an answer: a text, or a watch that goes on.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it, once.
    Whole(Option<Bytes>),
    /// A line for each event.
    Watch(Box<WatchBody>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Watch(watch) => Pin::new(watch.as_mut()).poll_frame(cx),
        }
    }
}

impl ClientService {
    pub(crate) fn new(world: Arc<Inner>, faults: Faults) -> Self {
        let life = faults.life();
        Self {
            world,
            faults,
            life,
        }
    }

    /// Whether a fault has killed the client of this connection.
    pub fn is_dead(&self) -> bool {
        Faults::is_dead(&self.life)
    }

    async fn answer(
        self,
        parts: http::request::Parts,
        body: Bytes,
    ) -> Result<http::Response<AnswerBody>, Broken> {
        let path = parts.uri.path();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let verb = Verb::of(&parts.method, path, &query);
        let latency = self.world.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if self.is_dead() {
            return std::future::pending().await;
        }
        let Some(verb) = verb else {
            return Ok(wire(Answer::failure(&Failure::method_not_allowed())));
        };
        let asked = Asked::new(verb, path, self.world.clock().now());
        let fault = self.faults.meet(asked);
        let mut later = Duration::ZERO;
        match fault {
            None | Some(Fault::LoseAnswer | Fault::CrashAfter) => {}
            Some(Fault::DelayAnswer(delay)) => later = delay,
            Some(Fault::Refuse(code)) => return Ok(wire(Answer::failure(&refusal(code)))),
            Some(Fault::Unreachable) => return Err(Broken),
            Some(Fault::Hang) => return std::future::pending().await,
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::CrashBefore) => {
                self.faults.kill(&self.life);
                return std::future::pending().await;
            }
        }
        let request = Request {
            verb,
            path: path.to_owned(),
            query,
            content_type: header_text(&parts, &header::CONTENT_TYPE),
            accept: header_text(&parts, &header::ACCEPT),
            body,
            by: Arc::clone(self.faults.identity()),
            staleness: Arc::clone(&self.life),
        };
        let answer = self.world.with(|state| state.api.serve(&request));
        match fault {
            Some(Fault::LoseAnswer) => return Err(Broken),
            Some(Fault::CrashAfter) => {
                self.faults.kill(&self.life);
                return std::future::pending().await;
            }
            _ => {}
        }
        if !later.is_zero() {
            tokio::time::sleep(later).await;
        }
        if self.is_dead() {
            return std::future::pending().await;
        }
        Ok(wire(answer))
    }
}

fn header_text(parts: &http::request::Parts, name: &header::HeaderName) -> String {
    let value = parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn wire(answer: Answer) -> http::Response<AnswerBody> {
    let (code, content_type, body) = match answer {
        Answer::Json(code, text) => (code, "application/json", AnswerBody::Whole(Some(text))),
        Answer::Text(code, text) => (code, "text/plain", AnswerBody::Whole(Some(text.into()))),
        Answer::Watch(watch) => (200, "application/json", AnswerBody::Watch(watch)),
    };
    let mut response = http::Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

impl<B> tower::Service<http::Request<B>> for ClientService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<AnswerBody>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
            service.answer(parts, body).await
        })
    }
}

/// A request that the world itself makes, for a person or a second writer: no wire, no faults, answered at once.
pub(crate) struct Direct<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: Bytes,
    pub(crate) by: &'a Faults,
}

impl Direct<'_> {
    pub(crate) fn request(self) -> Option<Request> {
        let query = Query::parse(self.query);
        Some(Request {
            verb: Verb::of(&self.method, self.path, &query)?,
            path: self.path.to_owned(),
            query,
            content_type: self.content_type.to_owned(),
            accept: String::new(),
            body: self.body,
            by: Arc::clone(self.by.identity()),
            staleness: self.by.life(),
        })
    }
}
