//! One exchange with a server of metrics, with credentials that are read at use.

use http::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use secrecy::SecretSlice;
use slipway_api::{MetricProviderSpec, SecretReference};
use slipway_metrics::{
    Ask, Environment, Heard, MOST_STEPS, MetricProvider, SecretData, Sending, Step, Target,
    Transport,
};

use crate::http::{Certificates, Limits, Redirects};
use crate::shell::Shell;

use super::{api_server, identity, positive};

/// A Prometheus, and the Secret that it wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) address: String,
    pub(super) secret: Option<Key>,
}

impl Server {
    pub(super) fn spec(&self) -> MetricProviderSpec {
        let mut spec = slipway_metrics::server(&self.address);
        spec.secret_ref = self.secret.as_ref().map(|secret| SecretReference {
            name: secret.name.clone(),
        });
        spec
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The address that a Canary sends it to, which the Secret must allow itself.
    pub(super) address: Option<String>,
}

/// Why there are no credentials.
pub(super) struct NoSecret {
    pub(super) name: String,
    pub(super) why: String,
}

impl NoSecret {
    /// The same, of the Secret of a Prometheus.
    pub(super) fn of_server(&self) -> String {
        format!("Secret {} of the metrics server: {}", self.name, self.why)
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// There are no credentials.
    Secret(NoSecret),
    /// It cannot be asked like that; the whole sentence.
    Unusable(String),
    /// It was asked, and did not answer.
    Failed(String),
}

impl Shell {
    /// One exchange with a Prometheus that needs its whole answer.
    pub(super) async fn exchange(
        &self,
        server: &Server,
        query: &str,
    ) -> Result<(StatusCode, Vec<u8>), Unanswered> {
        let spec = server.spec();
        let provider = slipway_metrics::provider(&spec.type_)
            .map_err(|unsupported| Unanswered::Unusable(unsupported.to_string()))?;
        let ask = Ask::now(query, "", self.clock.now());
        let mut refused = None;
        for _ in 0..2 {
            let data = match &server.secret {
                Some(key) => Some(self.credentials(key).await.map_err(Unanswered::Secret)?),
                None => None,
            };
            let mut heard: Vec<Heard> = Vec::new();
            while heard.len() <= MOST_STEPS
                && let Step::Send(sending) = provider
                    .step(&spec, data.as_ref(), &ask, &heard)
                    .map_err(|error| Unanswered::Unusable(error.to_string()))?
            {
                heard.push(self.send(*sending, data.as_ref()).await);
            }
            let (status, body) = match heard.pop() {
                Some(Heard::Answer { status, body }) => (status, body),
                Some(Heard::Nothing(why)) => return Err(Unanswered::Failed(why)),
                None => return Err(Unanswered::Failed("nothing was asked".to_owned())),
            };
            if server.secret.is_none() || status != StatusCode::UNAUTHORIZED {
                return Ok((status, body));
            }
            refused = Some((status, body));
        }
        refused.ok_or_else(|| Unanswered::Failed("the credentials are refused".to_owned()))
    }

    /// Who the controller is to a cloud, with the files that this provider wants to be read.
    pub(super) async fn identity(&self, provider: &dyn MetricProvider) -> Environment {
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
    pub(super) async fn send(&self, sending: Sending, secret: Option<&SecretData>) -> Heard {
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
    pub(super) async fn credentials(&self, key: &Key) -> Result<SecretData, NoSecret> {
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
