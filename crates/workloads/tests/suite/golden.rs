//! Golden cases: `tests/golden/CODEC/CASE/given.yaml` and the `writes.yaml` that must come out (`BLESS=1` writes it anew).
//!
//! Beside them `flagger.yaml` may stand: what a real Flagger 1.44 was recorded to write in this case. Each part of it must come out too, but
//! for those that `differs` names, with the reason; and those must differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use slipway_core::object::Write;
use slipway_core::plan::Problem;
use slipway_workloads::adopt::{self, Part};
use slipway_workloads::{configs, restore_apex, scaler, services};

use crate::given::Given;

/// What a codec answers in a case.
type Answer = Result<Vec<Write>, Problem>;

#[test]
fn primaries() {
    check("primary", primary);
}

#[test]
fn config_copies() {
    check("configs", copies);
}

#[test]
fn scalers() {
    check("scaler", |given| {
        given.blueprint(|blueprint| {
            let kind = blueprint.plan.autoscaler.as_ref().unwrap().kind;
            let codec = scaler(kind);
            let live = given.found(codec.kind().kind, "app-primary");
            let primary = codec.primary(blueprint, &given.scaler, live)?;
            let writes = [
                Some(primary),
                codec.pause(&given.scaler),
                codec.resume(&given.scaler),
            ];
            Ok(writes.into_iter().flatten().collect())
        })
    });
}

#[test]
fn services_of_a_release() {
    check("services", |given| {
        given.blueprint(|blueprint| services(blueprint, given.apex(), &given.services()))
    });
}

#[test]
fn the_way_back_of_the_apex() {
    check("restore", |given| {
        given.blueprint(|blueprint| {
            let apex = given.found("Service", &blueprint.plan.names.apex);
            restore_apex(blueprint, apex)
        })
    });
}

#[test]
fn records() {
    check("record", |given| {
        given.blueprint(|blueprint| {
            let tracked: Vec<_> = given
                .tracked()
                .into_iter()
                .map(|(config, _)| config)
                .collect();
            let seen: Vec<&Value> = given
                .live
                .iter()
                .filter(|object| object["kind"] == "ControllerRevision")
                .collect();
            let primary = given.found(given.codec().kind().kind, &blueprint.plan.names.primary);
            given
                .codec()
                .record(blueprint, &given.target, primary, &tracked, &seen)
        })
    });
}

#[test]
fn adoptions() {
    for case in cases("adopt") {
        let given: Given = read(&case.join("given.yaml"));
        let part = if given.live[0]["kind"] == "Canary" {
            Part::Status
        } else {
            Part::Object
        };
        let never_sent = given.blueprint(|blueprint| {
            let live = &given.live[0];
            let kind = match live["kind"].as_str().unwrap() {
                "Service" => slipway_core::object::kinds::SERVICE,
                _ => slipway_core::object::kinds::DEPLOYMENT,
            };
            adopt::never_sent(blueprint, &kind.named("test", "app"))
        });
        let patch = adopt::adopt(&given.live[0], part, &adopt::MANAGERS, &never_sent);
        compare(&case, &json!(patch));
    }
}

fn primary(given: &Given) -> Answer {
    given.blueprint(|blueprint| {
        let tracked: Vec<_> = given
            .tracked()
            .into_iter()
            .map(|(config, _)| config)
            .collect();
        let live = given.found(given.codec().kind().kind, &blueprint.plan.names.primary);
        let write = given
            .codec()
            .primary(blueprint, &given.target, live, &tracked, "COPY-ID");
        write.map(|write| vec![write])
    })
}

fn copies(given: &Given) -> Answer {
    given.blueprint(|blueprint| {
        let mut writes = Vec::new();
        for (config, source) in given.tracked() {
            let kind = config.kind.kind().kind;
            let live = given.found(kind, &format!("{}-primary", config.name));
            writes.extend(configs::copy(blueprint, &config, source, live)?);
        }
        Ok(writes)
    })
}

fn check(codec: &str, answer: impl Fn(&Given) -> Answer) {
    for case in cases(codec) {
        let given: Given = read(&case.join("given.yaml"));
        let answer = answer(&given);
        let shown = match &answer {
            Ok(writes) => writes.iter().map(show).collect(),
            Err(problem) => json!({"problem": problem.to_string()}),
        };
        compare(&case, &shown);
        if case.join("flagger.yaml").exists() {
            compare_with_flagger(&case, &answer.unwrap());
        }
    }
}

fn cases(codec: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(codec);
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{codec} has no cases");
    cases
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn show(write: &Write) -> Value {
    let (verb, body) = match write {
        Write::Apply { object, .. } => ("apply", object),
        Write::Create { object, .. } => ("create", object),
        Write::Merge { patch, .. } => ("merge", patch),
        Write::Replace { object, .. } => ("replace", object),
        Write::Delete { .. } => ("delete", &Value::Null),
    };
    json!({verb: write.key().to_string(), "body": body})
}

fn compare(case: &Path, got: &Value) {
    let file = case.join("writes.yaml");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, serde_saphyr::to_string(got).unwrap()).unwrap();
    }
    let expected: Value = read(&file);
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    assert!(
        *got == expected,
        "{}\nexpected {}\ngot {}",
        case.display(),
        text(&expected),
        text(got)
    );
}

/// One object as the recordings have it.
#[derive(Deserialize)]
struct Recorded {
    name: String,
    kind: String,
    /// Parts that are meant to differ, with the reason.
    #[serde(default)]
    differs: BTreeMap<String, String>,
    #[serde(flatten)]
    parts: BTreeMap<String, Value>,
}

fn compare_with_flagger(case: &Path, writes: &[Write]) {
    let recorded: Vec<Recorded> = read(&case.join("flagger.yaml"));
    for Recorded {
        name,
        kind,
        differs,
        parts,
    } in recorded
    {
        let is_it = |write: &&Write| write.key().name == name && write.key().plural == kind;
        let ours = writes.iter().find(is_it);
        let ours = ours.map_or_else(|| panic!("{name} is not written"), object);
        for (part, theirs) in &parts {
            let got = part_of(ours, part);
            let equal = got == plain(theirs);
            let place = case.display();
            assert_eq!(
                equal,
                !differs.contains_key(part),
                "{place}: {part} of {name}: {got} and Flagger's {theirs}"
            );
        }
    }
}

fn object(write: &Write) -> &Value {
    match write {
        Write::Apply { object, .. }
        | Write::Create { object, .. }
        | Write::Replace { object, .. } => object,
        Write::Merge { patch, .. } => patch,
        Write::Delete { .. } => &Value::Null,
    }
}

/// A part of an object in the form of the recordings.
fn part_of(object: &Value, part: &str) -> Value {
    let found = match part {
        "labels" | "annotations" => object["metadata"][part].clone(),
        "owners" => {
            let owner = |owner: &Value| {
                let star = if owner["controller"] == json!(true) {
                    "*"
                } else {
                    ""
                };
                format!(
                    "{}/{}{star}",
                    owner["kind"].as_str().unwrap(),
                    owner["name"].as_str().unwrap()
                )
            };
            object["metadata"]["ownerReferences"]
                .as_array()
                .unwrap()
                .iter()
                .map(owner)
                .collect()
        }
        "replicas" | "selector" | "ports" => object["spec"][part].clone(),
        "image" => object["spec"]["template"]["spec"]["containers"][0]["image"].clone(),
        "template_meta" => object["spec"]["template"]["metadata"].clone(),
        "volumes" => object["spec"]["template"]["spec"]["volumes"].clone(),
        "keys" => object["data"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect(),
        "type" | "spec" => object[part].clone(),
        other => panic!("no part {other}"),
    };
    plain(&found)
}

/// Without our own annotations, and without the value of an id.
fn plain(part: &Value) -> Value {
    let Some(members) = part.as_object() else {
        return part.clone();
    };
    let members = members
        .iter()
        .filter(|(key, _)| !key.starts_with("slipway.dev/"));
    let members: Map<String, Value> = members
        .map(|(key, value)| {
            let value = if key == "flagger-id" {
                json!("ID")
            } else {
                plain(value)
            };
            (key.clone(), value)
        })
        .collect();
    members.into()
}
