//! The house keeps its shape: arrows between crates, who may name what, one Rust version, lints of the core, links of the docs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test may fail as the test does"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files that git tracks, or would, below the root.
fn files(pattern: &str) -> Vec<String> {
    let words = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        pattern,
    ];
    let listed = Command::new("git").current_dir(root()).args(words).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let found = listed.lines().map(str::to_owned);
    found.filter(|path| root().join(path).exists()).collect()
}

/// Every package of the workspace with what it depends on outside of its tests.
fn dependencies() -> Vec<(String, BTreeSet<String>)> {
    let words = [
        "metadata",
        "--no-deps",
        "--offline",
        "--locked",
        "--format-version=1",
    ];
    let asked = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(words)
        .output();
    let metadata: Value = serde_json::from_slice(&asked.unwrap().stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let own = all.filter(|it| it["kind"].is_null());
        own.map(|it| text(&it["name"])).collect()
    };
    packages.map(|it| (text(&it["name"]), of(it))).collect()
}

#[test]
fn dependencies_point_one_way_through_the_house() {
    // A row: a crate, and the crates of the house that it may depend on.
    let codecs = ["slipway-api", "slipway-core"];
    let shell = [
        "slipway-api",
        "slipway-core",
        "slipway-traffic",
        "slipway-workloads",
        "slipway-metrics",
        "slipway-hooks",
    ];
    let house: [(&str, &[&str]); 11] = [
        ("slipway-api", &[]),
        ("slipway-core", &["slipway-api"]),
        ("slipway-traffic", &codecs),
        ("slipway-workloads", &codecs),
        ("slipway-metrics", &codecs),
        ("slipway-hooks", &codecs),
        ("slipway-controller", &shell),
        ("slipway-sim", &["slipway-api"]),
        (
            "slipway-scenarios",
            &[
                "slipway-api",
                "slipway-core",
                "slipway-controller",
                "slipway-sim",
            ],
        ),
        ("slipway-e2e-live", &[]),
        ("slipway-tester", &[]),
    ];
    for (package, dependencies) in dependencies() {
        let row = house.iter().find(|(name, _)| *name == package);
        let Some((_, allowed)) = row else {
            assert_eq!(package, "slipway", "a crate without a row in this test");
            continue;
        };
        for dependency in dependencies.iter().filter(|it| it.starts_with("slipway")) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{package} may not depend on {dependency}: it allows {allowed:?}"
            );
        }
    }
}

#[test]
fn only_the_shell_and_what_plays_the_world_know_clients_sockets_and_the_runtime() {
    let rows: [(&str, &[&str]); 3] = [
        (
            "tokio",
            &[
                "slipway",
                "slipway-controller",
                "slipway-sim",
                "slipway-scenarios",
                "slipway-e2e-live",
                "slipway-tester",
            ],
        ),
        (
            "kube",
            &[
                "slipway",
                "slipway-controller",
                "slipway-scenarios",
                "slipway-e2e-live",
            ],
        ),
        (
            "reqwest",
            &["slipway", "slipway-controller", "slipway-tester"],
        ),
    ];
    for (package, dependencies) in dependencies() {
        for (library, allowed) in rows {
            let is_fine = !dependencies.contains(library) || allowed.contains(&package.as_str());
            assert!(
                is_fine,
                "{package} may not depend on {library}: that is for {allowed:?}"
            );
        }
    }
}

#[test]
fn one_rust_version_is_named_everywhere() {
    let version = |path: &str, key: &str| {
        let text = read(path);
        let line = text.lines().find(|line| line.trim_start().starts_with(key));
        let value = line.and_then(|line| line.split('"').nth(1));
        value
            .unwrap_or_else(|| panic!("{path} has no {key}"))
            .to_owned()
    };
    let wanted = version("Cargo.toml", "rust-version");
    assert_eq!(
        version("rust-toolchain.toml", "channel"),
        format!("{wanted}.0")
    );
    for file in ["Dockerfile", "Dockerfile.tester"] {
        assert!(
            read(file).contains(&format!("FROM rust:{wanted}-")),
            "{file} builds with another Rust than {wanted}"
        );
    }
}

#[test]
fn the_core_is_linted_like_everything_else_and_more() {
    // clippy reads only the nearest file.
    let (root, core) = (read("clippy.toml"), read("crates/core/clippy.toml"));
    for line in root.lines() {
        assert!(
            core.lines().any(|it| it == line),
            "crates/core/clippy.toml lacks: {line}"
        );
    }
}

#[test]
fn every_link_of_the_docs_leads_somewhere() {
    for page in files("*.md") {
        let folder = PathBuf::from(&page).parent().unwrap().to_owned();
        let text = read(&page);
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|it| !it.contains("://") && !it.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            assert!(
                root().join(&folder).join(file).exists(),
                "{page} links to {link}, which does not exist"
            );
        }
    }
}

/// The YAML of a page's code blocks, or of a whole file.
fn yaml_of(path: &str) -> Vec<String> {
    let text = read(path);
    if Path::new(path).extension() != Some("md".as_ref()) {
        return vec![text];
    }
    let blocks = text.split("```yaml\n").skip(1);
    let inside = blocks.filter_map(|rest| rest.split("```").next());
    inside.map(str::to_owned).collect()
}

#[test]
fn every_yaml_of_the_docs_and_the_manifests_parses_and_every_canary_in_it_is_a_plan() {
    let mut canaries = 0;
    let pages = files("*.md").into_iter();
    for path in pages
        .chain(files("dist/*.yaml"))
        .chain(files("docs/*.yaml"))
    {
        // Charts are no YAML before helm has filled them in.
        if path.starts_with("dist/chart/templates/") {
            continue;
        }
        for yaml in yaml_of(&path) {
            let objects: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&yaml);
            let objects = objects.unwrap_or_else(|error| panic!("{path}: {error}\n{yaml}"));
            // What stands in dist/ is put together first: tests/dist plans what becomes of it.
            let is_whole = |it: &Value| it["kind"] == "Canary" && !path.starts_with("dist/");
            for object in objects.into_iter().filter(is_whole) {
                let canary = serde_json::from_value(object)
                    .unwrap_or_else(|error| panic!("{path}: {error}"));
                let plan = slipway_core::plan::Plan::parse(
                    &canary,
                    &slipway_core::plan::Defaults::default(),
                );
                assert!(plan.is_ok(), "{path}: {:?}", plan.err());
                canaries += 1;
            }
        }
    }
    assert!(canaries > 0, "there is no Canary in the docs");
}

#[test]
fn nothing_committed_names_a_machine() {
    // Spelled so that this file does not find itself.
    let marks = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/main"),
        concat!("/tm", "p/wt"),
    ];
    for path in files("*") {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue; // not text
        };
        for mark in marks {
            assert!(!text.contains(mark), "{path} names {mark}");
        }
    }
}
