//! Load in virtual time: a server that answers by a script, no socket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Method};
use tokio::time::sleep;

use super::*;
use crate::wire::{Certificate, Protocol};

/// A server that answers each request after `serves`, but none while it is stopped.
struct Server {
    start: Instant,
    serves: Duration,
    stopped: (Duration, Duration),
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    fn new(serves: Duration) -> Arc<Self> {
        Self::stopping(serves, Duration::ZERO, Duration::ZERO)
    }

    fn stopping(serves: Duration, from: Duration, to: Duration) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            serves,
            stopped: (from, to),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }
}

impl Wire for Server {
    async fn send(&self, request: Request) -> Result<Answer, SendError> {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        let (from, to) = self.stopped;
        let now = self.start.elapsed();
        let ready = if now >= from && now < to { to } else { now };
        let serve = sleep_until(self.start + ready + self.serves);
        let done = tokio::time::timeout(request.timeout, serve).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        done.map_err(|_| SendError::new(SendErrorKind::Timeout, "late"))?;
        Ok(Answer {
            status: 200,
            ..Answer::default()
        })
    }
}

fn load(rate: f64, seconds: u64, concurrency: usize) -> Load {
    Load {
        request: Request {
            method: Method::GET,
            url: "http://server/".parse().unwrap(),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            protocol: Protocol::Auto,
            certificate: Certificate::Verified,
            timeout: Duration::from_secs(5),
        },
        rate,
        duration: Duration::from_secs(seconds),
        concurrency,
        status: Statuses::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_keeps_its_rate_for_its_duration() {
    let server = Server::new(Duration::from_millis(20));
    let summary = run(&load(50.0, 60, 100), &server).await;
    assert_eq!((summary.requests(), summary.successes()), (3_000, 3_000));
    assert!((49.9..=50.0).contains(&summary.rate()), "{summary}");
    // Timers of tokio have whole milliseconds.
    let longest = summary.latency().longest();
    assert!(longest <= Duration::from_millis(22), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_for_a_second_shows_a_second_of_slow_requests() {
    // One connection: a closed loop would send one slow request here and tell a p99 of 1 ms.
    let ms = Duration::from_millis;
    let server = Server::stopping(ms(1), ms(2_000), ms(3_000));
    let summary = run(&load(100.0, 10, 1), &server).await;
    assert_eq!(summary.requests(), 1_000);
    let p95 = summary.latency().at(9_500);
    assert!((ms(400)..ms(700)).contains(&p95), "{summary}");
    let p99 = summary.latency().at(9_900);
    assert!((ms(800)..=ms(1_100)).contains(&p99), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_concurrency_is_under_way_and_the_rest_is_told_as_unsent() {
    let server = Server::new(Duration::from_hours(1));
    let start = Instant::now();
    let summary = run(&load(10.0, 10, 3), &server).await;
    assert_eq!(server.most.load(Ordering::SeqCst), 3);
    assert_eq!(summary.requests(), 100);
    assert_eq!(summary.successes(), 0);
    assert!(
        summary.errors().contains_key(&SendErrorKind::Unsent),
        "{summary}"
    );
    // The duration, and one timeout for what was under way then.
    assert!(
        start.elapsed() <= Duration::from_secs(21),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_dropped_stops_at_once() {
    let server = Server::new(Duration::from_millis(1));
    let load = load(100.0, 60, 10);
    let cut = tokio::time::timeout(Duration::from_secs(1), run(&load, &server)).await;
    assert!(cut.is_err());
    let references = Arc::strong_count(&server);
    sleep(Duration::from_secs(5)).await;
    assert!(references <= 2, "{references}");
    assert_eq!(Arc::strong_count(&server), 1);
}

#[test]
fn intended_times_do_not_drift() {
    let load = load(3.0, 1_000_000, 1);
    assert_eq!(load.intended(0), Some(Duration::ZERO));
    assert_eq!(load.intended(3_000), Some(Duration::from_secs(1_000)));
    assert_eq!(
        load.intended(2_999_999).map(|it| it.as_secs()),
        Some(999_999)
    );
    assert_eq!(load.intended(3_000_000), None);
}

#[test]
fn limits_name_what_is_beyond_them() {
    let ms = Duration::from_millis;
    let mut summary = Summary::default();
    for n in 0..100 {
        summary.add_answer(200, true, 10, ms(n));
    }
    summary.add_answer(503, false, 0, ms(900));
    summary.add_error(SendErrorKind::Timeout, ms(2_000));
    summary.end(Duration::from_secs(10));
    let limits = |success, p99, max| Limits {
        success,
        latency: BTreeMap::from([("p99", p99), ("max", max)])
            .into_iter()
            .map(|(name, most)| (Percentile::parse(name).unwrap(), most))
            .collect(),
    };
    assert_eq!(summary.failures(&limits(98.0, ms(950), ms(2_000))), []);
    let told: Vec<_> = summary.failures(&limits(99.0, ms(500), ms(1_000)));
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "success: expected at least 99%, got 98.03% (100 × 200, 1 × 503, 1 × timeout)",
            "latency max: expected at most 1s, got 2s",
            "latency p99: expected at most 500ms, got 901.119ms",
        ]
    );
    assert_eq!(
        summary.to_string(),
        "102 requests in 10s, 10.1 answers/s, 98.03% successes (100 × 200, 1 × 503, 1 × timeout), 1000 bytes\n\
         latency: mean 76.96ms, p50 50.175ms, p90 91.135ms, p95 96.255ms, p99 901.119ms, p99.9 2s, max 2s"
    );
}
