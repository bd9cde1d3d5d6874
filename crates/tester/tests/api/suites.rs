//! Suites and load over the network, from hooks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use slipway_tester::suite::{Report, Suite, run};
use slipway_tester::wire::{Authorities, Network};
use slipway_tester::{Settings, Variables};

use crate::support::{Tester, service};

async fn report(suite: &str, url: &str) -> Report {
    let suite = Suite::parse(suite, "test").unwrap();
    let variables = Variables::from([("url".to_owned(), url.to_owned())]);
    run(
        &suite,
        &variables,
        &Arc::new(Network::new(Authorities::default())),
    )
    .await
}

#[tokio::test]
async fn a_suite_passes_where_everything_is_as_expected() {
    let (url, seen) = service().await;
    let suite = r#"
base: ${url}
checks:
  - name: a token is issued
    request: {url: /token, body: test, headers: {content-type: text/plain}}
    expect:
      status: [200, 201]
      headers: {content-type: application/json}
      json:
        $.token: {matches: "^ey"}
        $.agent: {contains: slipway-tester/}
      latency: 30s
    save: {token: $.token}
  - name: what was saved is sent on
    request: {url: "/version?token=${token}"}
    expect:
      json: {"$.items[-1].n": {at-least: 2}, $.items: {length: 2}, $.none: {exists: false}}
  - name: redirects are answers
    request: {url: /moved}
    expect: {status: 302, headers: {location: /version}}
  - name: it becomes ready
    request: {url: /flaky}
    retry: {for: 30s, every: 10ms}
  - name: HTTP/2 without TLS
    request: {url: /count, protocol: http2}
    expect: {body: counted}
  - name: gRPC
    grpc: {url: "${url}", service: podinfo}
  - name: gRPC, the whole server
    grpc: {url: "${url}"}
    expect: {status: SERVING, latency: 30s}
"#;
    let report = report(suite, &url).await;
    assert!(report.has_passed(), "{report}");
    assert_eq!(report.line(), "suite test: 7 of 7 checks passed");
    assert_eq!(report.checks.get(3).unwrap().attempts, 3);
    assert_eq!(seen.http2.load(Ordering::SeqCst), 1, "h2c");
}

#[tokio::test]
async fn a_failed_check_is_named_with_what_was_expected_and_what_came() {
    let (url, _) = service().await;
    let suite = r#"
base: ${url}
checks:
  - name: down
    request: {url: /down}
  - name: version
    request: {url: /version}
    expect: {json: {$.version: 6.9.2, $.items: {length: 3}}, headers: {x-none: {exists: true}}}
  - name: no JSON
    request: {url: /count}
    expect: {json: {$.a: 1}}
  - name: not serving
    grpc: {url: "${url}", service: idle}
  - name: unknown service
    grpc: {url: "${url}", service: nobody}
  - name: a variable that nobody gave
    request: {url: "/${who}"}
  - name: nothing to save
    request: {url: /version}
    save: {token: $.token}
  - name: nobody there
    request: {url: "http://127.0.0.1:1/", timeout: 30s}
  - name: too big for JSON
    request: {url: /big}
    expect: {json: {$.a: 1}}
  - name: the last one passes
    request: {url: /version}
"#;
    let report = report(suite, &url).await;
    let lines: Vec<String> = report
        .checks
        .iter()
        .flat_map(|check| {
            check
                .failures
                .iter()
                .map(|it| format!("{}: {it}", check.name))
        })
        .collect();
    let expected = [
        r#"down: status: expected 2xx, got 503 with the body "no backend""#,
        "version: header x-none: expected a value, got nothing",
        "version: $.items: expected a length of 3, got [{\"n\":1},{\"n\":2}]",
        r#"version: $.version: expected "6.9.2", got "6.9.1""#,
        r#"no JSON: body: expected JSON, got "counted""#,
        "not serving: health: expected SERVING, got NOT_SERVING",
        "unknown service: health: expected SERVING, got SERVICE_UNKNOWN",
        "a variable that nobody gave: ${who}: expected a value, got nothing",
        "nothing to save: $.token: expected a value to save, got nothing",
        "nobody there: answer: expected one within 30s, got connect: Connection refused (os error 111)",
    ];
    let (told, rest) = lines.split_at(expected.len());
    assert_eq!(told, expected);
    let [big] = rest else { panic!("{rest:?}") };
    assert!(
        big.starts_with("too big for JSON: body: expected JSON, got \"xxx"),
        "{big}"
    );
    assert!(big.len() < 300, "{big}");
    assert!(report.checks.last().unwrap().has_passed());
}

#[tokio::test]
async fn a_hook_with_a_suite_is_told_which_check_failed() {
    let (url, _) = service().await;
    let tester = Tester::start(Settings::default()).await;
    let suite = format!(
        r#"
checks:
  - name: the version of ${{name}} in ${{namespace}}
    request: {{url: {url}/version}}
    expect: {{json: {{$.version: "${{version}}"}}}}
"#
    );
    let hook = async |version: &str| {
        let metadata = [
            ("type", "suite"),
            ("suite", suite.as_str()),
            ("version", version),
        ];
        tester.hook(&metadata).await
    };
    assert_eq!(
        hook("6.9.1").await,
        (200, "suite podinfo: 1 of 1 checks passed".to_owned())
    );
    // Not 500: of that, a hook shows no body.
    let (status, answer) = hook("6.9.2").await;
    assert_eq!(status, 412);
    assert!(
        answer.ends_with(r#": $.version: expected "6.9.2", got "6.9.1""#),
        "{answer}"
    );
    let (_, metrics) = tester.post("/metrics", "").await;
    assert!(
        metrics.contains("slipway_tester_checks_total{outcome=\"not-met\"} 1"),
        "{metrics}"
    );
    let broken = [
        ("type", "suite"),
        ("suite", "checks: [{request: {url: x}}]"),
    ];
    assert_eq!(
        tester.hook(&broken).await,
        (
            400,
            "checks[0].request.url: \"x\" must be an absolute http or https URL, or a path behind the suite's base".to_owned()
        )
    );
}

#[tokio::test]
async fn a_folder_of_suites_is_read_anew_for_each_hook() {
    let (url, _) = service().await;
    let folder = std::env::temp_dir().join(format!("slipway-suites-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |path: &str| {
        let suite = format!("checks: [{{request: {{url: {url}{path}}}}}]");
        std::fs::write(folder.join("podinfo.yaml"), suite).unwrap();
    };
    let settings = Settings {
        suites: Some(folder.clone()),
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let metadata = [("type", "suite"), ("suiteFile", "podinfo.yaml")];
    write("/version");
    assert_eq!(
        tester.hook(&metadata).await,
        (200, "suite podinfo.yaml: 1 of 1 checks passed".to_owned())
    );
    write("/down");
    assert_eq!(tester.hook(&metadata).await.0, 412);
    let (status, answer) = tester
        .hook(&[("type", "suite"), ("suiteFile", "none.yaml")])
        .await;
    assert_eq!(status, 500);
    assert!(answer.contains("none.yaml: No such file"), "{answer}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn load_is_spoken_in_the_protocol_that_was_asked_for_and_held_to_its_limits() {
    let (url, seen) = service().await;
    let tester = Tester::start(Settings::default()).await;
    let load = async |path: &str, more: &[(&str, &str)]| {
        let url = format!("{url}{path}");
        let mut metadata = vec![
            ("type", "load"),
            ("url", url.as_str()),
            ("rate", "200"),
            ("duration", "100ms"),
            ("wait", "true"),
        ];
        metadata.extend(more);
        tester.hook(&metadata).await
    };
    let (status, answer) = load("/count", &[("protocol", "http2")]).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.starts_with("20 requests in "), "{answer}");
    assert!(answer.contains("100% successes (20 × 200)"), "{answer}");
    assert!(answer.contains("p99 "), "{answer}");
    assert_eq!(seen.http2.load(Ordering::SeqCst), 20);
    let (status, _) = load("/count", &[("protocol", "http1")]).await;
    assert_eq!(status, 200);
    assert_eq!(seen.http2.load(Ordering::SeqCst), 20);
    assert_eq!(seen.requests.load(Ordering::SeqCst), 40);
    let (status, answer) = load("/down", &[("success", "99")]).await;
    assert_eq!(status, 412);
    let expected = "load: success: expected at least 99%, got 0% (20 × 503); 20 requests in ";
    assert!(answer.starts_with(expected), "{answer}");
    assert_eq!(load("/down", &[("status", "5xx")]).await.0, 200);
}
