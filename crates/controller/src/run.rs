//! Wiring: one call a component. A scenario starts the very function that `main` starts, with another world.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store as Reflected};
use slipway_api::Canary;
use slipway_core::blueprint::CodecSettings;
use slipway_core::object::Key;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use crate::ask::Counting;
use crate::canaries::{self, Kept, Watched};
use crate::clock::{Clock, SystemClock};
use crate::error::Class;
use crate::fleet::Ledger;
use crate::http::{Http, HttpClient};
use crate::leader::{Candidate, Leadership, Presence, find_flagger};
use crate::memory::Memory;
use crate::observe::order::Dependents;
use crate::observe::store::CanaryKey;
use crate::observe::targets::Targets;
use crate::observe::watches::Watches;
use crate::opt_in::{self, OptIns};
use crate::reconcile::{Failure, back_off, name, reconcile};
use crate::record::alerts::AlertQueue;
use crate::record::events::{COMPONENT, EventWriter};
use crate::record::metrics::Metrics;
use crate::server::{Readiness, ServerError, Shown, bind, serve};
use crate::settings::{AnnotationScope, ClientError, Clients, Namespaces, Settings, clients};
use crate::shell::Shell;

/// Why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Health and metrics cannot be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Outbound calls cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Http(String),
}

/// The world that the controller works in: the real one in `main`, a simulated one in scenarios.
#[expect(
    missing_debug_implementations,
    reason = "a client to the API server shows nothing"
)]
pub struct World {
    /// The ways to the API server.
    pub clients: Clients,
    /// Under which name it stands as a candidate for the lease; `None`: one that no other process has. A run that is to be played again has a
    /// name that is no matter of chance.
    pub identity: Option<String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Outbound calls.
    pub http: Arc<dyn Http>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; `None`: nowhere.
    pub listener: Option<TcpListener>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Runs the controller in the real world until `shutdown`.
///
/// # Errors
/// When there is no way to the API server, or the port cannot be had.
pub async fn start(settings: Settings, shutdown: CancellationToken) -> Result<(), RunError> {
    crate::http::install_crypto();
    let metrics = Metrics::new(&settings.releases.defaults.provider);
    let world = World {
        clients: clients(&settings, &metrics).await?,
        identity: None,
        clock: Arc::new(SystemClock),
        http: Arc::new(HttpClient::try_new().map_err(|error| RunError::Http(error.to_string()))?),
        listener: Some(bind(settings.port).await?),
        metrics,
    };
    run(settings, world, shutdown).await
}

/// Runs the controller in this world until `shutdown`; then the write in hand is finished and the lease given up.
///
/// **Guarantees**: when this future is dropped, everything that it began ends with it, and the lease is not given up: as after `kill -9`.
///
/// # Errors
/// When health and metrics can no longer be served.
pub async fn run(
    settings: Settings,
    world: World,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    run_with(settings, world, shutdown, Caution::StandsBy).await
}

/// As [`run`], beside a Flagger that works and under its custom resources: for a world in which nothing that is written stays.
///
/// # Errors
/// As [`run`].
pub async fn rehearse(
    settings: Settings,
    world: World,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    run_with(settings, world, shutdown, Caution::None).await
}

/// Whether nothing is done as long as it could do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caution {
    /// While a Flagger works here, or what is remembered would be dropped.
    StandsBy,
    None,
}

async fn run_with(
    settings: Settings,
    mut world: World,
    shutdown: CancellationToken,
    caution: Caution,
) -> Result<(), RunError> {
    let readiness = Readiness::default();
    let canaries_are_listed = readiness.part("canaries");
    // The last to be cancelled: the lease is given up, alerts are sent out, probes are answered until here.
    let end = CancellationToken::new();
    let life = CancellationToken::new();
    let _ends_with_us = life.clone().drop_guard();
    let (leadership, identity, candidate) = stand(&settings, &world, &end);
    let (wake, mut wakes) = mpsc::unbounded_channel();
    let (opt_ins, mut opted_in) = OptIns::new();
    // What stands on a workload is heeded only where all annotations are.
    let opt_ins = Some(opt_ins).filter(|_| settings.releases.annotations == AnnotationScope::All);
    let (alerts, alert_task) = AlertQueue::start(
        Arc::clone(&world.http),
        Arc::clone(&world.clock),
        world.metrics.clone(),
        end.clone(),
    );
    let alert_task = AbortOnDropHandle::new(alert_task);
    let serving = serve_if(
        world.listener.take(),
        world.metrics.clone(),
        readiness,
        leadership.clone(),
        end.clone(),
    );
    let served = AbortOnDropHandle::new(tokio::spawn(serving));
    let clients = &world.clients;
    let namespaces = namespaces(&settings);
    let watches = Watches::new(
        clients.api.clone(),
        clients.mesh.clone(),
        &namespaces,
        wake,
        life.clone(),
    )
    .telling(opt_ins);
    let kept = Kept {
        watches: watches.clone(),
        targets: Targets::default(),
        dependents: Dependents::default(),
        ledger: Ledger::new(settings.releases.limits),
        memory: Memory::default(),
        metrics: world.metrics.clone(),
    };
    let reflected = canaries::watch(&clients.api, &namespaces, &kept, canaries_are_listed);
    let shell = Arc::new(make_shell(
        &settings,
        &world,
        &identity,
        kept,
        &reflected,
        alerts,
        leadership.clone(),
    ));
    if caution == Caution::StandsBy {
        await_flagger(&settings, &shell, &shutdown).await;
        await_schema(&shell, &shutdown).await;
    }
    lead(
        &settings,
        &shell,
        &reflected.canaries,
        &mut wakes,
        &mut opted_in,
        leadership,
        &shutdown,
    )
    .await;
    info!("stops: the lease is given up");
    end.cancel();
    if let Some(candidate) = candidate {
        // It ends once the lease is given up.
        candidate.await.unwrap_or_default();
    }
    alert_task.await.unwrap_or_default();
    served.await.unwrap_or(Ok(()))
}

fn make_shell(
    settings: &Settings,
    world: &World,
    identity: &str,
    kept: Kept,
    reflected: &Watched,
    alerts: AlertQueue,
    leadership: Leadership,
) -> Shell {
    let Kept {
        watches,
        targets,
        dependents,
        ledger,
        memory,
        metrics,
    } = kept;
    let api = world.clients.api.clone();
    let own_namespace = api.default_namespace().to_owned();
    let metrics_server_secret = settings.metrics_server_secret.clone().map(|secret| {
        let namespace = secret.namespace.unwrap_or(own_namespace);
        (namespace, secret.name)
    });
    let for_releases = &settings.releases;
    let own_routes = for_releases.codecs.own_routes && !world.clients.mesh_is_elsewhere;
    Shell {
        events: EventWriter::new(
            api.clone(),
            Arc::clone(&world.clock),
            metrics.clone(),
            identity,
        ),
        client: api,
        mesh: world.clients.mesh.clone(),
        started: world.clock.now(),
        clock: Arc::clone(&world.clock),
        http: Arc::clone(&world.http),
        watches,
        memory,
        counting: Counting::default(),
        targets,
        dependents,
        ledger,
        canaries: reflected.canaries.clone(),
        templates: reflected.templates.clone(),
        templates_known: Arc::clone(&reflected.templates_known),
        alert_providers: reflected.alert_providers.clone(),
        alert_providers_known: Arc::clone(&reflected.alert_providers_known),
        alerts,
        metrics,
        leadership,
        defaults: for_releases.defaults.clone(),
        codecs: CodecSettings {
            own_routes,
            ..for_releases.codecs.clone()
        },
        metrics_server: settings.metrics_server.as_str().to_owned(),
        metrics_server_secret,
        environment: Arc::new(settings.environment.clone()),
        mesh_provider: for_releases.defaults.provider.clone(),
        tracks_configs: for_releases.config_tracking,
        cluster_name: settings.notify.cluster_name.clone().unwrap_or_default(),
        notifier: settings.notify.notifier.clone(),
        event_webhook: settings.notify.event_webhook.clone(),
    }
}

fn namespaces(settings: &Settings) -> Vec<String> {
    match &settings.cluster.namespaces {
        Namespaces::All => Vec::new(),
        Namespaces::Some(named) => named.clone(),
    }
}

fn stand(
    settings: &Settings,
    world: &World,
    vacate: &CancellationToken,
) -> (Leadership, String, Option<AbortOnDropHandle<()>>) {
    let Some(leader) = &settings.leader else {
        return (
            Leadership::always(Arc::clone(&world.clock)),
            COMPONENT.to_owned(),
            None,
        );
    };
    let candidate = Candidate::new(
        world.clients.lease.clone(),
        &leader.namespace,
        &leader.lease,
        leader.timings,
        Arc::clone(&world.clock),
    );
    let candidate = match &world.identity {
        Some(identity) => candidate.named(identity),
        None => candidate,
    };
    let identity = candidate.identity().to_owned();
    let (leadership, task) = candidate.start(vacate.clone());
    (leadership, identity, Some(AbortOnDropHandle::new(task)))
}

async fn serve_if(
    listener: Option<TcpListener>,
    metrics: Metrics,
    readiness: Readiness,
    leadership: Leadership,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    match listener {
        Some(listener) => Ok(serve(
            listener,
            Shown {
                metrics,
                readiness,
                leadership,
            },
            shutdown,
        )
        .await?),
        None => Ok(()),
    }
}

/// Two controllers on one Canary are the worst case: while a Flagger works here, nothing is done (A7).
async fn await_flagger(settings: &Settings, shell: &Shell, shutdown: &CancellationToken) {
    let lease = settings.leader.as_ref();
    if lease.is_some_and(|leader| leader.lease == crate::leader::FLAGGER_LEASE_NAME) {
        // The lease itself keeps the two apart.
        return;
    }
    let namespace = lease.map_or("kube-system", |leader| leader.namespace.as_str());
    loop {
        let now = shell.clock.now();
        match find_flagger(&shell.client, &settings.cluster.namespaces, namespace, now).await {
            Presence::Absent => return,
            Presence::Unknown(doubt) if doubt.class == Class::Denied => {
                info!(why = %doubt, "whether a Flagger works here cannot be told");
                return;
            }
            Presence::Unknown(doubt) => {
                info!(why = %doubt, "whether a Flagger works here is asked again");
            }
            Presence::Running(which) => {
                warn!(flagger = %which, "a live Flagger works here: nothing is done until it is gone");
            }
        }
        if !wait_a_little(shell, shutdown).await {
            return;
        }
    }
}

/// A controller that forgets at every write would take every step anew: while the CRD drops our part of the status, nothing is done (A10).
async fn await_schema(shell: &Shell, shutdown: &CancellationToken) {
    loop {
        match crate::schema::keeps_status(&shell.client).await {
            Ok(true) => return,
            Ok(false) => {
                warn!(
                    crd = "canaries.flagger.app",
                    remedy = "apply the custom resources of Slipway: slipway crds | kubectl apply --server-side --force-conflicts -f -",
                    "the custom resource drops status.slipway: nothing is done until it keeps it"
                );
            }
            Err(doubt) if doubt.class() == Class::Transient => {
                info!(why = %doubt, "whether the custom resource keeps our status is asked again");
            }
            Err(doubt) => {
                info!(why = %doubt, "whether the custom resource keeps our status cannot be told");
                return;
            }
        }
        if !wait_a_little(shell, shutdown).await {
            return;
        }
    }
}

/// Waits before something is asked again; false when the process is to end.
async fn wait_a_little(shell: &Shell, shutdown: &CancellationToken) -> bool {
    let until = shell.clock.now() + TimeDelta::seconds(10);
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = shell.clock.sleep_until(until) => true,
    }
}

/// Works while this controller leads, stands by while it does not.
async fn lead(
    settings: &Settings,
    shell: &Arc<Shell>,
    canaries: &Reflected<DeserializeGuard<Canary>>,
    wakes: &mut mpsc::UnboundedReceiver<CanaryKey>,
    opted_in: &mut mpsc::UnboundedReceiver<Key>,
    mut leadership: Leadership,
    shutdown: &CancellationToken,
) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = leadership.acquired() => {}
            () = drain(wakes) => {}
        }
        shell.metrics.leading(true);
        let releases = work(
            settings,
            shell,
            canaries,
            wakes,
            leadership.clone(),
            shutdown,
        );
        tokio::select! {
            () = releases => {}
            () = Box::pin(opt_in::work(shell, opted_in)) => {}
        }
        shell.metrics.leading(false);
        info!("leads no longer");
    }
}

/// What wakes a standby is forgotten: a leader looks at everything when it begins.
async fn drain(wakes: &mut mpsc::UnboundedReceiver<CanaryKey>) {
    while wakes.recv().await.is_some() {}
    std::future::pending::<()>().await;
}

/// How long a stop waits for looks that are under way, before the lease is given up all the same.
const LONGEST_FINISH: Duration = Duration::from_secs(10);

/// Looks at every Canary once, and then at each that is woken, until leadership or process end. A look that is under way is finished.
async fn work(
    settings: &Settings,
    shell: &Arc<Shell>,
    canaries: &Reflected<DeserializeGuard<Canary>>,
    wakes: &mut mpsc::UnboundedReceiver<CanaryKey>,
    mut leadership: Leadership,
    shutdown: &CancellationToken,
) {
    let known = canaries
        .state()
        .into_iter()
        .map(|canary| ObjectRef::from_obj(canary.as_ref()));
    let (forward, woken) = mpsc::unbounded_channel();
    known.for_each(|canary| forward.send(canary).unwrap_or_default());
    let queue = UnboundedReceiverStream::new(woken).map(Ok::<_, std::convert::Infallible>);
    let config = Config::default().concurrency(settings.releases.concurrency);
    let looks = applier(
        |canary, shell| Box::pin(reconcile(canary, shell)),
        error_policy,
        Arc::clone(shell),
        canaries.clone(),
        queue,
        config,
    );
    let looking = looks.for_each(|looked| async move {
        if let Err(error) = looked {
            debug!(%error, "a look ended with an error");
        }
    });
    let ended = CancellationToken::new();
    let end = ended.clone();
    // The queue ends with its sender; the applier then finishes what is under way and ends.
    let waking = async move {
        let _ends = end.drop_guard();
        loop {
            let woken = tokio::select! {
                () = shutdown.cancelled() => None,
                () = leadership.lost() => None,
                woken = wakes.recv() => woken,
            };
            let Some(key) = woken else { return };
            forward
                .send(ObjectRef::new(&key.name).within(&key.namespace))
                .unwrap_or_default();
        }
    };
    let finishing = async {
        ended.cancelled().await;
        tokio::time::sleep(LONGEST_FINISH).await;
        warn!("a look under way did not end in time");
    };
    tokio::join!(waking, async {
        tokio::select! {
            () = looking => {}
            () = finishing => {}
        }
    });
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(
    canary: Arc<DeserializeGuard<Canary>>,
    failure: &Failure,
    shell: Arc<Shell>,
) -> Action {
    let key = canaries::key_of(&canary);
    let failures = shell.memory.fail(&key);
    let class = failure.class();
    shell.metrics.error(class);
    let wait = back_off(failure, failures);
    match class {
        Class::Conflict => debug!(canary = %name(&key), %failure, ?wait, "decides anew"),
        Class::Transient => info!(canary = %name(&key), %failure, ?wait, "tries again"),
        Class::Denied | Class::Invalid => {
            warn!(canary = %name(&key), %failure, ?wait, "cannot go on, tries again");
        }
        Class::Bug => error!(canary = %name(&key), %failure, ?wait, "internal error, tries again"),
    }
    Action::requeue(wait)
}
