//! Candidates for one Lease, on an API server in memory and on virtual time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use chrono::DateTime;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use slipway_controller::clock::{Clock, TokioClock};
use slipway_controller::leader::{Candidate, LEASE_NAME, Leadership, Timings};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, service_fn};

/// What the API server does to the requests of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Trouble {
    #[default]
    None,
    /// Never answers, and does nothing.
    Silent,
    /// Does what it is asked, and never answers.
    LosesAnswers,
    /// Answers 500, and does nothing.
    Refuses,
}

#[derive(Debug, Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    /// Who held the Lease after each write, with the second.
    holders: Vec<(u64, String)>,
    requests: usize,
}

/// An API server that has one Lease.
#[derive(Clone, Debug)]
struct Server {
    begin: Instant,
    state: Arc<Mutex<State>>,
}

impl Server {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            state: Arc::default(),
        }
    }

    fn client(&self, trouble: &Arc<Mutex<Trouble>>) -> kube::Client {
        let (server, trouble) = (self.clone(), Arc::clone(trouble));
        let service = service_fn(move |request| {
            let (server, trouble) = (server.clone(), Arc::clone(&trouble));
            async move { server.answer(request, trouble).await }
        });
        kube::Client::new(service, "default")
    }

    async fn answer(
        self,
        request: Request<Body>,
        trouble: Arc<Mutex<Trouble>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let now = *trouble.lock().unwrap();
        if now == Trouble::Silent {
            std::future::pending::<()>().await;
        }
        let (code, answer) = match now {
            Trouble::Refuses => (500, status(500, "InternalError")),
            Trouble::None | Trouble::Silent | Trouble::LosesAnswers => {
                self.handle(&parts.method, &body)
            }
        };
        if now == Trouble::LosesAnswers {
            std::future::pending::<()>().await;
        }
        Ok(Response::builder()
            .status(code)
            .body(Full::from(answer.to_string()))?)
    }

    fn handle(&self, method: &Method, body: &[u8]) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        let current = state.lease.clone();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        match (method.as_str(), current) {
            ("GET", Some(lease)) => (200, lease),
            ("GET" | "PUT", None) => (404, status(404, "NotFound")),
            ("POST", Some(_)) => (409, status(409, "AlreadyExists")),
            ("POST", None) => (201, state.store(self.begin, body)),
            ("PUT", Some(lease)) => {
                let wanted: Value = serde_json::from_slice(body).unwrap();
                if version(&wanted) == version(&lease) {
                    (200, state.store(self.begin, body))
                } else {
                    (409, status(409, "Conflict"))
                }
            }
            (method, _) => panic!("unexpected {method}"),
        }
    }

    fn lease(&self) -> Value {
        self.state.lock().unwrap().lease.clone().unwrap()
    }

    /// The holders in their order, each with the second of its first write.
    fn reigns(&self) -> Vec<(u64, String)> {
        let mut reigns = self.state.lock().unwrap().holders.clone();
        reigns.dedup_by(|next, before| next.1 == before.1);
        reigns
    }

    fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

impl State {
    fn store(&mut self, begin: Instant, body: &[u8]) -> Value {
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
        self.holders.push((begin.elapsed().as_secs(), holder));
        self.lease = Some(lease.clone());
        lease
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code})
}

/// A candidate that runs.
struct Running {
    leadership: Leadership,
    trouble: Arc<Mutex<Trouble>>,
    vacate: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(server: &Server, name: &str) -> Self {
        let trouble = Arc::new(Mutex::new(Trouble::None));
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
        let vacate = CancellationToken::new();
        let candidate = Candidate::new(
            server.client(&trouble),
            "kube-system",
            LEASE_NAME,
            Timings::default(),
            clock,
        )
        .named(name);
        let (leadership, task) = candidate.start(vacate.clone());
        Self {
            leadership,
            trouble,
            vacate,
            task,
        }
    }

    fn meets(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn leads(&self) -> bool {
        self.leadership.is_leader()
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// Two candidates, the first of which leads.
async fn pair(server: &Server) -> (Running, Running) {
    let mut first = Running::start(server, "first");
    first.leadership.acquired().await;
    let second = Running::start(server, "second");
    seconds(1).await;
    (first, second)
}

/// Looks every tenth of a second whether both lead; until when the second does, and how long that took.
async fn takeover(first: &Running, second: &Running) -> Duration {
    let begin = Instant::now();
    while !second.leads() {
        assert!(begin.elapsed() < Duration::from_mins(2), "nobody took over");
        sleep(Duration::from_millis(100)).await;
        assert!(
            !(first.leads() && second.leads()),
            "two leaders after {:?}",
            begin.elapsed()
        );
    }
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_for_an_hour_and_the_other_knows_who() {
    let server = Server::new();
    let (first, second) = pair(&server).await;
    for _ in 0..3600 {
        seconds(1).await;
        assert!(first.leads() && !second.leads());
    }
    assert_eq!(second.leadership.other_holder().as_deref(), Some("first"));
    assert_eq!(server.reigns(), [(0, "first".to_owned())]);
    // One request each 2 to 2.4 s for each of the two.
    assert!(
        (3000..=3602).contains(&server.requests()),
        "{}",
        server.requests()
    );
}

#[tokio::test(start_paused = true)]
async fn two_that_start_at_once_do_not_both_lead() {
    let server = Server::new();
    let (first, second) = (
        Running::start(&server, "first"),
        Running::start(&server, "second"),
    );
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        assert!(!(first.leads() && second.leads()));
    }
    assert!(first.leads() || second.leads());
    assert_eq!(server.reigns().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_within_eighteen_seconds() {
    let mut server = Server::new();
    // Killed at many points of the two candidates' periods.
    for point in 0..20 {
        server = Server::new();
        let (first, second) = pair(&server).await;
        sleep(Duration::from_millis(170 * point)).await;
        first.task.abort();
        let took = takeover(&first, &second).await;
        assert!(took <= Duration::from_secs(18), "{point} {took:?}");
        second.task.abort();
    }
    let spec = &server.lease()["spec"];
    assert_eq!(
        (&spec["holderIdentity"], &spec["leaseTransitions"]),
        (&json!("second"), &json!(1))
    );
    assert_eq!(spec["leaseDurationSeconds"], json!(15));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_at_once() {
    let server = Server::new();
    let (mut first, second) = pair(&server).await;
    first.vacate.cancel();
    (&mut first.task).await.unwrap();
    assert!(!first.leads());
    assert_eq!(server.lease()["spec"]["holderIdentity"], json!(""));
    let took = takeover(&first, &second).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    for trouble in [Trouble::Silent, Trouble::LosesAnswers, Trouble::Refuses] {
        let server = Server::new();
        let (mut first, second) = pair(&server).await;
        first.meets(trouble);
        let begin = Instant::now();
        timeout(Duration::from_mins(1), first.leadership.lost())
            .await
            .unwrap();
        assert!(
            begin.elapsed() <= Duration::from_secs(10),
            "{trouble:?} {:?}",
            begin.elapsed()
        );
        assert!(!second.leads(), "{trouble:?}");
        if trouble != Trouble::LosesAnswers {
            takeover(&first, &second).await;
        }
        first.task.abort();
        second.task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_and_replaced_stands_by_when_it_comes_back() {
    let server = Server::new();
    let (first, second) = pair(&server).await;
    first.meets(Trouble::Silent);
    takeover(&first, &second).await;
    first.meets(Trouble::None);
    seconds(60).await;
    assert!(second.leads() && !first.leads());
    assert_eq!(first.leadership.other_holder().as_deref(), Some("second"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_ran_out_is_announced_when_it_comes_back() {
    let server = Server::new();
    let mut only = Running::start(&server, "only");
    only.leadership.acquired().await;
    only.meets(Trouble::Refuses);
    only.leadership.lost().await;
    only.meets(Trouble::None);
    timeout(Duration::from_secs(10), only.leadership.acquired())
        .await
        .unwrap();
    assert!(only.leads());
    assert_eq!(server.reigns(), [(0, "only".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_of_the_api_server_loses_nothing() {
    let server = Server::new();
    let (first, second) = pair(&server).await;
    first.meets(Trouble::Refuses);
    for _ in 0..70 {
        sleep(Duration::from_millis(100)).await;
        assert!(first.leads());
    }
    first.meets(Trouble::None);
    seconds(30).await;
    assert!(first.leads() && !second.leads());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deleted_is_made_again() {
    let server = Server::new();
    let (first, second) = pair(&server).await;
    server.state.lock().unwrap().lease = None;
    seconds(10).await;
    assert!(first.leads() != second.leads());
    assert!(server.state.lock().unwrap().lease.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_into_the_lease_stays_and_does_not_end_the_claim() {
    let server = Server::new();
    let (first, _second) = pair(&server).await;
    {
        let mut state = server.state.lock().unwrap();
        let lease = state.lease.as_mut().unwrap();
        lease["metadata"]["annotations"] = json!({"note": "kept"});
        lease["metadata"]["resourceVersion"] = json!("9999");
    }
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        assert!(first.leads());
    }
    assert_eq!(
        server.lease()["metadata"]["annotations"]["note"],
        json!("kept")
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_found_held_is_waited_for_as_long_as_it_says() {
    let server = Server::new();
    {
        let mut state = server.state.lock().unwrap();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": LEASE_NAME, "resourceVersion": "1"},
            // Its clock is a year behind ours: that does not matter.
            "spec": {"holderIdentity": "flagger", "leaseDurationSeconds": 60, "renewTime": "2025-11-24T00:00:00.000000Z"},
        });
        state.lease = Some(lease);
    }
    let mut only = Running::start(&server, "only");
    seconds(59).await;
    assert!(!only.leads());
    assert_eq!(only.leadership.other_holder().as_deref(), Some("flagger"));
    timeout(Duration::from_secs(3), only.leadership.acquired())
        .await
        .unwrap();
}
