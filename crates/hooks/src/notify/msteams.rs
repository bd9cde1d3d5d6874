//! Microsoft Teams: the message card of its connectors, and the adaptive card of its workflows.
//!
//! **Source**: dossier 03 B6 for the message card; Microsoft's documentation of Teams workflows and adaptive cards for the other.
//! **Differs from Flagger**, which knows the message card only: Microsoft retires the connectors, and workflows refuse that card.

use http::Request;
use serde::Serialize;
use slipway_api::AlertLevel;

use super::{Alert, Destination, Notifier, NotifyError, post};

/// The codec.
pub(super) struct MsTeams;

/// How the hosts of workflows end (Azure and Power Platform, with their national clouds).
const WORKFLOW_HOSTS: [&str; 4] = [
    ".logic.azure.com",
    ".api.powerplatform.com",
    ".logic.azure.us",
    ".logic.azure.cn",
];

impl Notifier for MsTeams {
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError> {
        let address = to.address()?;
        let host = address.url.host_str().unwrap_or_default();
        if WORKFLOW_HOSTS.iter().any(|end| host.ends_with(end)) {
            return post(address, alert, to, &Workflow::new(alert));
        }
        post(address, alert, to, &MessageCard::new(alert))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageCard {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@context")]
    context: &'static str,
    theme_color: &'static str,
    summary: String,
    sections: [Section; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    activity_title: String,
    activity_subtitle: String,
    facts: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    value: String,
}

impl MessageCard {
    fn new(alert: &Alert) -> Self {
        let section = Section {
            activity_title: alert.text(),
            activity_subtitle: alert.canary.dotted(),
            facts: alert
                .facts()
                .map(|(name, value)| Named { name, value })
                .collect(),
        };
        Self {
            kind: "MessageCard",
            context: "http://schema.org/extensions",
            theme_color: if alert.level == AlertLevel::Error {
                "FF0000"
            } else {
                "0076D7"
            },
            summary: alert.canary.dotted(),
            sections: [section],
        }
    }
}

#[derive(Serialize)]
struct Workflow {
    #[serde(rename = "type")]
    kind: &'static str,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    content_type: &'static str,
    content: AdaptiveCard,
}

#[derive(Serialize)]
struct AdaptiveCard {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    body: Vec<Element>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Element {
    TextBlock {
        text: String,
        weight: &'static str,
        color: &'static str,
        wrap: bool,
    },
    FactSet {
        facts: Vec<Titled>,
    },
}

#[derive(Serialize)]
struct Titled {
    title: &'static str,
    value: String,
}

impl Workflow {
    fn new(alert: &Alert) -> Self {
        let color = if alert.level == AlertLevel::Error {
            "Attention"
        } else {
            "Accent"
        };
        let mut body = vec![
            Element::TextBlock {
                text: alert.text(),
                weight: "Bolder",
                color,
                wrap: true,
            },
            Element::TextBlock {
                text: alert.canary.dotted(),
                weight: "Default",
                color: "Default",
                wrap: true,
            },
        ];
        let facts: Vec<Titled> = alert
            .facts()
            .map(|(title, value)| Titled { title, value })
            .collect();
        if !facts.is_empty() {
            body.push(Element::FactSet { facts });
        }
        let content = AdaptiveCard {
            schema: "http://adaptivecards.io/schemas/adaptive-card.json",
            kind: "AdaptiveCard",
            version: "1.2",
            body,
        };
        Self {
            kind: "message",
            attachments: [Attachment {
                content_type: "application/vnd.microsoft.card.adaptive",
                content,
            }],
        }
    }
}
