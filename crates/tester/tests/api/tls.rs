//! Suites and load over TLS: whom they trust, and which HTTP is agreed on (ALPN).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use slipway_tester::suite::{Report, Suite, run};
use slipway_tester::wire::{Authorities, AuthoritiesError, Network};
use slipway_tester::{Settings, Variables};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Seen, Tester, application};

/// A service behind TLS, and the authority that vouches for it.
struct Service {
    url: String,
    authority: String,
    seen: Arc<Seen>,
}

impl Service {
    fn trusted(&self) -> Authorities {
        Authorities::parse(&self.authority).unwrap()
    }
}

/// Accepts connections, and those only that agree on TLS.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A service that speaks these protocols, by their names in ALPN; the first is the one that it prefers.
async fn service(protocols: &[&str]) -> Service {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();

    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (app, seen) = application();
    tokio::spawn(async move { axum::serve(Tls { tcp, acceptor }, app).await.unwrap() });
    Service {
        url,
        authority: authority.pem(),
        seen,
    }
}

async fn report(suite: &str, service: &Service, trusted: Authorities) -> Report {
    let suite = Suite::parse(suite, "test").unwrap();
    let variables = Variables::from([("url".to_owned(), service.url.clone())]);
    run(&suite, &variables, &Arc::new(Network::new(trusted))).await
}

/// How often the service was asked, and how often of it by HTTP/2.
fn asked(service: &Service) -> (u32, u32) {
    let Seen {
        requests, http2, ..
    } = &*service.seen;
    (
        requests.load(Ordering::SeqCst),
        http2.load(Ordering::SeqCst),
    )
}

const BOTH: &[&str] = &["h2", "http/1.1"];

#[tokio::test]
async fn a_suite_trusts_the_authority_that_it_was_given() {
    let service = service(BOTH).await;
    let suite = "{base: '${url}', checks: [{name: one, request: {url: /version}}]}";
    let trusted = report(suite, &service, service.trusted()).await;
    assert!(trusted.has_passed(), "{trusted}");

    let unknown = report(suite, &service, Authorities::default()).await;
    let line = unknown.line();
    assert!(line.contains("got connect: "), "{line}");
    assert!(line.contains("certificate"), "{line}");

    let another = self::service(BOTH).await.trusted();
    assert!(!report(suite, &service, another).await.has_passed());

    let anybody = suite.replace("/version", "/version, insecure: true");
    let unverified = report(&anybody, &service, Authorities::default()).await;
    assert!(unverified.has_passed(), "{unverified}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let mut service = service(BOTH).await;
    service.url = service.url.replace("localhost", "127.0.0.1");
    let suite = "{base: '${url}', checks: [{name: one, request: {url: /version}}]}";
    let report = report(suite, &service, service.trusted()).await;
    assert!(report.line().contains("not valid for name"), "{report}");
}

#[tokio::test]
async fn which_http_is_spoken_is_agreed_on_by_alpn() {
    // What the server offers, what the suite asks for; how many of one request went by HTTP/2.
    let rows: [(&[&str], &str, Option<u32>); 7] = [
        (BOTH, "auto", Some(1)),
        (BOTH, "http1", Some(0)),
        (BOTH, "http2", Some(1)),
        (&["http/1.1"], "auto", Some(0)),
        (&["http/1.1"], "http2", None),
        (&["h2"], "auto", Some(1)),
        (&["h2"], "http1", None),
    ];
    for (offered, protocol, expected) in rows {
        let service = service(offered).await;
        let suite = format!(
            "{{base: '${{url}}', checks: [{{request: {{url: /count, protocol: {protocol}}}}}]}}"
        );
        let report = report(&suite, &service, service.trusted()).await;
        let went = report.has_passed().then(|| asked(&service).1);
        assert_eq!(went, expected, "{offered:?}, {protocol}: {report}");
    }
}

#[tokio::test]
async fn grpc_health_is_asked_over_tls() {
    let service = service(&["h2"]).await;
    let suite = "{checks: [{name: healthy, grpc: {url: '${url}', service: podinfo}}]}";
    let report = report(suite, &service, service.trusted()).await;
    assert!(report.has_passed(), "{report}");
}

#[tokio::test]
async fn a_load_of_a_hook_is_put_on_over_tls() {
    let service = service(BOTH).await;
    let settings = Settings {
        authorities: service.trusted(),
        ..Settings::default()
    };
    let tester = Tester::start(settings).await;
    let url = format!("{}/count", service.url);
    for (protocol, expected) in [("auto", (20, 20)), ("http1", (40, 20)), ("http2", (60, 40))] {
        let metadata = [
            ("type", "load"),
            ("url", &url),
            ("protocol", protocol),
            ("rate", "200"),
            ("duration", "100ms"),
            ("wait", "true"),
        ];
        let (status, answer) = tester.hook(&metadata).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(asked(&service), expected, "{protocol}");
    }
}

#[test]
fn what_is_no_certificate_is_told_at_once() {
    let broken = "-----BEGIN CERTIFICATE-----\nSSSS\n-----END CERTIFICATE-----\n";
    let rows = [
        ("", AuthoritiesError::None),
        ("none", AuthoritiesError::None),
        (broken, AuthoritiesError::Unreadable),
    ];
    for (text, expected) in rows {
        assert_eq!(Authorities::parse(text).unwrap_err(), expected, "{text}");
    }
}
