//! What a recorded Flagger sent in whole stories, byte for byte.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a trace that cannot be read fails the test"
)]

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Deserialize;
use slipway_api::{AlertNote, AlertProviderSpec, Canary, CanaryStatus, Note, Phase};
use slipway_core::plan::{CanaryId, Defaults, Plan};
use slipway_hooks::Payload;
use slipway_hooks::notify::{Alert, Destination};

#[derive(Deserialize)]
struct Call {
    path: String,
    status: CanaryStatus,
    phase: Phase,
    event: Option<Note>,
    millis: Option<i64>,
    metadata: Option<BTreeMap<String, String>>,
    body: String,
}

#[test]
fn every_hook_of_the_story_is_told_what_flagger_told_it() {
    let calls: Vec<Call> =
        serde_json::from_str(include_str!("traces/hooks-and-gates.json")).unwrap();
    let canary = CanaryId {
        namespace: "t-hooks-and-gates".to_owned(),
        name: "app".to_owned(),
        uid: String::new(),
    };
    for call in calls {
        let payload =
            Payload::new(&canary, call.phase, &call.status).with_metadata(call.metadata.as_ref());
        let payload = match (
            &call.event,
            call.millis.and_then(DateTime::from_timestamp_millis),
        ) {
            (Some(note), Some(at)) => payload.with_event(note, at),
            _ => payload,
        };
        assert_eq!(
            String::from_utf8(payload.to_json()).unwrap(),
            call.body,
            "{}",
            call.path
        );
    }
}

#[derive(Deserialize)]
struct Told {
    path: String,
    #[serde(flatten)]
    note: AlertNote,
    body: String,
}

#[test]
fn every_chat_of_the_story_is_told_what_flagger_told_it() {
    let plan = plan();
    let told: Vec<Told> = serde_json::from_str(include_str!("traces/alerts.json")).unwrap();
    for Told { path, note, body } in told {
        let chat = path.split('/').nth(1).unwrap();
        let spec = AlertProviderSpec {
            type_: chat.to_owned(),
            address: Some(format!("http://receiver/alert/{chat}")),
            channel: Some("ops".to_owned()),
            username: Some("bot".to_owned()),
            ..AlertProviderSpec::default()
        };
        let to = Destination::of(&spec, None).unwrap();
        let request = to
            .chat
            .notifier()
            .request(&Alert::new(&plan, &note, "", ""), &to)
            .unwrap();
        assert_eq!(request.uri().path(), format!("/{path}"));
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(
            String::from_utf8(request.into_body()).unwrap(),
            body,
            "{path}"
        );
    }
}

/// The plan of the Canary of the story.
fn plan() -> Plan {
    let canary: Canary = serde_saphyr::from_str(include_str!("traces/alerts.yaml")).unwrap();
    let defaults = Defaults {
        provider: "istio".to_owned(),
        ..Defaults::default()
    };
    Plan::parse(&canary, &defaults).unwrap_or_else(|problems| panic!("{problems:?}"))
}
