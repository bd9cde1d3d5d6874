//! What the controller was told: [`Args`] is what was typed, [`Settings`] is what it means.
//!
//! Flagger's flags keep their names and are taken in Go's spelling too (A11). Defaults that differ from Flagger's 1.44:
//!
//! | flag | here | Flagger | because |
//! | --- | --- | --- | --- |
//! | `-enable-leader-election` | `true` | `false` | two replicas without it would both work on every Canary |
//! | `-log-level` | `info` | `debug` | a release at rest is silent |
//! | `-kubeconfig-qps`, `-kubeconfig-burst` | 1000, 2000 | 100, 250 | being fair is the API server's job; our economy is to ask little |
//! | `--lease-name` | `slipway-leader-election` | `flagger-leader-election`, fixed | a migration with both installed takes Flagger's |
//! | `--lease-duration`, `--renew-deadline`, `--retry-period` | 15s, 10s, 2s | 60s, 15s, 5s, fixed | releases are alone for 18 s at most |
//!
//! `-control-loop-interval`, `-threadiness`, `-zap-replace-globals` and klog's flags are accepted and mean nothing here.
//! **Differs from Flagger** further: an unknown provider, a port or URL that is none are refused at start; a word that is no flag is an
//! error, where Go ignores it and everything behind it.

mod args;
mod client;
pub mod go;
mod meaning;
mod watched;

use std::fmt;
use std::path::PathBuf;

use chrono::TimeDelta;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use secrecy::SecretString;
use slipway_core::blueprint::CodecSettings;
use slipway_core::fleet::Limits;
use slipway_core::plan::{Defaults, Problem};

use crate::leader::Timings;

pub use args::{Args, Given, Origin, ParseError, Parsed};
pub use client::{ClientError, Clients, client, clients, lease_client};

/// What is meant, all of it checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the cluster is reached, and which part of it is ours.
    pub cluster: ClusterSettings,
    /// What holds for every release.
    pub releases: ReleaseSettings,
    /// The Prometheus of built-in checks and of queries in a Canary, unless the Canary names its own.
    pub metrics_server: Endpoint,
    /// `--metrics-server-secret`: the credentials of that Prometheus. A Canary's own server is never sent them.
    pub metrics_server_secret: Option<SecretName>,
    /// Who the controller is to a cloud, as its environment says; templates of metrics are asked so.
    pub environment: slipway_metrics::Environment,
    /// The election; `None`: we work without asking anybody.
    pub leader: Option<LeaderSettings>,
    /// Who is told.
    pub notify: NotifySettings,
    /// The port of `/healthz`, `/readyz` and `/metrics`; 0: any that is free.
    pub port: u16,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What was not left at its default, for the log: secrets are hidden.
    pub given: Vec<Given>,
    /// What was given and does not work, but does not keep the controller from its work either.
    pub warnings: Vec<Problem>,
}

/// How the cluster is reached, and which part of it is ours.
#[derive(Clone, Debug, Default)]
pub struct ClusterSettings {
    /// `-kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `-master`: the URL of the API server.
    pub master: Option<http::Uri>,
    /// How often it may be asked; `None`: as often as we like.
    pub rate: Option<Rate>,
    /// `-kubeconfig-service-mesh`: where routing objects live, when that is another cluster.
    pub mesh_kubeconfig: Option<PathBuf>,
    /// `-namespace`.
    pub namespaces: Namespaces,
}

/// Where a Secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    /// Its namespace; `None`: the controller's own.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl SecretName {
    /// `NAMESPACE/NAME`, or `NAME`.
    ///
    /// # Errors
    /// A [`Problem`] of `field`, when it is neither.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let plain = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.')
        };
        let is_name = |text: &str| !text.is_empty() && text.chars().all(plain);
        if !is_name(name) || !namespace.is_none_or(is_name) {
            let allowed =
                "must be NAMESPACE/NAME of a Secret, or NAME in the controller's namespace";
            return Err(Problem::new(field, text, allowed));
        }
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

/// So many requests within so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// `-kubeconfig-burst`, at least 1.
    pub requests: u32,
    /// What the burst takes at `-kubeconfig-qps`.
    pub within: std::time::Duration,
}

/// The namespaces that are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// All of them: lists and watches are cluster-wide.
    #[default]
    All,
    /// These, and nothing cluster-wide is ever asked for; never empty.
    Some(Vec<String>),
}

impl Namespaces {
    /// Those of a list with commas; an empty one means all.
    pub fn parse(text: &str) -> Self {
        let mut named: Vec<String> = Vec::new();
        for name in list(text) {
            if !named.contains(&name) {
                named.push(name);
            }
        }
        if named.is_empty() {
            Self::All
        } else {
            Self::Some(named)
        }
    }

    /// Whether that namespace is ours.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(named) => named.iter().any(|name| name == namespace),
        }
    }

    /// The interfaces that together show every object of a kind that is ours: one over the whole cluster, or one a namespace.
    pub fn apis<K>(&self, client: &kube::Client) -> Vec<Api<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::All => vec![Api::all(client.clone())],
            Self::Some(named) => named
                .iter()
                .map(|name| Api::namespaced(client.clone(), name))
                .collect(),
        }
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::Some(named) => formatter.write_str(&named.join(",")),
        }
    }
}

/// The parts of a list with commas, trimmed, without empty ones.
fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What holds for every release.
#[derive(Clone, Debug)]
pub struct ReleaseSettings {
    /// What a Canary leaves open.
    pub defaults: Defaults,
    /// What codecs heed. `own_routes` is true here; see [`Clients::mesh_is_elsewhere`].
    pub codecs: CodecSettings,
    /// `-ingress-annotations-prefix`, for NGINX.
    pub ingress_annotations_prefix: String,
    /// `-ingress-class`, for Contour.
    pub ingress_class: Option<String>,
    /// `-enable-config-tracking`.
    pub config_tracking: bool,
    /// `--annotations`: whose annotations tune a release.
    pub annotations: AnnotationScope,
    /// `--policy`: whether an annotation may be weaker than the Canary.
    pub policy: Policy,
    /// `--concurrency`: how many releases are looked at side by side, at least 1.
    pub concurrency: u16,
    /// `--max-releases` and `--max-releases-per-namespace`: how many releases may run at once.
    pub limits: Limits,
}

/// Whose annotations tune a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AnnotationScope {
    /// Those of the target and of the Canary.
    #[default]
    All,
    /// Those of the Canary alone.
    Canary,
    /// Nobody's.
    None,
}

/// Whether an annotation may be weaker than what stands below it: the Canary's than its spec, the target's than the Canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// It may.
    #[default]
    Free,
    /// It is refused.
    Strict,
}

impl From<AnnotationScope> for slipway_core::plan::AnnotationScope {
    fn from(scope: AnnotationScope) -> Self {
        match scope {
            AnnotationScope::All => Self::All,
            AnnotationScope::Canary => Self::Canary,
            AnnotationScope::None => Self::None,
        }
    }
}

impl From<Policy> for slipway_core::plan::AnnotationPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Free => Self::Free,
            Policy::Strict => Self::Strict,
        }
    }
}

/// The election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSettings {
    /// Where the Lease is: the first of `-namespace`, else `-leader-election-namespace`.
    pub namespace: String,
    /// `--lease-name`.
    pub lease: String,
    /// `--lease-duration`, `--renew-deadline`, `--retry-period`.
    pub timings: Timings,
}

/// Who is told.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// `-cluster-name`: the first field of every alert.
    pub cluster_name: Option<String>,
    /// `EVENT_WEBHOOK_URL`, else `-event-webhook`.
    pub event_webhook: Option<SecretString>,
    /// The global notifier, for Canaries without alerts of their own.
    pub notifier: Option<GlobalNotifier>,
}

/// The global notifier.
#[derive(Clone, Debug)]
pub enum GlobalNotifier {
    /// Slack.
    Slack {
        /// `SLACK_URL`, else `-slack-url`.
        url: SecretString,
        /// `SLACK_TOKEN`, else `-slack-token`.
        token: Option<SecretString>,
        /// `SLACK_PROXY_URL`, else `-slack-proxy-url`.
        proxy: Option<SecretString>,
        /// `-slack-user`.
        user: String,
        /// `-slack-channel`; never empty.
        channel: String,
    },
    /// Microsoft Teams; it wins over Slack.
    Teams {
        /// `MSTEAMS_URL`, else `-msteams-url`.
        url: SecretString,
        /// `MSTEAMS_PROXY_URL`, else `-msteams-proxy-url`.
        proxy: Option<SecretString>,
    },
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// From which level on.
    pub level: tracing::Level,
    /// In which form.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, with Flagger's `level`, `ts`, `msg` and `canary`.
    #[default]
    Json,
    /// For people.
    #[value(alias = "console")]
    Text,
}

/// The URL of a server; printed without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    uri: http::Uri,
}

impl Endpoint {
    /// The URL of an HTTP server.
    ///
    /// # Errors
    /// A [`Problem`] of `field`, when the text is no absolute `http` or `https` URL.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        text.parse::<http::Uri>()
            .ok()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
            .map(|uri| Self {
                text: text.to_owned(),
                uri,
            })
            .ok_or_else(|| {
                Problem::new(field, "not shown", "must be a URL such as http://host:port")
            })
    }

    /// The URL as it was written, with its password.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL, with its password.
    pub const fn uri(&self) -> &http::Uri {
        &self.uri
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self
            .uri
            .authority()
            .map_or("", http::uri::Authority::as_str);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        write!(formatter, "{scheme}://{host}{}", self.uri.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The duration for tokio; nothing, when it is negative.
fn to_std(duration: TimeDelta) -> std::time::Duration {
    duration.to_std().unwrap_or_default()
}
