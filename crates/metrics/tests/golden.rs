//! Golden cases: what stands in a folder comes out as what stands beside it. `BLESS=1` writes what comes out.
//!
//! | folder | given | expected |
//! | --- | --- | --- |
//! | `builtin/TELEMETRY` | `podinfo` in `test` | `success-rate.promql`, `request-duration.promql` |
//! | `PROVIDER/CASE` | `template.yaml`, perhaps `secret.yaml` (a map) and `response.http` | `request.http`, `reading.txt` |
//!
//! The second step of a case has `request-2.http` and `response-2.http`, and so on. `environment.yaml` and `files.yaml` say who the controller is.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a golden case that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretSlice;
use slipway_api::MetricTemplate;
use slipway_core::plan::TargetKind;
use slipway_metrics::builtin::{self, Telemetry};
use slipway_metrics::{
    Ask, Environment, Heard, SecretData, Sending, Step, Target, VARIABLES, Variables, provider,
    template,
};

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(of)
}

fn podinfo() -> Variables {
    let name = || "podinfo".to_owned();
    Variables {
        name: name(),
        namespace: "test".to_owned(),
        target: name(),
        target_kind: TargetKind::Deployment,
        service: name(),
        ingress: name(),
        route: name(),
        interval: "1m".to_owned(),
        variables: BTreeMap::from([("code".to_owned(), "5..".to_owned())]),
    }
}

/// When everything is asked.
fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_268_800, 0).unwrap()
}

/// Compares with the file, or writes it.
#[track_caller]
fn compare(file: &Path, found: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, found).unwrap();
    }
    let expected =
        fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    assert_eq!(found, expected, "{}", file.display());
}

#[test]
fn the_built_in_queries_of_each_telemetry() {
    for telemetry in Telemetry::ALL {
        let folder = folder("builtin").join(telemetry.as_str());
        let rate = builtin::success_rate(telemetry, &podinfo());
        let duration = builtin::request_duration(telemetry, &podinfo());
        compare(
            &folder.join("success-rate.promql"),
            &format!("# {:?}\n{}\n", rate.unit, rate.text),
        );
        compare(
            &folder.join("request-duration.promql"),
            &format!("# {:?}\n{}\n", duration.unit, duration.text),
        );
    }
}

#[test]
fn the_requests_and_readings_of_each_provider() {
    let mut cases = 0;
    for kind in slipway_metrics::types() {
        for case in fs::read_dir(folder(kind)).unwrap() {
            check(&case.unwrap().path());
            cases += 1;
        }
    }
    assert!(cases >= 12, "only {cases} cases were found");
}

#[track_caller]
fn check(case: &Path) {
    let read = |file: &str| fs::read_to_string(case.join(file)).ok();
    let object: MetricTemplate = serde_saphyr::from_str(&read("template.yaml").unwrap()).unwrap();
    let secret = read("secret.yaml").map(|text| secret_data(&text));
    let codec = provider(&object.spec.provider.type_).unwrap();
    let query = match template::render(&object.spec.query, &podinfo()) {
        Ok(query) => query,
        Err(why) => return compare(&case.join("request.http"), &format!("error: {why}\n")),
    };
    let environment = environment(read("environment.yaml"), read("files.yaml"));
    let ask = Ask::now(&query, "1m", noon()).within(&environment);
    let mut heard = Vec::new();
    loop {
        let file = |name: &str, end: &str| match heard.len() {
            0 => format!("{name}.{end}"),
            before => format!("{name}-{}.{end}", before + 1),
        };
        let (requested, answered) = (file("request", "http"), file("response", "http"));
        match codec.step(&object.spec.provider, secret.as_ref(), &ask, &heard) {
            Err(why) => return compare(&case.join(requested), &format!("error: {why}\n")),
            Ok(Step::Read(reading)) => {
                return compare(&case.join("reading.txt"), &format!("{reading:?}\n"));
            }
            Ok(Step::Send(sending)) => compare(&case.join(requested), &shown(*sending)),
        }
        match read(&answered) {
            Some(text) => heard.push(came(&text)),
            None => return,
        }
    }
}

/// The variables of the environment, and the content of the files that some of them name.
fn environment(variables: Option<String>, files: Option<String>) -> Environment {
    let map = |text: Option<String>| -> BTreeMap<String, String> {
        text.map(|text| serde_saphyr::from_str(&text).unwrap())
            .unwrap_or_default()
    };
    let mut environment = Environment::of(&map(variables));
    for (variable, content) in map(files) {
        let known = VARIABLES.iter().find(|name| **name == variable).unwrap();
        environment = environment.with_file(known, Ok(value(content)));
    }
    environment
}

/// `HTTP 200`, an empty line and the body; or `nothing: why`.
fn came(text: &str) -> Heard {
    if let Some(why) = text.strip_prefix("nothing: ") {
        return Heard::Nothing(why.trim_end().to_owned());
    }
    let (head, body) = text.split_once("\n\n").unwrap();
    Heard::Answer {
        status: head.strip_prefix("HTTP ").unwrap().parse().unwrap(),
        body: body.trim_end().as_bytes().to_vec(),
    }
}

fn secret_data(text: &str) -> SecretData {
    let map: BTreeMap<String, String> = serde_saphyr::from_str(text).unwrap();
    map.into_iter()
        .map(|(key, text)| (key, SecretSlice::from(value(text).into_bytes())))
        .collect()
}

/// `@FILE` is what stands in a file beside this one; everything else means itself.
fn value(text: String) -> String {
    match text.strip_prefix('@') {
        Some(file) => fs::read_to_string(folder("..").join(file)).unwrap(),
        None => text,
    }
}

fn shown(sending: Sending) -> String {
    let Sending {
        request,
        transport,
        after,
    } = sending;
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    let is_local = request.uri().host().is_none();
    assert_eq!(is_local, transport.target == Target::ApiServer, "{text}");
    if after > TimeDelta::zero() {
        writeln!(text, "after: {} s", after.num_seconds()).unwrap();
    }
    format!(
        "{text}\n{}",
        String::from_utf8(request.into_body()).unwrap()
    )
}
