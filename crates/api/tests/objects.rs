//! Objects that Flagger accepts are accepted, and come back whole.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

mod support;

use serde_json::{Value, json};
use slipway_api::{AlertProvider, Canary, CanaryStatus, MetricTemplate, Phase};
use support::{as_go_means_it, assert_same, objections, schema_of};

const EVERY_FIELD: &str = include_str!("objects/every-field.v1beta1.yaml");
const DISTRIBUTION: &str = include_str!("objects/distribution.v1alpha3.yaml");
const OTHERS: &str = include_str!("objects/others.v1beta1.yaml");
/// What the recorded stories applied, and the distinct statuses that Flagger 1.44 wrote in them.
const APPLIED: &str = include_str!("recorded/applied.json");
const STATUSES: &str = include_str!("recorded/statuses.json");

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn every_field() -> Value {
    documents(EVERY_FIELD).remove(0)
}

fn in_version(mut object: Value, version: &str) -> Value {
    object["apiVersion"] = json!(format!("flagger.app/{version}"));
    object
}

/// Through our types and back, in the version that we write.
fn there_and_back(object: &Value) -> Value {
    let back = match object["kind"].as_str() {
        Some("Canary") => Canary::deserialize_then_serialize(object),
        Some("MetricTemplate") => MetricTemplate::deserialize_then_serialize(object),
        Some("AlertProvider") => AlertProvider::deserialize_then_serialize(object),
        other => panic!("kind {other:?}"),
    };
    back.unwrap_or_else(|error| panic!("{error} in {object:#}"))
}

trait ThereAndBack: serde::Serialize + serde::de::DeserializeOwned {
    fn deserialize_then_serialize(object: &Value) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<Self>(object.clone())?)
    }
}
impl<K: serde::Serialize + serde::de::DeserializeOwned> ThereAndBack for K {}

fn assert_accepted_whole(object: &Value) {
    let kind = object["kind"].as_str().unwrap();
    let version = object["apiVersion"].as_str().unwrap();
    let version = version.strip_prefix("flagger.app/").unwrap();
    let mut sent = object.clone();
    for of_every_object in ["apiVersion", "kind", "metadata"] {
        sent.as_object_mut().unwrap().remove(of_every_object);
    }
    let told = objections(&schema_of(kind, version), &sent, "");
    assert!(told.is_empty(), "{told:#?} in {object:#}");
}

fn assert_comes_back(object: &Value) {
    let expected = as_go_means_it(&in_version(object.clone(), "v1beta1"));
    assert_same(&expected, &as_go_means_it(&there_and_back(object)));
}

#[test]
fn every_field_comes_back_in_both_versions() {
    for version in ["v1beta1", "v1alpha3"] {
        let object = in_version(every_field(), version);
        assert_accepted_whole(&object);
        // To the letter: a zero that was written comes back too where it means more than absence.
        assert_same(&every_field(), &there_and_back(&object));
    }
}

#[test]
fn a_distribution_of_2019_is_accepted_and_comes_back() {
    let objects = documents(DISTRIBUTION);
    assert_eq!(objects.len(), 4);
    for object in objects {
        assert_accepted_whole(&object);
        assert_comes_back(&object);
    }
}

#[test]
fn the_old_analysis_is_in_force_where_there_is_no_new_one() {
    let frontend: Canary = serde_json::from_value(documents(DISTRIBUTION).remove(0)).unwrap();
    let analysis = frontend.spec.analysis_in_force().unwrap();
    assert_eq!(analysis.iterations, 10);
    assert_eq!(analysis.metrics[0].threshold, Some(70.0));
    assert_eq!(analysis.metrics[0].threshold_range, None);
}

#[test]
fn templates_and_providers_are_accepted_and_come_back() {
    for object in documents(OTHERS) {
        assert_accepted_whole(&object);
        assert_comes_back(&object);
    }
}

#[test]
fn what_was_applied_to_a_real_flagger_is_accepted_and_comes_back() {
    let objects: Vec<Value> = serde_json::from_str(APPLIED).unwrap();
    assert_eq!(objects.len(), 25);
    for object in &objects {
        assert_accepted_whole(object);
        assert_comes_back(object);
    }
}

#[test]
fn a_status_that_flagger_wrote_comes_back_to_the_letter() {
    let statuses: Vec<Value> = serde_json::from_str(STATUSES).unwrap();
    assert_eq!(statuses.len(), 50);
    let schema = &schema_of("Canary", "v1beta1")["properties"]["status"];
    for written in statuses {
        assert_eq!(objections(schema, &written, "status"), Vec::<String>::new());
        let status: CanaryStatus = serde_json::from_value(written.clone()).unwrap();
        assert_ne!(status.phase, Phase::Empty);
        assert_same(&written, &serde_json::to_value(status).unwrap());
    }
}

#[test]
fn a_canary_of_the_barest_kind_decodes() {
    let bare = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "bare"},
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bare"}},
        "status": {},
    });
    assert_accepted_whole(&bare);
    let canary: Canary = serde_json::from_value(bare).unwrap();
    assert_eq!(canary.spec.analysis_in_force(), None);
    assert!(canary.spec.service.port.is_zero());
    assert_eq!(canary.status, Some(CanaryStatus::default()));
}

#[test]
fn a_fraction_where_a_count_belongs_decodes_and_is_told_apart() {
    let mut object = every_field();
    object["spec"]["analysis"]["threshold"] = json!(1.5);
    object["spec"]["analysis"]["stepWeight"] = json!(10.0);
    object["spec"]["analysis"]["webhooks"][0]["retries"] = json!(0.5);
    assert_accepted_whole(&object);
    let canary: Canary = serde_json::from_value(object).unwrap();
    let analysis = canary.spec.analysis.unwrap();
    assert_eq!(analysis.threshold.value(), None);
    assert_eq!(analysis.threshold.to_string(), "1.5");
    assert_eq!(analysis.step_weight.value(), Some(10));
    assert_eq!(analysis.webhooks[0].retries.value(), None);
}

#[test]
fn gos_zero_time_is_absent() {
    for zero in [json!(null), json!("")] {
        let status: CanaryStatus =
            serde_json::from_value(json!({"lastTransitionTime": zero})).unwrap();
        assert_eq!(status.last_transition_time, None);
    }
}

#[test]
fn a_phase_that_nobody_knows_is_refused_by_name() {
    let unknown = serde_json::from_value::<CanaryStatus>(json!({"phase": "Sleeping"}));
    let told = unknown.unwrap_err().to_string();
    assert!(told.contains(r#"unknown phase "Sleeping""#), "{told}");
}

#[test]
fn a_field_of_the_next_version_survives_in_our_part_of_the_status() {
    let object = there_and_back(&every_field());
    let expected = json!({"kept": [1, "two"]});
    assert_eq!(
        object["status"]["slipway"]["aFieldOfTheNextVersion"],
        expected
    );
}
