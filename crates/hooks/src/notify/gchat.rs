//! Google Chat.
//!
//! **Source**: dossier 03 B6. **Differs from Flagger**: `<`, `>` and `&` in texts are escaped for the markup that they stand in.

use http::Request;
use serde::Serialize;

use super::{Alert, Destination, Notifier, NotifyError, post};

/// The codec.
pub(super) struct GoogleChat;

impl Notifier for GoogleChat {
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError> {
        post(to.address()?, alert, to, &Message::new(alert))
    }
}

#[derive(Serialize)]
struct Message {
    cards: [Card; 1],
}

#[derive(Serialize)]
struct Card {
    header: Header,
    sections: Vec<Section>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    title: &'static str,
    // In lower case, unlike the API's `subtitle` of other cards: as Flagger sends it.
    subtitle: String,
    image_url: &'static str,
}

#[derive(Serialize)]
struct Section {
    widgets: [Widget; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Widget {
    text_paragraph: TextParagraph,
}

#[derive(Serialize)]
struct TextParagraph {
    text: String,
}

impl Message {
    fn new(alert: &Alert) -> Self {
        let header = Header {
            title: "Flagger",
            subtitle: alert.canary.dotted(),
            image_url: "https://flagger.app/favicon.png",
        };
        let facts = alert
            .facts()
            .map(|(name, value)| section(format!("{name}<br>{}", strong(&value))));
        let sections = std::iter::once(section(strong(&alert.text())))
            .chain(facts)
            .collect();
        Self {
            cards: [Card { header, sections }],
        }
    }
}

fn section(text: String) -> Section {
    Section {
        widgets: [Widget {
            text_paragraph: TextParagraph { text },
        }],
    }
}

fn strong(text: &str) -> String {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("<font color=#848484><strong>{escaped}</strong></font>")
}
