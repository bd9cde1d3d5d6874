//! Processes of Concord: started, and polled until they end.
//!
//! **Source**: dossier of Flagger's load tester; `POST api/v1/process`, `GET api/v1/process/ID`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::Refusal;
use crate::text::bounded;
use crate::wire::{Answer, Certificate, Protocol, Request, Wire};

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Concord {
    server: Url,
    fields: Vec<(String, String)>,
    key_path: String,
    interval: Duration,
    timeout: Duration,
}

/// The keys that the metadata must have.
const REQUIRED: [&str; 7] = [
    "server",
    "org",
    "project",
    "repo",
    "entrypoint",
    "apiKeyPath",
    "endpoint",
];
/// Between the parts of a form. No value of ours may hold it.
const BOUNDARY: &str = "slipway-tester-boundary-7f1c0a";

impl Concord {
    pub(crate) fn parse(metadata: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        for key in REQUIRED {
            if !metadata.contains_key(key) {
                return Err(format!("`{key}` is required with type concord").into());
            }
        }
        let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        let server = Url::parse(&format!("{}/", text("server").trim_end_matches('/'))).ok();
        let server =
            server.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let server = server.ok_or("metadata.server: must be an absolute http or https URL")?;
        if metadata.contains_key("arguments.endpoint") {
            return Err("metadata.arguments.endpoint: is what metadata.endpoint says".into());
        }
        let mut fields = vec![
            ("org".to_owned(), text("org")),
            ("project".to_owned(), text("project")),
            ("repo".to_owned(), text("repo")),
            ("entryPoint".to_owned(), text("entrypoint")),
            ("arguments.endpoint".to_owned(), text("endpoint")),
        ];
        let more = metadata
            .iter()
            .filter(|(key, _)| key.starts_with("arguments."));
        fields.extend(more.map(|(key, value)| (key.clone(), value.clone())));
        let is_odd = |text: &str| text.contains(BOUNDARY) || text.contains(['"', '\r', '\n']);
        if fields
            .iter()
            .any(|(key, value)| is_odd(key) || value.contains(BOUNDARY))
        {
            return Err("metadata.arguments: a name must not hold quotes or line breaks".into());
        }
        Ok(Self {
            server,
            fields,
            key_path: text("apiKeyPath"),
            interval: seconds(metadata, "pollInterval", 5)?,
            timeout: seconds(metadata, "pollTimeout", 30)?,
        })
    }

    /// Starts the process and polls it until it has ended.
    ///
    /// **Differs from Flagger**: `pollTimeout` is how long one answer may take (there it never fires); a line break at the end of the key
    /// is no part of it.
    pub(crate) async fn run<W: Wire>(&self, wire: &Arc<W>) -> Result<String, String> {
        let key = tokio::fs::read_to_string(&self.key_path).await;
        let key = key.map_err(|error| format!("read the key {}: {error}", self.key_path))?;
        let key = HeaderValue::from_str(key.trim());
        let mut key = key.map_err(|_| format!("the key {} is no header", self.key_path))?;
        key.set_sensitive(true);
        let started = self.ask(wire, self.start(&key)?).await?;
        let id = started.get("instanceId").and_then(Value::as_str);
        let id = id.ok_or_else(|| told("an answer without instanceId", &started))?;
        loop {
            sleep(self.interval).await;
            let process = self.ask(wire, self.poll(&key, id)?).await?;
            match process.get("status").and_then(Value::as_str) {
                Some("FINISHED") => return Ok(format!("process {id} finished")),
                Some(bad @ ("FAILED" | "CANCELLED" | "TIMED_OUT")) => {
                    return Err(format!("process {id} ended as {bad}"));
                }
                Some(_) => {}
                None => return Err(told("an answer without status", &process)),
            }
        }
    }

    fn start(&self, key: &HeaderValue) -> Result<Request, String> {
        let mut body = String::new();
        for (name, value) in &self.fields {
            body.push_str(&format_part(name, value));
        }
        body.push_str("--");
        body.push_str(BOUNDARY);
        body.push_str("--\r\n");
        let mut request = self.request(Method::POST, "api/v1/process", key)?;
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let kind = HeaderValue::from_str(&kind).map_err(|error| error.to_string())?;
        request.headers.insert(CONTENT_TYPE, kind);
        request.body = body.into();
        Ok(request)
    }

    fn poll(&self, key: &HeaderValue, id: &str) -> Result<Request, String> {
        let is_fine = |it: char| it.is_ascii_alphanumeric() || it == '-';
        if id.is_empty() || !id.chars().all(is_fine) {
            return Err(format!("the instanceId {:?} is none", bounded(id, 80)));
        }
        self.request(Method::GET, &format!("api/v1/process/{id}"), key)
    }

    fn request(&self, method: Method, path: &str, key: &HeaderValue) -> Result<Request, String> {
        let url = self.server.join(path);
        Ok(Request {
            method,
            url: url.map_err(|error| error.to_string())?,
            headers: HeaderMap::from_iter([(AUTHORIZATION, key.clone())]),
            body: bytes::Bytes::new(),
            protocol: Protocol::Auto,
            certificate: Certificate::Verified,
            timeout: self.timeout,
        })
    }

    async fn ask<W: Wire>(&self, wire: &Arc<W>, request: Request) -> Result<Value, String> {
        let what = request.shown();
        let answer = wire.send(request).await;
        let answer = answer.map_err(|error| format!("{what}: {error}"))?;
        let Answer { status, .. } = answer;
        if !(200..300).contains(&status) {
            let body = bounded(&answer.text(), 200);
            return Err(format!("{what}: status {status}: {body}"));
        }
        answer
            .json()
            .ok_or_else(|| format!("{what}: the answer is no JSON"))
    }
}

fn format_part(name: &str, value: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn told(what: &str, value: &Value) -> String {
    format!("{what}: {}", bounded(&value.to_string(), 200))
}

/// Whole seconds, as Flagger reads them.
fn seconds(
    metadata: &BTreeMap<String, String>,
    key: &str,
    usual: u64,
) -> Result<Duration, Refusal> {
    let Some(text) = metadata.get(key) else {
        return Ok(Duration::from_secs(usual));
    };
    let number = text
        .trim()
        .parse()
        .ok()
        .filter(|it| (1..=3600).contains(it));
    let number = number.ok_or_else(|| {
        let text = bounded(text, 40);
        Refusal::from(format!(
            "metadata.{key}: {text:?} must be whole seconds, 1 to 3600"
        ))
    })?;
    Ok(Duration::from_secs(number))
}
