//! Golden cases: what stands in a folder comes out as what stands beside it. `BLESS=1` writes what comes out.
//!
//! | folder | given | expected |
//! | --- | --- | --- |
//! | `webhook/CASE` | `call.yaml` | `request.http` |
//! | `CHAT/CASE` | `alert.yaml`: an AlertProvider, perhaps a Secret, and the alert | `request.http` |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a golden case that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use http::Request;
use secrecy::SecretSlice;
use serde::Deserialize;
use slipway_api::{AlertNote, AlertProviderSpec, Canary, CanaryStatus, Note, Phase};
use slipway_core::plan::{CanaryId, Defaults, Hook, HookKind, Plan};
use slipway_hooks::notify::{Alert, Chat, Destination};
use slipway_hooks::{Payload, webhook};

fn cases(of: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(of);
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|case| case.unwrap().path())
        .collect();
    cases.sort();
    cases
}

/// Compares with the file, or writes it.
#[track_caller]
fn compare(file: &Path, found: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, found).unwrap();
    }
    let expected =
        fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    assert_eq!(found, expected, "{}", file.display());
}

fn shown<E: Display>(request: Result<Request<Vec<u8>>, E>) -> String {
    let request = match request {
        Ok(request) => request,
        Err(why) => return format!("error: {why}\n"),
    };
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    format!(
        "{text}\n{}\n",
        String::from_utf8(request.into_body()).unwrap()
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    url: String,
    phase: Phase,
    #[serde(default)]
    status: CanaryStatus,
    metadata: Option<BTreeMap<String, String>>,
    event: Option<Note>,
    at: Option<DateTime<Utc>>,
}

#[test]
fn the_requests_of_webhooks() {
    let canary = CanaryId {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: String::new(),
    };
    for case in cases("webhook") {
        let call: Call =
            serde_saphyr::from_str(&fs::read_to_string(case.join("call.yaml")).unwrap()).unwrap();
        let hook = Hook {
            name: "hook".to_owned(),
            kind: HookKind::Rollout,
            url: call.url,
            timeout: TimeDelta::seconds(10),
            retries: 0,
            mute_alert: false,
            disable_tls: false,
            metadata: call.metadata,
        };
        let payload =
            Payload::new(&canary, call.phase, &call.status).with_metadata(hook.metadata.as_ref());
        let payload = match (&call.event, call.at) {
            (Some(note), Some(at)) => payload.with_event(note, at),
            _ => payload,
        };
        compare(
            &case.join("request.http"),
            &shown(webhook::request(&hook, &payload)),
        );
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Told {
    provider: AlertProviderSpec,
    secret: Option<BTreeMap<String, String>>,
    alert: AlertNote,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    key: String,
}

#[test]
fn the_requests_of_each_chat() {
    let plan = plan();
    for case in Chat::ALL.into_iter().flat_map(|chat| cases(folder(chat))) {
        let told: Told =
            serde_saphyr::from_str(&fs::read_to_string(case.join("alert.yaml")).unwrap()).unwrap();
        let secret = told.secret.map(|secret| {
            secret
                .into_iter()
                .map(|(key, value)| (key, SecretSlice::from(value.into_bytes())))
                .collect()
        });
        let alert = Alert::new(&plan, &told.alert, &told.cluster, told.key);
        let request = Destination::of(&told.provider, secret.as_ref())
            .and_then(|to| to.chat.notifier().request(&alert, &to));
        compare(&case.join("request.http"), &shown(request));
    }
}

/// The folder of a chat; `webhook` holds the hooks of an analysis.
fn folder(chat: Chat) -> &'static str {
    match chat {
        Chat::Webhook => "alert-webhook",
        Chat::Slack | Chat::MsTeams | Chat::Discord | Chat::Rocket | Chat::GoogleChat => {
            chat.as_str()
        }
    }
}

/// The plan of a common Canary.
fn plan() -> Plan {
    let canary = "{metadata: {name: podinfo, namespace: test}, spec: {
        targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}, service: {port: 9898},
        analysis: {interval: 1m, threshold: 5, stepWeights: [1, 5, 25], maxWeight: 25}}}";
    let canary: Canary = serde_saphyr::from_str(canary).unwrap();
    Plan::parse(&canary, &Defaults::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}
