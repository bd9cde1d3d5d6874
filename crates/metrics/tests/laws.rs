//! What holds for every text, answer and secret.

use std::collections::BTreeMap;

use chrono::DateTime;
use http::StatusCode;
use proptest::prelude::*;
use secrecy::SecretSlice;
use slipway_api::{MetricProviderSpec, SecretReference};
use slipway_core::observation::Reading;
use slipway_core::plan::TargetKind;
use slipway_metrics::{
    Ask, Environment, Heard, MOST_STEPS, SecretData, Step, Variables, provider, server, template,
};

fn podinfo() -> Variables {
    let name = || "podinfo".to_owned();
    Variables {
        name: name(),
        namespace: "test".to_owned(),
        target: name(),
        target_kind: TargetKind::Deployment,
        service: name(),
        ingress: name(),
        route: name(),
        interval: "1m".to_owned(),
        variables: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    }
}

/// Texts that look like templates.
fn template_like() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        Just("{{"),
        Just("}}"),
        Just("{{-"),
        Just("-}}"),
        Just("{{/*"),
        Just("*/}}"),
        Just(" "),
        Just("\n"),
        Just("|"),
        Just("("),
        Just(")"),
        Just("."),
        Just(".a"),
        Just("if"),
        Just("else"),
        Just("end"),
        Just("range"),
        Just("name"),
        Just("variables"),
        Just("index"),
        Just("printf"),
        Just("eq"),
        Just("and"),
        Just("not"),
        Just("\"%s\""),
        Just("\"a\""),
        Just("\""),
        Just("`"),
        Just("\\"),
        Just("$x"),
        Just("5"),
        Just("é"),
        Just("true"),
        Just("x{a=\"b\"}"),
    ];
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

/// One well-formed expression.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("name".to_owned()),
        Just("variables.a".to_owned()),
        Just("\"\"".to_owned()),
        Just("`x`".to_owned()),
        Just("true".to_owned()),
        Just("index variables \"z\"".to_owned()),
    ];
    leaf.prop_recursive(4, 30, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("not ({one})")),
            (inner.clone(), inner.clone())
                .prop_map(|(one, other)| format!("and ({one}) ({other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("or ({one}) ({other})")),
            inner.prop_map(|one| format!("{one} | printf \"%v\"")),
        ]
    })
}

/// Answers to who asks, whole, cut, and others.
fn exchange_like() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(r#"{"access_token": "SSSS"}"#),
        Just(r#"{"AccessKeyId": "A", "SecretAccessKey": "SSSS", "Token": "SSSS"}"#),
        Just(r#"{"AccessKeyId": "A", "SecretAccessKey": "SS\nSS", "Token": "SSSS"}"#),
        Just(r#"{"AccessKeyId": "A", "Token": "SSSS"}"#),
        Just(r"<AccessKeyId>SSSS</AccessKeyId>"),
        Just(r#"{"metadata": {"name": "b-x"}, "status": {"state": "Progressing"}}"#),
    ];
    (whole, 0_usize..80).prop_map(|(text, end)| text.bytes().take(end).collect())
}

proptest! {
    #[test]
    fn a_text_without_braces_means_itself(text in "[^{]{0,200}") {
        prop_assert_eq!(template::render(&text, &podinfo()), Ok(text));
    }

    #[test]
    fn no_text_makes_a_template_panic(text in any::<String>()) {
        prop_assert!(template::render(&text, &podinfo()).is_ok_and(|rendered| rendered == text) || text.contains("{{"));
    }

    #[test]
    fn no_near_template_panics_and_every_mistake_has_a_place(text in template_like()) {
        if let Err(why) = template::render(&text, &podinfo()) {
            prop_assert!((1..=text.matches('\n').count() + 1).contains(&why.line), "{}: {}", text, why);
            prop_assert!((1..=text.chars().count() + 1).contains(&why.column), "{}: {}", text, why);
        }
    }

    #[test]
    fn every_well_formed_expression_renders(expression in expression()) {
        let text = format!("{{{{ if {expression} }}}}{{{{ {expression} }}}}{{{{ end }}}}");
        prop_assert!(template::render(&text, &podinfo()).is_ok(), "{}", text);
    }

    #[test]
    fn no_answer_makes_a_reading_panic_or_a_number_out_of_nothing(
        body in prop::collection::vec(any::<u8>(), 0..300),
        code in 100_u16..600,
    ) {
        for kind in slipway_metrics::types() {
            let reading = provider(kind).unwrap().reading("/x\n$.a", StatusCode::from_u16(code).unwrap(), &body);
            prop_assert!(!matches!(reading, Reading::Value(_)), "{}: {:?}", kind, reading);
        }
    }

    #[test]
    fn whatever_is_heard_it_comes_to_an_end_and_what_says_who_we_are_is_never_shown(
        bodies in prop::collection::vec(exchange_like(), 1..20),
        code in prop_oneof![Just(200_u16), 100_u16..600],
        query in prop_oneof![Just("analysis/a/b"), Just("keptnmetric/a/b"), Just("a/b"), Just("[{}]"), Just("/x\n$.a")],
    ) {
        let environment = Environment::of(&BTreeMap::from([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), "http://127.0.0.1/x".to_owned()),
        ]));
        let secret = SecretData::from([("project".to_owned(), SecretSlice::from(b"p".to_vec()))]);
        let spec = MetricProviderSpec {
            secret_ref: Some(SecretReference { name: "creds".to_owned() }),
            region: Some("eu-west-1".to_owned()),
            ..MetricProviderSpec::default()
        };
        let ask = Ask::now(query, "1m", DateTime::UNIX_EPOCH).within(&environment);
        for kind in ["cloudwatch", "stackdriver", "keptn", "externalmetrics"] {
            let mut heard = Vec::new();
            let shown = loop {
                match provider(kind).unwrap().step(&spec, Some(&secret), &ask, &heard) {
                    Ok(Step::Send(_)) => {}
                    Ok(Step::Read(reading)) => break format!("{reading:?}"),
                    Err(why) => break why.to_string(),
                }
                prop_assert!(heard.len() < MOST_STEPS, "{} goes on", kind);
                let body = bodies[heard.len() % bodies.len()].clone();
                // Whoever refuses says why; who is sent a token may not.
                let status = StatusCode::from_u16(if heard.is_empty() { 200 } else { code }).unwrap();
                heard.push(Heard::Answer { status, body });
            };
            let is_exchange = heard.len() == 1 && matches!(kind, "cloudwatch" | "stackdriver");
            prop_assert!(!is_exchange || !shown.contains("SSSS"), "{}: {}", kind, shown);
        }
    }

    #[test]
    fn a_number_is_read_as_it_was_written(value in any::<f64>()) {
        let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#);
        let reading = provider("prometheus").unwrap().reading("up", StatusCode::OK, body.as_bytes());
        prop_assert_eq!(reading == Reading::Value(value), value.is_finite());
    }

    #[test]
    fn no_secret_is_shown(
        key in prop_oneof![Just("token"), Just("username"), Just("password")],
        other in prop::option::of(prop_oneof![Just("token"), Just("username"), Just("password")]),
        noise in "[\\x00-\\x7f]{0,10}",
        address in prop_oneof![Just("http://u:QQQQ@prom:9090/x"), Just("prom:QQQQ@h"), Just("http://u:QQ/QQ@h"), Just("http://p")],
    ) {
        let secret = |value: &str| SecretSlice::from(format!("SSSS{value}").into_bytes());
        let data: SecretData = other.into_iter().chain([key]).map(|key| (key.to_owned(), secret(&noise))).collect();
        let headers = BTreeMap::from([("X-Scope".to_owned(), vec![format!("HHHH{noise}")])]);
        let spec = MetricProviderSpec { secret_ref: Some(SecretReference { name: "creds".to_owned() }), headers, ..server(address) };
        let request = provider("prometheus").unwrap().request(&spec, Some(&data), &Ask::now("up", "1m", DateTime::UNIX_EPOCH));
        let shown = match &request {
            Ok(request) => format!("{request:?}"),
            Err(why) => format!("{why} {why:?}"),
        };
        for secret in ["SSSS", "QQQQ", "QQ/QQ", "HHHH", "U1NTU", "UVFRU"] {
            prop_assert!(!shown.contains(secret), "{}", shown);
        }
    }
}
