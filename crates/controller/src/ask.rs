//! Questions to hooks and metrics, asked off the decision path: each in a task of its own with a deadline; its answer wakes the Canary.

mod api_server;
mod counting;
mod identity;
mod server;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::reflector::ObjectRef;
use slipway_api::{Canary, MetricProviderSpec, MetricTemplate, Phase, RECORDED_TEXT};
use slipway_core::analysis::Counters;
use slipway_core::decision::{Question, Subject};
use slipway_core::observation::{Answer, Answered, Reading, Verdict};
use slipway_core::plan::{Hook, MetricCheck, MetricSource, Plan};
use slipway_hooks::{Payload, webhook};
use slipway_metrics::builtin::{self, Telemetry};
use slipway_metrics::counters::Sides;
use slipway_metrics::{
    Ask, Heard, MOST_STEPS, MetricProvider, SecretData, Step, Variables, template,
};
use tracing::debug;

pub(crate) use counting::Counting;
use counting::Wanted;
use server::{Key, NoSecret, Server};

use crate::http::{Limits, Retry, send_retrying};
use crate::observe::store::CanaryKey;
use crate::reconcile::{name, panic_text};
use crate::record::metrics::ReleaseLabels;
use crate::shell::Shell;

impl Shell {
    /// Asks what is not under way already.
    pub(crate) fn ask(
        &self,
        key: &CanaryKey,
        plan: &Arc<Plan>,
        canary: &Canary,
        questions: &[Question],
    ) {
        for question in questions {
            if !self.memory.begin_asking(key, question) {
                continue;
            }
            debug!(canary = %name(key), ?question, "asks");
            let asking = Asking {
                shell: self.clone(),
                key: key.clone(),
                plan: Arc::clone(plan),
                canary: canary.clone(),
                question: question.clone(),
            };
            // Ends by the deadlines of its calls; nobody waits for it but the Canary that it wakes.
            self.watches.spawn(asking.run());
        }
    }
}

/// One question under way.
struct Asking {
    shell: Shell,
    key: CanaryKey,
    plan: Arc<Plan>,
    canary: Canary,
    question: Question,
}

impl Asking {
    async fn run(self) {
        // A panic ends this question and no more: unanswered, it would hold its release for ever (FC-117).
        let answer = match AssertUnwindSafe(self.answer()).catch_unwind().await {
            Ok(answer) => answer,
            Err(panic) => self.panicked(&panic_text(panic.as_ref())),
        };
        debug!(canary = %name(&self.key), question = ?self.question, ?answer, "answered");
        let at = self.shell.clock.now();
        self.shell.memory.answer(
            &self.key,
            Answered {
                question: self.question,
                at,
                answer,
            },
        );
        self.shell.watches.wake(vec![self.key]);
    }

    fn panicked(&self, text: &str) -> Answer {
        self.shell.metrics.panicked();
        let why = format!("internal error: {text}; please report this");
        match self.question.subject {
            Subject::Hook { .. } => Answer::Hook(Verdict::Refused(why)),
            Subject::Metric { .. } => Answer::Metric(Reading::Failed(why)),
            Subject::Counters => Answer::Counters(Err(why)),
        }
    }

    async fn answer(&self) -> Answer {
        match &self.question.subject {
            Subject::Hook { name, kind, phase } => {
                let hook = self.plan.hooks_of(*kind).find(|hook| hook.name == *name);
                Answer::Hook(match hook {
                    Some(hook) => self.hook(hook, *phase).await,
                    None => Verdict::Refused("the hook is no longer in the spec".to_owned()),
                })
            }
            Subject::Metric { index } => Answer::Metric(match self.plan.metrics.get(*index) {
                Some(check) => self.metric(check).await,
                None => Reading::Unusable("the metric is no longer in the spec".to_owned()),
            }),
            Subject::Counters => Answer::Counters(self.counters().await.map(Arc::new)),
        }
    }

    async fn counters(&self) -> Result<Counters, String> {
        let telemetry = self.telemetry();
        let sides = Sides::of(&self.plan);
        let status = self.canary.status.as_ref();
        let slipway = status.and_then(|status| status.slipway.as_ref());
        let release = slipway.and_then(|slipway| slipway.release.as_ref());
        let known = release.and_then(|release| release.evidence.as_deref());
        let edges = known.and_then(|known| known.edges.clone());
        let since = known.and_then(|known| known.until);
        let server = self.server();
        let asked = Wanted {
            sides: sides.clone(),
            since: since.unwrap_or_else(|| self.shell.clock.now()),
            edges: edges.clone().unwrap_or_default(),
        };
        let mut counters = self.shell.count(server.clone(), telemetry, asked).await?;
        if edges.is_none() {
            // Without them failures are counted alone, and they are asked for again.
            let found = self.shell.edges(&server, telemetry, &sides).await;
            counters.edges = found.ok();
        }
        Ok(counters)
    }

    fn telemetry(&self) -> Telemetry {
        Telemetry::of(
            &self.shell.mesh_provider,
            &self.plan.provider,
            self.plan.target.kind,
        )
    }

    async fn hook(&self, hook: &Hook, phase: Phase) -> Verdict {
        let status = self.canary.status.clone().unwrap_or_default();
        let payload =
            Payload::new(&self.plan.canary, phase, &status).with_metadata(hook.metadata.as_ref());
        let request = match webhook::request(hook, &payload) {
            Ok(request) => request,
            Err(error) => return Verdict::Refused(error.to_string()),
        };
        let transport = webhook::transport(hook);
        let limits = Limits {
            verify_tls: transport.verify_tls,
            proxy: transport.proxy,
            ..Limits::for_verdict(positive(hook.timeout))
        };
        let retry = Retry {
            retries: hook.retries,
        };
        let sent = send_retrying(
            self.shell.http.as_ref(),
            self.shell.clock.as_ref(),
            &request,
            &limits,
            retry,
        )
        .await;
        match sent.result {
            Ok(response) => webhook::verdict(
                hook,
                sent.attempts,
                response.status().as_u16(),
                response.body(),
            ),
            Err(error) => webhook::unanswered(hook, sent.attempts, &error.to_string()),
        }
    }

    async fn metric(&self, check: &MetricCheck) -> Reading {
        let reading = match &check.source {
            MetricSource::SuccessRate | MetricSource::RequestDuration => self.builtin(check).await,
            MetricSource::Query(text) => self.inline(check, text).await,
            MetricSource::Template {
                namespace, name, ..
            } => self.template(check, namespace, name).await,
        };
        if let Reading::Value(value) = reading {
            let labels = ReleaseLabels::new(&self.plan.canary.namespace, &self.plan.target.name);
            self.shell.metrics.reading(&labels, check, value);
        }
        reading
    }

    async fn builtin(&self, check: &MetricCheck) -> Reading {
        let variables = Variables::new(&self.plan, &self.canary.spec, check);
        let telemetry = self.telemetry();
        let query = match check.source {
            MetricSource::SuccessRate => builtin::success_rate(telemetry, &variables),
            MetricSource::RequestDuration
            | MetricSource::Query(_)
            | MetricSource::Template { .. } => builtin::request_duration(telemetry, &variables),
        };
        query.reading(self.ask_server(&query.text, &check.interval).await)
    }

    async fn inline(&self, check: &MetricCheck, text: &str) -> Reading {
        let variables = Variables::new(&self.plan, &self.canary.spec, check);
        match template::render(text, &variables) {
            Ok(query) => self.ask_server(&query, &check.interval).await,
            Err(error) => Reading::Unusable(format!(
                "the query of metric {} does not render: {error}",
                check.name
            )),
        }
    }

    async fn template(&self, check: &MetricCheck, namespace: &str, template: &str) -> Reading {
        let said = format!("Metric template {template}.{namespace}");
        let found = match self.shell.template(namespace, template) {
            Ok(found) => found,
            Err(why) => return Reading::Unusable(format!("{said} error: {why}")),
        };
        let variables = Variables::new(&self.plan, &self.canary.spec, check);
        let query = match template::render(&found.spec.query, &variables) {
            Ok(query) => query,
            Err(error) => return Reading::Unusable(format!("{said} query render error: {error}")),
        };
        let reference = found.spec.provider.secret_ref.as_ref();
        let secret = reference.map(|reference| Key {
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
            address: None,
        });
        let asked = self.query(
            &found.spec.provider,
            secret.as_ref(),
            &query,
            &check.interval,
        );
        let asked = asked.await.map(|reading| naming(reading, &query));
        asked.unwrap_or_else(|NoSecret { name, why }| {
            Reading::Unusable(format!("{said} secret {name} error: {why}"))
        })
    }

    async fn ask_server(&self, query: &str, interval: &str) -> Reading {
        let server = self.server();
        let spec = server.spec();
        let asked = self.query(&spec, server.secret.as_ref(), query, interval);
        asked
            .await
            .unwrap_or_else(|missing| Reading::Unusable(missing.of_server()))
    }

    /// The Prometheus of the Canary, else the controller's, each with its own credentials: the controller's are never sent to an address that a
    /// Canary names.
    fn server(&self) -> Server {
        let key = |namespace: &String, name: &String| Key {
            namespace: namespace.clone(),
            name: name.clone(),
            address: self.plan.metrics_server.clone(),
        };
        if let Some(address) = &self.plan.metrics_server {
            let name = self.plan.metrics_server_secret.as_ref();
            let secret = name.map(|name| key(&self.plan.canary.namespace, name));
            let address = address.clone();
            return Server { address, secret };
        }
        let named = self.shell.metrics_server_secret.as_ref();
        Server {
            address: self.shell.metrics_server.clone(),
            secret: named.map(|(namespace, name)| key(namespace, name)),
        }
    }

    /// Asks, with credentials that are read at use: where they are refused they are read once more, since they may just have been renewed (FC-067).
    async fn query(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&Key>,
        query: &str,
        interval: &str,
    ) -> Result<Reading, NoSecret> {
        let provider = match slipway_metrics::provider(&spec.type_) {
            Ok(provider) => provider,
            Err(unsupported) => return Ok(Reading::Unusable(unsupported.to_string())),
        };
        let environment = self.shell.identity(provider).await;
        let ask = Ask::now(query, interval, self.shell.clock.now()).within(&environment);
        let mut refused = None;
        for _ in 0..2 {
            let data = match secret {
                Some(key) => Some(self.shell.credentials(key).await?),
                None => None,
            };
            let (reading, status) = self.talk(provider, spec, data.as_ref(), &ask).await;
            if secret.is_none() || status != Some(http::StatusCode::UNAUTHORIZED) {
                return Ok(reading);
            }
            refused = Some(reading);
        }
        Ok(refused.unwrap_or_else(|| Reading::Failed("the credentials are refused".to_owned())))
    }

    /// Takes the steps of a provider; the reading, and the status of the last answer.
    async fn talk(
        &self,
        provider: &dyn MetricProvider,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> (Reading, Option<http::StatusCode>) {
        let mut heard: Vec<Heard> = Vec::new();
        while heard.len() <= MOST_STEPS {
            let status = heard.last().and_then(Heard::status);
            match provider.step(spec, secret, ask, &heard) {
                Ok(Step::Send(sending)) => heard.push(self.shell.send(*sending, secret).await),
                Ok(Step::Read(reading)) => return (reading, status),
                Err(error) => return (Reading::Unusable(error.to_string()), status),
            }
        }
        let why = format!("no number after {MOST_STEPS} requests; please report this");
        (Reading::Failed(why), None)
    }
}

/// What was not measured, with the query that did not measure it: a template is rendered for each release, and may be used by many.
fn naming(reading: Reading, query: &str) -> Reading {
    let with = |why: String| {
        let query = slipway_core::words::bounded(query, RECORDED_TEXT);
        format!("{why}, asked was {query}")
    };
    match reading {
        Reading::Value(_) | Reading::Unusable(_) => reading,
        Reading::NoData(why) => Reading::NoData(with(why)),
        Reading::Ambiguous(why) => Reading::Ambiguous(why),
        Reading::Failed(why) => Reading::Failed(with(why)),
    }
}

impl Shell {
    /// The MetricTemplate of that name.
    pub(crate) fn template(&self, namespace: &str, name: &str) -> Result<MetricTemplate, String> {
        let reference = ObjectRef::new(name).within(namespace);
        let found = self.templates.get(&reference);
        let found =
            found.ok_or_else(|| format!("MetricTemplate {namespace}/{name} does not exist"))?;
        found.0.clone().map_err(|invalid| invalid.to_string())
    }
}

fn positive(span: chrono::TimeDelta) -> Duration {
    span.to_std().unwrap_or(Duration::from_secs(10))
}
