//! Discord, through the webhook that understands Slack's messages.
//!
//! **Source**: dossier 03 B6.

use http::Request;

use super::slack::Message;
use super::{Alert, Destination, Notifier, NotifyError, post};

/// The codec.
pub(super) struct Discord;

impl Notifier for Discord {
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError> {
        let mut address = to.address()?;
        if !address.url.path().ends_with("/slack") {
            let path = format!("{}/slack", address.url.path().trim_end_matches('/'));
            address.url.set_path(&path);
        }
        post(
            address,
            alert,
            to,
            &Message::new(alert, to, "danger", "good"),
        )
    }
}
