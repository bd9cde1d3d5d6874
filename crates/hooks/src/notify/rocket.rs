//! Rocket.Chat.
//!
//! **Source**: dossier 03 B6.

use http::Request;

use super::slack::Message;
use super::{Alert, Destination, Notifier, NotifyError, post};

/// The codec.
pub(super) struct Rocket;

impl Notifier for Rocket {
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError> {
        post(
            to.address()?,
            alert,
            to,
            &Message::new(alert, to, "#FF0000", "#0076D7"),
        )
    }
}
