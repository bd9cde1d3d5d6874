//! Builds manifests, and finds things in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use slipway_core::plan::{Defaults, Plan};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn documents(text: &str, from: &str) -> Vec<Value> {
    let all: Result<Vec<Value>, _> = serde_saphyr::from_multiple(text);
    let all = all.unwrap_or_else(|error| panic!("{from}: {error}\n{text}"));
    all.into_iter().filter(|it| !it.is_null()).collect()
}

/// The command that a variable names, or the first of these that is on the PATH.
fn program(variable: &str, candidates: &[&[&str]]) -> Option<Vec<String>> {
    if let Ok(named) = std::env::var(variable) {
        return Some(vec![named]);
    }
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let is_there = |name: &str| folders.iter().any(|folder| folder.join(name).is_file());
    let found = candidates.iter().find(|words| is_there(words[0]))?;
    Some(found.iter().map(|&word| word.to_owned()).collect())
}

/// What a program writes; nothing where it is not on this machine.
fn run(program: Option<Vec<String>>, words: &[&str]) -> Option<String> {
    let program = program?;
    let done = Command::new(&program[0])
        .current_dir(root())
        .args(&program[1..])
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let (out, error) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{program:?} {words:?}: {error}");
    Some(out.into_owned())
}

/// The objects of a kustomization.
pub(crate) fn kustomize(folder: &str) -> Option<Vec<Value>> {
    let kustomize: &[&[&str]] = &[&["kustomize"], &["kubectl", "kustomize"]];
    let program = program("SLIPWAY_KUSTOMIZE", kustomize)?;
    let is_kubectl = program.len() > 1;
    let words: &[&str] = if is_kubectl {
        &[folder]
    } else {
        &["build", folder]
    };
    let text = run(Some(program), words)?;
    Some(documents(&text, folder))
}

/// The objects of the chart with these values.
pub(crate) fn helm(values: &[&str]) -> Option<Vec<Value>> {
    let words = "template slipway dist/chart --kube-version 1.36 --namespace slipway-system";
    let values = values.iter().flat_map(|value| ["--set", value]);
    let words: Vec<&str> = words.split(' ').chain(values).collect();
    let text = run(program("SLIPWAY_HELM", &[&["helm"]]), &words)?;
    Some(documents(&text, "dist/chart"))
}

/// The folders below one that hold a kustomization of kind Kustomization.
pub(crate) fn kustomizations(below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![below.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if path.ends_with("/kustomization.yaml")
                && read(&path).contains("kind: Kustomization")
            {
                found.push(folder.clone());
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|it| it["kind"] == kind).collect()
}

pub(crate) fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// The plans of every Canary among these objects; each must be one.
pub(crate) fn plans(objects: &[Value], from: &str) -> Vec<Plan> {
    let canaries = of_kind(objects, "Canary").into_iter();
    let plan = |object: &Value| {
        let canary = serde_json::from_value(object.clone())
            .unwrap_or_else(|error| panic!("{from}: {error}"));
        let plan = Plan::parse(&canary, &Defaults::default());
        plan.unwrap_or_else(|problems| panic!("{from}: {problems:?}"))
    };
    canaries.map(plan).collect()
}

/// The pod templates among these objects, with what they stand in.
pub(crate) fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let places = ["/spec/template", "/spec/jobTemplate/spec/template"];
    let of = |object| {
        let name = format!(
            "{} {}",
            text(object, "/kind"),
            text(object, "/metadata/name")
        );
        let mut found = places.iter().filter_map(|place| object.pointer(place));
        found.next().map(|template| (name, template))
    };
    objects.iter().filter_map(of).collect()
}
