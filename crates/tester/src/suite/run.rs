//! Carrying a suite out.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::expect::plain;
use super::report::{CheckReport, Report};
use super::{BodyTemplate, Check, Failure, LoadTemplate, RequestTemplate, Retry, Suite, Work};
use crate::duration::shown;
use crate::grpc;
use crate::load::{self, Load, Summary};
use crate::text::Variables;
use crate::wire::{Answer, Request, SendError, Wire};

/// Carries the suite out: every check in order, also behind one that failed, until its deadline.
///
/// **Differs** from a shell script: the first failure does not hide the others.
pub async fn run<W: Wire + 'static>(suite: &Suite, given: &Variables, wire: &Arc<W>) -> Report {
    let start = Instant::now();
    let mut run = Run {
        wire,
        variables: suite.variables.clone(),
        end: start + suite.deadline,
        deadline: suite.deadline,
    };
    run.variables.extend(given.clone());
    let mut checks = Vec::new();
    for check in &suite.checks {
        checks.push(run.check(check).await);
    }
    Report {
        suite: suite.name.clone(),
        checks,
        took: start.elapsed(),
    }
}

struct Run<'a, W> {
    wire: &'a Arc<W>,
    variables: Variables,
    end: Instant,
    deadline: Duration,
}

/// What one try came to.
#[derive(Default)]
struct Try {
    failures: Vec<Failure>,
    saved: Variables,
    load: Option<Summary>,
}

impl From<Failure> for Try {
    fn from(failure: Failure) -> Self {
        Self {
            failures: vec![failure],
            ..Self::default()
        }
    }
}

impl<W: Wire + 'static> Run<'_, W> {
    async fn check(&mut self, check: &Check) -> CheckReport {
        let start = Instant::now();
        let (mut attempts, mut done) = (0, None);
        while let Some(wait) = self.pause(attempts, start, check.retry) {
            sleep(wait).await;
            attempts += 1;
            let last = self.attempt(check, done.take()).await;
            let is_over = last.failures.is_empty();
            done = Some(last);
            if is_over {
                break;
            }
        }
        let Try {
            failures,
            saved,
            load,
        } = done.unwrap_or_else(|| self.too_late(None));
        self.variables.extend(saved);
        CheckReport {
            name: check.name.clone(),
            target: self.target(&check.work),
            failures,
            attempts,
            took: start.elapsed(),
            load,
        }
    }

    /// How long until the next try; nothing when there is none.
    fn pause(&self, attempts: u32, start: Instant, retry: Option<Retry>) -> Option<Duration> {
        if attempts == 0 {
            return (Instant::now() < self.end).then_some(Duration::ZERO);
        }
        let Retry { within, every } = retry?;
        let next = Instant::now() + every;
        (next <= start + within && next < self.end).then_some(every)
    }

    /// One try. When the suite's deadline cuts it short, what the try before it said is told as well.
    async fn attempt(&self, check: &Check, before: Option<Try>) -> Try {
        let attempt = self.attempted(check);
        match timeout_at(self.end, attempt).await {
            Ok(Ok(done)) => done,
            Ok(Err(failure)) => failure.into(),
            Err(_) => self.too_late(before),
        }
    }

    fn too_late(&self, before: Option<Try>) -> Try {
        let expected = format!("an end within {}", shown(self.deadline));
        let mut done = before.unwrap_or_default();
        done.failures
            .push(Failure::new("suite deadline", expected, "none"));
        done
    }

    async fn attempted(&self, check: &Check) -> Result<Try, Failure> {
        match &check.work {
            Work::Request { request, expect } => {
                let answer = self.send(request.fill(&self.variables)?).await?;
                let mut done = Try {
                    failures: expect.failures(&answer, &self.variables)?,
                    ..Try::default()
                };
                save(check, &answer, &mut done);
                Ok(done)
            }
            Work::Grpc {
                request,
                service,
                expect,
                latency,
            } => {
                let mut request = request.fill(&self.variables)?;
                request.headers.extend(grpc::headers());
                request.body = grpc::body(&service.fill(&self.variables)?);
                let answer = self.send(request).await?;
                Ok(Try {
                    failures: health_failures(&answer, *expect, *latency),
                    ..Try::default()
                })
            }
            Work::Load { load, limits } => {
                let load = load.fill(&self.variables)?;
                let summary = load::run(&load, self.wire).await;
                Ok(Try {
                    failures: summary.failures(limits),
                    load: Some(summary),
                    ..Try::default()
                })
            }
        }
    }

    async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let expected = format!("one within {}", shown(request.timeout));
        let sent = self.wire.send(request).await;
        sent.map_err(|error: SendError| Failure::new("answer", expected, error.to_string()))
    }

    /// What was called; the variables may be missing that would say it.
    fn target(&self, work: &Work) -> String {
        let request = match work {
            Work::Request { request, .. } | Work::Grpc { request, .. } => request,
            Work::Load { load, .. } => &load.request,
        };
        let filled = request.fill(&self.variables);
        filled.map_or_else(|_| String::new(), |request| request.shown())
    }
}

/// Keeps what later checks need. A value that is not there is a failure.
fn save(check: &Check, answer: &Answer, done: &mut Try) {
    let body = (!check.save.is_empty()).then(|| answer.json()).flatten();
    for (name, place) in &check.save {
        if let Some(value) = body.as_ref().and_then(|body| place.find(body)) {
            done.saved.insert(name.clone(), plain(value));
        } else {
            let failure = Failure::new(place.to_string(), "a value to save", "nothing");
            done.failures.push(failure);
        }
    }
}

fn health_failures(
    answer: &Answer,
    expect: grpc::Health,
    latency: Option<Duration>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let got = match grpc::health(answer) {
        Ok(health) if health == expect => None,
        Ok(health) => Some(health.as_str().to_owned()),
        Err(other) => Some(other),
    };
    failures.extend(got.map(|got| Failure::new("health", expect.as_str(), got)));
    if let Some(most) = latency.filter(|most| answer.latency > *most) {
        let expected = format!("at most {}", shown(most));
        failures.push(Failure::new("latency", expected, shown(answer.latency)));
    }
    failures
}

impl RequestTemplate {
    /// The request, with every variable replaced.
    ///
    /// # Errors
    /// A variable without a value, or a value with which this is no request.
    pub(crate) fn fill(&self, variables: &Variables) -> Result<Request, Failure> {
        let text = self.url.fill(variables)?;
        let url = Url::parse(&text).ok();
        let url = url.filter(|it| matches!(it.scheme(), "http" | "https") && it.has_host());
        let url = url.ok_or_else(|| {
            Failure::new("url", "an absolute http or https URL", format!("{text:?}"))
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = value.fill(variables)?;
            let value = HeaderValue::from_str(&value).map_err(|_| {
                Failure::new(format!("header {name}"), "a value of one line", "another")
            })?;
            headers.insert(name.clone(), value);
        }
        Ok(Request {
            method: self.method.clone(),
            url,
            headers,
            body: self.body.fill(variables)?.into(),
            protocol: self.protocol,
            certificate: self.certificate,
            timeout: self.timeout,
        })
    }
}

impl BodyTemplate {
    fn fill(&self, variables: &Variables) -> Result<String, Failure> {
        Ok(match self {
            Self::Text(text) => text.fill(variables)?,
            Self::Json(json) => json.fill(variables)?.to_string(),
        })
    }
}

impl LoadTemplate {
    /// The load, with every variable replaced.
    ///
    /// # Errors
    /// As of its request.
    pub(crate) fn fill(&self, variables: &Variables) -> Result<Load, Failure> {
        Ok(Load {
            request: self.request.fill(variables)?,
            rate: self.rate,
            duration: self.duration,
            concurrency: self.concurrency,
            status: self.status.clone(),
        })
    }
}
