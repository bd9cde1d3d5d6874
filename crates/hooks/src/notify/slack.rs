//! Slack, and the message that Discord and Rocket.Chat understand as well.
//!
//! **Source**: dossier 03 B6. **Differs from Flagger**: Slack's API answers 200 with `"ok":false` when it refuses a message; that is a
//! refusal here, and was taken for sent there.

use http::Request;
use serde::{Deserialize, Serialize};
use slipway_api::AlertLevel;

use super::{Alert, Destination, Notifier, NotifyError, authorised, post, refused};

/// The codec.
pub(super) struct Slack;

impl Notifier for Slack {
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError> {
        authorised(
            post(
                to.address()?,
                alert,
                to,
                &Message::new(alert, to, "danger", "good"),
            )?,
            to,
        )
    }

    fn accepted(&self, status: u16, body: &[u8]) -> Result<(), NotifyError> {
        let says_no = serde_json::from_slice::<Answer>(body).is_ok_and(|answer| !answer.ok);
        if (200..300).contains(&status) && !says_no {
            Ok(())
        } else {
            Err(refused(status, body))
        }
    }
}

/// What Slack's API answers.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
}

/// The message.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    channel: &'a str,
    username: &'a str,
    icon_url: &'static str,
    icon_emoji: &'static str,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    color: &'static str,
    author_name: String,
    text: String,
    mrkdwn_in: [&'static str; 1],
    fields: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    title: &'static str,
    value: String,
    short: bool,
}

impl<'a> Message<'a> {
    /// The message in one colour for errors and another for everything else.
    pub(super) fn new(
        alert: &Alert,
        to: &'a Destination,
        error: &'static str,
        other: &'static str,
    ) -> Self {
        let attachment = Attachment {
            color: if alert.level == AlertLevel::Error {
                error
            } else {
                other
            },
            author_name: alert.canary.dotted(),
            text: alert.text(),
            mrkdwn_in: ["text"],
            fields: alert
                .facts()
                .map(|(title, value)| Field {
                    title,
                    value,
                    short: false,
                })
                .collect(),
        };
        Self {
            channel: &to.channel,
            username: &to.username,
            icon_url: "",
            icon_emoji: ":rocket:",
            attachments: [attachment],
        }
    }
}
