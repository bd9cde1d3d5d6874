//! The task that stands for election: looks at the Lease, takes it, renews it, gives it up.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use slipway_api::{names, time};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::flagger::OWN_PREFIX;
use super::{Claim, Holding, Judgement, Leadership, Term, Timings, judge};
use crate::clock::Clock;
use crate::error::{brief, is_already_exists, is_conflict, is_not_found};

/// One candidate for the Lease.
///
/// **Guarantees**: the Lease is only ever written with the resourceVersion that was judged, so of two that take an expired one, one is
/// refused. **Assumptions**: its client is its own, so that a burst of other requests cannot make a renewal wait (FC-106), and retries
/// nothing by itself.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    timings: Timings,
    clock: Arc<dyn Clock>,
    claim: watch::Sender<Claim>,
    seen: Option<Seen>,
    rounds: u64,
    complaint: Option<String>,
}

/// The Lease as we saw it last, and when it was seen to change.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    at: Instant,
}

/// The longest that one request may take: a hanging one must leave time for another before the claim ends.
fn request_timeout(timings: Timings) -> Duration {
    timings.renew_deadline() / 3
}

impl Candidate {
    /// A candidate for the Lease `name` in `namespace`.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        name: &str,
        timings: Timings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (claim, _) = watch::channel(Claim::Standby { holder: None });
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity(&hostname()),
            timings,
            clock,
            claim,
            seen: None,
            rounds: 0,
            complaint: None,
        }
    }

    /// The same candidate under another name, where a process has several, or chance is not wanted.
    pub fn named(mut self, identity: &str) -> Self {
        identity.clone_into(&mut self.identity);
        self
    }

    /// Under which name it stands.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Stands for election until `vacate`, which must come after the last write: the Lease is then given up, so that the next leader
    /// need not wait for it to expire.
    pub fn start(self, vacate: CancellationToken) -> (Leadership, JoinHandle<()>) {
        let leadership = Leadership::new(self.claim.subscribe(), Arc::clone(&self.clock));
        (leadership, tokio::spawn(self.stand(vacate)))
    }

    async fn stand(mut self, vacate: CancellationToken) {
        while !vacate.is_cancelled() {
            let pause = self.round().await;
            tokio::select! {
                () = vacate.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// Looks and acts once; how long to wait before the next time.
    async fn round(&mut self) -> Duration {
        self.rounds = self.rounds.wrapping_add(1);
        match self.step().await {
            Ok(judgement) => {
                self.complaint = None;
                self.pause(judgement)
            }
            Err(error) => {
                self.complain(brief(&error));
                self.expire();
                // Sooner than usual: the claim runs.
                self.jittered(self.timings.retry() / 2)
            }
        }
    }

    async fn step(&mut self) -> Result<Judgement, kube::Error> {
        if !self.holds() {
            self.look().await?;
        }
        let holding = self.holding();
        let seen_at = self.seen.as_ref().map_or_else(Instant::now, |seen| seen.at);
        let judgement = judge(holding.as_ref(), seen_at, &self.identity, Instant::now());
        match judgement {
            Judgement::Acquire | Judgement::Renew => self.write().await?,
            Judgement::Wait(_) => self.stand_by(holding.map(|holding| holding.holder)),
        }
        Ok(judgement)
    }

    fn holds(&self) -> bool {
        matches!(&*self.claim.borrow(), Claim::Leader(_))
    }

    fn holding(&self) -> Option<Holding> {
        let seen = self.seen.as_ref()?;
        Holding::of(&seen.lease, self.timings.duration())
    }

    /// Reads the Lease; notes when it was seen to change.
    async fn look(&mut self) -> Result<(), kube::Error> {
        let Some(lease) = self.bounded(self.api.get_opt(&self.name)).await? else {
            self.seen = None;
            return Ok(());
        };
        let known = self.seen.as_ref().is_some_and(|seen| {
            seen.lease.metadata.resource_version == lease.metadata.resource_version
        });
        if !known {
            let at = Instant::now();
            self.seen = Some(Seen { lease, at });
        }
        Ok(())
    }

    /// Takes or renews the Lease as it was seen. The term starts before the request does.
    async fn write(&mut self) -> Result<(), kube::Error> {
        let (start, today) = (Instant::now(), self.clock.now());
        let lease = self.ours();
        let post = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match &self.seen {
            Some(_) => {
                let replaced = self.api.replace(&self.name, &post, &lease);
                self.bounded(replaced).await
            }
            None => self.bounded(self.api.create(&post, &lease)).await,
        };
        match written {
            Ok(lease) => {
                self.seen = Some(Seen { lease, at: start });
                self.lead(Term::starting(start, today, self.timings.renew_deadline()));
                Ok(())
            }
            Err(error) => self.not_written(error).await,
        }
    }

    /// The Lease is not what was judged: whether it is still ours is seen at once, and not believed any longer when it is not.
    async fn not_written(&mut self, error: kube::Error) -> Result<(), kube::Error> {
        if !(is_conflict(&error) || is_already_exists(&error) || is_not_found(&error)) {
            return Err(error);
        }
        debug!(
            lease = self.name,
            error = brief(&error),
            "the lease was written by another"
        );
        self.look().await?;
        let holder = self.holding().map(|holding| holding.holder);
        if holder.as_deref() != Some(&self.identity) {
            self.stand_by(holder);
        }
        Ok(())
    }

    /// The Lease with us as its holder; whatever else stands in it stays.
    fn ours(&self) -> Lease {
        let mut lease = match &self.seen {
            Some(seen) => seen.lease.clone(),
            None => Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: None,
            },
        };
        let now = self.stamp();
        let before = lease.spec.take();
        let is_new = before.is_none();
        let mut spec = before.unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            spec.acquire_time.clone_from(&now);
            let transitions = spec.lease_transitions.unwrap_or(0);
            spec.lease_transitions = Some(if is_new {
                0
            } else {
                transitions.saturating_add(1)
            });
        }
        let seconds = self.timings.duration().as_secs().max(1);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            renew_time: now,
            ..spec
        });
        lease
    }

    fn stamp(&self) -> Option<MicroTime> {
        time::to_kubernetes(self.clock.now()).map(|time| MicroTime(time.0))
    }

    /// Bounds one request in time.
    async fn bounded<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        let limit = request_timeout(self.timings);
        timeout(limit, request).await.unwrap_or_else(|_| {
            let text = format!("no answer within {limit:?}");
            Err(kube::Error::Service(text.into()))
        })
    }

    fn lead(&self, term: Term) {
        // Whoever waits is woken by a change of side, not by each renewal. A claim that had run out was lost in between.
        let is_new = self.claim.send_if_modified(|claim| {
            let is_new = self.left(claim).is_zero();
            *claim = Claim::Leader(term);
            is_new
        });
        if is_new {
            info!(lease = self.name, identity = self.identity, "we lead");
        }
    }

    fn stand_by(&self, holder: Option<String>) {
        let standby = Claim::Standby { holder };
        let changed = self.claim.send_if_modified(|claim| {
            let changed = *claim != standby;
            claim.clone_from(&standby);
            changed
        });
        if changed
            && let Claim::Standby {
                holder: Some(holder),
            } = &standby
        {
            info!(lease = self.name, holder, "we stand by");
        }
    }

    /// Gives the claim up when its time is over.
    fn expire(&self) {
        let over = self.left(&self.claim.borrow()).is_zero();
        if over && self.holds() {
            warn!(
                lease = self.name,
                "the lease could not be renewed in time: we do not lead any more"
            );
            self.stand_by(None);
        }
    }

    fn left(&self, claim: &Claim) -> Duration {
        match claim {
            Claim::Leader(term) => term.left(self.clock.as_ref()),
            Claim::Standby { .. } => Duration::ZERO,
        }
    }

    /// One line per failure, not one per try.
    fn complain(&mut self, text: String) {
        if self.complaint.as_ref() != Some(&text) {
            warn!(lease = self.name, error = text, "leader election");
            self.complaint = Some(text);
        }
    }

    fn pause(&self, judgement: Judgement) -> Duration {
        let usual = self.jittered(self.timings.retry());
        match judgement {
            Judgement::Wait(until) => {
                // Candidates that wait for the same moment must not come at the same moment.
                let rest = until.saturating_duration_since(Instant::now());
                usual.min(rest + self.jittered(RIVALRY).saturating_sub(RIVALRY))
            }
            Judgement::Acquire | Judgement::Renew => usual,
        }
    }

    /// The time and up to a fifth more, different for each candidate and round.
    fn jittered(&self, time: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.identity, self.rounds).hash(&mut hasher);
        let thousandth = u32::try_from(hasher.finish() % 1000).unwrap_or(0);
        time + time / 5 * thousandth / 1000
    }

    /// Gives the Lease up, in the way that Go's candidates understand.
    async fn release(mut self) {
        let held = self.holds();
        self.stand_by(None);
        if !held {
            return;
        }
        let mut lease = self.ours();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let post = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let released = self.api.replace(&self.name, &post, &lease);
        match self.bounded(released).await {
            Ok(_) => info!(lease = self.name, "the lease is given up"),
            Err(error) => self.complain(format!("release the lease: {}", brief(&error))),
        }
    }
}

/// How far apart candidates come that waited for the same moment.
const RIVALRY: Duration = Duration::from_secs(1);

/// A name that no other candidate has, and that tells ours from Flagger's.
fn identity(hostname: &str) -> String {
    // The keys of `RandomState` come from the operating system.
    let chance = RandomState::new().hash_one(std::process::id());
    format!("{OWN_PREFIX}{hostname}_{chance:016x}")
}

/// The name of the pod, or of the machine.
fn hostname() -> String {
    let named = ["POD_NAME", "HOSTNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    named
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map_or_else(|| "localhost".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_candidates_of_one_machine_have_two_names() {
        assert_ne!(identity("host"), identity("host"));
        assert!(identity("host").starts_with("slipway_host_"));
    }
}
