use std::sync::Mutex;

use async_trait::async_trait;
use chrono::DateTime;
use tokio::time::{Instant, sleep};

use super::*;
use crate::clock::TokioClock;
use crate::http::HttpError;

/// Answers `http://HOST/TEXT` by its host: `ok`, `slow` (after a minute), `broken` (500). Keeps what it got, in order, with the second.
#[derive(Debug)]
struct Receivers {
    begin: Instant,
    got: Mutex<Vec<(u64, String)>>,
}

#[async_trait]
impl Http for Receivers {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        _: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let key = request
            .headers()
            .get("idempotency-key")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        self.got
            .lock()
            .unwrap()
            .push((self.begin.elapsed().as_secs(), key));
        let status = match request.uri().host().unwrap() {
            "slow" => {
                sleep(Duration::from_mins(1)).await;
                200
            }
            "broken" => 500,
            _ => 204,
        };
        Ok(http::Response::builder()
            .status(status)
            .body(Vec::new())
            .unwrap())
    }
}

struct Fixture {
    receivers: Arc<Receivers>,
    metrics: Metrics,
    shutdown: CancellationToken,
    queue: AlertQueue,
    task: JoinHandle<()>,
}

fn fixture() -> Fixture {
    let receivers = Arc::new(Receivers {
        begin: Instant::now(),
        got: Mutex::default(),
    });
    let clock = TokioClock::starting_at(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let (metrics, shutdown) = (Metrics::default(), CancellationToken::new());
    let http: Arc<dyn Http> = Arc::<Receivers>::clone(&receivers);
    let (queue, task) = AlertQueue::start(http, Arc::new(clock), metrics.clone(), shutdown.clone());
    Fixture {
        receivers,
        metrics,
        shutdown,
        queue,
        task,
    }
}

fn job(host: &str, key: &str) -> AlertJob {
    let (limits, retry) = AlertJob::usual();
    AlertJob {
        key: key.to_owned(),
        destination: host.to_owned(),
        about: "podinfo.test".to_owned(),
        request: http::Request::post(format!("http://{host}/"))
            .body(Vec::new())
            .unwrap(),
        limits,
        retry,
    }
}

impl Fixture {
    async fn stop(self) -> (Vec<(u64, String)>, String) {
        self.shutdown.cancel();
        self.task.await.unwrap();
        let got = self.receivers.got.lock().unwrap().clone();
        (got, self.metrics.encode())
    }
}

fn count(text: &str, result: &str) -> u64 {
    let start = format!("slipway_alerts_total{{result=\"{result}\"}} ");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .map_or(0, |count| count.parse().unwrap())
}

fn keys(got: &[(u64, String)]) -> Vec<&str> {
    got.iter().map(|(_, key)| key.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_slow_destination_delays_no_other_and_messages_to_one_keep_their_order() {
    let fixture = fixture();
    for (host, key) in [
        ("slow", "s1"),
        ("slow", "s2"),
        ("ok", "o1"),
        ("ok", "o2"),
        ("ok", "o3"),
    ] {
        assert!(fixture.queue.push(job(host, key)));
    }
    sleep(Duration::from_secs(121)).await;
    let (got, text) = fixture.stop().await;
    let seconds: Vec<_> = got
        .iter()
        .map(|(second, key)| (*second, key.as_str()))
        .collect();
    assert_eq!(
        seconds,
        [(0, "s1"), (0, "o1"), (0, "o2"), (0, "o3"), (60, "s2")]
    );
    assert_eq!(count(&text, "sent"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_once_however_often_it_is_pushed() {
    let fixture = fixture();
    for key in ["a", "a", "b", "a"] {
        fixture.queue.push(job("ok", key));
    }
    let (got, text) = fixture.stop().await;
    assert_eq!(keys(&got), ["a", "b"]);
    assert_eq!((count(&text, "sent"), count(&text, "repeated")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_failed_three_times_is_given_up_and_may_be_pushed_again() {
    let fixture = fixture();
    fixture.queue.push(job("broken", "a"));
    sleep(Duration::from_secs(10)).await;
    fixture.queue.push(job("broken", "a"));
    sleep(Duration::from_secs(10)).await;
    let (got, text) = fixture.stop().await;
    assert_eq!(keys(&got), ["a"; 6]);
    assert_eq!(count(&text, "failed"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_dropped_and_counted() {
    let fixture = fixture();
    let mut refused = 0;
    for number in 0..2000 {
        if !fixture.queue.push(job("slow", &number.to_string())) {
            refused += 1;
        }
        // Lets the worker take what was pushed: beyond the queue there is only so much room for one destination.
        tokio::task::yield_now().await;
    }
    let dropped = count(&fixture.metrics.encode(), "dropped");
    assert!(refused <= dropped, "{refused} {dropped}");
    assert!(
        dropped >= 2000 - 1 - 2 * u64::try_from(WAITING_PER_DESTINATION).unwrap(),
        "{dropped}"
    );
    fixture.task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_what_is_left_and_ends_in_time() {
    let fixture = fixture();
    for (host, key) in [("ok", "a"), ("slow", "b"), ("slow", "c"), ("ok", "d")] {
        fixture.queue.push(job(host, key));
    }
    let begin = Instant::now();
    let (got, text) = fixture.stop().await;
    assert_eq!(begin.elapsed(), GRACE);
    assert_eq!(keys(&got), ["a", "b", "d"]);
    assert_eq!((count(&text, "sent"), count(&text, "dropped")), (2, 2));
}

#[test]
fn the_url_of_a_destination_is_not_printed() {
    let mut job = job("ok", "key");
    *job.request.uri_mut() = "https://hooks.test/s3cret".parse().unwrap();
    assert_eq!(format!("{job:?}"), "AlertJob { key to ok }");
}
