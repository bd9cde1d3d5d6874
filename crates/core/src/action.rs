//! What a person does to a release: small writes on the Canary, that name the revision they mean.
//!
//! An action is an annotation `slipway.dev/action-VERB: revision=REVISION by=WHO at=TIME`. So RBAC and the audit log of the API server see
//! it, it waits while the controller is down, and it means nothing to another revision. It is heeded once: what was heeded stands in
//! `status.slipway.actions` with its value, and another value is another action.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use slipway_api::names::action;

use crate::plan::{Gate, Problem};

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Open a gate that waits for a person.
    Approve,
    /// Hold the release at the step that it has reached.
    Pause,
    /// Let it go on.
    Resume,
    /// Promote without further analysis.
    Promote,
    /// Take the revision back.
    Abort,
    /// Try a revision that failed again.
    Retry,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Approve,
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::Abort,
        Self::Retry,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Retry => "retry",
        }
    }

    /// The key of its annotation.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Approve => action::APPROVE,
            Self::Pause => action::PAUSE,
            Self::Resume => action::RESUME,
            Self::Promote => action::PROMOTE,
            Self::Abort => action::ABORT,
            Self::Retry => action::RETRY,
        }
    }
}

/// One action as it stands on a Canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What is to be done.
    pub verb: Verb,
    /// The value of the annotation: what tells one action from the next.
    pub value: String,
    /// What it means, or what is wrong with it.
    pub meant: Result<Meant, Problem>,
}

/// What an action means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meant {
    /// The revision, or the first seven or more digits of it.
    pub revision: String,
    /// Who acts.
    pub by: String,
    /// When they did; actions are heeded in this order.
    pub at: Option<DateTime<Utc>>,
    /// Of an approval: the gate, where it is said.
    pub gate: Option<Gate>,
}

/// How many digits of a revision are enough to name it.
const ENOUGH: usize = 7;

impl Action {
    /// The actions that stand on a Canary, in the order in which they were taken.
    pub fn read(annotations: &BTreeMap<String, String>) -> Vec<Self> {
        let found = Verb::ALL.into_iter().filter_map(|verb| {
            let value = annotations.get(verb.key())?;
            let meant = Meant::parse(value);
            let meant = meant.map_err(|allowed| {
                Problem::new(format!("annotation {}", verb.key()), value, allowed)
            });
            let value = value.clone();
            Some(Self { verb, value, meant })
        });
        let mut actions: Vec<Self> = found.collect();
        actions.sort_by_key(|action| action.meant.as_ref().ok().and_then(|meant| meant.at));
        actions
    }
}

impl Meant {
    fn parse(value: &str) -> Result<Self, &'static str> {
        let mut meant = Self::default();
        for word in value.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or(WORDS)?;
            match name {
                "revision" => value.clone_into(&mut meant.revision),
                "by" => value.clone_into(&mut meant.by),
                "at" => meant.at = Some(value.parse().map_err(|_| TIME)?),
                "gate" => meant.gate = Some(Gate::parse(value).ok_or(GATE)?),
                _ => return Err(WORDS),
            }
        }
        let is_digits = meant
            .revision
            .chars()
            .all(|digit| digit.is_ascii_hexdigit());
        if meant.revision.len() < ENOUGH || !is_digits {
            return Err(REVISION);
        }
        if meant.by.is_empty() {
            return Err("must say who acts: by=WHO");
        }
        Ok(meant)
    }

    /// The value of the annotation that says this.
    pub fn value(&self) -> String {
        let mut words = vec![
            format!("revision={}", self.revision),
            format!("by={}", one_word(&self.by)),
        ];
        if let Some(at) = self.at {
            let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
            words.push(format!("at={at}"));
        }
        words.extend(self.gate.map(|gate| format!("gate={}", gate.as_str())));
        words.join(" ")
    }

    /// Whether this revision is meant.
    pub fn names(&self, revision: &str) -> bool {
        revision.starts_with(&self.revision)
    }
}

const WORDS: &str = "must be words of revision=, by=, at= and gate= with spaces between";
const TIME: &str = "must have a time such as at=2026-01-31T09:30:00Z";
const GATE: &str = "must have gate=rollout or gate=promotion";
const REVISION: &str =
    "must name the revision that it means by seven or more of its digits: revision=3f2a1b9";

fn one_word(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(verb: Verb, value: &str) -> Result<Meant, String> {
        let annotations = BTreeMap::from([(verb.key().to_owned(), value.to_owned())]);
        let mut actions = Action::read(&annotations);
        assert_eq!(actions.len(), 1);
        let action = actions.remove(0);
        action.meant.map_err(|problem| problem.to_string())
    }

    #[test]
    fn an_action_is_read_as_it_was_written() {
        let meant = Meant {
            revision: "3f2a1b9c".into(),
            by: "ada@example.org".into(),
            at: "2026-01-31T09:30:00.250Z".parse().ok(),
            gate: Some(Gate::Promotion),
        };
        let value = meant.value();
        assert_eq!(
            value,
            "revision=3f2a1b9c by=ada@example.org at=2026-01-31T09:30:00.250Z gate=promotion"
        );
        assert_eq!(read(Verb::Approve, &value), Ok(meant));
    }

    #[test]
    fn an_action_that_names_no_revision_or_nobody_is_refused_with_what_is_allowed() {
        for (value, allowed) in [
            ("true", WORDS),
            ("revision=3f2a by=ada", REVISION),
            ("revision=latest-one by=ada", REVISION),
            ("revision=3f2a1b9c", "must say who acts: by=WHO"),
            ("revision=3f2a1b9c by=ada at=noon", TIME),
            ("revision=3f2a1b9c by=ada gate=any", GATE),
            ("revision=3f2a1b9c by=ada force=true", WORDS),
        ] {
            let expected = format!("annotation slipway.dev/action-abort is {value}, {allowed}");
            assert_eq!(read(Verb::Abort, value), Err(expected));
        }
    }

    #[test]
    fn actions_are_heeded_in_the_order_in_which_they_were_taken() {
        let of = |minute: u32| format!("revision=3f2a1b9c by=ada at=2026-01-31T09:{minute}:00Z");
        let annotations = BTreeMap::from([
            (action::PAUSE.to_owned(), of(31)),
            (action::RESUME.to_owned(), of(30)),
        ]);
        let verbs: Vec<Verb> = Action::read(&annotations)
            .into_iter()
            .map(|action| action.verb)
            .collect();
        assert_eq!(verbs, [Verb::Resume, Verb::Pause]);
    }
}
