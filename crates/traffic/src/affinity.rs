//! Session affinity: the cookies that keep a user on the side that was met first.
//!
//! The values come as data, from the status, where the core notes them before a route needs them; nothing is drawn here.
//!
//! **Source**: dossier 02 A.6, FC-022.

use std::fmt::Write as _;

use serde_json::{Value, json};
use slipway_api::{CanaryStatus, SessionAffinity};
use slipway_core::blueprint::Blueprint;

use crate::problem;

/// Seconds that a cookie lives where the Canary says nothing.
const MAX_AGE: i64 = 86_400;

/// The cookies of one release.
pub(crate) struct Affinity<'a> {
    rules: &'a SessionAffinity,
    status: &'a CanaryStatus,
    primary_max_age: i64,
}

impl<'a> Affinity<'a> {
    /// `None`: nobody asks for it, or a match tells the users apart already, or no cookie is known yet.
    pub(crate) fn of(blueprint: &Blueprint<'a>) -> Option<Self> {
        let canary = blueprint.canary;
        let analysis = canary.spec.analysis_in_force()?;
        let rules = analysis.session_affinity.as_ref()?;
        let is_wanted = !problem::is_ab_testing(blueprint.plan) && analysis.match_.is_empty();
        is_wanted.then_some(Self {
            rules,
            status: canary.status.as_ref()?,
            primary_max_age: blueprint.plan.interval.num_seconds(),
        })
    }

    /// The cookie that keeps users on the canary.
    pub(crate) fn canary(&self) -> Option<Cookie<'a>> {
        Cookie::of(self.status.session_affinity_cookie.as_deref()?)
    }

    /// The cookie that keeps users on the primary for an interval.
    pub(crate) fn primary(&self) -> Option<Cookie<'a>> {
        let name = self.rules.primary_cookie_name.as_deref()?;
        let cookie = Cookie::of(self.status.primary_session_affinity_cookie.as_deref()?)?;
        (cookie.name == name).then_some(cookie)
    }

    /// The cookie of a canary that has no traffic any more: of this release as long as the status still names it, else of the one before.
    pub(crate) fn stale(&self) -> Option<Cookie<'a>> {
        let previous = || self.status.previous_session_affinity_cookie.as_deref();
        Cookie::of(
            self.status
                .session_affinity_cookie
                .as_deref()
                .or_else(previous)?,
        )
    }

    /// `Set-Cookie` of the canary's answers.
    pub(crate) fn set_canary(&self, cookie: Cookie<'_>) -> String {
        let max_age = self.rules.max_age.value().filter(|age| *age > 0);
        self.set(cookie, max_age.unwrap_or(MAX_AGE))
    }

    /// `Set-Cookie` of the primary's answers: users are dealt out anew with each step.
    pub(crate) fn set_primary(&self, cookie: Cookie<'_>) -> String {
        self.set(cookie, self.primary_max_age)
    }

    /// `Set-Cookie` that makes a cookie expire. A browser takes it for the same cookie only with the same domain and path.
    ///
    /// **Differs from Flagger**, which leaves both out.
    pub(crate) fn expire(&self, cookie: Cookie<'_>) -> String {
        let mut text = format!("{}={}; Max-Age=-1", cookie.name, cookie.value);
        append(&mut text, "Domain", self.rules.domain.as_deref());
        append(&mut text, "Path", self.rules.path.as_deref());
        text
    }

    fn set(&self, cookie: Cookie<'_>, max_age: i64) -> String {
        let rules = self.rules;
        let mut text = format!("{}={}; Max-Age={max_age}", cookie.name, cookie.value);
        append(&mut text, "Domain", rules.domain.as_deref());
        flag(&mut text, "HttpOnly", rules.http_only);
        flag(&mut text, "Partitioned", rules.partitioned);
        append(&mut text, "Path", rules.path.as_deref());
        append(&mut text, "SameSite", rules.same_site.as_deref());
        flag(&mut text, "Secure", rules.secure);
        text
    }
}

fn append(text: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        // Writing to a text never fails.
        write!(text, "; {name}={value}").unwrap_or_default();
    }
}

fn flag(text: &mut String, name: &str, is_set: bool) {
    if is_set {
        write!(text, "; {name}").unwrap_or_default();
    }
}

/// One cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Cookie<'a> {
    fn of(pair: &'a str) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        (!name.is_empty() && !value.is_empty()).then_some(Self { name, value })
    }

    /// The header of a request that carries this cookie, among others that it may carry: its name and what it must match, in Flagger's words.
    pub(crate) fn condition(self) -> (&'static str, Value) {
        let Self { name, value } = self;
        ("Cookie", json!({"regex": format!(".*{name}.*{value}.*")}))
    }
}
