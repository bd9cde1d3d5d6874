//! Canaries for workloads that only carry annotations: made, kept in line and deleted as the annotation `slipway.dev/release` comes, changes and goes.
//!
//! **Guarantees**: a Canary that somebody wrote for the workload wins, one of another target is never touched, and nothing is decided before
//! Canaries, workloads, Services and autoscalers have been listed. A workload that is gone takes its Canary with it by its owner reference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;
use slipway_api::Canary;
use slipway_api::names::annotation;
use slipway_core::object::{Key, Kind, kinds};
use slipway_core::plan::{CanaryId, Problem};
use slipway_workloads::opt_in::{self, Around};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::act::ActError;
use crate::error::{ApiError, is_not_found};
use crate::observe::store::CanaryKey;
use crate::observe::targets::canary_key;
use crate::observe::watches::lock;
use crate::shell::Shell;

/// The field manager of what a made Canary says; its status and finalizer are written as for any.
const MANAGER: &str = "slipway-opt-in";

/// The kinds that can be opted in.
const WORKLOADS: [Kind; 2] = [kinds::DEPLOYMENT, kinds::DAEMON_SET];
/// The kinds that are looked at for it.
const WATCHED: [Kind; 4] = [
    kinds::DEPLOYMENT,
    kinds::DAEMON_SET,
    kinds::SERVICE,
    kinds::HPA,
];

/// Who asks for a Canary, as the watches tell it; a workload is looked at when something of that changed.
#[derive(Clone, Debug)]
pub(crate) struct OptIns {
    book: Arc<Mutex<Book>>,
    canaries_are_listed: Arc<AtomicBool>,
    wakes: mpsc::UnboundedSender<Key>,
}

#[derive(Debug, Default)]
struct Book {
    /// By workload, what of its annotations matters here.
    asked: BTreeMap<Key, Vec<Option<String>>>,
    /// The target, the generation and whether it is being deleted.
    canaries: HashMap<CanaryKey, (Key, Option<i64>, bool)>,
    /// What each autoscaler scales: kind and name.
    scalers: HashMap<Key, (String, String)>,
}

impl OptIns {
    /// Nobody yet, and where those are told that are to be looked at.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Key>) {
        let (wakes, woken) = mpsc::unbounded_channel();
        let opt_ins = Self {
            book: Arc::default(),
            canaries_are_listed: Arc::default(),
            wakes,
        };
        (opt_ins, woken)
    }

    /// An object as a watch told it, `None` when it is gone; who is to be looked at once the store has it.
    pub(crate) fn see(&self, key: &Key, object: Option<&Value>) -> Vec<Key> {
        let kind = key.kind();
        let mut book = lock(&self.book);
        if WORKLOADS.contains(&kind) {
            book.see_workload(key, object)
        } else if kind == kinds::SERVICE {
            book.in_namespace(&key.namespace)
        } else if kind == kinds::HPA {
            book.see_scaler(key, object)
        } else {
            Vec::new()
        }
    }

    /// A list is complete.
    pub(crate) fn listed(&self, kind: Kind) {
        if WATCHED.contains(&kind) {
            self.wake_all();
        }
    }

    /// All Canaries are known.
    pub(crate) fn canaries_listed(&self) {
        self.canaries_are_listed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// A Canary came or changed.
    pub(crate) fn see_canary(&self, canary: &Canary) {
        let key = canary_key(canary);
        let Some(target) = target_of(canary) else {
            return;
        };
        let deleting = canary.metadata.deletion_timestamp.is_some();
        let now = (target.clone(), canary.metadata.generation, deleting);
        let before = lock(&self.book).canaries.insert(key, now.clone());
        if before.as_ref() != Some(&now) {
            let had = before.map(|(target, ..)| target);
            self.wake([Some(target), had].into_iter().flatten().collect());
        }
    }

    /// A Canary is gone.
    pub(crate) fn forget_canary(&self, key: &CanaryKey) {
        let had = lock(&self.book).canaries.remove(key);
        self.wake(had.into_iter().map(|(target, ..)| target).collect());
    }

    /// Everybody who asks, and every target of a Canary: it may have asked before.
    fn wake_all(&self) {
        let book = lock(&self.book);
        let targets = book.canaries.values().map(|(target, ..)| target);
        let all: BTreeSet<Key> = book.asked.keys().chain(targets).cloned().collect();
        drop(book);
        self.wake(all.into_iter().collect());
    }

    /// Has these looked at.
    pub(crate) fn wake(&self, workloads: Vec<Key>) {
        for workload in workloads {
            // Without a receiver nobody is to be told.
            self.wakes.send(workload).unwrap_or_default();
        }
    }
}

impl Book {
    fn see_workload(&mut self, key: &Key, object: Option<&Value>) -> Vec<Key> {
        let keys = [annotation::RELEASE, annotation::PORT, annotation::MATCH];
        let said = object.map(|object| {
            let annotations = object.pointer("/metadata/annotations");
            let of = |key: &str| Some(annotations?.get(key)?.as_str()?.to_owned());
            keys.map(of).to_vec()
        });
        let said = said.filter(|said| said.first().is_some_and(Option::is_some));
        let before = match &said {
            Some(said) => self.asked.insert(key.clone(), said.clone()),
            None => self.asked.remove(key),
        };
        if before == said {
            Vec::new()
        } else {
            vec![key.clone()]
        }
    }

    fn see_scaler(&mut self, key: &Key, object: Option<&Value>) -> Vec<Key> {
        let text = |field: &str| {
            let text = object?.pointer(&format!("/spec/scaleTargetRef/{field}"))?;
            text.as_str().map(str::to_owned)
        };
        let scales = text("kind").zip(text("name"));
        let before = match scales.clone() {
            Some(scales) => self.scalers.insert(key.clone(), scales),
            None => self.scalers.remove(key),
        };
        if before == scales {
            Vec::new()
        } else {
            self.in_namespace(&key.namespace)
        }
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        let asked = self.asked.keys().filter(|key| key.namespace == namespace);
        asked.cloned().collect()
    }
}

/// The workload of a Canary, where it is of a kind that can be opted in.
fn target_of(canary: &Canary) -> Option<Key> {
    let reference = &canary.spec.target_ref;
    let kind = WORKLOADS.into_iter().find(|it| it.kind == reference.kind)?;
    let namespace = canary.metadata.namespace.as_deref()?;
    Some(kind.named(namespace, &reference.name))
}

/// Looks at whoever is told until the future is dropped, at all of them first.
pub(crate) async fn work(shell: &Shell, woken: &mut mpsc::UnboundedReceiver<Key>) {
    let Some(opt_ins) = &shell.watches.opt_ins else {
        return std::future::pending().await;
    };
    for kind in WATCHED {
        shell.watches.watch(kind);
    }
    opt_ins.wake_all();
    while let Some(workload) = woken.recv().await {
        if let Err(error) = Box::pin(shell.look_at_opt_in(opt_ins, &workload)).await {
            warn!(%workload, %error, "its Canary could not be made or deleted, it is tried again");
            let (clock, opt_ins) = (Arc::clone(&shell.clock), opt_ins.clone());
            let at = clock.now() + TimeDelta::seconds(5);
            shell.watches.spawn(async move {
                clock.sleep_until(at).await;
                opt_ins.wake(vec![workload]);
            });
        }
    }
}

/// The Canaries of one workload.
#[derive(Default)]
struct Known {
    /// The one that was made for it.
    made: Option<Canary>,
    /// Whether somebody wrote one for it.
    has_another: bool,
}

impl Shell {
    async fn look_at_opt_in(&self, opt_ins: &OptIns, key: &Key) -> Result<(), ActError> {
        let are_known = WATCHED
            .into_iter()
            .all(|kind| lock(&self.watches.store).is_known(kind, &key.namespace));
        if !are_known || !opt_ins.canaries_are_listed.load(Ordering::Acquire) {
            // What completes the list wakes it.
            return Ok(());
        }
        let Some(stored) = self.watches.peek(key) else {
            // The garbage collector takes its Canary.
            return Ok(());
        };
        let workload = stored.value();
        let mut known = self.known_canaries(key, &workload);
        let Some(_) = opt_in::asked(&workload).filter(|_| !known.has_another) else {
            return match known.made {
                Some(made) => self.delete_made(&made, key).await,
                None => Ok(()),
            };
        };
        if known.made.is_none() {
            // The watch may be behind: what was made a moment ago must not be made anew from what it has changed since.
            let name = CanaryKey {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
            };
            let live = self.canaries(&name).get_opt(&key.name).await;
            let live =
                live.map_err(|error| ApiError::new("get", format!("Canary {}", key.name), error))?;
            if let Some(live) = live {
                if !is_made_for(&live, &workload) {
                    return self
                        .tell_workload(key, &workload, &[taken(key, &live)])
                        .await;
                }
                known.made = Some(live);
            }
        }
        if known
            .made
            .as_ref()
            .is_some_and(|made| made.metadata.deletion_timestamp.is_some())
        {
            // Its end wakes us.
            return Ok(());
        }
        let around = Around {
            services: self.watches.all(kinds::SERVICE, &key.namespace),
            autoscalers: self.watches.all(kinds::HPA, &key.namespace),
            canary: known
                .made
                .as_ref()
                .and_then(|made| serde_json::to_value(made).ok()),
        };
        match opt_in::canary(key.kind(), &workload, &around) {
            Ok(wanted) => self.apply_made(key, wanted, known.made).await,
            Err(problems) => self.tell_workload(key, &workload, &problems).await,
        }
    }

    fn known_canaries(&self, key: &Key, workload: &Value) -> Known {
        let mut known = Known::default();
        for canary in self
            .targets
            .claimants(&key.namespace, key.kind().kind, &key.name)
        {
            let reference =
                ObjectRef::<DeserializeGuard<Canary>>::new(&canary.name).within(&canary.namespace);
            let found = self.canaries.get(&reference);
            match found.as_ref().map(|found| &found.0) {
                Some(Ok(found)) if is_made_for(found, workload) => known.made = Some(found.clone()),
                Some(Ok(_) | Err(_)) => known.has_another = true,
                None => {}
            }
        }
        known
    }

    async fn apply_made(
        &self,
        key: &Key,
        wanted: Value,
        known: Option<Canary>,
    ) -> Result<(), ActError> {
        let typed: Canary = serde_json::from_value(wanted.clone())
            .map_err(|error| ActError::Unusable(key.to_string(), error.to_string()))?;
        if known.as_ref().is_some_and(|known| known.spec == typed.spec) {
            return Ok(());
        }
        self.must_lead()?;
        // One that somebody writes at this moment is not taken from them: without force it is a conflict, and looked at again.
        let params = match &known {
            Some(_) => PatchParams::apply(MANAGER).force(),
            None => PatchParams::apply(MANAGER),
        };
        let canaries = self.canaries(&canary_key(&typed));
        let applied = canaries
            .patch(&key.name, &params, &Patch::Apply(&wanted))
            .await;
        applied.map_err(|error| {
            ApiError::new(
                "apply",
                format!("Canary {}/{}", key.namespace, key.name),
                error,
            )
        })?;
        info!(workload = %key, is_new = known.is_none(), "its annotations are a Canary");
        Ok(())
    }

    async fn delete_made(&self, made: &Canary, workload: &Key) -> Result<(), ActError> {
        if made.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        self.must_lead()?;
        let key = canary_key(made);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: made.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        info!(%workload, "it asks for no Canary any more");
        match self.canaries(&key).delete(&key.name, &params).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(ApiError::new(
                "delete",
                format!("Canary {}/{}", key.namespace, key.name),
                error,
            )
            .into()),
        }
    }

    /// Says by an event what is wrong; the same text is the same event.
    async fn tell_workload(
        &self,
        key: &Key,
        workload: &Value,
        problems: &[Problem],
    ) -> Result<(), ActError> {
        self.must_lead()?;
        let uid = workload.pointer("/metadata/uid").and_then(Value::as_str);
        let id = CanaryId {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: uid.unwrap_or_default().to_owned(),
        };
        for problem in problems {
            let text = problem.to_string();
            warn!(workload = %key, problem = %text, "no Canary is made or changed");
            self.events.warn_of(key.kind(), &id, &text).await?;
        }
        Ok(())
    }
}

fn is_made_for(canary: &Canary, workload: &Value) -> bool {
    let object = serde_json::to_value(canary).unwrap_or_default();
    opt_in::is_made_for(&object, workload)
}

fn taken(key: &Key, live: &Canary) -> Problem {
    let target = &live.spec.target_ref;
    let allowed = format!(
        "but Canary {}/{} is there already, for {} {}; a Canary that is made has the workload's name",
        key.namespace, key.name, target.kind, target.name
    );
    Problem::new(format!("annotation {}", annotation::RELEASE), "", allowed).of(key.to_string())
}
