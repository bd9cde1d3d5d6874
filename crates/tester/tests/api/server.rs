//! Flagger's load tester API, as its hooks call it.

use std::time::Duration;

use serde_json::json;
use slipway_tester::{Settings, TaskType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Tester, payload, service};

const PODINFO: &str = r#"{"name":"podinfo","namespace":"test","unknown":1}"#;

#[tokio::test]
async fn every_answer_is_flaggers() {
    let tester = Tester::start(Settings::default()).await;
    let rows = [
        // path, body, status, answer
        ("/healthz", "", 200, "OK"),
        ("/readyz", "", 200, "OK"),
        ("/gate/approve", "", 200, "OK"),
        ("/gate/halt", "", 403, "Forbidden"),
        ("/gate/check", PODINFO, 403, "Forbidden"),
        ("/gate/open", PODINFO, 202, ""),
        ("/gate/check", PODINFO, 200, "Approved"),
        ("/gate/check", r#"{"name":"podinfo"}"#, 403, "Forbidden"),
        ("/rollback/check", PODINFO, 403, "Forbidden"),
        ("/rollback/open", PODINFO, 202, ""),
        ("/gate/close", PODINFO, 202, ""),
        ("/gate/check", PODINFO, 403, "Forbidden"),
        ("/rollback/check", PODINFO, 200, "Approved"),
        ("/rollback/close", PODINFO, 202, ""),
        ("/rollback/check", PODINFO, 403, "Forbidden"),
        ("/", PODINFO, 400, "metadata not found in payload"),
    ];
    for (path, body, status, answer) in rows {
        let got = tester.post(path, body).await;
        assert_eq!(got, (status, answer.to_owned()), "{path} {body}");
    }
}

#[tokio::test]
async fn what_is_no_payload_is_refused_in_words() {
    let tester = Tester::start(Settings::default()).await;
    for (path, body) in [
        ("/", ""),
        ("/x", " "),
        ("/gate/check", "{"),
        ("/gate/open", "[]"),
        ("/", r#"{"metadata":{"cmd":1}}"#),
        ("/", "\u{0}"),
    ] {
        let (status, answer) = tester.post(path, body).await;
        assert_eq!(status, 400, "{path} {body}: {answer}");
        assert!(!answer.is_empty(), "{path} {body}");
    }
    // Flagger's load tester closes the connection here.
    let (status, answer) = tester.hook(&[("type", "bats"), ("cmd", "x")]).await;
    assert_eq!(status, 400);
    assert!(
        answer.starts_with("unknown task type \"bats\": allowed are cmd,"),
        "{answer}"
    );
}

/// Keys and values.
type Metadata<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn blocking_commands_tell_how_they_ended() {
    let tester = Tester::start(Settings::default()).await;
    let rows: [(Metadata<'_>, (u16, &str)); 6] = [
        (&[("type", "bash"), ("cmd", "echo hi")], (200, "")),
        (
            &[
                ("type", "bash"),
                ("cmd", "echo hi; echo ho >&2"),
                ("returnCmdOutput", "true"),
            ],
            (200, "hi\nho\n"),
        ),
        (
            &[("type", "bash"), ("cmd", "echo hi; false")],
            (500, "command echo hi; false failed: hi\n: exit status 1"),
        ),
        (&[("type", "bash")], (200, "")),
        (
            &[("type", "bash"), ("cmd", "echo token | grep token")],
            (200, ""),
        ),
        (&[("type", "cmd")], (400, "cmd not found in metadata")),
    ];
    for (metadata, (status, answer)) in rows {
        assert_eq!(
            tester.hook(metadata).await,
            (status, answer.to_owned()),
            "{metadata:?}"
        );
    }
}

#[tokio::test]
async fn a_blocking_command_is_killed_at_the_timeout() {
    let settings = Settings {
        timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let (status, answer) = tester
        .hook(&[("type", "bash"), ("cmd", "sleep 1000; echo x")])
        .await;
    let expected = "command sleep 1000; echo x failed: : signal: killed (its timeout of 50ms passed; its children were killed with it)";
    assert_eq!((status, answer.as_str()), (500, expected));
}

/// Somebody who is connected to us, until they end.
async fn caller(listener: &TcpListener) -> tokio::net::TcpStream {
    listener.accept().await.unwrap().0
}

#[tokio::test]
async fn the_same_background_command_runs_once_at_a_time() {
    let tester = Tester::start(Settings::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Runs until we hang up.
    let command = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}; read -r line <&3'");
    let metadata = [
        ("type", "cmd"),
        ("cmd", command.as_str()),
        ("logCmdOutput", "true"),
    ];
    assert_eq!(tester.hook(&metadata).await, (202, String::new()));
    let first = caller(&listener).await;
    for _ in 0..3 {
        assert_eq!(tester.hook(&metadata).await, (202, String::new()));
    }
    let (_, metrics) = tester.post("/metrics", "").await;
    for line in [
        "slipway_tester_tasks_total{type=\"cmd\",outcome=\"skipped\"} 3",
        "slipway_tester_tasks_running{type=\"cmd\"} 1",
        "process_open_fds ",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    // Of another canary it is another task.
    let other = payload("other", &json!({"cmd": command})).to_string();
    assert_eq!(tester.post("/", &other).await.0, 202);
    let second = caller(&listener).await;
    drop((first, second));
}

#[tokio::test]
async fn a_stop_waits_for_what_is_awaited_and_kills_the_rest() {
    let tester = Tester::start(Settings::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hold = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r line <&3");
    let background = format!("bash -c '{hold}; sleep 1000'");
    assert_eq!(tester.hook(&[("cmd", &background)]).await.0, 202);
    let mut background = caller(&listener).await;

    let blocking = payload("test", &json!({"type": "bash", "cmd": hold})).to_string();
    let (awaited, ()) = tokio::join!(tester.post("/", &blocking), async {
        let mut blocking = caller(&listener).await;
        tester.shutdown.cancel();
        // The one in the background is killed although it waits for us; only then the other may end.
        let mut rest = Vec::new();
        background.read_to_end(&mut rest).await.unwrap_or_default();
        blocking.write_all(b"go\n").await.unwrap();
    });
    assert_eq!(awaited, (200, String::new()));
    tester.serving.await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_within_its_grace() {
    let settings = Settings {
        grace: Duration::ZERO,
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let command = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; sleep 1000");
    let metadata = [("type", "bash"), ("cmd", command.as_str())];
    let (answer, ()) = tokio::join!(tester.hook(&metadata), async {
        let _held = caller(&listener).await;
        tester.shutdown.cancel();
    });
    assert_eq!(answer.0, 500);
    assert!(
        answer.1.ends_with("signal: killed (the tester stops)"),
        "{}",
        answer.1
    );
    tester.serving.await.unwrap();
}

#[tokio::test]
async fn only_so_many_tasks_run_at_once() {
    let settings = Settings {
        tasks_max: 0,
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let (status, answer) = tester.hook(&[("type", "bash"), ("cmd", "true")]).await;
    assert_eq!(
        (status, answer.as_str()),
        (
            429,
            "0 tasks are running, which is the most: try again later"
        )
    );
    // What did not start is not taken for running.
    let metadata = [("cmd", "true")];
    assert_eq!(tester.hook(&metadata).await.0, 429);
    assert_eq!(tester.hook(&metadata).await.0, 429);
}

#[tokio::test]
async fn a_namespace_that_does_not_match_is_forbidden_everything() {
    let settings = Settings {
        namespaces: Some(regex::Regex::new("team").unwrap()),
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    for path in ["/gate/open", "/gate/check", "/rollback/open", "/"] {
        assert_eq!(
            tester.post(path, PODINFO).await,
            (403, "Forbidden".to_owned()),
            "{path}"
        );
    }
    let ours = r#"{"name":"a","namespace":"my-team-b","metadata":{"type":"bash","cmd":"true"}}"#;
    assert_eq!(tester.post("/", ours).await.0, 200);
}

#[tokio::test]
async fn the_token_is_taken_as_a_bearer_or_as_the_password_of_a_url() {
    let settings = Settings {
        token: Some("s3cret".to_owned().into()),
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    // "any:s3cret" and "any:wrong" in base64.
    let rows = [
        ("", 401),
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Basic YW55OnMzY3JldA==", 200),
        ("Basic YW55Ondyb25n", 401),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Basic !", 401),
        ("s3cret", 401),
    ];
    for (shown, status) in rows {
        let headers = [("authorization", shown)];
        let got = tester.send("/gate/approve", &headers, "").await;
        assert_eq!(got.0, status, "{shown}");
        assert!(!got.1.contains("s3cret"));
    }
    // Probes and scrapes have no token to show.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(tester.post(path, "").await.0, 200, "{path}");
    }
    for path in ["/", "/gate/check", "/rollback/open", "/x"] {
        assert_eq!(tester.post(path, PODINFO).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn lists_of_types_and_programs_are_held() {
    let settings = Settings {
        commands: Some(["echo".to_owned(), "grep".to_owned()].into()),
        types: [TaskType::Bash, TaskType::Suite].into(),
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let bash = async |cmd| tester.hook(&[("type", "bash"), ("cmd", cmd)]).await;
    assert_eq!(bash("echo token | grep token").await.0, 200);
    assert_eq!(
        bash("echo a; rm x").await,
        (
            403,
            "the command \"rm\" is not allowed here: allowed are echo, grep".to_owned()
        )
    );
    assert_eq!(bash("echo $(rm x)").await.0, 403);
    assert_eq!(
        tester.hook(&[("cmd", "echo a")]).await,
        (
            403,
            "task type \"cmd\" is not allowed here: allowed are bash, suite".to_owned()
        )
    );
}

#[tokio::test]
async fn an_output_without_end_is_bounded() {
    let settings = Settings {
        timeout: Duration::from_millis(300),
        output_max: 4096,
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let (status, answer) = tester.hook(&[("type", "bash"), ("cmd", "yes")]).await;
    assert_eq!(status, 500);
    assert!(answer.len() < 4500, "{}", answer.len());
    assert!(answer.contains("signal: killed"), "{answer}");
}

#[tokio::test]
async fn a_concord_process_is_started_and_polled_until_it_ends() {
    use axum::extract::State;
    use std::sync::atomic::{AtomicU32, Ordering};
    static POLLS: AtomicU32 = AtomicU32::new(0);
    let app = axum::Router::new()
        .route(
            "/api/v1/process",
            axum::routing::post(async |headers: http::HeaderMap, body: String| {
                assert_eq!(headers.get("authorization").unwrap(), "key");
                assert!(
                    body.contains("name=\"entryPoint\"\r\n\r\nrun\r\n"),
                    "{body}"
                );
                assert!(
                    body.contains("name=\"arguments.env\"\r\n\r\nqa\r\n"),
                    "{body}"
                );
                axum::Json(json!({"ok": true, "instanceId": "0a-1b"}))
            }),
        )
        .route(
            "/api/v1/process/0a-1b",
            axum::routing::get(async |State(end): State<&'static str>| {
                let status = if POLLS.fetch_add(1, Ordering::SeqCst) == 0 {
                    "RUNNING"
                } else {
                    end
                };
                axum::Json(json!({"status": status}))
            }),
        )
        .with_state("FINISHED");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let folder = std::env::temp_dir().join(format!("slipway-tester-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let key = folder.join("key");
    // With the line break that makes Flagger's call fail.
    std::fs::write(&key, "key\n").unwrap();
    let tester = Tester::start(Settings::default()).await;
    let metadata = [
        ("type", "concord"),
        ("server", server.as_str()),
        ("org", "o"),
        ("project", "p"),
        ("repo", "r"),
        ("entrypoint", "run"),
        ("endpoint", "http://x"),
        ("apiKeyPath", key.to_str().unwrap()),
        ("arguments.env", "qa"),
        ("pollInterval", "1"),
    ];
    assert_eq!(
        tester.hook(&metadata).await,
        (200, "process 0a-1b finished".to_owned())
    );
    std::fs::remove_dir_all(&folder).unwrap();
    // What overflows and crashes Flagger's.
    let mut odd = metadata;
    *odd.last_mut().unwrap() = ("pollInterval", "99999999999");
    assert_eq!(tester.hook(&odd).await.0, 400);
}

#[tokio::test]
async fn a_load_in_the_background_is_answered_at_once_and_runs_once_at_a_time() {
    let (url, seen) = service().await;
    let tester = Tester::start(Settings::default()).await;
    let url = format!("{url}/count");
    let metadata = [
        ("type", "load"),
        ("url", url.as_str()),
        ("rate", "50"),
        ("duration", "1h"),
    ];
    assert_eq!(tester.hook(&metadata).await, (202, String::new()));
    seen.asked.notified().await;
    assert_eq!(tester.hook(&metadata).await, (202, String::new()));
    let (_, metrics) = tester.post("/metrics", "").await;
    assert!(
        metrics.contains("slipway_tester_tasks_total{type=\"load\",outcome=\"skipped\"} 1"),
        "{metrics}"
    );
    // And it ends with the tester.
    tester.shutdown.cancel();
    tester.serving.await.unwrap();
}
