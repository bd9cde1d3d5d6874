//! Questions to hooks and metrics, asked off the decision path: each in a task of its own with a deadline; its answer wakes the Canary.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretSlice;
use slipway_api::{Canary, MetricProviderSpec, MetricTemplate, Phase};
use slipway_core::decision::{Question, Subject};
use slipway_core::observation::{Answer, Answered, Reading, Verdict};
use slipway_core::plan::{Hook, MetricCheck, MetricSource, Plan};
use slipway_hooks::{Payload, webhook};
use slipway_metrics::builtin::{self, Telemetry};
use slipway_metrics::{SecretData, Variables, template};
use tracing::debug;

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
        query.reading(
            self.query(&self.server(), None, &query.text, &check.interval)
                .await,
        )
    }

    async fn inline(&self, check: &MetricCheck, text: &str) -> Reading {
        let variables = Variables::new(&self.plan, &self.canary.spec, check);
        match template::render(text, &variables) {
            Ok(query) => {
                self.query(&self.server(), None, &query, &check.interval)
                    .await
            }
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
        let secret = match &found.spec.provider.secret_ref {
            None => None,
            Some(reference) => match self.shell.secret(namespace, &reference.name).await {
                Ok(secret) => Some(secret),
                Err(why) => {
                    return Reading::Unusable(format!(
                        "{said} secret {} error: {why}",
                        reference.name
                    ));
                }
            },
        };
        self.query(
            &found.spec.provider,
            secret.as_ref(),
            &query,
            &check.interval,
        )
        .await
    }

    async fn query(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        query: &str,
        interval: &str,
    ) -> Reading {
        let provider = match slipway_metrics::provider(&spec.type_) {
            Ok(provider) => provider,
            Err(unsupported) => return Reading::Unusable(unsupported.to_string()),
        };
        let request = match provider.request(spec, secret, query, interval) {
            Ok(request) => request,
            Err(error) => return Reading::Unusable(error.to_string()),
        };
        let transport = provider.transport(spec);
        let limits = Limits {
            timeout: positive(transport.timeout),
            verify_tls: transport.verify_tls,
            ..Limits::default()
        };
        match self.shell.http.send(request, &limits).await {
            Ok(response) => provider.reading(response.status(), response.body()),
            Err(error) => Reading::Failed(error.to_string()),
        }
    }

    /// The Prometheus of the Canary, else the controller's.
    fn server(&self) -> MetricProviderSpec {
        let address = self
            .plan
            .metrics_server
            .as_deref()
            .unwrap_or(&self.shell.metrics_server);
        slipway_metrics::server(address)
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

    /// The data of a Secret, read anew: it is never stored (FC-067).
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, String> {
        let api: Api<k8s_openapi::api::core::v1::Secret> =
            Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let secret = found.ok_or_else(|| format!("Secret {namespace}/{name} does not exist"))?;
        let data = secret.data.unwrap_or_default().into_iter();
        Ok(data
            .map(|(key, value)| (key, SecretSlice::from(value.0)))
            .collect())
    }
}

fn positive(span: chrono::TimeDelta) -> Duration {
    span.to_std().unwrap_or(Duration::from_secs(10))
}
