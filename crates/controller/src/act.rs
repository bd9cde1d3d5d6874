//! Carrying out effects: each is made of a few writes by the codecs, and each write goes through the one executor.

mod apply;
mod covers;
mod finalizer;
mod workload;

use std::fmt;

use slipway_api::Canary;
use slipway_core::blueprint::{Blueprint, PodSelector};
use slipway_core::decision::Effect;
use slipway_core::object::{Key, Write};
use slipway_core::plan::{Plan, Problem};

pub(crate) use apply::Compare;

use crate::error::{ApiError, Class};
use crate::observe::{Codecs, View};
use crate::record::metrics::ReleaseLabels;
use crate::shell::Shell;

/// Why an effect was not carried out, or not wholly. It is decided anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// This controller does not lead (any more): another one acts.
    #[error("this controller does not lead")]
    NotLeading,
    /// The target holds another revision than the one that was decided on (FC-016).
    #[error("the target changed since it was decided on")]
    Superseded,
    /// A codec cannot make the objects.
    #[error("{0}")]
    Problem(Problem),
    /// An object that is not what its kind says.
    #[error("{0}: {1}")]
    Unusable(String, String),
}

impl ActError {
    /// What is to be done about it.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Api(error) => error.class(),
            Self::NotLeading => Class::Transient,
            Self::Superseded => Class::Conflict,
            Self::Problem(_) | Self::Unusable(..) => Class::Invalid,
        }
    }

    /// The error of an object that does not decode.
    pub(crate) fn unusable(key: &Key, error: &dyn fmt::Display) -> Self {
        Self::Unusable(key.to_string(), error.to_string())
    }
}

impl From<Problem> for ActError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The hands of one reconciliation: what effects are made from.
pub(crate) struct Hands<'a> {
    pub(crate) shell: &'a Shell,
    pub(crate) canary: &'a Canary,
    pub(crate) plan: &'a Plan,
    pub(crate) view: &'a View,
    pub(crate) codecs: Codecs,
    pub(crate) selector: &'a PodSelector,
}

impl Shell {
    /// Carries out one effect on the objects around a Canary.
    pub(crate) async fn act(
        &self,
        plan: &Plan,
        canary: &Canary,
        view: &View,
        effect: &Effect,
    ) -> Result<(), ActError> {
        match effect {
            Effect::Count(outcome) => {
                let labels = ReleaseLabels::new(&plan.canary.namespace, &plan.target.name);
                self.metrics.outcome(&labels, &plan.strategy, *outcome);
                return Ok(());
            }
            Effect::Record | Effect::Tell | Effect::AddFinalizer | Effect::RemoveFinalizer => {
                return Ok(());
            }
            Effect::Services { .. }
            | Effect::CreatePrimary { .. }
            | Effect::RestorePrimary
            | Effect::Promote { .. }
            | Effect::Route(_)
            | Effect::ScaleUpTarget(_)
            | Effect::ScaleDownTarget
            | Effect::CreatePrimaryScaler
            | Effect::PauseTarget
            | Effect::ResumeTarget
            | Effect::HoldPrimaryScaler(_)
            | Effect::ReleasePrimaryScaler
            | Effect::PauseScaler
            | Effect::ResumeScaler
            | Effect::RetireRoute
            | Effect::RestoreRoutes => {}
        }
        // Without codecs or selector an obstacle says why; there is nothing that could be made.
        let (Some(codecs), Some(selector)) = (view.codecs, view.selector.as_ref()) else {
            return Ok(());
        };
        Hands {
            shell: self,
            canary,
            plan,
            view,
            codecs,
            selector,
        }
        .carry_out(effect)
        .await
    }
}

impl Hands<'_> {
    pub(crate) fn blueprint(&self) -> Blueprint<'_> {
        Blueprint {
            plan: self.plan,
            canary: self.canary,
            selector: self.selector,
            ports: &self.view.ports,
            settings: &self.shell.codecs,
        }
    }

    pub(crate) async fn write(&self, write: &Write, compare: Compare) -> Result<(), ActError> {
        self.shell.write(&self.blueprint(), write, compare).await
    }

    pub(crate) async fn write_all(
        &self,
        writes: &[Write],
        compare: Compare,
    ) -> Result<(), ActError> {
        self.shell
            .write_all(&self.blueprint(), writes, compare)
            .await
    }

    async fn carry_out(&self, effect: &Effect) -> Result<(), ActError> {
        match effect {
            Effect::Services { apex } => {
                let writes =
                    slipway_workloads::services(&self.blueprint(), *apex, &self.view.objects)?;
                self.write_all(&writes, Compare::First).await
            }
            Effect::Route(routes) => {
                let writes =
                    self.codecs
                        .router
                        .render(&self.blueprint(), &self.view.objects, *routes)?;
                self.write_all(&writes, Compare::First).await
            }
            Effect::RetireRoute => self.retire_route().await,
            Effect::RestoreRoutes => self.restore_routes().await,
            Effect::CreatePrimary { revision } => self.create_primary(revision).await,
            Effect::RestorePrimary => self.restore_primary().await,
            Effect::Promote { revision } => self.promote(revision).await,
            Effect::ScaleUpTarget(size) => self.scale_up_target(*size).await,
            Effect::ScaleDownTarget => self.scale_down_target().await,
            Effect::CreatePrimaryScaler => self.sync_primary_scaler(Compare::First).await,
            Effect::PauseTarget => self.pause_target(true).await,
            Effect::ResumeTarget => self.pause_target(false).await,
            Effect::HoldPrimaryScaler(replicas) => self.hold_primary_scaler(*replicas).await,
            Effect::ReleasePrimaryScaler => self.release_primary_scaler().await,
            Effect::PauseScaler => {
                self.write_scaler(|scaler, object| scaler.pause(object))
                    .await
            }
            Effect::ResumeScaler => {
                self.write_scaler(|scaler, object| scaler.resume(object))
                    .await
            }
            Effect::Record
            | Effect::Tell
            | Effect::AddFinalizer
            | Effect::RemoveFinalizer
            | Effect::Count(_) => Ok(()),
        }
    }

    /// Gives routing objects and the apex Service back as the user had them.
    async fn restore_routes(&self) -> Result<(), ActError> {
        let blueprint = self.blueprint();
        let apex = slipway_core::object::kinds::SERVICE
            .named(&self.plan.canary.namespace, &self.plan.names.apex);
        let live = self.view.objects.get(&apex).map(AsRef::as_ref);
        let mut writes = slipway_workloads::restore_apex(&blueprint, live)?;
        writes.extend(self.codecs.router.restore(&blueprint, &self.view.objects)?);
        self.write_all(&writes, Compare::First).await?;
        self.retire_route().await
    }

    /// Takes the routing object of the former kind away, or gives it back.
    async fn retire_route(&self) -> Result<(), ActError> {
        let Some(former) = self.codecs.former else {
            return Ok(());
        };
        let writes = former.restore(&self.blueprint(), &self.view.objects)?;
        self.write_all(&writes, Compare::First).await
    }
}
