//! Whatever people, hooks and servers send: no panic, and an error that says something.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use slipway_tester::suite::{Suite, run};
use slipway_tester::wire::{Answer, Request, SendError, Wire};
use slipway_tester::{JsonPath, Template, Variables, parse_duration};

/// A server that says the same to everybody.
struct Says(Answer);

impl Wire for Says {
    async fn send(&self, _: Request) -> Result<Answer, SendError> {
        Ok(self.0.clone())
    }
}

/// JSON that looks like a suite in places.
fn almost_a_suite() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("http://x/".to_owned()),
        Just("${name}".to_owned()),
        Just("$.a[0]".to_owned()),
        Just("1s".to_owned()),
        Just("2xx".to_owned()),
        Just("SERVING".to_owned()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let key = prop::sample::select(vec![
        "url",
        "method",
        "headers",
        "body",
        "json",
        "protocol",
        "timeout",
        "status",
        "latency",
        "request",
        "grpc",
        "load",
        "rate",
        "duration",
        "expect",
        "retry",
        "for",
        "every",
        "save",
        "name",
        "equals",
        "matches",
        "contains",
        "length",
        "exists",
        "at-least",
        "one-of",
        "p99",
        "$.a",
        "service",
        "success",
        "concurrency",
    ]);
    let value = leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|it| json!(it)),
        ]
    });
    prop::collection::vec(value, 0..3).prop_map(|checks| json!({ "checks": checks }))
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,60}") {
        drop(Suite::parse(&text, "x"));
        drop(JsonPath::parse(&text));
        drop(JsonPath::parse(&format!("${text}")));
        drop(Template::parse(&text));
        prop_assert!(parse_duration(&text).is_none_or(|it| it < Duration::from_hours(24 * 367)));
    }

    #[test]
    fn what_is_no_suite_is_refused_in_words(suite in almost_a_suite()) {
        if let Err(error) = Suite::parse(&suite.to_string(), "x") {
            prop_assert!(!error.to_string().trim().is_empty());
        }
    }

    #[test]
    fn no_answer_makes_a_suite_panic_and_every_failure_is_bounded(
        status in 100_u16..600,
        body in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let suite = "
checks:
  - request: {url: http://x/}
    expect:
      headers: {a: b}
      json: {'$.a[0]': {equals: 1, at-least: 2, length: 3, contains: x, matches: y}}
      body: {length: 1, not: x}
    save: {a: $}
  - grpc: {url: http://x}
";
        let suite = Suite::parse(suite, "x").unwrap();
        let answer = Answer { status, body: Bytes::from(body), latency: Duration::ZERO, ..Answer::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let report = runtime.block_on(run(&suite, &Variables::new(), &Arc::new(Says(answer))));
        prop_assert!(report.line().len() < 4000, "{}", report.line());
        prop_assert_eq!(report.line().lines().count(), 1);
    }

    #[test]
    fn a_duration_is_read_as_it_is_written(millis in 0_u64..100_000_000) {
        prop_assert_eq!(parse_duration(&format!("{millis}ms")), Some(Duration::from_millis(millis)));
    }

    #[test]
    fn a_filled_template_holds_values_verbatim(value in ".{0,20}", around in "[a-z$ {]{0,10}") {
        // What would close over into the variable is not what this is about.
        prop_assume!(!around.contains("${") && !around.ends_with('$'));
        let template = Template::parse(&format!("{around}${{v}}")).unwrap();
        let variables = Variables::from([("v".to_owned(), value.clone())]);
        prop_assert_eq!(template.fill(&variables), Ok(format!("{around}{value}")));
    }
}
