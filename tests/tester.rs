//! `slipway tester` and `slipway test` as processes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

/// A tester that serves; it ends with this value.
struct Tester {
    process: Child,
    address: String,
}

impl Tester {
    /// Called as the published manifests call Flagger's.
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .arg0("./loadtester")
            .args(["-port=0", "-log-level=info", "-timeout=1h"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = process.stderr.take().unwrap();
        let mut lines = BufReader::new(log).lines();
        let first: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(first["msg"], "tester starts");
        let address = first["address"].as_str().unwrap();
        let port = address.rsplit_once(':').unwrap().1.to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address: format!("localhost:{port}"),
        }
    }
}

impl Drop for Tester {
    fn drop(&mut self) {
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

/// `slipway test -` with that suite.
fn test(suite: &str, more: &[&str]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["test", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(suite.as_bytes()).unwrap();
    drop(input);
    process.wait_with_output().unwrap()
}

const SUITE: &str = r#"
name: a tester serves
checks:
  - name: it is healthy
    request: {url: "http://${address}/healthz"}
    expect: {body: "${body}"}
"#;

#[test]
fn a_suite_tells_by_its_exit_code_and_in_words_what_came_of_it() {
    let tester = Tester::start();
    let address = format!("--set=address={}", tester.address);
    let passed = test(SUITE, &[&address, "--set=body=OK"]);
    let text = String::from_utf8(passed.stdout).unwrap();
    assert_eq!(passed.status.code(), Some(0), "{text}");
    assert!(
        text.starts_with("a tester serves\n  ok    it is healthy ("),
        "{text}"
    );

    let failed = test(SUITE, &[&address, "--set=body=KO", "-o", "json"]);
    assert_eq!(failed.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(report["passed"], false);
    let failure = serde_json::json!({"what": "body", "expected": "\"KO\"", "got": "\"OK\""});
    assert_eq!(report["checks"][0]["failures"][0], failure);

    let untrusted = test(SUITE, &["--ca-file=/none/ca.crt"]);
    assert_eq!(untrusted.status.code(), Some(2));

    let none = test("checks: []", &[]);
    assert_eq!(none.status.code(), Some(2));
    let why = String::from_utf8(none.stderr).unwrap();
    assert_eq!(why, "error: in -: checks: must be 1 to 1000\n");
}

#[test]
fn a_tester_that_is_asked_to_stop_ends_well() {
    let mut tester = Tester::start();
    let id = tester.process.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(asked.success());
    assert_eq!(tester.process.wait().unwrap().code(), Some(0));
}
