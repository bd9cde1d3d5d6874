//! The watches of our own kinds: Canaries, which are woken by them, and the templates and providers that Canaries name.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Store as Reflected, store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_kind};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use slipway_api::{AlertProvider, Canary, MetricTemplate, names};
use tracing::{debug, warn};

use crate::fleet::Ledger;
use crate::memory::Memory;
use crate::observe::order::Dependents;
use crate::observe::store::CanaryKey;
use crate::observe::targets::Targets;
use crate::observe::watches::{Backoff, PAGE, Watches, why_unavailable};
use crate::record::metrics::{Metrics, ReleaseLabels};
use crate::server::ReadyPart;

/// The reflected objects of our own kinds.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) canaries: Reflected<DeserializeGuard<Canary>>,
    pub(crate) templates: Reflected<DeserializeGuard<MetricTemplate>>,
    /// Whether the templates have been listed, or cannot be: until then none is missing.
    pub(crate) templates_known: Arc<AtomicBool>,
    pub(crate) alert_providers: Reflected<DeserializeGuard<AlertProvider>>,
    /// The same of the alert providers.
    pub(crate) alert_providers_known: Arc<AtomicBool>,
}

/// What is kept of Canaries as they come and go.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) watches: Watches,
    pub(crate) targets: Targets,
    pub(crate) dependents: Dependents,
    pub(crate) ledger: Ledger,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
}

/// Begins the watches of our own kinds.
pub(crate) fn watch(
    client: &Client,
    namespaces: &[String],
    kept: &Kept,
    listed: ReadyPart,
) -> Watched {
    let (canaries, writer) = store();
    let keeper = Keeper {
        kept: kept.clone(),
        listed,
        naming: HashSet::new(),
    };
    kept.watches.spawn(keep_canaries(
        keeper,
        client.clone(),
        namespaces.to_vec(),
        writer,
    ));
    let (templates, templates_known) = reflect(client, namespaces, kept);
    let (alert_providers, alert_providers_known) = reflect(client, namespaces, kept);
    Watched {
        canaries,
        templates,
        templates_known,
        alert_providers,
        alert_providers_known,
    }
}

/// The Canary of an object that may not have decoded.
pub(crate) fn key_of(canary: &DeserializeGuard<Canary>) -> CanaryKey {
    let metadata = canary.meta();
    CanaryKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// One stream over every namespace that is ours. With several, their lists follow each other into one store.
fn events<K>(
    client: &Client,
    namespaces: &[String],
) -> futures::stream::BoxStream<'static, watcher::Result<Event<DeserializeGuard<K>>>>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let one = |api: Api<DeserializeGuard<K>>| {
        watch_kind(api, watcher::Config::default().page_size(PAGE))
            .backoff(Backoff::default())
            .boxed()
    };
    if namespaces.is_empty() {
        return one(Api::all(client.clone()));
    }
    let each = namespaces
        .iter()
        .map(|namespace| one(Api::namespaced(client.clone(), namespace)));
    crate::merge::merged(each.collect()).boxed()
}

/// Reflects a kind that Canaries name, and tells when all of it is known; a change of it wakes all of them, since any may name it.
fn reflect<K>(
    client: &Client,
    namespaces: &[String],
    kept: &Kept,
) -> (Reflected<DeserializeGuard<K>>, Arc<AtomicBool>)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, mut writer) = store();
    let mut events = events::<K>(client, namespaces);
    let (watches, targets) = (kept.watches.clone(), kept.targets.clone());
    let known = Arc::new(AtomicBool::new(false));
    let of_watch = Arc::clone(&known);
    kept.watches.spawn(async move {
        while let Some(event) = events.next().await {
            let changes = match event {
                Ok(event) => {
                    let changes = !matches!(event, Event::Init | Event::InitApply(_));
                    writer.apply_watcher_event(&event);
                    if matches!(event, Event::InitDone) {
                        of_watch.store(true, Ordering::Release);
                    }
                    changes
                }
                Err(error) => {
                    debug!(kind = %K::kind(&()), %error, "watch is begun again");
                    why_unavailable(&error).is_some() && !of_watch.swap(true, Ordering::AcqRel)
                }
            };
            if changes {
                watches.wake(targets.all());
            }
        }
    });
    (reader, known)
}

/// What follows from the coming and going of Canaries.
struct Keeper {
    kept: Kept,
    listed: ReadyPart,
    /// The Canaries that the list under way has named.
    naming: HashSet<CanaryKey>,
}

async fn keep_canaries(
    mut keeper: Keeper,
    client: Client,
    namespaces: Vec<String>,
    mut writer: Writer<DeserializeGuard<Canary>>,
) {
    let mut events = events::<Canary>(&client, &namespaces);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let event = slim(event);
                writer.apply_watcher_event(&event);
                keeper.take(event);
            }
            Err(error) => warn!(%error, "the watch of Canaries is begun again"),
        }
    }
}

/// Drops managedFields, which are a third of an object, unless Flagger stands among them: then they are needed to adopt it.
fn slim(event: Event<DeserializeGuard<Canary>>) -> Event<DeserializeGuard<Canary>> {
    let slim = |mut canary: DeserializeGuard<Canary>| {
        let managers = canary.meta().managed_fields.as_deref().unwrap_or_default();
        let is_flaggers = managers
            .iter()
            .any(|entry| entry.manager.as_deref() == Some(names::FLAGGER_FIELD_MANAGER));
        if !is_flaggers {
            canary.meta_mut().managed_fields = None;
        }
        canary
    };
    match event {
        Event::Apply(canary) => Event::Apply(slim(canary)),
        Event::InitApply(canary) => Event::InitApply(slim(canary)),
        Event::Delete(_) | Event::Init | Event::InitDone => event,
    }
}

impl Keeper {
    fn take(&mut self, event: Event<DeserializeGuard<Canary>>) {
        match event {
            Event::Init => self.naming.clear(),
            // Nobody is woken before the list is complete: until then the store has none of it, and a look would find nothing.
            Event::InitApply(canary) => {
                self.naming.insert(key_of(&canary));
                self.note(&canary);
            }
            Event::Apply(canary) => {
                let woken = self.note(&canary);
                self.kept.watches.wake(woken);
            }
            Event::Delete(canary) => self.forget(&key_of(&canary)),
            Event::InitDone => {
                let named = std::mem::take(&mut self.naming);
                for lost in self
                    .kept
                    .targets
                    .all()
                    .into_iter()
                    .filter(|known| !named.contains(known))
                    .collect::<Vec<_>>()
                {
                    self.forget(&lost);
                }
                // Who began to lead while the list came has looked at none of them.
                self.kept.watches.wake(named.into_iter().collect());
                if let Some(opt_ins) = &self.kept.watches.opt_ins {
                    opt_ins.canaries_listed();
                }
                self.listed.ready();
            }
        }
    }

    /// Takes note of a Canary; who is to be woken.
    fn note(&self, canary: &DeserializeGuard<Canary>) -> Vec<CanaryKey> {
        let key = key_of(canary);
        let mut woken = self.kept.dependents.of(&key);
        if let Ok(canary) = &canary.0 {
            woken.extend(self.kept.targets.note(canary));
            if let Some(opt_ins) = &self.kept.watches.opt_ins {
                opt_ins.see_canary(canary);
            }
            woken.extend(self.kept.ledger.note(&key, canary));
        }
        woken.push(key);
        self.count(&canary.meta().namespace.clone().unwrap_or_default());
        woken
    }

    fn forget(&self, key: &CanaryKey) {
        if let Some(target) = self.kept.targets.target_of(key) {
            self.kept
                .metrics
                .forget(&ReleaseLabels::new(&key.namespace, &target));
        }
        let mut woken = self.kept.targets.forget(key);
        woken.extend(self.kept.dependents.of(key));
        self.kept.dependents.note(key, BTreeSet::new());
        woken.extend(self.kept.ledger.forget(key));
        if let Some(opt_ins) = &self.kept.watches.opt_ins {
            opt_ins.forget_canary(key);
        }
        self.kept.memory.forget(key);
        self.kept.watches.forget(key);
        self.kept.watches.wake(woken);
        self.count(&key.namespace);
    }

    fn count(&self, namespace: &str) {
        self.kept
            .metrics
            .canaries(namespace, self.kept.targets.count(namespace));
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;
    use tower::{BoxError, service_fn};

    use super::*;
    use crate::server::Readiness;

    /// A keeper that nothing is asked of, and who it wakes.
    fn keeper() -> (Keeper, mpsc::UnboundedReceiver<CanaryKey>) {
        let nobody = service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, BoxError>>()
        });
        let client = Client::new(nobody, "default");
        let (wakes, woken) = mpsc::unbounded_channel();
        let life = CancellationToken::new();
        let kept = Kept {
            watches: Watches::new(client.clone(), client, &[], wakes, life),
            targets: Targets::default(),
            dependents: Dependents::default(),
            ledger: Ledger::default(),
            memory: Memory::default(),
            metrics: Metrics::default(),
        };
        let keeper = Keeper {
            kept,
            listed: Readiness::default().part("canaries"),
            naming: HashSet::new(),
        };
        (keeper, woken)
    }

    fn canary(name: &str) -> DeserializeGuard<Canary> {
        let object = json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": name, "namespace": "test"},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "service": {"port": 80}},
        });
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn a_list_wakes_every_canary_once_it_is_complete_and_none_before() {
        let (mut keeper, mut woken) = keeper();
        keeper.take(Event::Init);
        keeper.take(Event::InitApply(canary("a")));
        keeper.take(Event::InitApply(canary("b")));
        assert!(woken.try_recv().is_err(), "the store does not have it yet");
        keeper.take(Event::InitDone);
        let mut names = vec![
            woken.try_recv().unwrap().name,
            woken.try_recv().unwrap().name,
        ];
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }
}
