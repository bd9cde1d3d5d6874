//! The names and labels that scrapers, rules and dashboards rely on.

use std::collections::BTreeSet;

use super::*;

fn podinfo() -> ReleaseLabels {
    ReleaseLabels::new("test", "podinfo")
}

fn check(name: &str, source: MetricSource) -> MetricCheck {
    MetricCheck {
        name: name.to_owned(),
        source,
        interval: "1m".to_owned(),
        min: None,
        max: None,
    }
}

fn everything_happens_to(metrics: &Metrics, release: &ReleaseLabels) {
    let strategy = Strategy::AbTesting { iterations: 1 };
    metrics.phase(release, Phase::Progressing);
    metrics.weight(release, Weight::clamped(30));
    metrics.reading(
        release,
        &check("latency", MetricSource::RequestDuration),
        250.0,
    );
    metrics.reading(release, &check("success", MetricSource::SuccessRate), 99.5);
    metrics.tick(release, Duration::from_millis(20));
    metrics.evidence(release, 1000.0_f64.ln(), true);
    metrics.outcome(release, &strategy, Outcome::Succeeded);
    metrics.outcome(release, &strategy, Outcome::Skipped);
    metrics.outcome(release, &strategy, Outcome::Failed);
}

fn lines(metrics: &Metrics) -> Vec<String> {
    let text = metrics.encode();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let mut lines: Vec<_> = series.map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_series_are_flaggers() {
    let metrics = Metrics::new("istio");
    metrics.canaries("test", 2);
    everything_happens_to(&metrics, &podinfo());
    let text = lines(&metrics).join("\n");
    let version = env!("CARGO_PKG_VERSION");
    for expected in [
        &format!(r#"flagger_info{{version="{version}",mesh_provider="istio"}} 1"#),
        r#"flagger_canary_total{namespace="test"} 2"#,
        r#"flagger_canary_status{name="podinfo",namespace="test"} 0"#,
        r#"flagger_canary_weight{workload="podinfo",namespace="test"} 30"#,
        r#"flagger_canary_weight{workload="podinfo-primary",namespace="test"} 70"#,
        r#"flagger_canary_metric_analysis{name="podinfo",namespace="test",metric="latency"} 0.25"#,
        r#"flagger_canary_metric_analysis{name="podinfo",namespace="test",metric="success"} 99.5"#,
        r#"flagger_canary_duration_seconds_count{name="podinfo",namespace="test"} 1"#,
        r#"flagger_canary_duration_seconds_bucket{le="0.025",name="podinfo",namespace="test"} 1"#,
        r#"flagger_canary_successes_total{name="podinfo",namespace="test",deployment_strategy="ab-testing",analysis_status="completed"} 1"#,
        r#"flagger_canary_successes_total{name="podinfo",namespace="test",deployment_strategy="ab-testing",analysis_status="skipped"} 1"#,
        r#"flagger_canary_failures_total{name="podinfo",namespace="test",deployment_strategy="ab-testing",analysis_status="completed"} 1"#,
        r#"slipway_evidence{name="podinfo",namespace="test"} 2.99999"#,
        r#"slipway_would_roll_back{name="podinfo",namespace="test"} 1"#,
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn the_status_is_flaggers_number() {
    let metrics = Metrics::default();
    let rows = [
        (Phase::Progressing, 0),
        (Phase::Failed, 2),
        (Phase::Waiting, 1),
        (Phase::Succeeded, 1),
    ];
    for (phase, expected) in rows {
        metrics.phase(&podinfo(), phase);
        let line =
            format!(r#"flagger_canary_status{{name="podinfo",namespace="test"}} {expected}"#);
        assert!(lines(&metrics).contains(&line), "{phase:?}");
    }
}

#[test]
fn series_vanish_with_their_canary() {
    let metrics = Metrics::new("istio");
    metrics.canaries("test", 1);
    let before = lines(&metrics);
    for number in 0..1000 {
        let release = ReleaseLabels::new("test", &format!("app-{number}"));
        everything_happens_to(&metrics, &release);
        metrics.forget(&release);
    }
    assert_eq!(lines(&metrics), before);
    metrics.canaries("test", 0);
    assert_eq!(lines(&metrics).len(), before.len() - 1);
}

#[test]
fn forgetting_one_release_leaves_the_others() {
    let metrics = Metrics::default();
    everything_happens_to(&metrics, &podinfo());
    let before = lines(&metrics);
    let other = ReleaseLabels::new("test", "other");
    everything_happens_to(&metrics, &other);
    metrics.forget(&other);
    assert_eq!(lines(&metrics), before);
}

#[test]
fn our_own_series_have_labels_from_closed_sets() {
    let metrics = Metrics::default();
    metrics.leading(true);
    metrics.decision(DecisionKind::Act);
    metrics.error(Class::Conflict);
    metrics.panicked();
    metrics.alert(Delivery::Dropped);
    metrics.event(Delivery::Sent);
    let text = metrics.encode();
    for expected in [
        "slipway_leader 1",
        r#"slipway_decisions_total{kind="act"} 1"#,
        r#"slipway_errors_total{class="conflict"} 1"#,
        "slipway_panics_total 1",
        r#"slipway_alerts_total{result="dropped"} 1"#,
        r#"slipway_events_total{result="sent"} 1"#,
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn what_has_not_happened_yet_is_shown_as_zero() {
    let metrics = Metrics::default();
    let strategy = Strategy::AbTesting { iterations: 1 };
    metrics.expect_outcomes(&podinfo(), &strategy);
    let text = metrics.encode();
    for expected in [
        r#"slipway_decisions_total{kind="ask"} 0"#,
        r#"slipway_errors_total{class="denied"} 0"#,
        r#"slipway_alerts_total{result="failed"} 0"#,
        r#"slipway_alerts_total{result="dropped"} 0"#,
        r#"slipway_events_total{result="sent"} 0"#,
        r#"flagger_canary_successes_total{name="podinfo",namespace="test",deployment_strategy="ab-testing",analysis_status="completed"} 0"#,
        r#"flagger_canary_failures_total{name="podinfo",namespace="test",deployment_strategy="ab-testing",analysis_status="completed"} 0"#,
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    metrics.outcome(&podinfo(), &strategy, Outcome::Succeeded);
    metrics.expect_outcomes(&podinfo(), &strategy);
    let promoted = r#"flagger_canary_successes_total{name="podinfo",namespace="test",deployment_strategy="ab-testing",analysis_status="completed"} 1"#;
    assert!(metrics.encode().contains(promoted), "it counts on");
}

/// Every name of ours in a query: `flagger_…` or `slipway_…`.
fn names_of(query: &str) -> Vec<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("flagger_") || word.starts_with("slipway_"))
        .collect()
}

/// What meshes and applications count, as the built-in queries of the `metrics` crate read it.
const TELEMETRY: [&str; 5] = [
    "istio_requests_total",
    "istio_request_duration_milliseconds_bucket",
    "response_total",
    "response_latency_ms_bucket",
    "http_request_duration_seconds_",
];

/// The queries of a dashboard with what shows them.
fn queries(board: &serde_json::Value) -> Vec<(String, String)> {
    let list =
        |value: &serde_json::Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let of = |panel: &serde_json::Value| {
        let title = panel["title"].to_string();
        let shown = list(panel, "targets").into_iter();
        shown.map(move |it| {
            (
                title.clone(),
                it["expr"].as_str().unwrap_or_default().to_owned(),
            )
        })
    };
    list(board, "panels").iter().flat_map(of).collect()
}

/// The names of everything that is exported once everything has happened.
fn exported() -> BTreeSet<String> {
    let metrics = Metrics::new("istio");
    metrics.canaries("test", 2);
    everything_happens_to(&metrics, &podinfo());
    metrics.decision(DecisionKind::Act);
    metrics.error(Class::Conflict);
    metrics.alert(Delivery::Dropped);
    metrics.event(Delivery::Sent);
    metrics.api_request(&ApiLabels {
        verb: "get",
        resource: "pods".to_owned(),
        code: 200,
    });
    let series = lines(&metrics);
    let names = series
        .iter()
        .filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_alert_is_about_metrics_that_exist() {
    let rules = include_str!("../../../../../dist/install/monitoring/prometheusrule.yaml");
    let known = exported();
    let expressions = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    let mut count = 0;
    for expression in expressions {
        let names = names_of(expression);
        assert!(!names.is_empty(), "{expression} is about nothing of ours");
        for name in names {
            assert!(
                known.contains(name),
                "{expression}: {name} is not exported: {known:?}"
            );
        }
        count += 1;
    }
    assert!(count > 4, "there are {count} alerts");
}

#[test]
fn every_panel_of_the_dashboards_shows_metrics_that_exist() {
    let known = exported();
    for board in ["controller", "releases", "service"] {
        let path = format!(
            "{}/../../dashboards/{board}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let queries = queries(&serde_json::from_str(&text).unwrap());
        assert!(queries.len() > 4, "{board} shows almost nothing");
        for (panel, query) in queries {
            let names = names_of(&query);
            let is_telemetry = TELEMETRY.iter().any(|name| query.contains(name));
            assert!(
                !names.is_empty() || is_telemetry,
                "{board}, {panel}: {query} names no metric of ours or of a mesh"
            );
            for name in names {
                assert!(
                    known.contains(name),
                    "{board}, {panel}: {name} is not exported: {known:?}"
                );
            }
        }
    }
}
