use std::collections::BTreeMap;

use slipway_api::{CanaryStatus, Phase};
use slipway_core::plan::{CanaryId, HookKind};

use super::*;

fn hook(url: &str) -> Hook {
    Hook {
        name: "conformance".to_owned(),
        kind: HookKind::PreRollout,
        url: url.to_owned(),
        timeout: TimeDelta::seconds(10),
        retries: 0,
        mute_alert: false,
        disable_tls: false,
        metadata: None,
    }
}

fn payload() -> Payload {
    let canary = CanaryId {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: String::new(),
    };
    Payload::new(&canary, Phase::Progressing, &CanaryStatus::default())
}

fn refused(text: &str) -> Verdict {
    Verdict::Refused(text.to_owned())
}

#[test]
fn only_200_201_and_202_pass() {
    let tester = hook("http://tester/");
    for status in 100..=999 {
        let passed = verdict(&tester, 1, status, b"no") == Verdict::Passed;
        assert_eq!(passed, [200, 201, 202].contains(&status), "{status}");
    }
}

#[test]
fn a_refusal_is_the_body_and_a_given_up_call_keeps_it() {
    let tester = hook("http://tester/");
    let given_up = "POST http://tester/ giving up after 3 attempt(s)";
    let rows = [
        (403, "no", "no".to_owned()),
        (403, "", String::new()),
        (204, "", String::new()),
        (501, "later", "later".to_owned()),
        (429, "slow down", format!("{given_up}: slow down")),
        (
            500,
            "exit status 1\n  FAIL: 2 of 9",
            format!("{given_up}: exit status 1 FAIL: 2 of 9"),
        ),
        (503, " \n", given_up.to_owned()),
    ];
    for (status, body, expected) in rows {
        assert_eq!(
            verdict(&tester, 3, status, body.as_bytes()),
            refused(&expected),
            "{status}"
        );
    }
}

#[test]
fn a_body_of_any_size_and_bytes_becomes_one_bounded_line() {
    let Verdict::Refused(text) = verdict(
        &hook("http://t/"),
        1,
        400,
        &[0xff, b'\n', 7, b'x'].repeat(1_000_000),
    ) else {
        panic!("passed")
    };
    assert_eq!(text.chars().count(), SHOWN);
    assert!(
        text.starts_with("\u{fffd} x\u{fffd} x") && text.ends_with('…'),
        "{text}"
    );
}

#[test]
fn a_hook_without_an_answer_says_why() {
    let expected = "POST http://t/x giving up after 2 attempt(s): Post \"http://t/x\": deadline exceeded after 10s";
    assert_eq!(
        unanswered(&hook("http://t/x"), 2, "deadline exceeded\nafter 10s"),
        refused(expected)
    );
}

#[test]
fn a_password_in_the_url_is_sent_as_a_header_and_shown_nowhere() {
    let with_password = hook("https://user:secret@tester/path?a=b");
    let request = request(&with_password, &payload()).unwrap();
    assert_eq!(request.uri(), "https://tester/path?a=b");
    assert_eq!(request.headers()["authorization"], "Basic dXNlcjpzZWNyZXQ=");
    assert!(!format!("{request:?}").contains("dXNlcj"), "{request:?}");
    let expected = "POST https://user:xxxxx@tester/path?a=b giving up after 1 attempt(s): Post \"https://user:***@tester/path?a=b\": reset";
    assert_eq!(unanswered(&with_password, 1, "reset"), refused(expected));
}

#[test]
fn a_url_that_is_none_is_a_refusal_without_a_request() {
    for (url, shown) in [
        ("::bad", "::bad"),
        ("tester:80/x", "tester:80/x"),
        ("", ""),
        ("ftp://u:p@h", "ftp://u:xxxxx@h/"),
    ] {
        let why = request(&hook(url), &payload()).unwrap_err();
        let expected = format!(
            "webhook conformance: url is {shown}, it must be an absolute http or https URL"
        );
        assert_eq!(Verdict::from(why), refused(&expected), "{url}");
    }
}

#[test]
fn network_weather_is_retried_and_refusals_are_not() {
    for status in 100..=599 {
        let expected = status == 429 || ((500..=599).contains(&status) && status != 501);
        assert_eq!(is_retryable(status), expected, "{status}");
    }
}

#[test]
fn waits_double_up_to_half_a_minute() {
    let seconds: Vec<i64> = (1..=8)
        .map(|attempt| backoff(attempt, None).num_seconds())
        .collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
    for attempt in [0, 63, 64, 65, u32::MAX] {
        assert!(
            (1..=30).contains(&backoff(attempt, None).num_seconds()),
            "{attempt}"
        );
    }
    assert_eq!(
        backoff(1, Some(TimeDelta::seconds(5))),
        TimeDelta::seconds(5)
    );
    assert_eq!(backoff(9, Some(TimeDelta::zero())), TimeDelta::zero());
    assert_eq!(backoff(1, Some(TimeDelta::days(1))), LONGEST_BACKOFF);
}

#[test]
fn a_receiver_may_ask_to_be_left_alone_in_seconds_or_until_a_date() {
    let now = DateTime::parse_from_rfc3339("2026-11-23T09:00:00Z")
        .unwrap()
        .to_utc();
    let rows = [
        (503, Some("7"), Some(7)),
        (429, Some(" 0 "), Some(0)),
        (429, Some("Mon, 23 Nov 2026 09:00:20 GMT"), Some(20)),
        (429, Some("Mon, 23 Nov 2026 08:00:00 GMT"), None),
        (429, Some("-3"), None),
        (429, Some("soon"), None),
        (429, Some("9223372036854775807"), Some(30)),
        (429, None, None),
        (500, Some("7"), None),
        (403, Some("7"), None),
    ];
    for (status, header, expected) in rows {
        let wait = retry_after(status, header, now).map(|wait| wait.num_seconds());
        assert_eq!(wait, expected, "{status} {header:?}");
    }
}

#[test]
fn the_longest_call_is_known_beforehand() {
    let rows = [(0, 10), (1, 21), (2, 33), (6, 131), (8, 211)];
    for (retries, seconds) in rows {
        assert_eq!(
            longest(&Hook {
                retries,
                ..hook("")
            }),
            TimeDelta::seconds(seconds),
            "{retries}"
        );
    }
    assert_eq!(
        longest(&Hook {
            retries: u32::MAX,
            ..hook("")
        }),
        TimeDelta::MAX
    );
}

#[test]
fn the_transport_is_what_the_hook_says() {
    let sent = transport(&Hook {
        disable_tls: true,
        timeout: TimeDelta::seconds(3),
        ..hook("")
    });
    assert_eq!(
        (sent.timeout, sent.verify_tls, sent.redirects),
        (TimeDelta::seconds(3), false, 10)
    );
}

#[test]
fn the_keys_of_an_event_win_over_those_of_the_hook() {
    let own = ["eventType", "zone"].map(|key| (key.to_owned(), "mine".to_owned()));
    let note = slipway_core::words::normal("a <b> & c");
    let at = DateTime::from_timestamp_millis(1_795_423_321_304).unwrap();
    let payload = payload()
        .with_metadata(Some(&BTreeMap::from(own)))
        .with_event(&note, at);
    let expected = r#"{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"758df7c9fc","metadata":{"eventMessage":"a \u003cb\u003e \u0026 c","eventType":"Normal","timestamp":"1795423321304","zone":"mine"}}"#;
    assert_eq!(String::from_utf8(payload.to_json()).unwrap(), expected);
}

#[test]
fn an_empty_map_of_metadata_is_as_good_as_none() {
    let expected =
        r#"{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"758df7c9fc"}"#;
    for metadata in [None, Some(BTreeMap::new())] {
        let json = payload().with_metadata(metadata.as_ref()).to_json();
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }
}
