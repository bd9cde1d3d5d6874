//! The small cluster of these tests does what an API server does.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]
#![expect(dead_code, reason = "each test file uses a part of the support")]

mod support;

use serde_json::{Value, json};
use slipway_core::object::{Key, Kind, Write};
use support::cluster::{Cluster, USER};

fn key() -> Key {
    Kind {
        api_version: "v1",
        kind: "Thing",
        plural: "things",
    }
    .named("test", "app")
}

fn after(before: &Value, applied: &[Value]) -> Value {
    let mut cluster = Cluster::default();
    cluster.create(key(), USER, before);
    cluster.write_all(applied.iter().map(|object| Write::Apply {
        key: key(),
        object: object.clone(),
    }));
    cluster.objects()[&key()].clone()
}

#[test]
fn apply_merges_maps_replaces_lists_and_removes_what_is_given_up() {
    let before = json!({"metadata": {"name": "app"}, "spec": {"theirs": 1, "map": {"theirs": 1}, "list": [1, 2]}});
    let once = json!({"metadata": {"name": "app"}, "spec": {"map": {"ours": 1}, "list": [3], "gone": {"soon": 1}}});
    let twice = json!({"metadata": {"name": "app"}, "spec": {"map": {"ours": 2}}});
    assert_eq!(
        after(&before, std::slice::from_ref(&once)),
        json!({"metadata": {"name": "app"}, "spec": {"theirs": 1, "map": {"theirs": 1, "ours": 1}, "list": [3], "gone": {"soon": 1}}}),
    );
    assert_eq!(
        after(&before, &[once, twice]),
        json!({"metadata": {"name": "app"}, "spec": {"theirs": 1, "map": {"theirs": 1, "ours": 2}}}),
        "a list that was overwritten and given up is gone: its first owner lost it"
    );
}

#[test]
fn a_field_that_another_manager_owns_too_stays_when_we_give_it_up() {
    let before = json!({"metadata": {"name": "app"}, "spec": {"both": 1}});
    let without = json!({"metadata": {"name": "app"}, "spec": {}});
    assert_eq!(after(&before, &[before.clone(), without]), before);
}

#[test]
fn owner_references_are_merged_by_uid() {
    let owned_by =
        |uid: &str| json!({"metadata": {"name": "app", "ownerReferences": [{"uid": uid}]}});
    let both =
        json!({"metadata": {"name": "app", "ownerReferences": [{"uid": "a"}, {"uid": "b"}]}});
    assert_eq!(after(&owned_by("a"), &[owned_by("b")]), both);
}
