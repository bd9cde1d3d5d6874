//! What holds for every answer, URL and text.

use proptest::prelude::*;
use secrecy::SecretString;
use slipway_api::{AlertLevel, CanaryStatus, Phase};
use slipway_core::observation::Verdict;
use slipway_core::plan::{CanaryId, Hook, HookKind};
use slipway_hooks::notify::{Alert, Chat, Destination};
use slipway_hooks::{Payload, webhook};

fn hook(url: &str) -> Hook {
    Hook {
        name: "hook".to_owned(),
        kind: HookKind::Rollout,
        url: url.to_owned(),
        timeout: chrono::TimeDelta::seconds(10),
        retries: 3,
        mute_alert: false,
        disable_tls: false,
        metadata: None,
    }
}

fn canary() -> CanaryId {
    CanaryId {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: String::new(),
    }
}

proptest! {
    #[test]
    fn a_hook_passes_by_its_status_alone_and_its_text_is_bounded(
        status in any::<u16>(),
        body in prop::collection::vec(any::<u8>(), 0..3000),
        attempts in any::<u32>(),
    ) {
        match webhook::verdict(&hook("http://tester/"), attempts, status, &body) {
            Verdict::Passed => prop_assert!((200..=202).contains(&status)),
            Verdict::Refused(text) => {
                prop_assert!(!(200..=202).contains(&status));
                prop_assert!(text.chars().count() <= webhook::SHOWN + 100);
                prop_assert!(!text.contains(char::is_control));
            }
        }
    }

    #[test]
    fn no_password_of_a_url_is_shown(
        user in "[a-z]{0,3}",
        password in "QQQQ[!-~]{0,10}",
        scheme in prop_oneof![Just("http://"), Just("https://"), Just("ftp://"), Just(""), Just("//")],
    ) {
        let hook = hook(&format!("{scheme}{user}:{password}@tester:80/path"));
        let payload = Payload::new(&canary(), Phase::Progressing, &CanaryStatus::default());
        let request = webhook::request(&hook, &payload).map(|request| format!("{request:?}"));
        let shown = format!("{request:?} {:?}", webhook::unanswered(&hook, 1, "reset"));
        prop_assert!(!shown.contains("QQQQ"), "{}", shown);
    }

    #[test]
    fn every_text_makes_a_message_that_is_json_and_reads_back(text in any::<String>()) {
        let alert = Alert { canary: canary(), level: AlertLevel::Warn, text: text.clone(), facts: Vec::new(), key: text.clone() };
        for chat in Chat::ALL {
            let to = Destination {
                chat,
                address: SecretString::from("http://chat/"),
                token: None,
                channel: text.clone(),
                username: text.clone(),
                proxy: None,
            };
            let body = chat.notifier().request(&alert, &to).map(http::Request::into_body);
            let body = body.map_err(|why| TestCaseError::fail(why.to_string()))?;
            let json: serde_json::Value = serde_json::from_slice(&body).map_err(|why| TestCaseError::fail(why.to_string()))?;
            if let Some(attachment) = json.pointer("/attachments/0/text") {
                prop_assert_eq!(attachment, &text);
            }
        }
    }
}
