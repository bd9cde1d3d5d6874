use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

use chrono::DateTime;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::Value;
use tower::{BoxError, service_fn};

use super::*;
use crate::clock::TokioClock;

/// An API server that knows how to create events.
#[derive(Clone, Debug, Default)]
struct Server(Arc<Mutex<BTreeMap<String, Value>>>);

impl Server {
    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = service_fn(move |request| server.clone().answer(request));
        kube::Client::new(service, "default")
    }

    async fn answer(
        self,
        request: Request<Body>,
    ) -> Result<Response<Full<axum::body::Bytes>>, BoxError> {
        assert_eq!(request.uri().path(), "/api/v1/namespaces/test/events");
        let body = request.into_body().collect().await?.to_bytes();
        let event: Value = serde_json::from_slice(&body)?;
        let name = event["metadata"]["name"].as_str().unwrap().to_owned();
        let (code, body) = {
            match self.0.lock().unwrap().entry(name) {
                Entry::Vacant(free) => (201, free.insert(event).clone()),
                Entry::Occupied(_) => (409, already_exists()),
            }
        };
        Ok(Response::builder()
            .status(code)
            .body(Full::from(body.to_string()))?)
    }

    fn messages(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let mut messages: Vec<_> = events
            .values()
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect();
        messages.sort();
        messages
    }
}

fn already_exists() -> Value {
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": "AlreadyExists", "message": "is there", "code": 409,
    })
}

fn writer(server: &Server) -> EventWriter {
    let clock = TokioClock::starting_at(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    EventWriter::new(
        server.client(),
        Arc::new(clock),
        Metrics::default(),
        "slipway_pod_0",
    )
}

fn podinfo() -> CanaryId {
    CanaryId {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: "u1".to_owned(),
    }
}

fn note(text: &str) -> Note {
    Note {
        type_: NoteType::Normal,
        text: text.to_owned(),
        alert: None,
    }
}

fn place(transition: u64, index: usize) -> Place {
    Place { transition, index }
}

#[tokio::test]
async fn events_that_differ_only_in_their_note_are_all_there() {
    let server = Server::default();
    let writer = writer(&server);
    for (transition, weight) in [(1, 5), (2, 10), (3, 15)] {
        let note = note(&format!("Advance podinfo.test canary weight {weight}"));
        assert!(
            writer
                .write(&podinfo(), place(transition, 0), &note)
                .await
                .unwrap()
        );
    }
    assert_eq!(
        server.messages(),
        [
            "Advance podinfo.test canary weight 10",
            "Advance podinfo.test canary weight 15",
            "Advance podinfo.test canary weight 5",
        ]
    );
}

#[tokio::test]
async fn an_event_that_is_told_again_after_a_crash_is_there_once() {
    let server = Server::default();
    let note = note("Promotion completed! Scaling down podinfo.test");
    assert!(
        writer(&server)
            .write(&podinfo(), place(7, 0), &note)
            .await
            .unwrap()
    );
    assert!(
        !writer(&server)
            .write(&podinfo(), place(7, 0), &note)
            .await
            .unwrap()
    );
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn the_event_is_found_at_its_canary() {
    let server = Server::default();
    let warning = Note {
        type_: NoteType::Warning,
        ..note("Canary failed! Scaling down podinfo.test")
    };
    writer(&server)
        .write(&podinfo(), place(1, 0), &warning)
        .await
        .unwrap();
    let events = server.0.lock().unwrap();
    let event = events.values().next().unwrap();
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["reason"], "Synced");
    assert_eq!(event["source"]["component"], "slipway");
    assert_eq!(event["lastTimestamp"], "2027-01-15T08:00:00Z");
    let expected = serde_json::json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "namespace": "test", "name": "podinfo", "uid": "u1",
    });
    assert_eq!(event["involvedObject"], expected);
}

#[test]
fn each_canary_transition_place_and_text_has_a_name_of_its_own() {
    let other = CanaryId {
        uid: "u2".to_owned(),
        ..podinfo()
    };
    let names = [
        event_name(&podinfo(), place(1, 0), "a"),
        event_name(&podinfo(), place(1, 0), "b"),
        event_name(&podinfo(), place(1, 1), "a"),
        event_name(&podinfo(), place(2, 0), "a"),
        event_name(&other, place(1, 0), "a"),
    ];
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
}

#[test]
fn a_long_name_stays_a_valid_one() {
    let canary = CanaryId {
        name: "a".repeat(253),
        ..podinfo()
    };
    let name = event_name(&canary, place(1, 0), "a");
    assert_eq!(name.len(), 253);
}
