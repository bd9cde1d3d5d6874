//! What the record of a release tells of the world outside.

use slipway_api::{Note, PodReason, Side};

use super::{primary, target, warning};
use crate::plan::Plan;

/// The text on one line, without control characters, and of at most so many characters; a cut is marked by `…`.
pub fn bounded(text: &str, characters: usize) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() <= characters {
        return line;
    }
    let kept = line.chars().take(characters.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// Why pods do not run: `container app: CrashLoopBackOff, exit code 1: out of luck`.
pub fn pod_reason(given: &PodReason) -> String {
    let container = given.container.as_ref();
    let whose = container.map_or_else(|| "pod".to_owned(), |name| format!("container {name}"));
    let code = given.exit_code;
    let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
    let message = match given.message.as_str() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    format!("{whose}: {}{code}{message}", given.reason)
}

/// Pods of a side do not run, as people are told it: once for each reason, when it is first seen.
pub fn pods_fail(plan: &Plan, given: &PodReason) -> Note {
    let side = match given.side {
        Side::Primary => primary(plan),
        Side::Canary => target(plan),
    };
    warning(format!("Pods of {side} do not run, {}", pod_reason(given)))
}

/// A text with the reasons that pods gave behind it, two at most.
pub fn with_pods<'a>(text: &str, given: impl Iterator<Item = &'a PodReason>) -> String {
    let reasons: Vec<String> = given.take(2).map(pod_reason).collect();
    if reasons.is_empty() {
        text.to_owned()
    } else {
        format!("{text} ({})", reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_with_its_container_its_exit_code_and_what_was_said() {
        let given = PodReason {
            side: Side::Canary,
            reason: "CrashLoopBackOff".into(),
            container: Some("app".into()),
            exit_code: Some(1),
            message: "boom".into(),
            pod: "app-x".into(),
            at: None,
        };
        let told = pod_reason(&given);
        assert_eq!(told, "container app: CrashLoopBackOff, exit code 1: boom");
        let bare = PodReason {
            reason: "Evicted".into(),
            container: None,
            exit_code: None,
            message: String::new(),
            ..given
        };
        assert_eq!(pod_reason(&bare), "pod: Evicted");
        assert_eq!(
            with_pods("it failed", [&bare].into_iter()),
            "it failed (pod: Evicted)"
        );
        assert_eq!(with_pods("it failed", std::iter::empty()), "it failed");
    }

    #[test]
    fn a_text_from_outside_is_one_bounded_line() {
        assert_eq!(bounded(" a\n\tb\u{0} ", 10), "a b");
        assert_eq!(bounded("äbcdef", 5), "äbcd…");
    }
}
