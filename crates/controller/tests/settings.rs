//! Flags and environment, in Flagger's spelling and ours.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use slipway_controller::leader::{LEASE_NAME, Timings};
use slipway_controller::record::metrics::Metrics;
use slipway_controller::settings::{
    AnnotationScope, Args, GlobalNotifier, LogFormat, Namespaces, Origin, ParseError, Policy, Rate,
    SecretName, Settings, client, clients,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn read(words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, ParseError> {
    let environment: BTreeMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::read(words.iter().map(OsString::from), &environment)
}

fn settings(words: &[&str]) -> Settings {
    read(words, &[]).unwrap()
}

/// What is said about arguments that are refused, and the exit code.
fn refused(words: &[&str]) -> (String, i32) {
    match read(words, &[]).unwrap_err() {
        ParseError::Usage(error) => (error.to_string(), error.exit_code()),
        ParseError::Meaning(problems) => {
            let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
            (texts.join("\n"), 2)
        }
    }
}

#[test]
fn the_arguments_of_flaggers_chart_are_taken_as_they_are() {
    let settings = settings(&[
        "-log-level=info",
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus.istio-system:9090",
        "-selector-labels=app,name,app.kubernetes.io/name",
        "-enable-config-tracking=true",
        "-include-label-prefix=app.kubernetes.io",
        "-ingress-annotations-prefix=custom.ingress.kubernetes.io",
        "-ingress-class=contour",
        "-cluster-name=prod",
        "-no-cross-namespace-refs=true",
        "-slack-user=flagger",
        "-slack-channel=general",
        "-slack-url=https://hooks.slack.test/services/T/B/x",
        "-slack-proxy-url=http://proxy.test:3128",
        "-event-webhook=http://events.test/",
        "-kubeconfig-qps=100",
        "-kubeconfig-burst=250",
        "-kubeconfig-service-mesh=/tmp/controlplane/kubeconfig",
        "-threadiness=2",
        "-enable-leader-election=true",
        "-leader-election-namespace=flagger-system",
    ]);
    let releases = &settings.releases;
    assert_eq!(releases.defaults.provider, "istio");
    assert!(!releases.defaults.cross_namespace_references);
    assert_eq!(
        releases.codecs.include_label_prefixes,
        ["app.kubernetes.io"]
    );
    assert_eq!(
        releases.codecs.selector_labels,
        ["app", "name", "app.kubernetes.io/name"]
    );
    assert_eq!(
        releases.ingress_annotations_prefix,
        "custom.ingress.kubernetes.io"
    );
    assert_eq!(releases.ingress_class.as_deref(), Some("contour"));
    assert!(releases.config_tracking);
    assert_eq!(
        settings.metrics_server.as_str(),
        "http://prometheus.istio-system:9090"
    );
    let rate = Rate {
        requests: 250,
        within: Duration::from_millis(2500),
    };
    assert_eq!(settings.cluster.rate, Some(rate));
    let mesh = settings.cluster.mesh_kubeconfig.unwrap();
    assert_eq!(mesh.to_str(), Some("/tmp/controlplane/kubeconfig"));
    assert_eq!(settings.notify.cluster_name.as_deref(), Some("prod"));
    assert_eq!(
        settings.notify.event_webhook.unwrap().expose_secret(),
        "http://events.test/"
    );
    let Some(GlobalNotifier::Slack {
        url,
        token,
        proxy,
        user,
        channel,
    }) = settings.notify.notifier
    else {
        panic!("no Slack");
    };
    assert_eq!(
        url.expose_secret(),
        "https://hooks.slack.test/services/T/B/x"
    );
    assert!(token.is_none());
    assert_eq!(proxy.unwrap().expose_secret(), "http://proxy.test:3128");
    assert_eq!((user.as_str(), channel.as_str()), ("flagger", "general"));
    assert_eq!(settings.leader.unwrap().namespace, "flagger-system");
    assert_eq!(settings.warnings, []);
}

#[test]
fn the_arguments_of_flaggers_overlays_are_taken_as_they_are() {
    let overlays: [&[&str]; 4] = [
        &["-log-level=info", "-include-label-prefix=app.kubernetes.io"],
        &[
            "-log-level=info",
            "-include-label-prefix=app.kubernetes.io",
            "-mesh-provider=gatewayapi:v1beta1",
            "-metrics-server=http://prometheus.linkerd-viz:9090",
        ],
        &[
            "-mesh-provider=contour",
            "-ingress-class=contour",
            "-metrics-server=http://flagger-prometheus:9090",
        ],
        &[
            "-mesh-provider=kuma",
            "-metrics-server=http://prometheus-server.mesh-observability:80",
        ],
    ];
    for words in overlays {
        assert!(read(words, &[]).is_ok(), "{words:?}");
    }
}

#[test]
fn without_arguments_the_defaults_are_those_that_are_documented() {
    let settings = settings(&[]);
    assert_eq!(settings.cluster.namespaces, Namespaces::All);
    let rate = Rate {
        requests: 2000,
        within: Duration::from_secs(2),
    };
    assert_eq!(settings.cluster.rate, Some(rate));
    assert_eq!(
        settings.releases.defaults,
        slipway_core::plan::Defaults::default()
    );
    assert_eq!(
        settings.releases.codecs,
        slipway_core::blueprint::CodecSettings::default()
    );
    assert_eq!(settings.releases.annotations, AnnotationScope::All);
    assert_eq!(settings.releases.policy, Policy::Free);
    assert!(!settings.releases.limits.exist());
    assert_eq!(settings.metrics_server.as_str(), "http://prometheus:9090");
    let leader = settings.leader.unwrap();
    assert_eq!(
        (leader.namespace.as_str(), leader.lease.as_str()),
        ("kube-system", LEASE_NAME)
    );
    assert_eq!(leader.timings, Timings::default());
    assert_eq!(settings.port, 8080);
    assert_eq!(
        (settings.log.level, settings.log.format),
        (tracing::Level::INFO, LogFormat::Json)
    );
    assert!(settings.notify.notifier.is_none() && settings.notify.event_webhook.is_none());
    assert_eq!(settings.given, []);
}

#[test]
fn every_spelling_of_gos_flags_means_the_same() {
    let spellings: [&[&str]; 5] = [
        &["-port=9000"],
        &["--port=9000"],
        &["-port", "9000"],
        &["--port", "9000"],
        &["-port=1", "-port=9000"],
    ];
    for words in spellings {
        assert_eq!(settings(words).port, 9000, "{words:?}");
    }
}

#[test]
fn booleans_are_read_as_go_reads_them() {
    let rows = [
        ("-enable-leader-election", true),
        ("--enable-leader-election", true),
        ("-enable-leader-election=1", true),
        ("-enable-leader-election=T", true),
        ("-enable-leader-election=False", false),
        ("-enable-leader-election=0", false),
        ("--enable-leader-election=f", false),
    ];
    for (word, expected) in rows {
        assert_eq!(settings(&[word]).leader.is_some(), expected, "{word}");
    }
    let (text, code) = refused(&["-enable-leader-election=yes"]);
    assert_eq!(code, 2);
    assert!(
        text.contains("allowed are true, t, 1, false, f, 0"),
        "{text}"
    );
    // Go takes the word for the first that is no flag and ignores it and all behind it.
    assert_eq!(refused(&["-enable-leader-election", "false"]).1, 2);
}

#[test]
fn a_value_may_begin_with_a_dash_or_be_empty() {
    assert_eq!(
        settings(&["-cluster-name", "-x"])
            .notify
            .cluster_name
            .as_deref(),
        Some("-x")
    );
    assert_eq!(settings(&["-cluster-name="]).notify.cluster_name, None);
    assert_eq!(
        settings(&["-namespace", ""]).cluster.namespaces,
        Namespaces::All
    );
}

#[test]
fn the_flags_of_klog_and_those_without_meaning_are_accepted() {
    let words = [
        "-v=4",
        "-v",
        "4",
        "-vmodule=a=1",
        "-logtostderr",
        "-logtostderr=false",
        "-alsologtostderr=true",
        "-alsologtostderrthreshold=1",
        "-stderrthreshold=2",
        "-legacy_stderr_threshold_behavior=true",
        "-log_dir=/tmp",
        "-log_file=x",
        "-log_file_max_size=1800",
        "-log_backtrace_at=a:1",
        "-add_dir_header",
        "-skip_headers",
        "-skip_log_headers",
        "-one_output",
        "-control-loop-interval=10s",
        "-threadiness=2",
        "-zap-replace-globals",
        "-zap-replace-globals=true",
    ];
    assert_eq!(settings(&words).warnings, []);
}

#[test]
fn an_unknown_flag_is_refused_with_exit_code_two() {
    for word in ["-no-such-flag", "--no-such-flag", "-no-such-flag=x", "word"] {
        let (text, code) = refused(&[word]);
        assert_eq!(code, 2, "{word}");
        assert!(
            text.contains(word.trim_start_matches('-').trim_end_matches("=x")),
            "{text}"
        );
    }
}

#[test]
fn help_and_version_are_not_errors() {
    assert_eq!(refused(&["-h"]).1, 0);
    assert_eq!(refused(&["-help"]).1, 0);
    assert!(
        Args::read([OsString::from("-version")])
            .unwrap()
            .asks_version()
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let (text, _) = refused(&[
        "-mesh-provider=envoy",
        "-metrics-server=prometheus:9090",
        "-namespace=Test",
        "-selector-labels=,",
        "-lease-duration=5s",
    ]);
    for part in [
        "--mesh-provider is envoy",
        "--metrics-server",
        "--namespace is Test",
        "--selector-labels",
        "--lease-duration is 5s",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let bad_values = [
        ["-settle=5"],
        ["-settle=-5s"],
        ["-port=70000"],
        ["-concurrency=0"],
        ["-annotations=some"],
    ];
    for words in bad_values {
        assert_eq!(refused(&words).1, 2, "{words:?}");
    }
}

#[test]
fn a_list_of_namespaces_decides_where_the_lease_is() {
    let rows: [(&[&str], &str); 4] = [
        (&[], "kube-system"),
        (&["-leader-election-namespace=ops"], "ops"),
        (
            &["-namespace=test", "-leader-election-namespace=ops"],
            "test",
        ),
        (&["-namespace= b , a,b,"], "b"),
    ];
    for (words, expected) in rows {
        assert_eq!(
            settings(words).leader.unwrap().namespace,
            expected,
            "{words:?}"
        );
    }
    let both = settings(&["-namespace=b,a,b"]).cluster.namespaces;
    assert_eq!(both, Namespaces::Some(vec!["b".to_owned(), "a".to_owned()]));
}

#[test]
fn our_own_flags_are_read() {
    let settings = settings(&[
        "--minimum-interval=1s",
        "--settle=500ms",
        "--lease-name=flagger-leader-election",
        "--lease-duration=60s",
        "--renew-deadline=15s",
        "--retry-period=5s",
        "--annotations=canary",
        "--policy=strict",
        "--concurrency=8",
        "--max-releases=10",
        "--max-releases-per-namespace=2",
        "--log-format=text",
        "-zap-encoding=json",
        "-kubeconfig-qps=0",
    ]);
    assert_eq!(
        settings.releases.defaults.minimum_interval,
        TimeDelta::seconds(1)
    );
    assert_eq!(
        settings.releases.defaults.settle,
        TimeDelta::milliseconds(500)
    );
    let leader = settings.leader.unwrap();
    assert_eq!(leader.lease, "flagger-leader-election");
    assert_eq!(leader.timings.duration(), Duration::from_mins(1));
    assert_eq!(settings.releases.annotations, AnnotationScope::Canary);
    assert_eq!(settings.releases.policy, Policy::Strict);
    assert_eq!(settings.releases.concurrency, 8);
    let limits = settings.releases.limits;
    assert_eq!((limits.all, limits.in_namespace), (10, 2));
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.cluster.rate, None);
}

#[test]
fn the_log_level_is_flaggers_word() {
    let rows = [
        ("debug", tracing::Level::DEBUG, 0),
        ("info", tracing::Level::INFO, 0),
        ("warn", tracing::Level::WARN, 0),
        ("error", tracing::Level::ERROR, 0),
        ("fatal", tracing::Level::ERROR, 0),
        ("warning", tracing::Level::INFO, 1),
        ("", tracing::Level::INFO, 1),
    ];
    for (word, expected, warnings) in rows {
        let settings = settings(&["-log-level", word]);
        assert_eq!(settings.log.level, expected, "{word}");
        assert_eq!(settings.warnings.len(), warnings, "{word}");
    }
    assert_eq!(
        settings(&["-zap-encoding=console"]).log.format,
        LogFormat::Text
    );
}

#[test]
fn flaggers_variables_win_over_the_flags_unless_they_are_empty() {
    let words = [
        "-slack-url=https://flag.test/",
        "-slack-channel=general",
        "-event-webhook=http://flag.test/",
    ];
    let url = |environment: &[(&str, &str)]| {
        let settings = read(&words, environment).unwrap();
        let Some(GlobalNotifier::Slack { url, .. }) = settings.notify.notifier else {
            panic!("no Slack");
        };
        let event = settings.notify.event_webhook.unwrap();
        (
            url.expose_secret().to_owned(),
            event.expose_secret().to_owned(),
        )
    };
    let flags = (
        "https://flag.test/".to_owned(),
        "http://flag.test/".to_owned(),
    );
    assert_eq!(url(&[]), flags);
    assert_eq!(url(&[("SLACK_URL", ""), ("EVENT_WEBHOOK_URL", "")]), flags);
    let environment = (
        "https://env.test/".to_owned(),
        "http://env.test/".to_owned(),
    );
    assert_eq!(
        url(&[
            ("SLACK_URL", "https://env.test/"),
            ("EVENT_WEBHOOK_URL", "http://env.test/")
        ]),
        environment
    );
}

#[test]
fn teams_wins_over_slack_and_slack_without_channel_is_off_with_a_warning() {
    let both = read(
        &["-slack-url=https://slack.test/", "-slack-channel=general"],
        &[
            ("MSTEAMS_URL", "https://teams.test/"),
            ("MSTEAMS_PROXY_URL", "http://proxy.test"),
        ],
    );
    let Some(GlobalNotifier::Teams { url, proxy }) = both.unwrap().notify.notifier else {
        panic!("no Teams");
    };
    assert_eq!(url.expose_secret(), "https://teams.test/");
    assert_eq!(proxy.unwrap().expose_secret(), "http://proxy.test");
    let silent = settings(&["-slack-url=https://slack.test/"]);
    assert!(silent.notify.notifier.is_none());
    assert_eq!(silent.warnings.len(), 1);
}

#[test]
fn a_url_of_a_notifier_that_is_none_is_a_warning_that_does_not_tell_it() {
    let settings = settings(&["-msteams-url=s3cret"]);
    assert!(settings.notify.notifier.is_none());
    let warning = settings.warnings.first().unwrap().to_string();
    assert!(
        warning.contains("--msteams-url") && !warning.contains("s3cret"),
        "{warning}"
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let words = [
        "-slack-url=https://slack.test/s3cret",
        "-slack-token=s3cret",
        "-slack-proxy-url=http://u:s3cret@proxy.test",
        "-slack-channel=general",
        "-event-webhook=http://u:s3cret@events.test/",
        "-metrics-server=http://u:s3cret@prometheus.test:9090",
    ];
    let settings = settings(&words);
    assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
    let args = Args::read(words.iter().map(OsString::from)).unwrap();
    assert!(!format!("{args:?}").contains("token=s3cret"));
}

#[test]
fn what_was_given_is_known_with_its_origin() {
    let settings = settings(&[
        "-port=9000",
        "-slack-token=s3cret",
        "-enable-leader-election",
    ]);
    let given: Vec<_> = settings
        .given
        .iter()
        .map(|given| (given.flag.as_str(), given.value.as_str(), given.origin))
        .collect();
    let expected = [
        ("enable-leader-election", "true", Origin::Flag),
        ("slack-token", "***", Origin::Flag),
        ("port", "9000", Origin::Flag),
    ];
    assert_eq!(given, expected);
}

/// A kubeconfig of that API server, in a file of its own.
fn kubeconfig(name: &str, server: &str) -> String {
    let path = format!("{}/{name}.kubeconfig", env!("CARGO_TARGET_TMPDIR"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: {server}}}}}]\nusers: [{{name: u, user: {{token: t0k3n}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn routes_of_another_cluster_are_known_to_be_elsewhere() {
    let here = kubeconfig("here", "http://127.0.0.1:1");
    let there = kubeconfig("there", "http://127.0.0.1:2");
    for (mesh, elsewhere) in [(&here, false), (&there, true)] {
        let flags = [
            format!("-kubeconfig={here}"),
            format!("-kubeconfig-service-mesh={mesh}"),
        ];
        let settings = settings(&flags.each_ref().map(String::as_str));
        let clients = clients(&settings, &Metrics::default()).await.unwrap();
        assert_eq!(clients.mesh_is_elsewhere, elsewhere);
    }
    let alone = settings(&["-kubeconfig", &here]);
    assert!(
        !clients(&alone, &Metrics::default())
            .await
            .unwrap()
            .mesh_is_elsewhere
    );
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() {
    let settings = settings(&["-kubeconfig=/no/such/file"]);
    let error = client(&settings).await.err().unwrap();
    assert_eq!(error.to_string(), "read the kubeconfig /no/such/file");
}

#[tokio::test]
async fn requests_to_the_api_server_say_who_asks_and_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let path = kubeconfig("counted", "http://127.0.0.1:1");
    // The URL wins over that of the kubeconfig.
    let settings = settings(&["-kubeconfig", &path, "-master", &url]);
    let metrics = Metrics::default();
    let clients = clients(&settings, &metrics).await.unwrap();
    let asked = tokio::spawn(async move { clients.api.apiserver_version().await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(head.get(..read).unwrap()).to_lowercase();
    assert!(head.starts_with("get /version "), "{head}");
    assert!(head.contains("authorization: bearer t0k3n\r\n"), "{head}");
    assert!(
        head.contains(&format!(
            "user-agent: {}\r\n",
            slipway_controller::http::USER_AGENT
        )),
        "{head}"
    );
    stream
        .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")
        .await
        .unwrap();
    assert!(asked.await.unwrap().is_err());
    let text = metrics.encode();
    let expected = r#"slipway_api_requests_total{verb="list",resource="discovery",code="403"} 1"#;
    assert!(text.contains(expected), "{text}");
}

#[test]
fn the_secret_of_the_metrics_server_is_named_with_or_without_its_namespace() {
    let named = |text: &str| SecretName::parse("--metrics-server-secret", text);
    let secret = |namespace: Option<&str>, name: &str| SecretName {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    assert_eq!(named("prom"), Ok(secret(None, "prom")));
    assert_eq!(
        named("monitoring/prom"),
        Ok(secret(Some("monitoring"), "prom"))
    );
    for wrong in ["", "/", "a/", "/a", "a/b/c", "Prom", "a b"] {
        assert!(named(wrong).is_err(), "{wrong:?}");
    }
}
