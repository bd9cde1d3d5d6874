//! Webhooks: the request, and what its answer says.
//!
//! **Source**: dossier 03 A2 to A4. **Differs from Flagger**: the body of a 429 or 5xx answer is kept in the text (a failed test run
//! behind the hook says there why); the text is one line of at most [`SHOWN`] characters; a `Retry-After` is honoured up to
//! [`LONGEST_BACKOFF`] only, so that no receiver can hold a release.

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use slipway_core::observation::Verdict;
use slipway_core::plan::Hook;

use crate::address::{self, Address};
use crate::payload::Payload;
use crate::text::bounded;
use crate::transport::{REDIRECTS, Transport};

/// How much of an answer goes into a verdict, in characters.
pub const SHOWN: usize = 1024;
/// The longest wait between two attempts.
pub const LONGEST_BACKOFF: TimeDelta = TimeDelta::seconds(30);

/// Why a hook cannot be called at all. It counts as a refusal: `Verdict::from`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The URL is none; a password in it is masked.
    #[error("webhook {name}: url is {url}, it {allowed}", allowed = address::ALLOWED)]
    Url {
        /// The hook.
        name: String,
        /// The URL as it may be shown.
        url: String,
    },
}

impl From<HookError> for Verdict {
    fn from(why: HookError) -> Self {
        Self::Refused(why.to_string())
    }
}

/// The request of one attempt. User info in the URL becomes basic authentication.
///
/// # Errors
/// When the URL is not an absolute http or https URL.
pub fn request(hook: &Hook, payload: &Payload) -> Result<Request<Vec<u8>>, HookError> {
    let wrong = || HookError::Url {
        name: hook.name.clone(),
        url: address::shown(&hook.url, "xxxxx"),
    };
    let Address { url, authorization } = Address::parse(&hook.url).ok_or_else(wrong)?;
    let mut request = Request::new(payload.to_json());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.as_str().parse().map_err(|_| wrong())?;
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(basic) = authorization {
        request.headers_mut().insert(AUTHORIZATION, basic);
    }
    Ok(request)
}

/// How the requests of a hook are to be sent.
pub fn transport(hook: &Hook) -> Transport {
    Transport {
        timeout: hook.timeout,
        verify_tls: !hook.disable_tls,
        redirects: REDIRECTS,
        proxy: None,
    }
}

/// What the last answer says: 200, 201 and 202 are a yes, everything else is a no with the body as its reason.
///
/// **Shape**: `attempts` counts every attempt that was made, from 1.
pub fn verdict(hook: &Hook, attempts: u32, status: u16, body: &[u8]) -> Verdict {
    if matches!(status, 200..=202) {
        return Verdict::Passed;
    }
    let body = bounded(&String::from_utf8_lossy(body), SHOWN);
    Verdict::Refused(match (is_retryable(status), body.as_str()) {
        (false, _) => body,
        (true, "") => given_up(hook, attempts),
        (true, why) => format!("{}: {why}", given_up(hook, attempts)),
    })
}

/// What is said of a hook that gave no answer: `why` is the error of the last attempt (refused, timed out, untrusted).
pub fn unanswered(hook: &Hook, attempts: u32, why: &str) -> Verdict {
    let url = address::shown(&hook.url, "***");
    Verdict::Refused(format!(
        "{}: Post \"{url}\": {}",
        given_up(hook, attempts),
        bounded(why, SHOWN)
    ))
}

fn given_up(hook: &Hook, attempts: u32) -> String {
    format!(
        "POST {} giving up after {attempts} attempt(s)",
        address::shown(&hook.url, "xxxxx")
    )
}

/// Whether another attempt may get another answer: 429 and 5xx, but not 501. Without an answer, network errors and time-outs are
/// retried as well, and untrusted certificates and too many redirects are not.
pub fn is_retryable(status: u16) -> bool {
    status == 429 || (status >= 500 && status != 501)
}

/// How long the receiver asks to be left alone: `Retry-After` of a 429 or 503, in seconds or as a date.
pub fn retry_after(status: u16, header: Option<&str>, now: DateTime<Utc>) -> Option<TimeDelta> {
    let header = header.filter(|_| matches!(status, 429 | 503))?.trim();
    let wait = match header.parse::<i64>() {
        Ok(seconds) => TimeDelta::try_seconds(seconds).unwrap_or(LONGEST_BACKOFF),
        Err(_) => DateTime::parse_from_rfc2822(header)
            .ok()?
            .signed_duration_since(now),
    };
    Some(wait).filter(|wait| *wait >= TimeDelta::zero())
}

/// The wait before the next attempt: what the receiver asks for, else 1 s, 2 s, 4 s and so on; at most [`LONGEST_BACKOFF`].
///
/// **Shape**: `attempt` is the number of attempts that were made, from 1. Without jitter, as in Flagger: a release has few hooks, and
/// releases do not start together.
pub fn backoff(attempt: u32, retry_after: Option<TimeDelta>) -> TimeDelta {
    let doubled = 1_i64
        .checked_shl(attempt.saturating_sub(1))
        .filter(|seconds| *seconds > 0);
    let own = doubled
        .and_then(TimeDelta::try_seconds)
        .unwrap_or(LONGEST_BACKOFF);
    retry_after
        .unwrap_or(own)
        .clamp(TimeDelta::zero(), LONGEST_BACKOFF)
}

/// The longest that a call may take with all its attempts and the waits between them.
pub fn longest(hook: &Hook) -> TimeDelta {
    // From the sixth wait on each is the longest one.
    let few = hook.retries.min(5);
    let doubling: TimeDelta = (1..=few).map(|attempt| backoff(attempt, None)).sum();
    let times = |one: TimeDelta, times: u32| {
        i32::try_from(times)
            .ok()
            .and_then(|times| one.checked_mul(times))
    };
    let attempts = times(hook.timeout, hook.retries.saturating_add(1));
    let steady = times(LONGEST_BACKOFF, hook.retries - few);
    let sum = attempts
        .zip(steady)
        .and_then(|(attempts, steady)| attempts.checked_add(&steady)?.checked_add(&doubling));
    sum.unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
