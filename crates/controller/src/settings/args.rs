//! What was typed: Flagger's flags and ours, and the environment.
#![expect(
    clippy::doc_markdown,
    reason = "the documentation of a flag is its help, which knows no backticks"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;

use chrono::TimeDelta;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};
use secrecy::SecretString;
use slipway_core::plan::Problem;

use super::go::{self, boolean, duration, secret};
use super::{AnnotationScope, LogFormat, Policy, Settings};

/// Runs the controller. Flags may be written with one dash or two; those marked (Flagger) are Flagger's.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "slipway controller",
    args_override_self = true,
    disable_version_flag = true
)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    #[command(flatten)]
    pub(super) releases: ReleaseArgs,
    #[command(flatten)]
    pub(super) leader: LeaderArgs,
    #[command(flatten)]
    pub(super) notify: NotifyArgs,
    #[command(flatten)]
    pub(super) process: ProcessArgs,
    #[command(flatten)]
    pub(super) ignored: IgnoredArgs,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterArgs {
    /// Path of a kubeconfig; without one, the pod's own account (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_KUBECONFIG",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) kubeconfig: String,
    /// URL of the API server, instead of the kubeconfig's (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_MASTER",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) master: String,
    /// Requests a second to the API server; 0 is without limit (Flagger: 100)
    #[arg(long, env = "SLIPWAY_KUBECONFIG_QPS", default_value_t = 1000)]
    pub(super) kubeconfig_qps: i32,
    /// Requests at once to the API server (Flagger: 250)
    #[arg(long, env = "SLIPWAY_KUBECONFIG_BURST", default_value_t = 2000)]
    pub(super) kubeconfig_burst: i32,
    /// Path of the kubeconfig of the cluster where routing objects live (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_KUBECONFIG_SERVICE_MESH",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) kubeconfig_service_mesh: String,
    /// Namespaces to work on, with commas between; none is all (Flagger: one)
    #[arg(
        long,
        env = "SLIPWAY_NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) namespace: String,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Releases")]
pub(super) struct ReleaseArgs {
    /// The traffic router of Canaries that name none (Flagger)
    #[arg(long, env = "SLIPWAY_MESH_PROVIDER", default_value = "istio")]
    pub(super) mesh_provider: String,
    /// URL of Prometheus (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_METRICS_SERVER",
        default_value = "http://prometheus:9090"
    )]
    pub(super) metrics_server: String,
    /// Secret with the credentials of --metrics-server, as NAMESPACE/NAME, or NAME in the controller's own namespace
    #[arg(
        long,
        env = "SLIPWAY_METRICS_SERVER_SECRET",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) metrics_server_secret: String,
    /// Labels that tell the pods of a target from others; the first that it selects by counts (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_SELECTOR_LABELS",
        default_value = "app,name,app.kubernetes.io/name"
    )]
    pub(super) selector_labels: String,
    /// Prefixes of labels and annotations that the primary gets too; * is all (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_INCLUDE_LABEL_PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) include_label_prefix: String,
    /// Prefix of NGINX's annotations (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_INGRESS_ANNOTATIONS_PREFIX",
        default_value = "nginx.ingress.kubernetes.io"
    )]
    pub(super) ingress_annotations_prefix: String,
    /// Ingress class of Contour's HTTPProxies (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_INGRESS_CLASS",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) ingress_class: String,
    /// Track the ConfigMaps and Secrets of a target (Flagger)
    #[arg(long, env = "SLIPWAY_ENABLE_CONFIG_TRACKING", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(super) enable_config_tracking: bool,
    /// Refuse templates, alert providers and upstreams of other namespaces (Flagger)
    #[arg(long, env = "SLIPWAY_NO_CROSS_NAMESPACE_REFS", default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(super) no_cross_namespace_refs: bool,
    /// The shortest interval of an analysis that is honoured (Flagger: 10s, fixed)
    #[arg(long, env = "SLIPWAY_MINIMUM_INTERVAL", default_value = "10s", value_parser = duration)]
    pub(super) minimum_interval: TimeDelta,
    /// How long a side that lost its traffic stays up: proxies learn late
    #[arg(long, env = "SLIPWAY_SETTLE", default_value = "5s", value_parser = duration)]
    pub(super) settle: TimeDelta,
    /// Whose slipway.dev annotations tune a release
    #[arg(long, env = "SLIPWAY_ANNOTATIONS", default_value = "all", value_enum)]
    pub(super) annotations: AnnotationScope,
    /// Whether annotations may be weaker than the Canary
    #[arg(long, env = "SLIPWAY_POLICY", default_value = "free", value_enum)]
    pub(super) policy: Policy,
    /// How many releases are looked at side by side
    #[arg(long, env = "SLIPWAY_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) concurrency: u16,
    /// How many releases may run at once; 0 is any number
    #[arg(long, env = "SLIPWAY_MAX_RELEASES", default_value_t = 0)]
    pub(super) max_releases: u16,
    /// How many releases of one namespace may run at once; 0 is any number
    #[arg(long, env = "SLIPWAY_MAX_RELEASES_PER_NAMESPACE", default_value_t = 0)]
    pub(super) max_releases_per_namespace: u16,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Leader election")]
pub(super) struct LeaderArgs {
    /// Work only while holding the Lease (Flagger: false)
    #[arg(long, env = "SLIPWAY_ENABLE_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(super) enable_leader_election: bool,
    /// Namespace of the Lease; with --namespace it is the first of those (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_LEADER_ELECTION_NAMESPACE",
        default_value = "kube-system"
    )]
    pub(super) leader_election_namespace: String,
    /// Name of the Lease; flagger-leader-election for a migration with both installed
    #[arg(long, env = "SLIPWAY_LEASE_NAME", default_value = crate::leader::LEASE_NAME)]
    pub(super) lease_name: String,
    /// How long the Lease is ours after a renewal, for others (Flagger: 60s, fixed)
    #[arg(long, env = "SLIPWAY_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    pub(super) lease_duration: TimeDelta,
    /// How long it is ours after a renewal, for us (Flagger: 15s, fixed)
    #[arg(long, env = "SLIPWAY_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    pub(super) renew_deadline: TimeDelta,
    /// Time between two renewals (Flagger: 5s, fixed)
    #[arg(long, env = "SLIPWAY_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    pub(super) retry_period: TimeDelta,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Notifications")]
pub(super) struct NotifyArgs {
    /// URL that gets every event; EVENT_WEBHOOK_URL wins (Flagger)
    #[arg(long, env = "SLIPWAY_EVENT_WEBHOOK", hide_env_values = true, value_parser = secret)]
    pub(super) event_webhook: Option<SecretString>,
    /// Name of the cluster in alerts (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_CLUSTER_NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) cluster_name: String,
    /// Slack's URL; SLACK_URL wins (Flagger)
    #[arg(long, env = "SLIPWAY_SLACK_URL", hide_env_values = true, value_parser = secret)]
    pub(super) slack_url: Option<SecretString>,
    /// Slack's token; SLACK_TOKEN wins (Flagger)
    #[arg(long, env = "SLIPWAY_SLACK_TOKEN", hide_env_values = true, value_parser = secret)]
    pub(super) slack_token: Option<SecretString>,
    /// Proxy to Slack; SLACK_PROXY_URL wins (Flagger)
    #[arg(long, env = "SLIPWAY_SLACK_PROXY_URL", hide_env_values = true, value_parser = secret)]
    pub(super) slack_proxy_url: Option<SecretString>,
    /// Slack's channel (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_SLACK_CHANNEL",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) slack_channel: String,
    /// Name of the sender in Slack (Flagger)
    #[arg(long, env = "SLIPWAY_SLACK_USER", default_value = "flagger")]
    pub(super) slack_user: String,
    /// Teams' URL; MSTEAMS_URL wins (Flagger)
    #[arg(long, env = "SLIPWAY_MSTEAMS_URL", hide_env_values = true, value_parser = secret)]
    pub(super) msteams_url: Option<SecretString>,
    /// Proxy to Teams; MSTEAMS_PROXY_URL wins (Flagger)
    #[arg(long, env = "SLIPWAY_MSTEAMS_PROXY_URL", hide_env_values = true, value_parser = secret)]
    pub(super) msteams_proxy_url: Option<SecretString>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Process")]
pub(super) struct ProcessArgs {
    /// Port of /healthz, /readyz and /metrics (Flagger)
    #[arg(long, env = "SLIPWAY_PORT", default_value_t = 8080)]
    pub(super) port: u16,
    /// debug, info, warn or error; anything else is info (Flagger: debug)
    #[arg(long, env = "SLIPWAY_LOG_LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// The form of log lines, instead of --zap-encoding
    #[arg(long, env = "SLIPWAY_LOG_FORMAT", value_enum)]
    pub(super) log_format: Option<LogFormat>,
    /// json or console (Flagger)
    #[arg(long, env = "SLIPWAY_ZAP_ENCODING", default_value = "json", value_enum)]
    pub(super) zap_encoding: LogFormat,
    /// Print the version and end (Flagger)
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = boolean, hide_default_value = true, hide_possible_values = true)]
    pub(super) version: bool,
}

/// Flags of Flagger that mean nothing here: each is accepted, whatever its value.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Accepted and ignored")]
pub(super) struct IgnoredArgs {
    /// Nothing is polled here (Flagger)
    #[arg(long, default_value = "10s", hide = true)]
    pub(super) control_loop_interval: String,
    /// See --concurrency (Flagger)
    #[arg(long, default_value = "2", hide = true)]
    pub(super) threadiness: String,
    /// There is one logger (Flagger)
    #[arg(long, hide = true, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) zap_replace_globals: String,
    #[command(flatten)]
    pub(super) klog: KlogArgs,
}

/// The flags of klog.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KlogArgs {
    /// klog
    #[arg(long = "v", hide = true, value_name = "LEVEL")]
    pub(super) verbosity: Option<String>,
    /// klog
    #[arg(long = "vmodule", hide = true)]
    pub(super) vmodule: Option<String>,
    /// klog
    #[arg(long = "stderrthreshold", hide = true)]
    pub(super) stderrthreshold: Option<String>,
    /// klog
    #[arg(long = "alsologtostderrthreshold", hide = true)]
    pub(super) alsologtostderrthreshold: Option<String>,
    /// klog
    #[arg(long = "log_dir", hide = true)]
    pub(super) log_dir: Option<String>,
    /// klog
    #[arg(long = "log_file", hide = true)]
    pub(super) log_file: Option<String>,
    /// klog
    #[arg(long = "log_file_max_size", hide = true)]
    pub(super) log_file_max_size: Option<String>,
    /// klog
    #[arg(long = "log_backtrace_at", hide = true)]
    pub(super) log_backtrace_at: Option<String>,
    /// klog
    #[arg(long = "logtostderr", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) logtostderr: Option<String>,
    /// klog
    #[arg(long = "alsologtostderr", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) alsologtostderr: Option<String>,
    /// klog
    #[arg(long = "legacy_stderr_threshold_behavior", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) legacy_stderr_threshold_behavior: Option<String>,
    /// klog
    #[arg(long = "add_dir_header", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) add_dir_header: Option<String>,
    /// klog
    #[arg(long = "skip_headers", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) skip_headers: Option<String>,
    /// klog
    #[arg(long = "skip_log_headers", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) skip_log_headers: Option<String>,
    /// klog
    #[arg(long = "one_output", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) one_output: Option<String>,
}

/// Arguments that were read, and where they came from.
#[derive(Clone, Debug)]
pub struct Parsed {
    args: Args,
    given: Vec<Given>,
}

/// One setting that was not left at its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The flag, with two dashes.
    pub flag: String,
    /// Its value; `***` for a secret.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag,
    /// A variable of the environment.
    Environment,
}

impl Origin {
    /// The word for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
        }
    }
}

/// Why the arguments mean nothing.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// What clap says: an unknown flag, a value that is none, or the help that was asked for. It knows its exit code.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// Values that are well formed and wrong, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Meaning(Vec<Problem>),
}

/// The flags whose values are never printed.
const SECRET_FLAGS: [&str; 6] = [
    "event-webhook",
    "slack-url",
    "slack-token",
    "slack-proxy-url",
    "msteams-url",
    "msteams-proxy-url",
];
/// Flags whose values may hold a password.
const URL_FLAGS: [&str; 2] = ["metrics-server", "master"];

impl Args {
    /// Reads arguments, without the program's name, in clap's or Go's spelling.
    ///
    /// # Errors
    /// clap's own, also for `--help`.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
        let mut command = Self::command();
        command.build();
        let mut argv = vec![OsString::from("slipway controller")];
        argv.extend(go::to_clap(words, &command));
        let found = command.clone().try_get_matches_from(argv)?;
        let given = given(&command, &found);
        Ok(Parsed {
            args: Self::from_arg_matches(&found)?,
            given,
        })
    }
}

fn given(command: &clap::Command, matches: &ArgMatches) -> Vec<Given> {
    command
        .get_arguments()
        .filter_map(|arg| {
            let id = arg.get_id().as_str();
            let origin = match matches.value_source(id)? {
                ValueSource::CommandLine => Origin::Flag,
                ValueSource::EnvVariable => Origin::Environment,
                ValueSource::DefaultValue | _ => return None,
            };
            let flag = arg.get_long()?.to_owned();
            let value = shown(&flag, matches, id);
            Some(Given {
                flag,
                value,
                origin,
            })
        })
        .collect()
}

fn shown(flag: &str, matches: &ArgMatches, id: &str) -> String {
    let raw: Vec<String> = matches
        .get_raw(id)
        .into_iter()
        .flatten()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    let value = raw.join(",");
    let hides = URL_FLAGS.contains(&flag) && value.contains('@');
    if SECRET_FLAGS.contains(&flag) || hides {
        "***".to_owned()
    } else {
        value
    }
}

impl Parsed {
    /// Whether the version is asked for, and nothing else.
    pub fn asks_version(&self) -> bool {
        self.args.process.version
    }

    /// What is meant, with the variables of Flagger's own from `environment`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn settings(
        self,
        environment: &BTreeMap<String, String>,
    ) -> Result<Settings, Vec<Problem>> {
        Settings::from_args(self.args, self.given, environment)
    }
}

impl Settings {
    /// What these arguments and this environment mean.
    ///
    /// # Errors
    /// clap's, or everything that is wrong with the values.
    pub fn read(
        words: impl IntoIterator<Item = OsString>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ParseError> {
        Args::read(words)?
            .settings(environment)
            .map_err(ParseError::Meaning)
    }
}
