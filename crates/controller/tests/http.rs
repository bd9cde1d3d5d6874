//! The outbound client against a server that behaves badly.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use slipway_controller::http::{
    Certificates, Excess, Http, HttpClient, HttpError, HttpErrorKind, Limits, Redirects,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// A server on a free port of the loopback.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Every connection is handed to `serve`.
    async fn start<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { url, connections }
    }

    /// Every request is answered with `answer(request head and body)`, on a connection that stays open.
    async fn answering(answer: fn(&str) -> String) -> Self {
        Self::start(move |mut stream| async move {
            while let Some(request) = read_request(&mut stream).await {
                if stream.write_all(answer(&request).as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await
    }
}

/// One request with its body; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .find_map(|length| length.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn post(url: &str, limits: &Limits) -> Result<http::Response<Vec<u8>>, HttpError> {
    let request = Request::post(url)
        .body(b"{\"name\":\"podinfo\"}".to_vec())
        .unwrap();
    HttpClient::new().send(request, limits).await
}

fn text(response: &http::Response<Vec<u8>>) -> String {
    String::from_utf8(response.body().clone()).unwrap()
}

fn kind(result: Result<http::Response<Vec<u8>>, HttpError>) -> HttpErrorKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn the_whole_request_arrives_and_the_whole_answer_comes_back() {
    let server = Server::answering(|request| ok(&request.replace("\r\n", "|"))).await;
    let request = Request::post(format!("{}/hook?a=b", server.url))
        .header("Content-Type", "application/json")
        .body(b"{}".to_vec())
        .unwrap();
    let response = HttpClient::new()
        .send(request, &Limits::default())
        .await
        .unwrap();
    let seen = text(&response);
    assert!(seen.starts_with("POST /hook?a=b HTTP/1.1|"), "{seen}");
    assert!(seen.contains("content-type: application/json|"), "{seen}");
    assert!(
        seen.contains(concat!(
            "user-agent: slipway/",
            env!("CARGO_PKG_VERSION"),
            "|"
        )),
        "{seen}"
    );
    assert!(seen.ends_with("||{}"), "{seen}");
}

#[tokio::test]
async fn user_and_password_of_the_url_become_basic_authentication() {
    let server = Server::answering(ok).await;
    let url = server.url.replace("http://", "http://user:pass@");
    let seen = text(&post(&url, &Limits::default()).await.unwrap());
    assert!(seen.contains("authorization: Basic dXNlcjpwYXNz"), "{seen}");
}

#[tokio::test]
async fn an_answer_with_any_status_is_an_answer() {
    let server =
        Server::answering(|_| "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait".to_owned())
            .await;
    let response = post(&server.url, &Limits::default()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), text(&response)),
        (503, "wait".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_left_at_the_deadline() {
    let server = Server::start(|stream| async move {
        sleep(Duration::from_hours(1)).await;
        drop(stream);
    })
    .await;
    let begin = Instant::now();
    let error = post(&server.url, &Limits::default()).await.unwrap_err();
    assert_eq!(error.kind, HttpErrorKind::Timeout);
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert!(
        error.to_string().contains("context deadline exceeded"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("Post \"{}/\": ", server.url)),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_does_not_move_the_deadline() {
    let server = Server::start(|mut stream| async move {
        if read_request(&mut stream).await.is_none() {
            return;
        }
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            .await
            .is_err()
        {
            return;
        }
        while stream.write_all(b".").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let begin = Instant::now();
    let limits = Limits {
        timeout: Duration::from_secs(30),
        ..Limits::default()
    };
    assert_eq!(
        kind(post(&server.url, &limits).await),
        HttpErrorKind::Timeout
    );
    assert_eq!(begin.elapsed().as_secs(), 30);
}

/// Answers with a body that never ends.
async fn flood() -> Server {
    Server::start(|mut stream| async move {
        if read_request(&mut stream).await.is_none() {
            return;
        }
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        if stream.write_all(head).await.is_err() {
            return;
        }
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_where_half_of_it_means_nothing() {
    let server = flood().await;
    let limits = Limits {
        body_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = post(&server.url, &limits).await.unwrap_err();
    assert_eq!(error.kind, HttpErrorKind::TooLarge);
    assert_eq!(
        error.cause(),
        "the answer is longer than 1048576 bytes, which is the most that is read"
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_cut_where_the_status_decides() {
    let server = flood().await;
    let limits = Limits::for_verdict(Duration::from_secs(10));
    assert_eq!(limits.excess, Excess::Cut);
    let response = post(&server.url, &limits).await.unwrap();
    assert_eq!(response.body().len(), limits.body_bytes);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    let server = Server::answering(|_| ok("12345678")).await;
    let limits = Limits {
        body_bytes: 8,
        ..Limits::default()
    };
    assert_eq!(text(&post(&server.url, &limits).await.unwrap()), "12345678");
}

#[tokio::test]
async fn a_connection_that_is_cut_off_is_broken() {
    let server = Server::start(|mut stream| async move {
        read_request(&mut stream).await;
        // Closing with unread or no data resets or ends the connection before any answer.
        drop(stream);
    })
    .await;
    assert_eq!(
        kind(post(&server.url, &Limits::default()).await),
        HttpErrorKind::Broken
    );
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_broken() {
    let server = Server::start(|mut stream| async move {
        read_request(&mut stream).await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        if stream.write_all(half).await.is_ok() {
            drop(stream);
        }
    })
    .await;
    assert_eq!(
        kind(post(&server.url, &Limits::default()).await),
        HttpErrorKind::Broken
    );
}

#[tokio::test]
async fn nobody_listening_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = post(&url, &Limits::default()).await.unwrap_err();
    assert_eq!(error.kind, HttpErrorKind::Connect);
    assert!(error.cause().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let server = Server::start(|mut stream| async move {
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.ok();
        read_request(&mut stream).await;
    })
    .await;
    let url = server.url.replace("http://", "https://");
    assert_eq!(
        kind(post(&url, &Limits::default()).await),
        HttpErrorKind::Tls
    );
}

#[tokio::test]
async fn a_url_that_nothing_can_be_sent_to_is_unusable() {
    for url in ["ftp://host.test/", "/only/a/path"] {
        assert_eq!(
            kind(post(url, &Limits::default()).await),
            HttpErrorKind::Unusable,
            "{url}"
        );
    }
}

/// `/CODE` redirects to `/end`, which tells what arrived; `/loop` redirects to itself.
fn redirecting(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    match path {
        "/end" => {
            let method = request.split(' ').next().unwrap_or_default();
            let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            ok(&format!("{method} {body}"))
        }
        "/loop" => "HTTP/1.1 307 X\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned(),
        code => {
            let code = code.trim_start_matches('/');
            format!("HTTP/1.1 {code} X\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n")
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_as_gos_client_follows_them() {
    let server = Server::answering(redirecting).await;
    let body = r#"POST {"name":"podinfo"}"#;
    for (code, expected) in [
        (301, "GET "),
        (302, "GET "),
        (303, "GET "),
        (307, body),
        (308, body),
    ] {
        let response = post(&format!("{}/{code}", server.url), &Limits::default())
            .await
            .unwrap();
        assert_eq!(text(&response), expected, "{code}");
    }
}

#[tokio::test]
async fn a_redirect_that_never_ends_is_left_after_ten_requests() {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let server = Server::answering(|request| {
        REQUESTS.fetch_add(1, Ordering::SeqCst);
        redirecting(request)
    })
    .await;
    let error = post(&format!("{}/loop", server.url), &Limits::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, HttpErrorKind::Redirects);
    assert_eq!(error.cause(), "stopped after 10 redirects");
    assert_eq!(REQUESTS.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let server = Server::answering(|_| ok("yes")).await;
    let client = HttpClient::new();
    for _ in 0..200 {
        let request = Request::get(&server.url).body(Vec::new()).unwrap();
        client.send(request, &Limits::default()).await.unwrap();
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_proxy_gets_the_request_for_another_host() {
    let proxy = Server::answering(|request| ok(request.lines().next().unwrap_or_default())).await;
    let limits = Limits {
        proxy: Some(proxy.url.as_str().into()),
        ..Limits::default()
    };
    let response = post("http://gate.test/hook", &limits).await.unwrap();
    assert_eq!(text(&response), "POST http://gate.test/hook HTTP/1.1");
}

#[tokio::test]
async fn credentials_are_not_handed_on_to_another_server_by_a_redirect() {
    let other = Server::answering(|request| {
        let has_key = request.to_lowercase().contains("x-key: secret");
        let body = if has_key { "stolen" } else { "nothing" };
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let target = other.url.clone();
    let first = Server::start(move |mut stream| {
        let target = target.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let place = if request.starts_with("GET /within") {
                    "/done"
                } else {
                    &target
                };
                let body = if request.starts_with("GET /done") {
                    "here"
                } else {
                    ""
                };
                let answer = if body.is_empty() {
                    format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n")
                } else {
                    format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    )
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let ask = async |path: &str, redirects: Redirects| {
        let request = Request::get(format!("{}{path}", first.url)).header("x-key", "secret");
        let limits = Limits {
            redirects,
            ..Limits::default()
        };
        let request = request.body(Vec::new()).unwrap();
        let answer = HttpClient::new().send(request, &limits).await.unwrap();
        let body = String::from_utf8(answer.body().clone()).unwrap();
        (answer.status().as_u16(), body)
    };
    let ok = |body: &str| (200, body.to_owned());
    assert_eq!(
        ask("/out", Redirects::Anywhere).await,
        ok("stolen"),
        "Go's client, for hooks"
    );
    assert_eq!(
        ask("/out", Redirects::SameServer).await,
        (302, String::new())
    );
    assert_eq!(ask("/within", Redirects::SameServer).await, ok("here"));
}

#[tokio::test]
async fn certificates_that_are_none_fail_the_call_and_are_not_shown() {
    let rubbish = || {
        secrecy::SecretSlice::from(
            b"-----BEGIN CERTIFICATE-----\nSSSS\n-----END CERTIFICATE-----\n".to_vec(),
        )
    };
    let limits = Limits {
        certificates: Some(Certificates {
            ca: Some(rubbish()),
            identity: Some((rubbish(), rubbish())),
        }),
        ..Limits::default()
    };
    let request = Request::get("https://127.0.0.1:1/")
        .body(Vec::new())
        .unwrap();
    let failed = HttpClient::new().send(request, &limits).await.unwrap_err();
    let shown = format!("{failed} {failed:?} {limits:?}");
    assert!(!shown.contains("SSSS"), "{shown}");
}
