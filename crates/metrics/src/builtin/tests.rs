use super::*;
use crate::variables::podinfo;

/// The values of a recorded story.
fn recorded(namespace: &str) -> Variables {
    let name = || "app".to_owned();
    Variables {
        name: name(),
        namespace: namespace.to_owned(),
        target: name(),
        service: name(),
        ingress: name(),
        route: name(),
        ..podinfo()
    }
}

#[test]
fn the_queries_are_those_that_a_recorded_flagger_sent() {
    let rows = [
        (
            Telemetry::Istio,
            "t-canary-succeeds",
            r#"sum( rate( istio_requests_total{ reporter="destination", destination_workload_namespace="t-canary-succeeds", destination_workload=~"app", response_code!~"5.*" }[1m] ) ) / sum( rate( istio_requests_total{ reporter="destination", destination_workload_namespace="t-canary-succeeds", destination_workload=~"app" }[1m] ) ) * 100"#,
            r#"histogram_quantile( 0.99, sum( rate( istio_request_duration_milliseconds_bucket{ reporter="destination", destination_workload_namespace="t-canary-succeeds", destination_workload=~"app" }[1m] ) ) by (le) )"#,
            Unit::Milliseconds,
        ),
        (
            Telemetry::Linkerd,
            "t-linkerd-canary",
            r#"sum( rate( response_total{ namespace="t-linkerd-canary", deployment=~"app", classification!="failure", direction="inbound" }[1m] ) ) / sum( rate( response_total{ namespace="t-linkerd-canary", deployment=~"app", direction="inbound" }[1m] ) ) * 100"#,
            r#"histogram_quantile( 0.99, sum( rate( response_latency_ms_bucket{ namespace="t-linkerd-canary", deployment=~"app", direction="inbound" }[1m] ) ) by (le) )"#,
            Unit::Milliseconds,
        ),
        (
            Telemetry::Http,
            "t-kubernetes-blue-green",
            r#"sum( rate( http_request_duration_seconds_count{ kubernetes_namespace="t-kubernetes-blue-green", kubernetes_pod_name=~"app-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)", status!~"5.*" }[1m] ) ) / sum( rate( http_request_duration_seconds_count{ kubernetes_namespace="t-kubernetes-blue-green", kubernetes_pod_name=~"app-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)" }[1m] ) ) * 100"#,
            r#"histogram_quantile( 0.99, sum( rate( http_request_duration_seconds_bucket{ kubernetes_namespace="t-kubernetes-blue-green", kubernetes_pod_name=~"app-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)" }[1m] ) ) by (le) )"#,
            Unit::Seconds,
        ),
    ];
    for (telemetry, namespace, rate, duration, unit) in rows {
        let variables = recorded(namespace);
        assert_eq!(
            success_rate(telemetry, &variables),
            Query {
                text: rate.to_owned(),
                unit: Unit::Percent
            }
        );
        assert_eq!(
            request_duration(telemetry, &variables),
            Query {
                text: duration.to_owned(),
                unit
            }
        );
    }
}

#[test]
fn the_window_is_one_minute_where_the_check_names_none() {
    let without = Variables {
        interval: String::new(),
        ..podinfo()
    };
    for telemetry in Telemetry::ALL {
        assert_eq!(
            success_rate(telemetry, &without),
            success_rate(telemetry, &podinfo())
        );
        assert_eq!(
            request_duration(telemetry, &without),
            request_duration(telemetry, &podinfo())
        );
    }
}

#[test]
fn the_pods_of_a_daemon_set_are_told_from_those_of_its_primary() {
    let daemon_set = Variables {
        target_kind: TargetKind::DaemonSet,
        ..podinfo()
    };
    for telemetry in [Telemetry::Http, Telemetry::AppMesh] {
        let text = request_duration(telemetry, &daemon_set).text;
        assert!(
            text.contains(r#"kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+""#),
            "{text}"
        );
    }
}

#[test]
fn objects_named_after_the_apex_are_looked_for_by_its_name() {
    let renamed = Variables {
        service: "web".to_owned(),
        ..podinfo()
    };
    let rows = [
        (Telemetry::Contour, "\"test_web-canary_"),
        (Telemetry::Gloo, "\"test-web-canaryupstream-"),
        (Telemetry::Kuma, "\"web-canary_test_svc_"),
        (Telemetry::Traefik, "\"test-web-canary-"),
        (Telemetry::Apisix, "\"test_podinfo-web-canary_"),
        (Telemetry::Istio, "destination_workload=~\"podinfo\""),
    ];
    for (telemetry, part) in rows {
        for text in [
            success_rate(telemetry, &renamed).text,
            request_duration(telemetry, &renamed).text,
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn the_telemetry_is_chosen_by_flagger_s_rule() {
    use slipway_core::plan::TargetKind::{DaemonSet, Deployment, Knative, Service};
    let rows = [
        ("istio", "istio", Deployment, Telemetry::Istio),
        ("istio", "linkerd", Deployment, Telemetry::Linkerd),
        ("kubernetes", "kubernetes", Deployment, Telemetry::Http),
        ("kubernetes", "gatewayapi:v1", DaemonSet, Telemetry::Http),
        ("istio", "gatewayapi:v1beta1", Deployment, Telemetry::Http),
        ("linkerd", "gatewayapi:v1", Deployment, Telemetry::Linkerd),
        ("linkerd", "nginx", Deployment, Telemetry::Linkerd),
        ("linkerd", "linkerd", Service, Telemetry::Istio),
        ("osm", "osm", Deployment, Telemetry::Osm),
        ("smi:v1alpha1", "smi:v1alpha1", Deployment, Telemetry::Istio),
        ("istio", "smi:v1alpha2:istio", Deployment, Telemetry::Istio),
        (
            "istio",
            "smi:v1alpha3:linkerd",
            Deployment,
            Telemetry::Linkerd,
        ),
        ("istio", "appmesh", Deployment, Telemetry::AppMesh),
        ("istio", "appmesh:v1beta2", Service, Telemetry::AppMesh),
        ("istio", "gloo", Service, Telemetry::Gloo),
        ("istio", "gatewayapi:v1", Service, Telemetry::Http),
        ("istio", "contour", Deployment, Telemetry::Contour),
        ("istio", "contour", Service, Telemetry::Istio),
        ("kubernetes", "kubernetes", Service, Telemetry::Istio),
        ("istio", "nginx", Deployment, Telemetry::Nginx),
        ("istio", "skipper", Deployment, Telemetry::Skipper),
        ("istio", "traefik", Deployment, Telemetry::Traefik),
        ("istio", "apisix", Deployment, Telemetry::Apisix),
        ("istio", "kuma", Deployment, Telemetry::Kuma),
        ("knative", "knative", Knative, Telemetry::Knative),
    ];
    for (flag, provider, kind, expected) in rows {
        let provider = Provider::parse("spec.provider", provider).unwrap();
        assert_eq!(
            Telemetry::of(flag, &provider, kind),
            expected,
            "{flag} {provider} {kind:?}"
        );
    }
}

#[test]
fn a_duration_in_seconds_becomes_milliseconds_and_failures_keep_flagger_s_words() {
    let query = |unit| Query {
        text: String::new(),
        unit,
    };
    assert_eq!(
        query(Unit::Seconds).reading(Reading::Value(0.5)),
        Reading::Value(500.0)
    );
    assert_eq!(
        query(Unit::Milliseconds).reading(Reading::Value(0.5)),
        Reading::Value(0.5)
    );
    assert_eq!(
        query(Unit::Percent).reading(Reading::Value(99.9)),
        Reading::Value(99.9)
    );
    let said = Reading::NoData("no values found".to_owned());
    let expected = Reading::NoData("running query failed: no values found".to_owned());
    assert_eq!(query(Unit::Percent).reading(said), expected);
}
