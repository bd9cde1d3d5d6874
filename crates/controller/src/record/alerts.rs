//! Alerts and event hooks, sent beside the work: whoever decides never waits for Slack.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::error::bounded;
use crate::http::{Attempted, Http, Limits, Retry, send_retrying};
use crate::record::metrics::{Delivery, Metrics};

/// One message to one destination. The request is made by a codec of `slipway-hooks`.
pub struct AlertJob {
    /// Names the message for good: uid of the Canary, number of the transition, place, destination. A message with a key that was
    /// sent is not sent again, and the receiver gets it as `Idempotency-Key`.
    pub key: String,
    /// Who is told, without a URL: `AlertProvider test/slack`. Messages to one destination keep their order and wait for each other;
    /// others do not wait for them.
    pub destination: String,
    /// Which Canary it is about, as `name.namespace`.
    pub about: String,
    /// What is sent.
    pub request: http::Request<Vec<u8>>,
    /// Limits of each attempt.
    pub limits: Limits,
    /// How often it is tried again. **Differs from Flagger**, which never does.
    pub retry: Retry,
}

impl fmt::Debug for AlertJob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The request holds the URL, which is a secret, and perhaps a token.
        write!(
            formatter,
            "AlertJob {{ {} to {} }}",
            self.key, self.destination
        )
    }
}

impl AlertJob {
    /// The limits of a notification as Flagger has them: 5 s in all; three attempts instead of one.
    pub fn usual() -> (Limits, Retry) {
        (
            Limits::for_verdict(Duration::from_secs(5)),
            Retry { retries: 2 },
        )
    }
}

/// How many messages may wait, in all and for one destination.
const WAITING_MAX: usize = 4096;
/// See [`WAITING_MAX`].
const WAITING_PER_DESTINATION: usize = 256;
/// How many messages are on their way at once.
const SENDING_MAX: usize = 16;
/// How many keys are remembered.
const KEYS_MAX: usize = 8192;
/// How long a stop waits for what is still to be sent.
const GRACE: Duration = Duration::from_secs(5);

/// Where messages are left to be sent.
#[derive(Clone, Debug)]
pub struct AlertQueue {
    jobs: mpsc::Sender<AlertJob>,
    metrics: Metrics,
}

impl AlertQueue {
    /// A queue and the task that empties it.
    ///
    /// On `shutdown`, which comes after the last push, what is left is sent for at most 5 s more.
    pub fn start(
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (jobs, incoming) = mpsc::channel(WAITING_PER_DESTINATION);
        let worker = Worker {
            way: Way {
                http,
                clock,
                room: Arc::new(Semaphore::new(SENDING_MAX)),
            },
            metrics: metrics.clone(),
            lanes: HashMap::new(),
            waiting: 0,
            sending: FuturesUnordered::new(),
            keys: Keys::default(),
        };
        let task = tokio::spawn(worker.run(incoming, shutdown));
        (Self { jobs, metrics }, task)
    }

    /// Leaves a message to be sent; `false` when there is no room, which is counted and logged.
    pub fn push(&self, job: AlertJob) -> bool {
        let Err(refused) = self.jobs.try_send(job) else {
            return true;
        };
        let job = refused.into_inner();
        warn!(
            canary = job.about,
            destination = job.destination,
            "alert dropped: too many are waiting"
        );
        self.metrics.alert(Delivery::Dropped);
        false
    }
}

/// What one message needs to be sent.
#[derive(Clone)]
struct Way {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    room: Arc<Semaphore>,
}

struct Worker {
    way: Way,
    metrics: Metrics,
    /// What waits, by destination. A destination is here while a message to it is on its way.
    lanes: HashMap<String, VecDeque<AlertJob>>,
    waiting: usize,
    sending: FuturesUnordered<BoxFuture<'static, Sent>>,
    keys: Keys,
}

/// How a message ended.
struct Sent {
    key: String,
    destination: String,
    delivery: Delivery,
}

impl Worker {
    async fn run(mut self, mut incoming: mpsc::Receiver<AlertJob>, shutdown: CancellationToken) {
        let mut open = true;
        while open {
            tokio::select! {
                job = incoming.recv() => match job {
                    Some(job) => self.admit(job),
                    None => open = false,
                },
                Some(sent) = self.sending.next() => self.finish(sent),
                () = shutdown.cancelled() => open = false,
            }
        }
        incoming.close();
        while let Some(job) = incoming.recv().await {
            self.admit(job);
        }
        if timeout(GRACE, self.drain()).await.is_err() {
            let left = self.waiting + self.sending.len();
            warn!(left, "alerts dropped: no time left to send them");
            (0..left).for_each(|_| self.metrics.alert(Delivery::Dropped));
        }
    }

    async fn drain(&mut self) {
        while let Some(sent) = self.sending.next().await {
            self.finish(sent);
        }
    }

    /// Sends the message, or lets it wait for those before it.
    fn admit(&mut self, job: AlertJob) {
        if !self.keys.insert(&job.key) {
            debug!(canary = job.about, key = job.key, "alert sent before");
            self.metrics.alert(Delivery::Repeated);
            return;
        }
        match self.lanes.get_mut(&job.destination) {
            None => {
                self.lanes.insert(job.destination.clone(), VecDeque::new());
                self.send(job);
            }
            Some(lane) if lane.len() < WAITING_PER_DESTINATION && self.waiting < WAITING_MAX => {
                lane.push_back(job);
                self.waiting += 1;
            }
            Some(_) => {
                warn!(
                    canary = job.about,
                    destination = job.destination,
                    "alert dropped: its destination is too slow"
                );
                self.keys.remove(&job.key);
                self.metrics.alert(Delivery::Dropped);
            }
        }
    }

    fn send(&self, job: AlertJob) {
        self.sending.push(self.way.clone().send(job).boxed());
    }

    fn finish(&mut self, sent: Sent) {
        let Sent {
            key,
            destination,
            delivery,
        } = sent;
        self.metrics.alert(delivery);
        if delivery == Delivery::Failed {
            // Whoever tells it again may try.
            self.keys.remove(&key);
        }
        match self
            .lanes
            .get_mut(&destination)
            .and_then(VecDeque::pop_front)
        {
            Some(next) => {
                self.waiting = self.waiting.saturating_sub(1);
                self.send(next);
            }
            None => {
                self.lanes.remove(&destination);
            }
        }
    }
}

impl Way {
    async fn send(self, job: AlertJob) -> Sent {
        // Never closed; and without a permit it would be sent all the same.
        let _permit = self.room.acquire().await.ok();
        let AlertJob {
            key,
            destination,
            about,
            mut request,
            limits,
            retry,
        } = job;
        if let Ok(value) = HeaderValue::from_str(&key) {
            request
                .headers_mut()
                .insert(HeaderName::from_static("idempotency-key"), value);
        }
        let Attempted { attempts, result } = send_retrying(
            self.http.as_ref(),
            self.clock.as_ref(),
            &request,
            &limits,
            retry,
        )
        .await;
        let failure = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(bad_response(response.status(), response.body())),
            Err(error) => Some(error.cause().to_owned()),
        };
        let delivery = match failure {
            None => Delivery::Sent,
            Some(error) => {
                warn!(
                    canary = about,
                    destination, attempts, error, "alert not sent"
                );
                Delivery::Failed
            }
        };
        Sent {
            key,
            destination,
            delivery,
        }
    }
}

/// What Flagger says, bounded.
fn bad_response(status: StatusCode, body: &[u8]) -> String {
    let body = bounded(&String::from_utf8_lossy(body), 256);
    format!(
        "sending notification bad response {}: {body}",
        status.as_u16()
    )
}

/// The keys of messages that were sent or are on their way, the newest of them.
#[derive(Default)]
struct Keys {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Keys {
    /// Whether the key is new.
    fn insert(&mut self, key: &str) -> bool {
        if !self.known.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        if self.order.len() > KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn remove(&mut self, key: &str) {
        if self.known.remove(key) {
            self.order.retain(|known| known != key);
        }
    }
}

#[cfg(test)]
mod tests;
