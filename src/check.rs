//! `slipway check`: whether Slipway has what it needs here, before it is installed and after; what it has not, with the remedy.

mod rights;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::Context;
use chrono::{DateTime, Utc};
use http::Request;
use serde_json::{Value, json};
use slipway_controller::http::{Http, HttpClient, Limits};
use slipway_controller::leader::{Presence, find_flagger};
use slipway_controller::schema::keeps_status;
use slipway_controller::settings::Namespaces;
use slipway_core::plan::Provider;

use crate::cluster::{Cluster, ClusterArgs};
use crate::output::{Form, Said, table};
use rights::Right;

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Slipway works on the whole cluster, not only on the namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// The service account of the namespace whose rights are looked at; without: yours
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// URL of Prometheus, as -metrics-server of the controller has it; asked from where this command runs
    #[arg(long, value_name = "URL")]
    metrics_server: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Bad,
    /// It could not be looked at, or was not asked for.
    Unknown,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Bad => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
    /// What to do; empty where there is nothing to be done.
    remedy: String,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Good,
            detail: detail.into(),
            remedy: String::new(),
        }
    }

    fn bad(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: State::Bad,
            remedy: remedy.into(),
            ..Self::good(what, detail)
        }
    }

    fn unknown(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: State::Unknown,
            ..Self::bad(what, detail, remedy)
        }
    }
}

/// Looks at everything.
pub(crate) async fn run(
    cluster: &Cluster,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let http = HttpClient::try_new().context("make the HTTP client")?;
    look(cluster, &http, args, now).await
}

async fn look(
    cluster: &Cluster,
    http: &dyn Http,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let provider = Provider::parse("--mesh-provider", args.cluster.mesh_provider())
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let server = server(cluster).await;
    let mut findings = vec![server];
    // Where nobody answers, nothing else can be told.
    if findings.iter().all(|it| it.state == State::Good) {
        findings.extend(resources(cluster).await);
        findings.extend(held(cluster, args, &provider).await);
        findings.push(mesh(cluster, &provider).await);
        findings.push(flagger(cluster, args, now).await);
    }
    findings.push(prometheus(http, args.metrics_server.as_deref()).await);
    said(&findings, args.output)
}

fn said(findings: &[Finding], form: Form) -> anyhow::Result<Said> {
    let text = match form {
        Form::Json => {
            let all = findings.iter().map(|it| {
                json!({"what": it.what, "state": it.state.as_str(), "detail": it.detail, "remedy": it.remedy})
            });
            serde_json::to_string_pretty(&all.collect::<Vec<_>>())?
        }
        Form::Text => {
            let head = ["WHAT", "IS", "DETAIL"].map(str::to_owned).to_vec();
            let rows = findings.iter().map(|it| {
                let state = it.state.as_str().to_owned();
                vec![it.what.to_owned(), state, it.detail.clone()]
            });
            let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
            let remedies = findings.iter().filter(|it| !it.remedy.is_empty());
            let remedies = remedies.map(|it| format!("{}: {}", it.what, it.remedy));
            let lines: Vec<_> = std::iter::once(table(&rows)).chain(remedies).collect();
            lines.join("\n")
        }
    };
    let is_good = findings.iter().all(|it| it.state != State::Bad);
    Ok(if is_good {
        Said::well(text)
    } else {
        Said::failed(text, 1)
    })
}

async fn server(cluster: &Cluster) -> Finding {
    let what = "API server";
    match cluster.document("/version").await {
        Ok(version) => {
            let version = version.get("gitVersion").and_then(Value::as_str);
            let version = version.unwrap_or("it answers");
            Finding::good(what, version)
        }
        Err(error) => Finding::bad(
            what,
            format!("{error:#}"),
            "look at the kubeconfig, the context and the network (kubectl version)",
        ),
    }
}

/// What brings the custom resources, and keeps them current.
const APPLY_CRDS: &str =
    "slipway crds | kubectl apply --server-side --force-conflicts -f - (as an administrator)";

/// The custom resources: served, and keeping what Slipway remembers.
async fn resources(cluster: &Cluster) -> Vec<Finding> {
    let what = "custom resources";
    let served = cluster.document("/apis/flagger.app/v1beta1").await;
    let served = served.map(|it| names_of(&it)).unwrap_or_default();
    let wanted = ["canaries", "metrictemplates", "alertproviders"];
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|plural| !served.iter().any(|it| it == plural))
        .collect();
    if !missing.is_empty() {
        let detail = format!("flagger.app/v1beta1 does not serve {}", missing.join(", "));
        return vec![Finding::bad(what, detail, APPLY_CRDS)];
    }
    let version = match keeps_status(cluster.client()).await {
        Ok(true) => Finding::good(what, "flagger.app/v1beta1, of Slipway"),
        Ok(false) => Finding::bad(
            what,
            "of Flagger or of an older Slipway: they drop status.slipway",
            APPLY_CRDS,
        ),
        Err(error) => Finding::unknown(what, error.to_string(), ""),
    };
    vec![version]
}

fn names_of(document: &Value) -> Vec<String> {
    let all = document.get("resources").and_then(Value::as_array);
    let names = all
        .into_iter()
        .flatten()
        .filter_map(|it| it.get("name")?.as_str());
    names.map(str::to_owned).collect()
}

/// Each right, asked of the API server.
async fn held(cluster: &Cluster, args: &Args, provider: &Provider) -> Vec<Finding> {
    let what = "rights";
    let scope = if args.all_namespaces {
        ""
    } else {
        cluster.namespace.as_str()
    };
    let (own, _) = rights::of(provider);
    let metrics = of_templates(cluster, scope).await;
    let for_releases = rights::CORE.iter().chain(own).chain(metrics);
    let for_releases = for_releases.map(|right| (right, scope));
    let for_lease = rights::LEADER
        .iter()
        .map(|right| (right, cluster.namespace.as_str()));
    let mut missing = Vec::new();
    let mut count = 0;
    for (right, scope) in for_releases.chain(for_lease) {
        for verb in right.verbs {
            count += 1;
            match may(cluster, args.account.as_deref(), right, verb, scope).await {
                Ok(true) => {}
                Ok(false) => missing.push(denied(right, verb, scope)),
                Err(error) => return vec![Finding::unknown(what, format!("{error:#}"), "")],
            }
        }
    }
    if missing.is_empty() {
        let whose = args.account.as_deref().unwrap_or("you");
        let detail = format!("all {count}, of {whose}");
        missing.push(Finding::good(what, detail));
    }
    missing
}

/// What the templates of metrics need that are there; nothing where they cannot be listed, which is a right that is looked at as well.
async fn of_templates(cluster: &Cluster, scope: &str) -> Vec<&'static Right> {
    let path = match scope {
        "" => "/apis/flagger.app/v1beta1/metrictemplates".to_owned(),
        scope => format!("/apis/flagger.app/v1beta1/namespaces/{scope}/metrictemplates"),
    };
    let list = cluster.document(&path).await.unwrap_or_default();
    let templates = list.get("items").and_then(Value::as_array);
    let kind = |template: &Value| {
        let provider = template.pointer("/spec/provider")?;
        let has_server = provider.get("address").is_some_and(|it| it != "");
        let kind = provider.get("type")?.as_str()?;
        // Keptn has no server but the API server, whatever address is given.
        (!has_server || kind == "keptn").then(|| kind.to_owned())
    };
    let kinds: BTreeSet<String> = templates.into_iter().flatten().filter_map(kind).collect();
    let rights = kinds.iter().flat_map(|kind| rights::of_metrics(kind));
    rights.collect()
}

fn denied(right: &Right, verb: &str, scope: &str) -> Finding {
    let Right {
        group, resource, ..
    } = right;
    let place = if scope.is_empty() {
        "the whole cluster".to_owned()
    } else {
        format!("namespace {scope}")
    };
    let group_text = if group.is_empty() { "\"\"" } else { group };
    Finding::bad(
        "rights",
        format!("{verb} {resource} of group {group_text} in {place}"),
        format!(
            "add to the role of Slipway: {{apiGroups: [{group_text}], resources: [{resource}], verbs: [{verb}]}}"
        ),
    )
}

/// Whether an account of the namespace, or whoever asks, has a right.
async fn may(
    cluster: &Cluster,
    account: Option<&str>,
    right: &Right,
    verb: &str,
    scope: &str,
) -> anyhow::Result<bool> {
    let (resource, subresource) = right
        .resource
        .split_once('/')
        .unwrap_or((right.resource, ""));
    let attributes = json!({
        "namespace": scope, "verb": verb, "group": right.group, "resource": resource, "subresource": subresource,
    });
    let (kind, plural, spec) = match account {
        None => (
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            json!({"resourceAttributes": attributes}),
        ),
        Some(name) => {
            let namespace = &cluster.namespace;
            let spec = json!({
                "resourceAttributes": attributes,
                "user": format!("system:serviceaccount:{namespace}:{name}"),
                "groups": ["system:authenticated", "system:serviceaccounts", format!("system:serviceaccounts:{namespace}")],
            });
            ("SubjectAccessReview", "subjectaccessreviews", spec)
        }
    };
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    let path = format!("/apis/authorization.k8s.io/v1/{plural}");
    let answer = cluster.post(&path, &review).await?;
    let allowed = answer.pointer("/status/allowed");
    Ok(allowed.and_then(Value::as_bool).unwrap_or(false))
}

async fn mesh(cluster: &Cluster, provider: &Provider) -> Finding {
    let what = "mesh";
    let (_, apis) = rights::of(provider);
    let mut missing = Vec::new();
    for (version, wanted) in apis {
        let served = cluster.document(&format!("/apis/{version}")).await;
        let served = served.map(|it| names_of(&it)).unwrap_or_default();
        let is_served = |plural: &&str| served.iter().any(|it| it == plural);
        match wanted.iter().find(|plural| !is_served(plural)) {
            None => return Finding::good(what, format!("{provider}: {version}")),
            Some(plural) => missing.push(format!("{version} does not serve {plural}")),
        }
    }
    if missing.is_empty() {
        return Finding::good(what, format!("{provider} needs none"));
    }
    Finding::bad(
        what,
        format!("{provider}: {}", missing.join(", ")),
        format!(
            "install {provider}, or name another provider by --mesh-provider and in spec.provider"
        ),
    )
}

/// Two controllers on one Canary are the worst case.
async fn flagger(cluster: &Cluster, args: &Args, now: DateTime<Utc>) -> Finding {
    let what = "Flagger";
    let scope = if args.all_namespaces {
        Namespaces::All
    } else {
        Namespaces::parse(&cluster.namespace)
    };
    match find_flagger(cluster.client(), &scope, &cluster.namespace, now).await {
        Presence::Absent => Finding::good(what, "none works here"),
        Presence::Running(which) => Finding::bad(
            what,
            format!("{which} works here: Slipway stands by until it is gone"),
            "kubectl scale deployment FLAGGER --replicas=0, after slipway adopt --dry-run",
        ),
        Presence::Unknown(doubt) => Finding::unknown(what, doubt.to_string(), ""),
    }
}

async fn prometheus(http: &dyn Http, server: Option<&str>) -> Finding {
    let what = "Prometheus";
    let Some(server) = server else {
        let remedy = "name it by --metrics-server to have it asked from here";
        return Finding::unknown(what, "not asked", remedy);
    };
    let remedy = "look at -metrics-server of the controller, and at what stands in between";
    let url = format!(
        "{}/api/v1/query?query=vector(1)",
        server.trim_end_matches('/')
    );
    let request = match Request::get(url).body(Vec::new()) {
        Ok(request) => request,
        Err(error) => return Finding::bad(what, format!("{server}: {error}"), remedy),
    };
    match http.send(request, &Limits::default()).await {
        Ok(answer) if answer.status().is_success() => {
            let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            if body.get("status").and_then(Value::as_str) == Some("success") {
                Finding::good(what, format!("{server} answers"))
            } else {
                Finding::bad(what, format!("{server} is no Prometheus"), remedy)
            }
        }
        Ok(answer) => Finding::bad(
            what,
            format!("{server} answers {}", answer.status()),
            remedy,
        ),
        Err(error) => Finding::bad(what, error.to_string(), remedy),
    }
}
