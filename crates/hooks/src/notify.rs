//! Notifications: who is told what of a release, in the form of each chat.
//!
//! **Source**: dossier 03 B. **Differs from Flagger**: an alert rule without a severity wants everything, as documented, where Flagger
//! sends nothing (Q14); an address that is none is an error instead of silence; texts and facts are bounded; each request has an
//! `Idempotency-Key`, so that a receiver can tell a repeated alert from a new one (A17).

use std::collections::BTreeMap;

use chrono::TimeDelta;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::Serialize;
use slipway_api::{AlertLevel, AlertNote, AlertProviderSpec, AlertSeverity, names};
use slipway_core::plan::{CanaryId, Plan, Problem, Strategy};
use slipway_core::weight::Weight;

use crate::address::{self, Address, sensitive};
use crate::json::to_json;
use crate::text::{bounded, cut};
use crate::transport::{REDIRECTS, Transport};

mod discord;
mod gchat;
mod msteams;
mod rocket;
mod slack;
mod webhook;

/// The longest text of an alert, in characters: what the strictest of the chats takes.
pub const LONGEST_TEXT: usize = 2000;
/// The longest value of a fact, in characters.
const LONGEST_FACT: usize = 1000;
/// The header that tells a repeated alert from a new one.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The data of a Secret, decoded, by key.
pub type SecretData = BTreeMap<String, SecretSlice<u8>>;

/// One thing told to a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The Canary that it is about.
    pub canary: CanaryId,
    /// How much it matters.
    pub level: AlertLevel,
    /// The text.
    pub text: String,
    /// What is told beside the text, in order.
    pub facts: Vec<Fact>,
    /// What makes a repeated alert recognisable: one for each transition and note. Empty: no header is sent.
    pub key: String,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: String,
}

impl Alert {
    /// The alert of a note. `cluster` is the controller's `-cluster-name`, empty when there is none; `key` identifies the note.
    pub fn new(plan: &Plan, note: &AlertNote, cluster: &str, key: impl Into<String>) -> Self {
        let mut facts = Vec::new();
        if !cluster.is_empty() {
            facts.push(Fact {
                name: "Cluster",
                value: cluster.to_owned(),
            });
        }
        if note.with_facts {
            facts.extend(plan_facts(plan));
        }
        Self {
            canary: plan.canary.clone(),
            level: note.severity,
            text: note.text.clone(),
            facts,
            key: key.into(),
        }
    }

    fn text(&self) -> String {
        cut(&self.text, LONGEST_TEXT)
    }

    /// Names and values as they are sent.
    fn facts(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.facts
            .iter()
            .map(|fact| (fact.name, cut(&fact.value, LONGEST_FACT)))
    }
}

/// What is told of a Canary beside a text.
fn plan_facts(plan: &Plan) -> [Fact; 4] {
    let target = format!(
        "{}/{}.{}",
        plan.target.kind.as_str(),
        plan.target.name,
        plan.canary.namespace
    );
    [
        Fact {
            name: "Target",
            value: target,
        },
        Fact {
            name: "Failed checks threshold",
            value: plan.threshold.to_string(),
        },
        Fact {
            name: "Progress deadline",
            value: format!("{}s", plan.progress_deadline.num_seconds()),
        },
        Fact {
            name: "Traffic routing",
            value: routing(&plan.strategy),
        },
    ]
}

/// The strategy in Flagger's words.
///
/// **Differs from Flagger**, which prints the fields of the spec: steps that annotations changed are told as they are, and `max` is
/// the greatest weight where the spec names none (Flagger: 0).
fn routing(strategy: &Strategy) -> String {
    match strategy {
        Strategy::AbTesting { .. } => "A/B Testing".to_owned(),
        Strategy::BlueGreen { .. } => "Blue/Green".to_owned(),
        Strategy::Canary { steps, .. } => {
            let max = steps.last().copied().unwrap_or(Weight::FULL);
            if let Some(step) = even_step(steps) {
                return format!("Weight step: {step} max: {max}");
            }
            let steps: Vec<String> = steps.iter().map(Weight::to_string).collect();
            format!("Weight steps: {} max: {max}", steps.join(","))
        }
    }
}

/// The step that these weights are multiples of, the last one apart: that may be cut short by the greatest weight.
fn even_step(steps: &[Weight]) -> Option<Weight> {
    let (last, before) = steps.split_last()?;
    let step = before.first().unwrap_or(last);
    let multiples = (1..).map(|n| step.percent() * n);
    let even = before
        .iter()
        .zip(multiples.clone())
        .all(|(weight, multiple)| weight.percent() == multiple);
    let next = multiples.clone().nth(before.len())?;
    (even && last.percent() <= next).then_some(*step)
}

/// Whether a rule wants an alert: `severity` is the least level that it names, everything when it names none.
pub fn is_wanted(severity: Option<&AlertSeverity>, level: AlertLevel) -> bool {
    let least = match severity {
        // An unknown word is a problem of the plan; until it is mended, too much is told rather than nothing.
        None | Some(AlertSeverity::Info | AlertSeverity::Unknown(_)) => AlertLevel::Info,
        Some(AlertSeverity::Warn) => AlertLevel::Warn,
        Some(AlertSeverity::Error) => AlertLevel::Error,
    };
    level >= least
}

/// The kinds of chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// Slack, by an incoming webhook or by `chat.postMessage` with a token.
    Slack,
    /// Microsoft Teams, by a connector or by a workflow.
    MsTeams,
    /// Discord, by its Slack-compatible webhook.
    Discord,
    /// Rocket.Chat.
    Rocket,
    /// Google Chat.
    GoogleChat,
    /// No chat: a receiver of plain JSON.
    Webhook,
}

impl Chat {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Slack,
        Self::MsTeams,
        Self::Discord,
        Self::Rocket,
        Self::GoogleChat,
        Self::Webhook,
    ];

    /// Its name in `spec.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::MsTeams => "msteams",
            Self::Discord => "discord",
            Self::Rocket => "rocket",
            Self::GoogleChat => "gchat",
            Self::Webhook => "webhook",
        }
    }

    /// The chat of that name.
    ///
    /// # Errors
    /// A [`Problem`] that lists the names.
    pub fn parse(name: &str) -> Result<Self, Problem> {
        Self::ALL
            .into_iter()
            .find(|chat| chat.as_str() == name)
            .ok_or_else(|| {
                let allowed = format!("must be one of {}", names::ALERT_PROVIDERS.join(", "));
                Problem::new("spec.type", format!("{:?}", bounded(name, 100)), allowed)
            })
    }

    /// Its codec.
    pub const fn notifier(self) -> &'static dyn Notifier {
        match self {
            Self::Slack => &slack::Slack,
            Self::MsTeams => &msteams::MsTeams,
            Self::Discord => &discord::Discord,
            Self::Rocket => &rocket::Rocket,
            Self::GoogleChat => &gchat::GoogleChat,
            Self::Webhook => &webhook::Webhook,
        }
    }
}

/// Where alerts go.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The kind of chat.
    pub chat: Chat,
    /// The URL. For most chats whoever knows it may post, so it is a secret.
    pub address: SecretString,
    /// The token of Slack's API, or of a webhook.
    pub token: Option<SecretString>,
    /// The channel (slack, discord, rocket).
    pub channel: String,
    /// The user that the message seems to come from (slack, discord, rocket).
    pub username: String,
    /// The proxy on the way; `None` means the environment's.
    pub proxy: Option<SecretString>,
}

impl Destination {
    /// The destination of an AlertProvider: the Secret's `address` wins over the spec's, its `token` is optional.
    ///
    /// Line breaks at the end of the Secret's values are cut. **Differs from Flagger**, where they make the URL invalid.
    ///
    /// # Errors
    /// An unknown type, no address, or a Secret that is missing or lacks its key.
    pub fn of(spec: &AlertProviderSpec, secret: Option<&SecretData>) -> Result<Self, NotifyError> {
        let chat = Chat::parse(&spec.type_)?;
        let (address, token) = match &spec.secret_ref {
            None => (spec.address.clone().map(SecretString::from), None),
            Some(reference) => {
                let name = || bounded(&reference.name, 253);
                let data = secret.ok_or_else(|| NotifyError::SecretMissing(name()))?;
                let address =
                    secret_text(data, "address").ok_or_else(|| NotifyError::SecretKey(name()))?;
                (Some(address), secret_text(data, "token"))
            }
        };
        let some = |text: &Option<String>, default: &str| {
            text.clone().unwrap_or_else(|| default.to_owned())
        };
        Ok(Self {
            chat,
            address: address.ok_or(NotifyError::AddressMissing)?,
            token: token.filter(|token| !token.expose_secret().is_empty()),
            channel: some(&spec.channel, "general"),
            username: some(&spec.username, "flagger"),
            proxy: spec.proxy.clone().map(SecretString::from),
        })
    }

    /// How its requests are to be sent: 5 seconds, no further attempt.
    pub fn transport(&self) -> Transport {
        let timeout = TimeDelta::seconds(5);
        Transport {
            timeout,
            verify_tls: true,
            redirects: REDIRECTS,
            proxy: self.proxy.clone(),
        }
    }

    fn address(&self) -> Result<Address, NotifyError> {
        Address::parse(self.address.expose_secret()).ok_or(NotifyError::Address(self.chat.as_str()))
    }
}

fn secret_text(secret: &SecretData, key: &str) -> Option<SecretString> {
    let text = std::str::from_utf8(secret.get(key)?.expose_secret()).ok()?;
    Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

/// Why nobody could be told. No text holds the address or the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The type is unknown.
    #[error("{0}")]
    Type(String),
    /// There is no address.
    #[error("spec.address is empty and there is no secretRef, it {allowed}", allowed = address::ALLOWED)]
    AddressMissing,
    /// The address is no URL. It is not shown: whoever knows it may post.
    #[error("the address of the {0} destination is not valid, it {allowed}", allowed = address::ALLOWED)]
    Address(&'static str),
    /// `secretRef` names a Secret that was not given.
    #[error("spec.secretRef names Secret {0}, which could not be read")]
    SecretMissing(String),
    /// The Secret has no address.
    #[error("Secret {0} has no key address, its value must be a URL; token is optional")]
    SecretKey(String),
    /// The token cannot be sent.
    #[error(
        "the token of the {0} destination is not allowed in a header, it must be one line of text"
    )]
    Token(&'static str),
    /// The chat refused the message.
    #[error("sending notification bad response {status}: {body}")]
    Refused {
        /// The status.
        status: u16,
        /// The body, bounded.
        body: String,
    },
}

impl From<Problem> for NotifyError {
    fn from(problem: Problem) -> Self {
        Self::Type(problem.to_string())
    }
}

/// A chat: a codec between an alert and HTTP.
pub trait Notifier: Sync {
    /// The request that tells the alert. Its URI is the address, so neither it nor an error that names it is for logs.
    ///
    /// # Errors
    /// A mistake in the destination.
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError>;

    /// Whether the chat took it: any 2xx.
    ///
    /// # Errors
    /// With Flagger's text and the beginning of the body.
    fn accepted(&self, status: u16, body: &[u8]) -> Result<(), NotifyError> {
        if (200..300).contains(&status) {
            return Ok(());
        }
        Err(refused(status, body))
    }
}

fn refused(status: u16, body: &[u8]) -> NotifyError {
    NotifyError::Refused {
        status,
        body: bounded(&String::from_utf8_lossy(body), 300),
    }
}

/// The request that posts a message to an address.
fn post(
    address: Address,
    alert: &Alert,
    to: &Destination,
    message: &impl Serialize,
) -> Result<Request<Vec<u8>>, NotifyError> {
    let mut request = Request::new(to_json(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = address
        .url
        .as_str()
        .parse()
        .map_err(|_| NotifyError::Address(to.chat.as_str()))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(basic) = address.authorization {
        headers.insert(AUTHORIZATION, basic);
    }
    if let Some(key) = Some(alert.key.as_str())
        .filter(|key| !key.is_empty())
        .and_then(|key| HeaderValue::from_str(key).ok())
    {
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    Ok(request)
}

/// With a token, where there is one.
fn authorised(
    mut request: Request<Vec<u8>>,
    to: &Destination,
) -> Result<Request<Vec<u8>>, NotifyError> {
    if let Some(token) = &to.token {
        let bearer = sensitive(&format!("Bearer {}", token.expose_secret()));
        request.headers_mut().insert(
            AUTHORIZATION,
            bearer.ok_or(NotifyError::Token(to.chat.as_str()))?,
        );
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
