//! Sending again what may be answered a moment later.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::time::sleep;

use super::{Http, HttpError, Limits};
use crate::clock::Clock;

/// How often a call is repeated.
///
/// **Source**: dossier 03 A2. Repeated are failures of the network and the statuses 429 and 500 and above, 501 excepted; the wait before
/// retry n is 1 s, 2 s, 4 s … up to 30 s, or what `Retry-After` of a 429 or 503 says.
/// **Differs from Flagger**, where `Retry-After` has no upper bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How many more attempts after the first.
    pub retries: u32,
}

/// The longest wait between two attempts, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How a call with retries ended.
#[derive(Debug)]
pub struct Attempted {
    /// How often it was sent, at least once.
    pub attempts: u32,
    /// The last answer, also one that was worth another try.
    pub result: Result<http::Response<Vec<u8>>, HttpError>,
}

impl Attempted {
    /// Whether every attempt ended in a failure that another try might mend: Flagger then says "giving up after n attempt(s)".
    pub fn gave_up(&self) -> bool {
        is_worth_another_try(&self.result)
    }
}

/// Sends the request until it has an answer that counts, or the retries are used up.
///
/// **Caveats**: the limits hold for each attempt; the longest call is `(retries + 1) · timeout` and the waits between.
pub async fn send_retrying(
    http: &dyn Http,
    clock: &dyn Clock,
    request: &http::Request<Vec<u8>>,
    limits: &Limits,
    retry: Retry,
) -> Attempted {
    let mut attempts = 1;
    loop {
        let result = http.send(request.clone(), limits).await;
        if attempts > retry.retries || !is_worth_another_try(&result) {
            return Attempted { attempts, result };
        }
        sleep(wait(attempts, &result, clock.now())).await;
        attempts = attempts.saturating_add(1);
    }
}

fn is_worth_another_try(result: &Result<http::Response<Vec<u8>>, HttpError>) -> bool {
    match result {
        Ok(response) => {
            let status = response.status();
            status == StatusCode::TOO_MANY_REQUESTS
                || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        }
        Err(error) => error.kind.is_transient(),
    }
}

/// The wait after so many attempts.
fn wait(
    attempts: u32,
    result: &Result<http::Response<Vec<u8>>, HttpError>,
    now: DateTime<Utc>,
) -> Duration {
    let own = Duration::from_secs(1 << attempts.saturating_sub(1).min(5));
    let asked = result
        .as_ref()
        .ok()
        .and_then(|response| asked_wait(response, now));
    asked.unwrap_or(own).min(LONGEST_WAIT)
}

/// What the server asks for: seconds, or a date.
fn asked_wait(response: &http::Response<Vec<u8>>, now: DateTime<Utc>) -> Option<Duration> {
    let heeded = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if !heeded.contains(&response.status()) {
        return None;
    }
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    at.to_utc().signed_duration_since(now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use http::{Method, Uri};
    use tokio::time::Instant;

    use super::*;
    use crate::clock::TokioClock;
    use crate::http::HttpErrorKind;

    /// Gives the answers in this order: a status with a `Retry-After`, or 0 for a lost connection.
    #[derive(Debug)]
    struct Script(Mutex<Vec<(u16, &'static str)>>);

    #[async_trait]
    impl Http for Script {
        async fn send(
            &self,
            _: http::Request<Vec<u8>>,
            _: &Limits,
        ) -> Result<http::Response<Vec<u8>>, HttpError> {
            let (status, after) = self.0.lock().unwrap().remove(0);
            if status == 0 {
                let uri = Uri::from_static("http://gate.test/");
                return Err(HttpError::new(
                    HttpErrorKind::Broken,
                    &Method::POST,
                    &uri,
                    "reset",
                ));
            }
            let response = http::Response::builder()
                .status(status)
                .header("Retry-After", after);
            Ok(response.body(Vec::new()).unwrap())
        }
    }

    /// Attempts, last status (0 for none), seconds.
    async fn run(retries: u32, script: &[(u16, &'static str)]) -> (u32, u16, u64) {
        let http = Script(Mutex::new(script.to_vec()));
        let clock = TokioClock::starting_at(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let begin = Instant::now();
        let request = http::Request::post("http://gate.test/")
            .body(Vec::new())
            .unwrap();
        let attempted = send_retrying(
            &http,
            &clock,
            &request,
            &Limits::default(),
            Retry { retries },
        )
        .await;
        let status = attempted
            .result
            .map_or(0, |response| response.status().as_u16());
        (attempted.attempts, status, begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_answered_later_is_sent_again_as_flagger_does() {
        let date = "Fri, 15 Jan 2027 08:00:07 GMT";
        let rows = [
            (0, vec![(500, "")], (1, 500, 0)),
            (3, vec![(200, "")], (1, 200, 0)),
            (3, vec![(404, "")], (1, 404, 0)),
            (3, vec![(501, "")], (1, 501, 0)),
            (2, vec![(0, ""), (500, "9"), (200, "")], (3, 200, 3)),
            (1, vec![(502, ""), (502, "")], (2, 502, 1)),
            (1, vec![(429, "5"), (200, "")], (2, 200, 5)),
            (1, vec![(503, date), (200, "")], (2, 200, 7)),
            (1, vec![(503, "86400"), (200, "")], (2, 200, 30)),
        ];
        for (retries, script, expected) in rows {
            assert_eq!(run(retries, &script).await, expected, "{script:?}");
        }
    }
}
