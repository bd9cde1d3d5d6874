//! Questions to hooks and metrics, asked off the decision path: each in a task of its own with a deadline; its answer wakes the Canary.

mod api_server;
mod identity;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretSlice;
use slipway_api::{
    Canary, MetricProviderSpec, MetricTemplate, Phase, RECORDED_TEXT, SecretReference,
};
use slipway_core::decision::{Question, Subject};
use slipway_core::observation::{Answer, Answered, Reading, Verdict};
use slipway_core::plan::{Hook, MetricCheck, MetricSource, Plan};
use slipway_hooks::{Payload, webhook};
use slipway_metrics::builtin::{self, Telemetry};
use slipway_metrics::{
    Ask, Environment, Heard, MOST_STEPS, MetricProvider, SecretData, Sending, Step, Target,
    Transport, Variables, template,
};
use tracing::debug;

use crate::http::{Certificates, Limits, Redirects, Retry, send_retrying};
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
        }
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
        let telemetry = Telemetry::of(
            &self.shell.mesh_provider,
            &self.plan.provider,
            self.plan.target.kind,
        );
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

    /// Asks the Prometheus of the Canary, else the controller's, each with its own credentials: the controller's are never sent to an address that
    /// a Canary names.
    async fn ask_server(&self, query: &str, interval: &str) -> Reading {
        let key = |namespace: &String, name: &String| Key {
            namespace: namespace.clone(),
            name: name.clone(),
            address: self.plan.metrics_server.clone(),
        };
        let (address, secret) = if let Some(address) = &self.plan.metrics_server {
            let name = self.plan.metrics_server_secret.as_ref();
            let secret = name.map(|name| key(&self.plan.canary.namespace, name));
            (address, secret)
        } else {
            let named = self.shell.metrics_server_secret.as_ref();
            let secret = named.map(|(namespace, name)| key(namespace, name));
            (&self.shell.metrics_server, secret)
        };
        let mut spec = slipway_metrics::server(address);
        spec.secret_ref = secret.as_ref().map(|secret| SecretReference {
            name: secret.name.clone(),
        });
        let asked = self.query(&spec, secret.as_ref(), query, interval);
        asked.await.unwrap_or_else(|NoSecret { name, why }| {
            Reading::Unusable(format!("Secret {name} of the metrics server: {why}"))
        })
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

/// How a provider is asked; a redirect does not carry credentials to another server.
fn limits(transport: Transport, secret: Option<&SecretData>) -> Limits {
    let certificates = secret.and_then(slipway_metrics::certificates);
    Limits {
        timeout: positive(transport.timeout),
        verify_tls: transport.verify_tls,
        certificates: certificates.map(|given| Certificates {
            ca: given.ca,
            identity: given.identity,
        }),
        redirects: if secret.is_some() || transport.carries_identity {
            Redirects::SameServer
        } else {
            Redirects::Anywhere
        },
        ..Limits::default()
    }
}

/// A Secret with credentials.
struct Key {
    namespace: String,
    name: String,
    /// The address that a Canary sends it to, which the Secret must allow itself.
    address: Option<String>,
}

/// Why there are no credentials.
struct NoSecret {
    name: String,
    why: String,
}

impl Shell {
    /// Who the controller is to a cloud, with the files that this provider wants to be read.
    async fn identity(&self, provider: &dyn MetricProvider) -> Environment {
        let mut environment = self.environment.as_ref().clone();
        for variable in provider.identity_files() {
            if let Some(path) = environment.path(variable) {
                let content = identity::read(path).await;
                environment = environment.with_file(variable, content);
            }
        }
        environment
    }

    /// Sends what a provider of metrics asks, to whom it asks it.
    async fn send(&self, sending: Sending, secret: Option<&SecretData>) -> Heard {
        let Sending {
            request,
            transport,
            after,
        } = sending;
        self.clock.sleep_until(self.clock.now() + after).await;
        let limits = limits(transport, secret);
        let came = match transport.target {
            Target::Server => self.http.send(request, &limits).await,
            Target::ApiServer => api_server::send(&self.client, request, &limits).await,
        };
        match came {
            Ok(answer) => Heard::Answer {
                status: answer.status(),
                body: answer.into_body(),
            },
            Err(error) => Heard::Nothing(error.to_string()),
        }
    }

    /// The MetricTemplate of that name.
    pub(crate) fn template(&self, namespace: &str, name: &str) -> Result<MetricTemplate, String> {
        let reference = ObjectRef::new(name).within(namespace);
        let found = self.templates.get(&reference);
        let found =
            found.ok_or_else(|| format!("MetricTemplate {namespace}/{name} does not exist"))?;
        found.0.clone().map_err(|invalid| invalid.to_string())
    }

    /// The data of a Secret, read anew: it is never stored (FC-067).
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, String> {
        self.read_secret(namespace, name).await.map(data_of)
    }

    async fn read_secret(&self, namespace: &str, name: &str) -> Result<Secret, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        found.ok_or_else(|| format!("Secret {namespace}/{name} does not exist"))
    }

    /// The credentials of a server of metrics; those that a Canary sends somewhere only where they say themselves that they are meant for it.
    async fn credentials(&self, key: &Key) -> Result<SecretData, NoSecret> {
        let failed = |why: String| NoSecret {
            name: key.name.clone(),
            why,
        };
        let secret = self.read_secret(&key.namespace, &key.name).await;
        let secret = secret.map_err(failed)?;
        let annotations = secret.metadata.annotations.as_ref();
        let said = annotations.and_then(|all| all.get(slipway_metrics::MEANT_FOR));
        let is_meant =
            |address: &String| slipway_metrics::is_meant_for(said.map(String::as_str), address);
        if key.address.as_ref().is_none_or(is_meant) {
            return Ok(data_of(secret));
        }
        Err(failed(format!(
            "its annotation {} must name the server of spec.metricsServer, by scheme, host and port",
            slipway_metrics::MEANT_FOR
        )))
    }
}

fn data_of(secret: Secret) -> SecretData {
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, SecretSlice::from(value.0)))
        .collect()
}

fn positive(span: chrono::TimeDelta) -> Duration {
    span.to_std().unwrap_or(Duration::from_secs(10))
}
