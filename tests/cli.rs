//! The binary as it is called.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may fail as the test does"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn slipway(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(words)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_sandbox_plays_to_the_end_where_there_is_no_terminal() {
    let played = slipway(&["sandbox"]);
    let out = text(&played.stdout);
    assert!(played.status.success(), "{}", text(&played.stderr));
    for said in [
        "== 1 of 3: a good release of backend",
        "Advance backend.app canary weight 50",
        "=> backend 3.1.1 is promoted",
        "! Rolling back backend.app failed checks threshold reached 3",
        "=> backend 3.1.2 is rolled back",
        "=> database 3.2.0 is promoted",
        "User requests that failed: ",
    ] {
        assert!(out.contains(said), "{said} is not told:\n{out}");
    }
    assert_eq!(
        out,
        text(&slipway(&["sandbox", "--plain", "--speed", "max", "--seed", "1"]).stdout)
    );
}

#[test]
fn scenarios_are_listed_with_what_they_show() {
    let listed = text(&slipway(&["sandbox", "--scenario", "list"]).stdout);
    assert!(listed.starts_with("tour "), "{listed}");
    assert!(
        listed.contains("accidents   the new version's pods die under traffic"),
        "{listed}"
    );
}

#[test]
fn a_run_of_the_fault_matrix_is_played_again_alike() {
    let words = [
        "sandbox",
        "--scenario",
        "kubernetes/blue-green/promotes/fixed",
        "--fault",
        "api:20:crash-after",
    ];
    let (first, second) = (slipway(&words), slipway(&words));
    let told = text(&first.stdout);
    assert!(first.status.success(), "{told}{}", text(&first.stderr));
    assert!(told.contains("app-primary"), "{told}");
    assert!(told.ends_with("Every promise was kept.\n"), "{told}");
    assert_eq!(told, text(&second.stdout));
    let unharmed = slipway(&words[..3]);
    assert!(unharmed.status.success());
    assert_ne!(told, text(&unharmed.stdout), "the fault changes nothing");
    let refused = slipway(&["sandbox", "--fault", "twins"]);
    let error = text(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        error.contains("needs --scenario BACKEND/STRATEGY/STORY/SCALER"),
        "{error}"
    );
}

#[test]
fn a_wrong_option_is_refused_with_what_is_allowed() {
    let rows = [
        (
            ["--scenario", "istio/canary/nosuch/fixed"],
            "no scenario has this name",
        ),
        (["--fault", "api:x:hang"], "no fault has this name"),
        (["--scenario", "nosuch"], "there are tour, good, bad,"),
        (
            ["--speed", "fast"],
            "must be a number from 0.01 to 10000, or 0 or max",
        ),
        (["--seed", "x"], "invalid digit"),
    ];
    for (words, said) in rows {
        let refused = slipway(&[&["sandbox"][..], &words[..]].concat());
        let error = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        assert!(error.contains(said), "{words:?}: {error}");
        assert!(refused.stdout.is_empty(), "{words:?}");
    }
}

/// What the answer to a request says, over one connection.
fn asked(address: &str, path: &str, accept: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_served_sandbox_lets_kubectl_in_and_takes_its_kubeconfig_along() {
    let words = ["sandbox", "--serve", "--plain", "--speed", "20"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let path = first
        .split([' ', '='])
        .find(|word| word.ends_with(".kubeconfig"))
        .unwrap()
        .to_owned();
    let prometheus = lines.next().unwrap().unwrap();
    let prometheus = prometheus.split('/').nth(2).unwrap().to_owned();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let api = server
        .strip_prefix("http://127.0.0.1:")
        .map(|port| format!("127.0.0.1:{port}"))
        .unwrap();
    let is_up = |line: &String| line.contains("Initialization done! frontend");
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| is_up(&line))
    );

    let canaries = "/apis/flagger.app/v1beta1/namespaces/app/canaries";
    let table = asked(
        &api,
        canaries,
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    );
    assert!(
        table.contains(r#""kind":"Table""#) && table.contains(r#"["frontend","Initialized""#),
        "{table}"
    );
    assert!(asked(&api, canaries, "application/json").contains(r#""kind":"CanaryList""#));
    assert!(asked(&api, "/openapi/v3", "application/json").contains("apis/flagger.app/v1beta1"));
    assert!(asked(&api, "/nosuch", "application/json").starts_with("HTTP/1.1 404"));
    let query = "/api/v1/query?query=vector(1)";
    assert!(asked(&prometheus, query, "*/*").contains(r#""status":"success""#));

    let ended = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(ended.success());
    assert!(child.wait().unwrap().success(), "it did not end in order");
    assert!(
        !std::path::Path::new(&path).exists(),
        "{path} was left behind"
    );
}

#[test]
fn a_plan_is_forecast_before_anything_is_released() {
    let words = [
        "simulate",
        "--rate",
        "100",
        "--releases",
        "50",
        "--steps",
        "1,5,10,25,50",
    ];
    let told = slipway(&words);
    let out = text(&told.stdout);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(
        out.starts_with("a healthy release: rolled back 0 of the time"),
        "{out}"
    );
    assert!(out.contains("| 100 % | 0 |"), "{out}");
    assert_eq!(out, text(&slipway(&words).stdout));
    for (flag, value, said) in [
        ("--steps", "5,1", "each greater than the one before"),
        ("--alpha", "0", "--alpha is 0, it must be between 0 and 1"),
        ("--rate", "0", "--rate is 0, it must be above 0"),
        ("--tick", "0", "1..=3600"),
    ] {
        let refused = slipway(&["simulate", flag, value]);
        assert!(!refused.status.success());
        assert!(
            text(&refused.stderr).contains(said),
            "{flag}: {}",
            text(&refused.stderr)
        );
    }
}
