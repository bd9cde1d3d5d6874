//! What is asked for, and what is made of answers.

use serde_json::{Value, json};

use super::*;

fn sides(canary: &str) -> Sides {
    Sides {
        namespace: "test".to_owned(),
        canary: canary.to_owned(),
        primary: format!("{canary}-primary"),
        is_daemon_set: false,
    }
}

fn answer(series: &[(Value, Value)]) -> Vec<u8> {
    let result: Vec<Value> = series
        .iter()
        .map(|(metric, values)| json!({"metric": metric, "values": values}))
        .collect();
    let data = json!({"resultType": "matrix", "result": result});
    json!({"status": "success", "data": data})
        .to_string()
        .into_bytes()
}

fn told(telemetry: Telemetry, wanted: &[Sides], series: &[(Value, Value)]) -> Vec<Vec<String>> {
    let found = read(telemetry, wanted, StatusCode::OK, &answer(series)).unwrap();
    let one = |it: &CounterSeries| {
        format!(
            "{:?} {} {:?} {}",
            it.side,
            it.pod,
            it.counts,
            it.samples.len()
        )
    };
    found
        .iter()
        .map(|counters| counters.series.iter().map(one).collect())
        .collect()
}

#[test]
fn one_query_asks_for_as_many_releases_as_there_are() {
    let minutes = TimeDelta::seconds(130);
    let two = [sides("app"), sides("api")];
    assert_eq!(
        query(Telemetry::Istio, &two, minutes).unwrap(),
        r#"istio_requests_total{destination_workload_namespace=~"test", destination_workload=~"api|api-primary|app|app-primary", reporter="destination"}[130s]"#
    );
    assert_eq!(
        query(Telemetry::Linkerd, &two[..1], minutes).unwrap(),
        r#"response_total{namespace=~"test", deployment=~"app|app-primary", direction="inbound"}[130s]"#
    );
    assert_eq!(
        query(Telemetry::Http, &two[..1], minutes).unwrap(),
        r#"http_request_duration_seconds_count{kubernetes_namespace=~"test", kubernetes_pod_name=~"app-[0-9a-zA-Z]+-[0-9a-zA-Z]+|app-primary-[0-9a-zA-Z]+-[0-9a-zA-Z]+"}[130s]"#
    );
    assert_eq!(query(Telemetry::Gloo, &two, minutes), None);
}

#[test]
fn each_series_goes_to_its_release_and_side_and_failures_are_told_by_status_and_grpc() {
    let istio = |workload: &str, code: &str, grpc: &str| {
        json!({
            "destination_workload_namespace": "test", "destination_workload": workload, "pod": "it-1",
            "response_code": code, "grpc_response_status": grpc,
        })
    };
    let two = json!([[1.0, "5"], [6.25, "7"]]);
    let series = [
        (istio("app", "200", ""), two.clone()),
        (istio("app", "503", ""), two.clone()),
        (istio("app", "200", "14"), two.clone()),
        (istio("app", "200", "5"), two.clone()),
        (istio("app-primary", "404", ""), two.clone()),
        (istio("api-primary", "200", "0"), two.clone()),
        (istio("somebody-else", "500", ""), two),
    ];
    assert_eq!(
        told(Telemetry::Istio, &[sides("app"), sides("api")], &series),
        [
            vec![
                "Canary it-1 Good 2",
                "Canary it-1 Failed 2",
                "Canary it-1 Failed 2",
                "Canary it-1 Good 2",
                "Primary it-1 Good 2"
            ],
            vec!["Primary it-1 Good 2"]
        ]
    );
}

#[test]
fn a_pod_is_told_by_its_name_where_nothing_tells_its_workload() {
    let http = |pod: &str| json!({"kubernetes_namespace": "test", "kubernetes_pod_name": pod, "status": "500"});
    let one = json!([[1.5, "5"]]);
    let series = [
        (http("app-6d4b-x7k2p"), one.clone()),
        (http("app-primary-6d4b-x7k2p"), one.clone()),
        (http("app-other-6d4b-x7k2p"), one.clone()),
    ];
    assert_eq!(
        told(Telemetry::Http, &[sides("app")], &series),
        [[
            "Canary app-6d4b-x7k2p Failed 1",
            "Primary app-primary-6d4b-x7k2p Failed 1"
        ]]
    );
    let of_daemon_set = Sides {
        is_daemon_set: true,
        ..sides("app")
    };
    let series = [
        (http("app-x7k2p"), one.clone()),
        (http("app-primary-x7k2p"), one),
    ];
    assert_eq!(
        told(Telemetry::Http, &[of_daemon_set], &series),
        [[
            "Canary app-x7k2p Failed 1",
            "Primary app-primary-x7k2p Failed 1"
        ]]
    );
}

#[test]
fn samples_keep_the_times_at_which_they_were_scraped() {
    let labels = json!({"namespace": "test", "deployment": "app", "classification": "failure"});
    let body = answer(&[(labels, json!([[1_435_781_451.781, "12"]]))]);
    let found = read(Telemetry::Linkerd, &[sides("app")], StatusCode::OK, &body).unwrap();
    let expected = DateTime::from_timestamp_millis(1_435_781_451_781).unwrap();
    let series = &found[0].series[0];
    assert_eq!(series.samples, [(expected, 12.0)]);
    assert_eq!(series.counts, Counts::Failed);
}

#[test]
fn what_is_no_answer_is_said() {
    let read = |status, body: &str| {
        let read = read(Telemetry::Istio, &[sides("app")], status, body.as_bytes());
        read.unwrap_err()
    };
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    assert_eq!(
        read(StatusCode::OK, vector),
        "the query returned no range vector, allowed is one"
    );
    assert!(read(StatusCode::OK, "{}").starts_with("invalid answer: "));
    let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    assert_eq!(
        read(StatusCode::BAD_REQUEST, refused),
        "error response: Status 400 Bad Request: bad_data: parse error"
    );
}

#[test]
fn latencies_are_asked_for_by_both_ways_to_write_a_bound_and_told_by_the_bound() {
    let minute = TimeDelta::seconds(60);
    let asked = |telemetry, edges: &[u32]| {
        latency_query(telemetry, &[sides("app")], edges, minute).unwrap()
    };
    assert!(
        asked(Telemetry::Istio, &[25, 1000])
            .contains(r#"response_code!~"5.*", le=~"25([.]0)?|1000([.]0)?|[+]Inf"}[60s]"#)
    );
    assert!(
        asked(Telemetry::Http, &[25, 1000, 2500])
            .contains(r#"le=~"0[.]025|1([.]0)?|2[.]5|[+]Inf"}[60s]"#)
    );
    let bucket = |le: &str| json!({"kubernetes_namespace": "test", "kubernetes_pod_name": "app-1-2", "status": "200", "le": le});
    let one = json!([[1.5, "5"]]);
    let series = ["0.025", "1.0", "+Inf", "odd"].map(|le| (bucket(le), one.clone()));
    let found = told(Telemetry::Http, &[sides("app")], &series);
    assert_eq!(
        found,
        [[
            "Canary app-1-2 Within(25) 1",
            "Canary app-1-2 Within(1000) 1",
            "Canary app-1-2 Timed 1"
        ]]
    );
}

/// The buckets of a histogram, and the edges that are chosen.
type Row<'a> = (&'a [(&'a str, f64)], &'a [u32]);

#[test]
fn edges_are_the_bounds_above_the_quantiles_of_the_primary() {
    assert_eq!(
        edges_query(Telemetry::Linkerd, &sides("app")).unwrap(),
        r#"sum by (le) (increase(response_latency_ms_bucket{namespace="test", deployment="app-primary", direction="inbound"}[1h]))"#
    );
    let body = |buckets: &[(&str, f64)]| {
        let result: Vec<Value> = buckets
            .iter()
            .map(|(le, count)| json!({"metric": {"le": le}, "value": [1.0, count.to_string()]}))
            .collect();
        let data = json!({"resultType": "vector", "result": result});
        json!({"status": "success", "data": data}).to_string()
    };
    // Not in order, as a map may bring them; 0.5 ms is no whole number of them.
    let rows: [Row<'_>; 3] = [
        (
            &[
                ("+Inf", 1000.0),
                ("5.0", 600.0),
                ("0.5", 550.0),
                ("25", 980.0),
                ("100", 995.0),
            ],
            &[5, 25, 100],
        ),
        (&[("25", 1000.0), ("+Inf", 1000.0)], &[25]),
        (&[("25", 0.0), ("+Inf", 0.0)], &[]),
    ];
    for (buckets, expected) in rows {
        let text = body(buckets);
        let found = edges(Telemetry::Istio, StatusCode::OK, text.as_bytes()).unwrap();
        assert_eq!(found, expected, "{buckets:?}");
    }
}
