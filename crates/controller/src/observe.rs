//! What the world looks like now, from what the watches have seen: no request at rest.

pub(crate) mod alerts;
pub(crate) mod configs;
pub(crate) mod endpoints;
pub(crate) mod obstacles;
pub(crate) mod order;
pub(crate) mod pods;
pub(crate) mod reasons;
mod routes;
pub(crate) mod store;
pub(crate) mod targets;
pub(crate) mod watches;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kube::api::ListParams;
use serde_json::Value;
use slipway_api::{Canary, Phase, PodReason, Side};
use slipway_core::action::Action;
use slipway_core::blueprint::{Blueprint, ExtraPort, PodSelector};
use slipway_core::decide::is_foreign;
use slipway_core::object::{Key, Kind, Objects, kinds};
use slipway_core::observation::{
    Configs, Observation, Obstacle, RouteChoice, SideCounts, Workload,
};
use slipway_core::plan::{MetricCheck, MetricSource, Plan};
use slipway_traffic::Router;
use slipway_workloads::configs::TrackedConfig;
use slipway_workloads::{Scaler, Target, record};

use crate::error::{ApiError, Class};
use crate::shell::Shell;
use configs::Config;
use obstacles::Asker;
use pods::Selected;
use store::{CanaryKey, Sync};
use watches::{ENDPOINT_SLICE, lock};

/// Why the world could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl ObserveError {
    /// What is to be done about it.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Api(error) => error.class(),
        }
    }
}

/// The codecs of one plan.
#[derive(Clone, Copy)]
pub(crate) struct Codecs {
    pub(crate) router: &'static dyn Router,
    /// The backend whose routing object is still there from before.
    pub(crate) former: Option<&'static dyn Router>,
    pub(crate) target: &'static dyn Target,
    pub(crate) scaler: Option<&'static dyn Scaler>,
}

/// The world around one release: what is judged, and the objects that effects are made from.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) observation: Observation,
    /// `None`: this build has no codec for the plan; an obstacle says so.
    pub(crate) codecs: Option<Codecs>,
    pub(crate) target: Option<Value>,
    pub(crate) primary: Option<Value>,
    pub(crate) selector: Option<PodSelector>,
    pub(crate) ports: Vec<ExtraPort>,
    pub(crate) tracked: Vec<TrackedConfig>,
    /// Services, routing objects, scalers.
    pub(crate) objects: Objects,
    /// The record of what was promoted last, looked up when the primary is lost.
    pub(crate) record: Option<Value>,
}

impl Shell {
    /// The world around one release; `None` while the first lists of its kinds have not come.
    pub(crate) async fn observe(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        canary: &Canary,
    ) -> Result<Option<View>, ObserveError> {
        let mut codecs = obstacles::codecs(plan);
        let mut choice = RouteChoice::default();
        if let Ok(codecs) = &mut codecs {
            let Some(chosen) = self.choose_route(key, plan, canary, codecs) else {
                return Ok(None);
            };
            choice = chosen;
        }
        let mut found: Vec<Obstacle> = Vec::new();
        let kinds = self.kinds_of(plan, codecs.as_ref().ok());
        // All of them are begun before the first is waited for.
        let states: Vec<_> = kinds
            .into_iter()
            .map(|kind| (kind, self.watches.ensure(kind.0, &key.namespace, key)))
            .collect();
        for ((kind, asker), state) in states {
            match state {
                Sync::Done => {}
                Sync::Coming => return Ok(None),
                Sync::Unavailable(why) => {
                    found.push(obstacles::unavailable(plan, kind, asker, &why));
                }
            }
        }
        if !self.knows_templates_of(plan) {
            return Ok(None);
        }
        let mut view = View::default();
        view.observation.route = choice;
        match codecs {
            Err(obstacle) => found.push(obstacle),
            Ok(codecs) => {
                view.codecs = Some(codecs);
                if found.is_empty() {
                    self.look_around(key, plan, canary, codecs, &mut view, &mut found)
                        .await?;
                }
            }
        }
        let Some(peers) = self.peers(key, plan).await else {
            return Ok(None);
        };
        view.observation.peers = peers;
        found.extend(self.other_obstacles(key, plan));
        view.observation.warnings = self.alert_warnings(key, plan);
        view.observation.obstacles = found;
        self.note_canary(key, canary, &mut view.observation);
        Ok(Some(view))
    }

    /// Whether the templates that a plan names can be told from those that do not exist.
    fn knows_templates_of(&self, plan: &Plan) -> bool {
        let of_template = |check: &MetricCheck| match check.source {
            MetricSource::Template { .. } => true,
            MetricSource::SuccessRate | MetricSource::RequestDuration | MetricSource::Query(_) => {
                false
            }
        };
        !plan.metrics.iter().any(of_template) || self.templates_known.load(Ordering::Acquire)
    }

    /// The kinds that a plan needs, each with what of it asks for it.
    fn kinds_of(&self, plan: &Plan, codecs: Option<&Codecs>) -> Vec<(Kind, Asker)> {
        let mut kinds = vec![
            (kinds::SERVICE, Asker::Release),
            (ENDPOINT_SLICE, Asker::Release),
        ];
        if self.tracks_configs {
            kinds.extend([
                (kinds::CONFIG_MAP, Asker::Release),
                (kinds::SECRET, Asker::Release),
            ]);
        }
        if let Some(codecs) = codecs {
            kinds.push((codecs.target.kind(), Asker::Release));
            kinds.extend(codecs.scaler.map(|scaler| (scaler.kind(), Asker::Scaler)));
            kinds.extend(
                codecs
                    .router
                    .kinds(plan)
                    .into_iter()
                    .map(|kind| (kind, Asker::Provider)),
            );
        }
        kinds
    }

    async fn look_around(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        canary: &Canary,
        codecs: Codecs,
        view: &mut View,
        found: &mut Vec<Obstacle>,
    ) -> Result<(), ObserveError> {
        let namespace = &key.namespace;
        let target = self.get(
            &codecs.target.kind().named(namespace, &plan.target.name),
            key,
        );
        let primary = self.get(
            &codecs.target.kind().named(namespace, &plan.names.primary),
            key,
        );
        // Kinds that are not always a workload are looked at here.
        let judged = |found: &Option<(Value, Option<Workload>)>| {
            let (object, workload) = found.as_ref()?;
            let known = workload.clone();
            Some(known.unwrap_or_else(|| codecs.target.observe(object)))
        };
        view.observation.target = judged(&target);
        view.observation.primary = judged(&primary);
        view.target = target.map(|(object, _)| object);
        view.primary = primary.map(|(object, _)| object);
        self.select(plan, canary, codecs, view, found);
        if let Some(target) = view.target.clone() {
            self.look_at_configs(key, codecs.target, &target, view, found)
                .await;
        } else if !view.observation.deleting {
            found.push(obstacles::missing_target(plan));
        }
        let unknown = codecs.target.lives_by_endpoints().then_some(0);
        let ready = |service: &str| {
            let known = lock(&self.watches.endpoints).ready(namespace, service, key);
            known.or(unknown)
        };
        let of_primary = ready(&plan.names.primary_service);
        let of_canary = ready(&plan.names.canary_service);
        view.observation.endpoints = SideCounts {
            primary: of_primary,
            canary: of_canary,
        };
        view.observation.pod_reasons = self.pod_reasons(key, plan, canary, codecs.target.kind());
        self.look_at_objects(key, plan, canary, codecs, view, found);
        if view.primary.is_none() && has_begun(canary) {
            self.look_up_record(plan, canary, view).await?;
        }
        Ok(())
    }

    /// What the pods of both sides say of why they do not run. Pods are watched from the first release on that runs; where they may not be, nothing
    /// is known of them, and nothing waits for that.
    fn pod_reasons(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        canary: &Canary,
        kind: Kind,
    ) -> Vec<PodReason> {
        let status = canary.status.as_ref();
        let phase = status.map_or(Phase::Empty, |status| status.phase);
        if matches!(phase, Phase::Empty | Phase::Initialized | Phase::Succeeded) {
            return Vec::new();
        }
        self.watches.ensure(kinds::POD, &key.namespace, key);
        let sides = [
            (Side::Canary, &plan.target.name),
            (Side::Primary, &plan.names.primary),
        ];
        let mut reasons = lock(&self.watches.reasons);
        let all = sides.into_iter().flat_map(|(side, name)| {
            let workload = kind.named(&key.namespace, name);
            reasons.of(&workload, side, key)
        });
        all.collect()
    }

    fn get(&self, object: &Key, canary: &CanaryKey) -> Option<(Value, Option<Workload>)> {
        let stored = lock(&self.watches.store).get(object, canary)?;
        Some((stored.value(), stored.workload().cloned()))
    }

    /// How the pods are told apart: from the target, or from the primary where the target is gone.
    fn select(
        &self,
        plan: &Plan,
        canary: &Canary,
        codecs: Codecs,
        view: &mut View,
        found: &mut Vec<Obstacle>,
    ) {
        if let Some(target) = &view.target {
            match codecs.target.selector(target, &self.codecs) {
                Ok(selector) => view.selector = Some(selector),
                Err(problem) => found.push(obstacles::invalid(problem)),
            }
            found.extend(codecs.target.check(target).map(obstacles::invalid));
            view.ports = codecs.target.extra_ports(target, &canary.spec.service);
        } else if let Some(primary) = &view.primary
            && let Ok(of_primary) = codecs.target.selector(primary, &self.codecs)
            && let Some(value) = of_primary.value.strip_suffix("-primary")
        {
            view.selector = Some(PodSelector {
                label: of_primary.label,
                value: value.to_owned(),
            });
            view.ports = codecs.target.extra_ports(primary, &canary.spec.service);
        }
        found.extend(
            codecs
                .router
                .check(plan, canary)
                .into_iter()
                .map(obstacles::invalid),
        );
    }

    /// The tracked configs: from their checksums, or read anew where they changed.
    async fn look_at_configs(
        &self,
        key: &CanaryKey,
        target: &dyn Target,
        object: &Value,
        view: &mut View,
        found: &mut Vec<Obstacle>,
    ) {
        if !self.tracks_configs {
            return;
        }
        let mut configs = Configs::default();
        for reference in target.config_references(object) {
            let config = reference.key(&key.namespace);
            let known = lock(&self.watches.configs).get(&config, key);
            match known {
                Config::Known(tracked) => view.tracked.extend(tracked),
                Config::Absent if reference.optional => {}
                Config::Absent => {
                    found.push(obstacles::missing_config(object, &config));
                    configs.missing.push(config.to_string());
                }
                Config::Changed => match self.read_config(&reference, &config).await {
                    Some(tracked) => view.tracked.extend(tracked),
                    None => configs.unknown = true,
                },
            }
        }
        configs.digest = slipway_workloads::configs::digest(&view.tracked);
        configs.flagger = Some(slipway_workloads::configs::flagger_checksums(&view.tracked));
        view.observation.configs = configs;
    }

    /// Reads a config once, for its checksum; `None` when it cannot be read now (only "does not exist" means that: FC-084).
    async fn read_config(
        &self,
        reference: &slipway_workloads::ConfigReference,
        config: &Key,
    ) -> Option<Option<TrackedConfig>> {
        let object = match self.api(config).get(&config.name).await {
            Ok(object) => object,
            Err(error) => {
                tracing::warn!(object = %config, %error, "config cannot be read, nothing is decided by it");
                return None;
            }
        };
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let tracked =
            slipway_workloads::configs::track(reference, &serde_json::to_value(object).ok()?);
        lock(&self.watches.configs).learn(config, version, tracked.clone());
        Some(tracked)
    }

    /// Services, scalers and routing objects, and what the routes say.
    fn look_at_objects(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        canary: &Canary,
        codecs: Codecs,
        view: &mut View,
        found: &mut Vec<Obstacle>,
    ) {
        let Some(selector) = view.selector.clone() else {
            return;
        };
        let ports = view.ports.clone();
        let blueprint = Blueprint {
            plan,
            canary,
            selector: &selector,
            ports: &ports,
            settings: &self.codecs,
        };
        let mut wanted = slipway_workloads::service_keys(&blueprint);
        if let (Some(scaler), Some(autoscaler)) = (codecs.scaler, &plan.autoscaler) {
            let named = |name: &str| scaler.kind().named(&key.namespace, name);
            wanted.extend([
                named(&autoscaler.name),
                named(&slipway_api::names::primary_name(&autoscaler.name)),
            ]);
        }
        self.gather(key, wanted, &mut view.objects);
        for router in codecs.former.into_iter().chain([codecs.router]) {
            self.gather_routes(key, router, &blueprint, &mut view.objects);
        }
        if codecs.router.needs_pods(plan) {
            self.gather_pods(key, &selector, &mut view.objects);
        }
        if let Some(obstacle) = obstacles::missing_scaler(plan, codecs.scaler, &view.objects) {
            found.push(obstacle);
        }
        view.observation.pods = codecs.router.pods(&blueprint, &view.objects);
        view.observation.routes = codecs.router.read(&blueprint, &view.objects).ok().flatten();
        let standing = codecs.router.standing(&blueprint, &view.objects);
        found.extend(obstacles::of_route(&standing));
        view.observation.standing = standing;
        let intrusion = codecs.router.intrusion(&blueprint, &view.objects);
        found.extend(intrusion.map(obstacles::invalid));
        if let (Some(target), Some(primary)) = (&view.target, &view.primary)
            && is_compared(canary)
        {
            view.observation.same_revision =
                Some(codecs.target.same_revision(&blueprint, target, primary));
        }
    }

    fn gather(&self, key: &CanaryKey, wanted: Vec<Key>, objects: &mut Objects) {
        for wanted in wanted {
            if let Some((object, _)) = self.get(&wanted, key) {
                objects.insert(wanted, Arc::new(object));
            }
        }
    }

    /// The pods of both sides.
    fn gather_pods(&self, key: &CanaryKey, selector: &PodSelector, objects: &mut Objects) {
        for value in [selector.value.clone(), selector.primary_value()] {
            let (namespace, label) = (key.namespace.clone(), selector.label.clone());
            let selected = Selected {
                namespace,
                label,
                value,
            };
            objects.extend(lock(&self.watches.pods).of(selected, key));
        }
    }

    /// The record of what was promoted last, from the API server: only a lost primary asks for it.
    async fn look_up_record(
        &self,
        plan: &Plan,
        canary: &Canary,
        view: &mut View,
    ) -> Result<(), ObserveError> {
        let records = self.records(plan).await?;
        let selector = view.selector.clone().unwrap_or_default();
        let blueprint = Blueprint {
            plan,
            canary,
            selector: &selector,
            ports: &view.ports,
            settings: &self.codecs,
        };
        let seen: Vec<&Value> = records.iter().collect();
        let newest = record::newest(&blueprint, &seen).cloned();
        view.observation.recorded_revision = newest
            .as_ref()
            .and_then(record::recorded_revision)
            .map(str::to_owned);
        view.record = newest;
        Ok(())
    }

    /// The records of the primary.
    pub(crate) async fn records(&self, plan: &Plan) -> Result<Vec<Value>, ApiError> {
        let primary = &plan.names.primary;
        let any = kinds::CONTROLLER_REVISION.named(&plan.canary.namespace, "");
        let params = ListParams::default().labels(&record::selector(primary));
        let list = self.api(&any).list(&params).await;
        let list = list.map_err(|error| {
            ApiError::new("list", format!("ControllerRevisions of {primary}"), error)
        })?;
        Ok(list
            .items
            .into_iter()
            .filter_map(|item| serde_json::to_value(item).ok())
            .collect())
    }

    fn note_canary(&self, key: &CanaryKey, canary: &Canary, observation: &mut Observation) {
        observation.answers = self.memory.answers(key);
        let annotations = canary.metadata.annotations.as_ref();
        observation.actions = annotations.map(Action::read).unwrap_or_default();
        observation.generation = canary.metadata.generation;
        observation.deleting = canary.metadata.deletion_timestamp.is_some();
        let finalizers = canary.metadata.finalizers.as_deref().unwrap_or_default();
        observation.has_finalizer = finalizers
            .iter()
            .any(|name| name == slipway_api::names::FINALIZER);
    }
}

/// Whether a primary has been made once.
fn has_begun(canary: &Canary) -> bool {
    let phase = canary
        .status
        .as_ref()
        .map_or(Phase::Empty, |status| status.phase);
    !matches!(phase, Phase::Empty | Phase::Initializing)
}

/// Whether target and primary are compared: until a release is taken over, and while a primary that is there already is taken into service.
fn is_compared(canary: &Canary) -> bool {
    !has_begun(canary) || canary.status.as_ref().is_some_and(is_foreign)
}
