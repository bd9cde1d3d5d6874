//! From what was typed to what is meant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use slipway_core::blueprint::CodecSettings;
use slipway_core::fleet::Limits;
use slipway_core::plan::{Defaults, Problem, Provider};

use super::args::{
    Args, ClusterArgs, Given, IgnoredArgs, LeaderArgs, NotifyArgs, ProcessArgs, ReleaseArgs,
};
use super::{
    ClusterSettings, Endpoint, GlobalNotifier, LeaderSettings, LogSettings, Namespaces,
    NotifySettings, Rate, ReleaseSettings, SecretName, Settings, list, to_std,
};
use crate::leader::Timings;

/// What is wrong so far: what keeps the controller from starting, and what does not.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Findings {
    /// The value, unless it is a problem.
    fn take<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }
}

impl Settings {
    pub(super) fn from_args(
        args: Args,
        given: Vec<Given>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<Problem>> {
        let Args {
            cluster,
            releases,
            leader,
            notify,
            process,
            ignored,
        } = args;
        // Nothing of it is read; that it was accepted is all that it is for.
        let IgnoredArgs {
            control_loop_interval: _,
            threadiness: _,
            zap_replace_globals: _,
            klog: _,
        } = ignored;
        let mut findings = Findings::default();
        let metrics_server = findings.take(Endpoint::parse(
            "--metrics-server",
            &releases.metrics_server,
        ));
        let metrics_server_secret = non_empty(releases.metrics_server_secret.clone())
            .and_then(|text| findings.take(SecretName::parse("--metrics-server-secret", &text)));
        let cluster = cluster_settings(cluster, &mut findings);
        let releases = release_settings(releases, &mut findings);
        let leader = leader_settings(leader, &cluster.namespaces, &mut findings);
        let notify = notify_settings(notify, environment, &mut findings);
        let ProcessArgs {
            port,
            log_level,
            log_format,
            zap_encoding,
            version: _,
        } = process;
        let level = level(&log_level, &mut findings);
        let log = LogSettings {
            level,
            format: log_format.unwrap_or(zap_encoding),
        };
        let Findings { problems, warnings } = findings;
        match metrics_server {
            Some(metrics_server) if problems.is_empty() => Ok(Self {
                cluster,
                releases,
                metrics_server,
                metrics_server_secret,
                environment: slipway_metrics::Environment::of(environment),
                leader,
                notify,
                port,
                log,
                given,
                warnings,
            }),
            _ => Err(problems),
        }
    }
}

fn cluster_settings(args: ClusterArgs, findings: &mut Findings) -> ClusterSettings {
    let ClusterArgs {
        kubeconfig,
        master,
        kubeconfig_qps,
        kubeconfig_burst,
        kubeconfig_service_mesh,
        namespace,
    } = args;
    let master = non_empty(master)
        .and_then(|master| findings.take(Endpoint::parse("--master", &master)))
        .map(|endpoint| endpoint.uri().clone());
    let namespaces = Namespaces::parse(&namespace);
    if let Namespaces::Some(named) = &namespaces {
        let wrong = named.iter().filter(|name| !is_label(name));
        findings.problems.extend(wrong.map(|name| {
            Problem::new(
                "--namespace",
                name,
                "must be names of namespaces with commas between",
            )
        }));
    }
    ClusterSettings {
        kubeconfig: non_empty(kubeconfig).map(PathBuf::from),
        master,
        rate: rate(kubeconfig_qps, kubeconfig_burst),
        mesh_kubeconfig: non_empty(kubeconfig_service_mesh).map(PathBuf::from),
        namespaces,
    }
}

/// A name of a namespace (RFC 1123 label).
fn is_label(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 63 && name.chars().all(allowed) && !name.starts_with('-') && !name.ends_with('-')
}

/// A burst, and the time in which it fills again. Go's limiter knows no limit below zero either.
fn rate(qps: i32, burst: i32) -> Option<Rate> {
    let qps = u32::try_from(qps).ok().filter(|qps| *qps > 0)?;
    let requests = u32::try_from(burst).unwrap_or(0).max(1);
    let within = Duration::from_secs(1)
        .checked_mul(requests)?
        .checked_div(qps)?;
    Some(Rate { requests, within })
}

fn release_settings(args: ReleaseArgs, findings: &mut Findings) -> ReleaseSettings {
    let ReleaseArgs {
        mesh_provider,
        metrics_server: _,
        metrics_server_secret: _,
        selector_labels,
        include_label_prefix,
        ingress_annotations_prefix,
        ingress_class,
        enable_config_tracking,
        no_cross_namespace_refs,
        minimum_interval,
        settle,
        annotations,
        policy,
        concurrency,
        max_releases,
        max_releases_per_namespace,
    } = args;
    // Flagger takes an empty name for Istio.
    let provider = non_empty(mesh_provider).unwrap_or_else(|| "istio".to_owned());
    findings.take(Provider::parse("--mesh-provider", &provider));
    let selector_labels = list(&selector_labels);
    if selector_labels.is_empty() {
        findings.problems.push(Problem::new(
            "--selector-labels",
            "",
            "must name at least one label",
        ));
    }
    ReleaseSettings {
        defaults: Defaults {
            provider,
            minimum_interval,
            settle,
            cross_namespace_references: !no_cross_namespace_refs,
            annotations: annotations.into(),
            policy: policy.into(),
        },
        codecs: CodecSettings {
            selector_labels,
            include_label_prefixes: list(&include_label_prefix),
            own_routes: true,
        },
        ingress_annotations_prefix,
        ingress_class: non_empty(ingress_class),
        config_tracking: enable_config_tracking,
        annotations,
        policy,
        concurrency,
        limits: Limits {
            all: usize::from(max_releases),
            in_namespace: usize::from(max_releases_per_namespace),
        },
    }
}

fn leader_settings(
    args: LeaderArgs,
    namespaces: &Namespaces,
    findings: &mut Findings,
) -> Option<LeaderSettings> {
    let LeaderArgs {
        enable_leader_election,
        leader_election_namespace,
        lease_name,
        lease_duration,
        renew_deadline,
        retry_period,
    } = args;
    if !enable_leader_election {
        return None;
    }
    let (duration, deadline, retry) = (
        to_std(lease_duration),
        to_std(renew_deadline),
        to_std(retry_period),
    );
    let timings = Timings::try_new(duration, deadline, retry).map_err(|error| {
        Problem::new(
            "--lease-duration",
            format!("{duration:?}"),
            error.to_string(),
        )
    });
    let first = match namespaces {
        Namespaces::All => None,
        Namespaces::Some(named) => named.first().cloned(),
    };
    let fallback = || non_empty(leader_election_namespace);
    Some(LeaderSettings {
        namespace: first
            .or_else(fallback)
            .unwrap_or_else(|| "kube-system".to_owned()),
        lease: non_empty(lease_name).unwrap_or_else(|| crate::leader::LEASE_NAME.to_owned()),
        timings: findings.take(timings)?,
    })
}

fn notify_settings(
    args: NotifyArgs,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> NotifySettings {
    let NotifyArgs {
        event_webhook,
        cluster_name,
        slack_url,
        slack_token,
        slack_proxy_url,
        slack_channel,
        slack_user,
        msteams_url,
        msteams_proxy_url,
    } = args;
    // Flagger's own variables win over the flags, when they are not empty.
    let secret = |variable: &str, flag: Option<SecretString>| {
        let named = environment
            .get(variable)
            .map(|value| SecretString::from(value.as_str()));
        named
            .filter(|value| !value.expose_secret().is_empty())
            .or(flag)
            .filter(|value| !value.expose_secret().is_empty())
    };
    let slack = Slack {
        token: secret("SLACK_TOKEN", slack_token),
        proxy: secret("SLACK_PROXY_URL", slack_proxy_url),
        user: slack_user,
        channel: slack_channel,
    };
    let teams = secret("MSTEAMS_URL", msteams_url);
    let teams_proxy = secret("MSTEAMS_PROXY_URL", msteams_proxy_url);
    let notifier = match (teams, secret("SLACK_URL", slack_url)) {
        (Some(url), _) => {
            checked("--msteams-url", url, findings).map(|url| GlobalNotifier::Teams {
                url,
                proxy: teams_proxy,
            })
        }
        (None, Some(url)) => {
            checked("--slack-url", url, findings).and_then(|url| slack.notifier(url, findings))
        }
        (None, None) => None,
    };
    NotifySettings {
        cluster_name: non_empty(cluster_name),
        event_webhook: secret("EVENT_WEBHOOK_URL", event_webhook)
            .and_then(|url| checked("--event-webhook", url, findings)),
        notifier,
    }
}

struct Slack {
    token: Option<SecretString>,
    proxy: Option<SecretString>,
    user: String,
    channel: String,
}

impl Slack {
    fn notifier(self, url: SecretString, findings: &mut Findings) -> Option<GlobalNotifier> {
        let Self {
            token,
            proxy,
            user,
            channel,
        } = self;
        if channel.is_empty() {
            let problem = Problem::new("--slack-channel", "", "must be set, notifications are off");
            findings.warnings.push(problem);
            return None;
        }
        Some(GlobalNotifier::Slack {
            url,
            token,
            proxy,
            user,
            channel,
        })
    }
}

/// A URL that can be called; otherwise nobody is told, and that is said. As in Flagger it keeps nothing from starting.
fn checked(field: &str, url: SecretString, findings: &mut Findings) -> Option<SecretString> {
    match Endpoint::parse(field, url.expose_secret()) {
        Ok(_) => Some(url),
        Err(problem) => {
            findings.warnings.push(problem);
            None
        }
    }
}

/// The level of Flagger's words for it. Its `fatal` and `panic` are our errors; what it does not know is info.
fn level(word: &str, findings: &mut Findings) -> tracing::Level {
    match word {
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" => tracing::Level::WARN,
        "error" | "fatal" | "panic" => tracing::Level::ERROR,
        other => {
            let allowed = "is taken for info; known are debug, info, warn, error, fatal, panic";
            findings
                .warnings
                .push(Problem::new("--log-level", other, allowed));
            tracing::Level::INFO
        }
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
