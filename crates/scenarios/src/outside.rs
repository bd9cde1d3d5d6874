//! What is outside of the cluster: Prometheus and the receivers of hooks, scripted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use slipway_controller::http::{Http, HttpError, HttpErrorKind, Limits};

/// How a receiver or a metric answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A hook's answer: its status and body.
    Status(u16, String),
    /// One sample with this value.
    Sample(f64),
    /// No sample.
    Empty,
    /// Two series.
    Two(f64, f64),
    /// Nothing, until the deadline of the call.
    Hang,
    /// The connection breaks.
    Reset,
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// The URL.
    pub url: String,
    /// The body.
    pub body: String,
    /// `Authorization`, or nothing.
    pub authorization: String,
    /// Whether the server's certificate would be verified.
    pub verifies: bool,
}

/// The outside world behind the `Http` seam.
#[derive(Clone, Debug, Default)]
pub struct Outside(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    /// By a part of the URL or of the query; the longest part that fits counts.
    replies: BTreeMap<String, Reply>,
    came: Vec<Came>,
    /// The `Authorization` without which Prometheus answers 401.
    allowed: Option<String>,
}

impl Outside {
    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on whatever holds this text in its URL or query is answered so.
    pub fn reply(&self, part: &str, reply: Reply) {
        self.with(|script| script.replies.insert(part.to_owned(), reply));
    }

    /// From now on Prometheus answers nobody but whoever sends this as `Authorization`.
    pub fn allow(&self, authorization: &str) {
        self.with(|script| script.allowed = Some(authorization.to_owned()));
    }

    /// Everything that came, in order.
    pub fn came(&self) -> Vec<Came> {
        self.with(|script| script.came.clone())
    }

    /// How many requests held this text.
    pub fn count(&self, part: &str) -> usize {
        self.came()
            .iter()
            .filter(|came| came.url.contains(part))
            .count()
    }
}

fn decoded(url: &str) -> String {
    let spaced = url.replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = spaced.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&pair, 16).unwrap_or(b'?'));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn vector(samples: &[(&str, f64)]) -> String {
    let all: Vec<String> = samples
        .iter()
        .map(|(series, value)| {
            format!(r#"{{"metric":{{"series":"{series}"}},"value":[1,"{value}"]}}"#)
        })
        .collect();
    format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
        all.join(",")
    )
}

#[async_trait]
impl Http for Outside {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let url = decoded(&request.uri().to_string());
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let authorization = request.headers().get(http::header::AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let authorization = authorization.unwrap_or_default().to_owned();
        let reply = self.with(|script| {
            script.came.push(Came {
                url: url.clone(),
                body: body.clone(),
                authorization: authorization.clone(),
                verifies: limits.verify_tls,
            });
            if let Some(allowed) = &script.allowed
                && *allowed != authorization
                && url.contains("/api/v1/query")
            {
                return Some(Reply::Status(401, "who are you?".to_owned()));
            }
            let fitting = script
                .replies
                .iter()
                .filter(|(part, _)| url.contains(*part) || body.contains(*part));
            fitting
                .max_by_key(|(part, _)| part.len())
                .map(|(_, reply)| reply.clone())
        });
        // Every answer takes a moment, as in the world.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let is_query = url.contains("/api/v1/query");
        let reply = reply.unwrap_or_else(|| match (is_query, url.contains("histogram_quantile")) {
            (true, true) => Reply::Sample(20.0),
            (true, false) => Reply::Sample(100.0),
            (false, _) => Reply::Status(200, "ok".to_owned()),
        });
        let (status, body) = match reply {
            Reply::Status(status, body) => (status, body),
            Reply::Sample(value) => (200, vector(&[("a", value)])),
            Reply::Empty => (200, vector(&[])),
            Reply::Two(one, two) => (200, vector(&[("a", one), ("b", two)])),
            Reply::Hang => {
                tokio::time::sleep(limits.timeout).await;
                return Err(HttpError::new(
                    HttpErrorKind::Timeout,
                    request.method(),
                    request.uri(),
                    "no answer in time",
                ));
            }
            Reply::Reset => {
                return Err(HttpError::new(
                    HttpErrorKind::Broken,
                    request.method(),
                    request.uri(),
                    "reset",
                ));
            }
        };
        let response = http::Response::builder()
            .status(status)
            .body(body.into_bytes());
        response.map_err(|error| {
            HttpError::new(
                HttpErrorKind::Broken,
                &http::Method::GET,
                &http::Uri::default(),
                &error.to_string(),
            )
        })
    }
}
