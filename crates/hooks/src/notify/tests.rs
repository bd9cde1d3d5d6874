use slipway_api::SecretReference;

use super::*;

fn weights(percents: &[i64]) -> Strategy {
    let steps = percents
        .iter()
        .map(|percent| Weight::try_new(*percent).unwrap())
        .collect();
    Strategy::Canary {
        steps,
        mirror: false,
    }
}

fn spec(kind: &str, address: Option<&str>) -> AlertProviderSpec {
    AlertProviderSpec {
        type_: kind.to_owned(),
        address: address.map(str::to_owned),
        ..AlertProviderSpec::default()
    }
}

fn secret(pairs: &[(&str, &str)]) -> SecretData {
    pairs
        .iter()
        .map(|(key, value)| {
            (
                (*key).to_owned(),
                SecretSlice::from(value.as_bytes().to_vec()),
            )
        })
        .collect()
}

fn alert() -> Alert {
    let canary = CanaryId {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: String::new(),
    };
    Alert {
        canary,
        level: AlertLevel::Info,
        text: "hello".to_owned(),
        facts: Vec::new(),
        key: String::new(),
    }
}

fn to(kind: &str, address: &str) -> Destination {
    Destination::of(&spec(kind, Some(address)), None).unwrap()
}

fn sent(alert: &Alert, to: &Destination) -> Request<Vec<u8>> {
    to.chat.notifier().request(alert, to).unwrap()
}

#[test]
fn a_rule_wants_its_level_and_worse_and_everything_when_it_names_none() {
    use AlertLevel::{Error, Info, Warn};
    let rows = [
        (None, [true, true, true]),
        (Some(AlertSeverity::Info), [true, true, true]),
        (Some(AlertSeverity::Warn), [false, true, true]),
        (Some(AlertSeverity::Error), [false, false, true]),
        (
            Some(AlertSeverity::Unknown("fatal".to_owned())),
            [true, true, true],
        ),
    ];
    for (severity, expected) in rows {
        assert_eq!(
            [Info, Warn, Error].map(|level| is_wanted(severity.as_ref(), level)),
            expected,
            "{severity:?}"
        );
    }
}

#[test]
fn the_strategy_is_told_in_flagger_s_words() {
    let rows = [
        (Strategy::AbTesting { iterations: 5 }, "A/B Testing"),
        (
            Strategy::BlueGreen {
                iterations: 5,
                mirror: true,
            },
            "Blue/Green",
        ),
        (weights(&[10, 20, 30]), "Weight step: 10 max: 30"),
        (weights(&[20, 40, 50]), "Weight step: 20 max: 50"),
        (weights(&[50]), "Weight step: 50 max: 50"),
        (weights(&[60, 100]), "Weight step: 60 max: 100"),
        (weights(&[1, 5, 25]), "Weight steps: 1,5,25 max: 25"),
        (weights(&[10, 50]), "Weight steps: 10,50 max: 50"),
        (
            weights(&[10, 20, 25, 30]),
            "Weight steps: 10,20,25,30 max: 30",
        ),
    ];
    for (strategy, expected) in rows {
        assert_eq!(routing(&strategy), expected);
    }
}

#[test]
fn every_type_of_the_schema_is_a_chat_and_no_other() {
    assert_eq!(Chat::ALL.map(Chat::as_str), names::ALERT_PROVIDERS);
    let text = Destination::of(&spec("Slack", Some("http://x")), None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "spec.type is \"Slack\", must be one of slack, msteams, discord, rocket, gchat, webhook"
    );
}

#[test]
fn the_secret_s_address_wins_and_its_line_break_is_cut() {
    let spec = AlertProviderSpec {
        secret_ref: Some(SecretReference {
            name: "hook".to_owned(),
        }),
        ..spec("slack", Some("http://from-spec/"))
    };
    let data = secret(&[("address", "http://from-secret/\n"), ("token", "t0ken\n")]);
    let request = sent(&alert(), &Destination::of(&spec, Some(&data)).unwrap());
    assert_eq!(request.uri(), "http://from-secret/");
    assert_eq!(request.headers()["authorization"], "Bearer t0ken");
    assert_eq!(
        Destination::of(&spec, None).unwrap_err(),
        NotifyError::SecretMissing("hook".to_owned())
    );
    let without = Destination::of(&spec, Some(&secret(&[("token", "t")])));
    assert_eq!(
        without.unwrap_err(),
        NotifyError::SecretKey("hook".to_owned())
    );
}

#[test]
fn a_destination_without_a_usable_address_is_an_error_that_does_not_show_it() {
    assert_eq!(
        Destination::of(&spec("gchat", None), None).unwrap_err(),
        NotifyError::AddressMissing
    );
    for chat in Chat::ALL {
        let to = to(chat.as_str(), "hooks.example/s3cret");
        let why = chat.notifier().request(&alert(), &to).unwrap_err();
        assert_eq!(why, NotifyError::Address(chat.as_str()));
        assert!(!format!("{why} {why:?} {to:?}").contains("s3cret"));
    }
}

#[test]
fn only_slack_and_webhooks_send_a_token_and_no_debug_shows_it() {
    for chat in Chat::ALL {
        let to = Destination {
            token: Some(SecretString::from("t0ken")),
            ..to(chat.as_str(), "http://x/")
        };
        let request = sent(&alert(), &to);
        assert_eq!(
            request.headers().contains_key("authorization"),
            matches!(chat, Chat::Slack | Chat::Webhook),
            "{chat:?}"
        );
        assert!(!format!("{request:?} {to:?}").contains("t0ken"));
    }
    let to = Destination {
        token: Some(SecretString::from("a\nb")),
        ..to("slack", "http://x/")
    };
    assert_eq!(
        Chat::Slack.notifier().request(&alert(), &to).unwrap_err(),
        NotifyError::Token("slack")
    );
}

#[test]
fn discord_is_asked_at_its_slack_path() {
    let rows = [
        (
            "https://discord.example/api/webhooks/1/a",
            "https://discord.example/api/webhooks/1/a/slack",
        ),
        (
            "https://discord.example/api/webhooks/1/a/",
            "https://discord.example/api/webhooks/1/a/slack",
        ),
        (
            "https://discord.example/api/webhooks/1/a/slack",
            "https://discord.example/api/webhooks/1/a/slack",
        ),
        (
            "https://discord.example/a?wait=true",
            "https://discord.example/a/slack?wait=true",
        ),
    ];
    for (address, expected) in rows {
        assert_eq!(sent(&alert(), &to("discord", address)).uri(), expected);
    }
}

#[test]
fn a_workflow_of_teams_gets_an_adaptive_card_and_every_other_host_a_message_card() {
    let rows = [
        (
            "https://prod-01.westus.logic.azure.com:443/workflows/x?sig=s",
            "AdaptiveCard",
        ),
        (
            "https://default1.08.environment.api.powerplatform.com/x",
            "AdaptiveCard",
        ),
        (
            "https://contoso.webhook.office.com/webhookb2/x",
            "MessageCard",
        ),
        ("https://logic.azure.com.example/x", "MessageCard"),
    ];
    for (address, expected) in rows {
        let body = String::from_utf8(sent(&alert(), &to("msteams", address)).into_body()).unwrap();
        assert!(body.contains(&format!(":\"{expected}\"")), "{body}");
    }
}

#[test]
fn texts_and_facts_of_any_size_are_cut() {
    let facts = vec![Fact {
        name: "Cluster",
        value: "é".repeat(100_000),
    }];
    let long = Alert {
        text: "<".repeat(100_000),
        facts,
        ..alert()
    };
    for chat in Chat::ALL {
        let body = sent(&long, &to(chat.as_str(), "http://x/")).into_body();
        assert!(body.len() < 25_000, "{chat:?}: {}", body.len());
        assert!(String::from_utf8(body).unwrap().contains('…'));
    }
}

#[test]
fn a_repeated_alert_can_be_told_from_a_new_one() {
    let with_key = Alert {
        key: "uid/7/0".to_owned(),
        ..alert()
    };
    for chat in Chat::ALL {
        let to = to(chat.as_str(), "http://x/");
        assert_eq!(sent(&with_key, &to).headers()["idempotency-key"], "uid/7/0");
        assert!(
            !sent(&alert(), &to)
                .headers()
                .contains_key("idempotency-key")
        );
    }
}

#[test]
fn any_2xx_is_taken_and_everything_else_is_told_with_its_body() {
    for chat in Chat::ALL {
        for status in 100..=599 {
            let taken = chat.notifier().accepted(status, b"ok").is_ok();
            assert_eq!(taken, (200..300).contains(&status), "{chat:?} {status}");
        }
    }
    let text = Chat::GoogleChat
        .notifier()
        .accepted(413, "too\nlarge".as_bytes())
        .unwrap_err()
        .to_string();
    assert_eq!(text, "sending notification bad response 413: too large");
}

#[test]
fn slack_s_api_may_refuse_with_200() {
    let slack = Chat::Slack.notifier();
    let text = slack
        .accepted(200, br#"{"ok":false,"error":"channel_not_found"}"#)
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        r#"sending notification bad response 200: {"ok":false,"error":"channel_not_found"}"#
    );
    for body in [r#"{"ok":true}"#, "ok", "", "{}"] {
        assert_eq!(slack.accepted(200, body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn the_cluster_comes_first_and_the_defaults_are_flagger_s() {
    let to = to("slack", "http://x/");
    assert_eq!(
        (to.channel.as_str(), to.username.as_str()),
        ("general", "flagger")
    );
    assert_eq!(to.transport().timeout, TimeDelta::seconds(5));
}
