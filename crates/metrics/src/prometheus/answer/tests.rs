use super::*;

fn ok(body: &str) -> Reading {
    reading(StatusCode::OK, body.as_bytes())
}

/// A successful answer with this data.
fn data_of(result_type: &str, result: &str) -> Reading {
    ok(&format!(
        r#"{{"status":"success","data":{{"resultType":"{result_type}","result":{result}}}}}"#
    ))
}

fn one_series(value: &str) -> Reading {
    data_of(
        "vector",
        &format!(r#"[{{"metric":{{"app":"podinfo"}},"value":[1435781451.781,{value}]}}]"#),
    )
}

#[test]
fn one_series_with_a_finite_number_is_a_value() {
    for (text, value) in [
        ("\"99.5\"", 99.5),
        ("\"0\"", 0.0),
        ("\"-1e3\"", -1000.0),
        ("\"1e-320\"", 1e-320),
    ] {
        assert_eq!(one_series(text), Reading::Value(value), "{text}");
    }
    assert_eq!(
        data_of("scalar", "[1435781451.781,\"1\"]"),
        Reading::Value(1.0)
    );
}

#[test]
fn silence_and_nonsense_are_never_a_value() {
    let bad = [
        "\"NaN\"",
        "\"+Inf\"",
        "\"-Inf\"",
        "\"Inf\"",
        "\"1e999\"",
        "\"\"",
        "null",
        "1",
        "\"abc\"",
        "[]",
        "{}",
        "true",
    ];
    for text in bad {
        for said in [one_series(text), data_of("scalar", &format!("[1,{text}]"))] {
            assert!(!matches!(said, Reading::Value(_)), "{text}: {said:?}");
        }
    }
    for result in [
        "[]",
        "[[]]",
        "[{}]",
        "{}",
        "null",
        "\"\"",
        "[{\"metric\":{}}]",
        "[{\"metric\":{},\"value\":[]}]",
    ] {
        for kind in ["vector", "matrix", "scalar", "string", "streams", ""] {
            let said = data_of(kind, result);
            assert!(
                !matches!(said, Reading::Value(_)),
                "{kind} {result}: {said:?}"
            );
        }
    }
}

#[test]
fn no_series_and_nan_are_no_data() {
    assert_eq!(
        data_of("vector", "[]"),
        Reading::NoData("no values found".to_owned())
    );
    assert_eq!(
        one_series("\"NaN\""),
        Reading::NoData("no values found: the value is NaN".to_owned())
    );
}

#[test]
fn an_infinity_is_a_failure_and_not_forgivable_silence() {
    let failed = |sign: &str| {
        Reading::Failed(format!(
            "the query returned {sign}Inf, allowed is a finite number"
        ))
    };
    assert_eq!(one_series("\"+Inf\""), failed("+"));
    assert_eq!(one_series("\"-Inf\""), failed("-"));
    assert_eq!(data_of("scalar", "[1,\"+Inf\"]"), failed("+"));
}

#[test]
fn several_series_are_ambiguous_in_any_order() {
    let good = r#"{"metric":{"pod":"a","code":"200"},"value":[1,"100"]}"#;
    let bad = r#"{"metric":{"pod":"b"},"value":[1,"0"]}"#;
    let expected = Reading::Ambiguous(r#"{code="200", pod="a"}, {pod="b"}"#.to_owned());
    assert_eq!(data_of("vector", &format!("[{good},{bad}]")), expected);
    assert_eq!(data_of("vector", &format!("[{bad},{good}]")), expected);
}

#[test]
fn many_series_are_named_within_bounds() {
    let series: Vec<String> = (0..50)
        .map(|n| {
            format!(
                r#"{{"metric":{{"pod":"p{n:02}{}"}},"value":[1,"1"]}}"#,
                "x".repeat(500)
            )
        })
        .collect();
    let Reading::Ambiguous(text) = data_of("vector", &format!("[{}]", series.join(","))) else {
        panic!("not ambiguous")
    };
    assert!(
        text.starts_with("{pod=\"p00x") && text.ends_with("… and 47 more"),
        "{text}"
    );
    assert!(text.chars().count() < 350, "{text}");
}

#[test]
fn other_results_are_refused_by_name() {
    let wanted = "allowed are one series with one value, or a scalar";
    let refused = |what: &str| Reading::Failed(format!("the query returned {what}, {wanted}"));
    assert_eq!(
        data_of("matrix", r#"[{"metric":{},"values":[[1,"1"],[2,"1"]]}]"#),
        refused("a range vector")
    );
    assert_eq!(data_of("matrix", "[]"), refused("a range vector"));
    assert_eq!(data_of("string", r#"[1,"1"]"#), refused("a string"));
    assert_eq!(
        data_of("vector", r#"[{"metric":{},"histogram":[1,{"count":"1"}]}]"#),
        refused("a native histogram")
    );
}

#[test]
fn a_query_error_keeps_prometheus_own_words() {
    let body =
        r#"{"status":"error","errorType":"bad_data","error":"parse error:\nunexpected end"}"#;
    assert_eq!(
        ok(body),
        Reading::Failed("bad_data: parse error: unexpected end".to_owned())
    );
    let expected = "error response: Status 400 Bad Request: bad_data: parse error: unexpected end";
    assert_eq!(
        reading(StatusCode::BAD_REQUEST, body.as_bytes()),
        Reading::Failed(expected.to_owned())
    );
}

#[test]
fn an_http_error_is_told_in_flagger_s_words_and_within_bounds() {
    let said = reading(StatusCode::SERVICE_UNAVAILABLE, b"unavailable");
    let expected = "error response: Status 503 Service Unavailable: unavailable";
    assert_eq!(said, Reading::Failed(expected.to_owned()));
    let page = format!("<html>\r\n{}", "x".repeat(1_000_000));
    let Reading::Failed(text) = reading(StatusCode::BAD_GATEWAY, page.as_bytes()) else {
        panic!("not failed")
    };
    assert!(
        text.starts_with("error response: Status 502 Bad Gateway: <html> xxx")
            && text.ends_with('…'),
        "{text}"
    );
    assert_eq!(text.chars().count(), SHOWN);
}

#[test]
fn an_http_error_is_never_a_value_whatever_its_body_says() {
    let body = br#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#;
    for code in [
        201, 204, 301, 302, 304, 400, 401, 403, 404, 422, 429, 500, 503,
    ] {
        let status = StatusCode::from_u16(code).unwrap();
        let said = reading(status, body);
        assert_eq!(
            matches!(said, Reading::Value(_)),
            status.is_success(),
            "{code}: {said:?}"
        );
    }
}

#[test]
fn garbage_and_cut_bodies_are_failures() {
    let whole = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"99"]}]}}"#;
    for length in 0..whole.len() {
        let said = ok(whole.split_at(length).0);
        assert!(matches!(said, Reading::Failed(_)), "{length}: {said:?}");
    }
    for body in [
        "<html>",
        "null",
        "[]",
        "\u{0}",
        "{\"status\":\"success\"}",
        "{\"status\":\"maybe\"}",
        "{\"status\":1}",
    ] {
        let said = ok(body);
        assert!(matches!(said, Reading::Failed(_)), "{body}: {said:?}");
    }
    assert!(matches!(
        reading(StatusCode::OK, b"\xff\xfe"),
        Reading::Failed(_)
    ));
}
