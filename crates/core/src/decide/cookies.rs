//! The cookies of session affinity: remembered before a route knows them, so that a crash gives nobody another side.
//!
//! **Source**: dossier 02 A.6. **Differs from Flagger**: the value is derived from the release, not drawn, so that it is the same whoever
//! computes it again (F-19); each release has its own, the primary's too (F-16, FC-022).

use serde_json::json;
use slipway_api::CanaryStatus;

use crate::plan::{Affinity, Plan};
use crate::revision::revision;
use crate::weight::Routes;

/// Letters of a cookie's value, as Flagger has them.
const LETTERS: usize = 10;

/// Notes the cookies that these routes need: while the canary has traffic those of the release; once it has none, the one that its users still
/// carry, which is made to expire.
pub(super) fn keep(plan: &Plan, status: &mut CanaryStatus, routes: Routes) {
    let Some(Affinity {
        cookie,
        primary_cookie,
    }) = &plan.affinity
    else {
        return;
    };
    if routes.canary.is_zero() {
        if let Some(stale) = status.session_affinity_cookie.take() {
            status.previous_session_affinity_cookie = Some(stale);
            status.primary_session_affinity_cookie = None;
        }
        return;
    }
    let is_of = |known: &Option<String>, name: &str| {
        let value = known.as_ref().and_then(|known| known.strip_prefix(name));
        value.is_some_and(|value| value.starts_with('='))
    };
    if !is_of(&status.session_affinity_cookie, cookie) {
        status.session_affinity_cookie = Some(made(plan, status, cookie));
    }
    if let Some(name) = primary_cookie
        && !is_of(&status.primary_session_affinity_cookie, name)
    {
        status.primary_session_affinity_cookie = Some(made(plan, status, name));
    }
}

/// `name=value`, the same for the same release.
fn made(plan: &Plan, status: &CanaryStatus, name: &str) -> String {
    let slipway = status.slipway.as_ref();
    let release = slipway.and_then(|slipway| slipway.release.as_ref());
    let of = release.map(|release| (release.revision.as_str(), release.started_at));
    let digits = revision(&json!([
        plan.canary.uid,
        plan.canary.namespace,
        plan.canary.name,
        name,
        of,
    ]));
    let digits: Vec<char> = digits.chars().collect();
    let value: String = digits.chunks(2).take(LETTERS).filter_map(letter).collect();
    format!("{name}={value}")
}

/// The letter that two hex digits stand for.
fn letter(digits: &[char]) -> Option<char> {
    let number = digits
        .iter()
        .try_fold(0, |number, digit| Some(number * 16 + digit.to_digit(16)?))?;
    let mut alphabet = ('a'..='z').chain('A'..='Z');
    alphabet.nth(usize::try_from(number % 52).ok()?)
}

#[cfg(test)]
mod tests {
    use slipway_api::{Canary, ReleaseStatus, SlipwayStatus};

    use super::*;
    use crate::plan::Defaults;
    use crate::weight::Weight;

    fn plan(affinity: &serde_json::Value) -> Plan {
        let canary: Canary = serde_json::from_value(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "app", "namespace": "test", "uid": "u1"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
                "service": {"port": 80},
                "analysis": {"interval": "10s", "threshold": 1, "stepWeight": 50, "sessionAffinity": affinity},
            },
        }))
        .unwrap();
        Plan::parse(&canary, &Defaults::default()).unwrap()
    }

    fn status(revision: &str) -> CanaryStatus {
        CanaryStatus {
            slipway: Some(SlipwayStatus {
                release: Some(ReleaseStatus {
                    revision: revision.to_owned(),
                    ..ReleaseStatus::default()
                }),
                ..SlipwayStatus::default()
            }),
            ..CanaryStatus::default()
        }
    }

    /// The cookies after these routes, one after the other: canary, primary, previous.
    fn after(status: &mut CanaryStatus, plan: &Plan, weights: &[i64]) -> [Option<String>; 3] {
        for weight in weights {
            keep(plan, status, Routes::to_canary(Weight::clamped(*weight)));
        }
        [
            status.session_affinity_cookie.clone(),
            status.primary_session_affinity_cookie.clone(),
            status.previous_session_affinity_cookie.clone(),
        ]
    }

    #[test]
    fn a_release_has_its_cookies_from_its_first_weight_on_and_its_canarys_expires_at_the_end() {
        let plan = plan(&json!({"cookieName": "fc", "primaryCookieName": "pc"}));
        let mut status = status("one");
        assert_eq!(after(&mut status, &plan, &[0]), [None, None, None]);
        let first = after(&mut status, &plan, &[10]);
        let [Some(canary), Some(primary), None] = &first else {
            panic!("{first:?}")
        };
        assert!(
            canary.starts_with("fc=") && canary.len() == "fc=".len() + LETTERS,
            "{canary}"
        );
        assert!(
            primary.starts_with("pc=") && primary.strip_prefix("pc=") != canary.strip_prefix("fc="),
            "{primary}"
        );
        assert_eq!(after(&mut status, &plan, &[10, 50, 100]), first);
        let ended = [None, None, Some(canary.clone())];
        assert_eq!(after(&mut status, &plan, &[0]), ended);
        assert_eq!(after(&mut status, &plan, &[0, 0]), ended);
    }

    #[test]
    fn a_cookie_is_the_same_for_the_same_release_and_another_for_the_next() {
        let plan = plan(&json!({"cookieName": "fc"}));
        let of = |revision: &str| after(&mut status(revision), &plan, &[10]);
        assert_eq!(of("one"), of("one"));
        assert_ne!(of("one"), of("two"));
    }

    #[test]
    fn the_cookie_of_a_release_that_is_taken_over_is_kept_unless_it_is_called_otherwise_now() {
        let plan = plan(&json!({"cookieName": "fc"}));
        let mut taken_over = status("one");
        taken_over.session_affinity_cookie = Some("fc=kSXdxZvaqr".into());
        let kept = after(&mut taken_over, &plan, &[10]);
        assert_eq!(kept, [Some("fc=kSXdxZvaqr".into()), None, None]);
        let mut renamed = status("one");
        renamed.session_affinity_cookie = Some("fcx=kSXdxZvaqr".into());
        let [Some(cookie), ..] = after(&mut renamed, &plan, &[10]) else {
            panic!("no cookie")
        };
        assert!(cookie.starts_with("fc="), "{cookie}");
    }
}
