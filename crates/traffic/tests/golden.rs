//! What each backend writes, by example: `golden/BACKEND/CASE/`.
//!
//! | file | holds |
//! | --- | --- |
//! | `canary.yaml` | the Canary |
//! | `before.yaml` | the objects that are there already, if any; one that belongs to the Canary is under our field manager, as after `Adopt` |
//! | `want.yaml` | `canary` (percent) and `mirrored`, or `restore: true`; `ownRoutes: false` for a mesh in another cluster; `differs`: why not as Flagger |
//! | `after.yaml` | the objects afterwards, or the `problem`; `BLESS=1` writes it |
//! | `flagger.yaml` | what a real Flagger 1.44 wrote in this situation, where that was recorded |
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slipway_core::object::{Key, Kind};
use slipway_core::weight::{Routes, Weight};
use support::Release;
use support::cluster::{Cluster, SLIPWAY, USER};

#[test]
fn every_backend_writes_what_its_golden_cases_say() {
    let mut wrong = String::new();
    for case in cases() {
        let after = after(&case);
        let file = case.join("after.yaml");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, yaml(&after)).unwrap();
        }
        let expected = documents(&file);
        if expected != after {
            writeln!(wrong, "{}:\n{}", case.display(), yaml(&after)).unwrap();
        }
    }
    assert!(
        wrong.is_empty(),
        "not as in after.yaml (BLESS=1 rewrites):\n{wrong}"
    );
}

#[test]
fn what_is_written_is_what_flagger_wrote_but_where_the_case_says_why_not() {
    for case in cases()
        .into_iter()
        .filter(|case| case.join("flagger.yaml").exists())
    {
        let after = after(&case);
        for theirs in documents(&case.join("flagger.yaml")) {
            let same = |ours: &&Value| {
                ["/apiVersion", "/kind", "/metadata/name"]
                    .iter()
                    .all(|at| ours.pointer(at) == theirs.pointer(at))
            };
            let ours = after.iter().find(same).cloned().unwrap_or_default();
            let fields = ["/spec", "/metadata/labels", "/metadata/annotations"];
            let agrees = fields
                .iter()
                .all(|at| ours.pointer(at) == theirs.pointer(at));
            let reason = documents(&case.join("want.yaml"))[0]
                .get("differs")
                .cloned();
            let is_explained = theirs["kind"] == "VirtualService" && reason.is_some();
            assert_eq!(
                agrees,
                !is_explained,
                "{}: {reason:?}\nours: {ours:#}\nFlagger's: {theirs:#}",
                case.display()
            );
        }
    }
}

#[test]
fn what_is_wanted_can_be_read_from_what_is_written() {
    for case in cases() {
        let (release, mut cluster) = given(&case);
        let Some(want) = want(&case) else { continue };
        if release.route(&mut cluster, want).is_ok() && !cluster.objects().is_empty() {
            // Who else a full weight is about is not told apart from a cut-over when it is read.
            let told = Routes {
                everyone: false,
                ..want
            };
            let read = release.read(&cluster);
            if release.router().needs_pods(release.blueprint().plan) {
                // So many pods make of it what they can, and never more.
                let read = read.unwrap().unwrap_or_default();
                let is_less = read.canary <= told.canary || is_blind(&release, &cluster);
                assert!(is_less, "{read:?} in {}", case.display());
            } else {
                assert_eq!(read, Ok(Some(told)), "{}", case.display());
            }
        }
    }
}

/// Whether the primary has no ready pod: then whoever answers goes on.
fn is_blind(release: &Release, cluster: &Cluster) -> bool {
    let pods = release
        .router()
        .pods(&release.blueprint(), &release.seen(cluster));
    pods.is_some_and(|pods| pods.primary == 0)
}

#[test]
fn what_is_written_again_changes_nothing() {
    for case in cases() {
        let (release, mut cluster) = given(&case);
        let Some(want) = want(&case) else { continue };
        if release.route(&mut cluster, want).is_ok() {
            let once = cluster.objects();
            assert_eq!(release.route(&mut cluster, want), Ok(()));
            assert_eq!(cluster.objects(), once, "{}", case.display());
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        entries
    };
    let cases: Vec<_> = inside(&golden)
        .iter()
        .flat_map(|backend| inside(backend))
        .collect();
    assert!(!cases.is_empty(), "no cases in {}", golden.display());
    cases
}

fn given(case: &Path) -> (Release, Cluster) {
    let mut release = Release::of(documents(&case.join("canary.yaml")).remove(0))
        .unwrap_or_else(|problem| panic!("{}: {problem}", case.display()));
    release.settings.own_routes =
        documents(&case.join("want.yaml"))[0]["ownRoutes"] != json!(false);
    let mut cluster = Cluster::default();
    let before = case.join("before.yaml");
    let objects = if before.exists() {
        documents(&before)
    } else {
        Vec::new()
    };
    for object in objects {
        let is_ours = object.pointer("/metadata/ownerReferences").is_some();
        let manager = if is_ours { SLIPWAY } else { USER };
        cluster.create(key(&object), manager, &object);
    }
    (release, cluster)
}

fn want(case: &Path) -> Option<Routes> {
    let want = documents(&case.join("want.yaml")).remove(0);
    let canary = want.get("canary")?.as_i64().unwrap();
    let mirrored = want.get("mirrored") == Some(&json!(true));
    Some(Routes {
        canary: Weight::try_new(canary).unwrap(),
        mirrored,
        everyone: want.get("everyone") == Some(&json!(true)),
    })
}

/// The objects afterwards, in the order of their keys; or the problem.
fn after(case: &Path) -> Vec<Value> {
    let (release, mut cluster) = given(case);
    let result = match want(case) {
        Some(want) => release.route(&mut cluster, want),
        None => release.restore(&mut cluster),
    };
    match result {
        Ok(()) => cluster.objects().into_values().collect(),
        Err(problem) => vec![json!({"problem": problem.to_string()})],
    }
}

fn key(object: &Value) -> Key {
    let text = |at: &str| {
        object
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let known = [
        (
            "networking.istio.io/v1beta1",
            "VirtualService",
            "virtualservices",
        ),
        (
            "networking.istio.io/v1beta1",
            "DestinationRule",
            "destinationrules",
        ),
        ("v1", "Service", "services"),
        ("v1", "Pod", "pods"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
        (
            "split.smi-spec.io/v1alpha1",
            "TrafficSplit",
            "trafficsplits",
        ),
        (
            "split.smi-spec.io/v1alpha2",
            "TrafficSplit",
            "trafficsplits",
        ),
        (
            "split.smi-spec.io/v1alpha3",
            "TrafficSplit",
            "trafficsplits",
        ),
    ];
    let (api_version, kind, plural) = known
        .into_iter()
        .find(|known| known.0 == text("/apiVersion") && known.1 == text("/kind"))
        .unwrap();
    Kind {
        api_version,
        kind,
        plural,
    }
    .named(text("/metadata/namespace"), text("/metadata/name"))
}

fn documents(file: &Path) -> Vec<Value> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn yaml(documents: &[Value]) -> String {
    let texts: Vec<String> = documents
        .iter()
        .map(|document| serde_saphyr::to_string(document).unwrap())
        .collect();
    texts.join("---\n")
}
