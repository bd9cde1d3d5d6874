//! A release to render for, and a small cluster to write to.

pub(crate) mod cluster;

use serde_json::Value;
use slipway_api::Canary;
use slipway_core::blueprint::{Blueprint, CodecSettings, ExtraPort, PodSelector};
use slipway_core::object::{Objects, kinds};
use slipway_core::plan::{Defaults, Plan, Problem};
use slipway_core::weight::Routes;
use slipway_traffic::{Router, backends};

use cluster::Cluster;

/// The [`Release::alternative`] for services whose protocol is gRPC.
pub(crate) const GRPC: usize = 9;

/// All that a blueprint borrows.
#[derive(Debug)]
pub(crate) struct Release {
    canary: Canary,
    plan: Plan,
    selector: PodSelector,
    ports: Vec<ExtraPort>,
    pub(crate) settings: CodecSettings,
    /// Which of the provider's backends: the first, or one that takes its place.
    pub(crate) alternative: usize,
}

impl Release {
    /// The release of a manifest.
    pub(crate) fn of(manifest: Value) -> Result<Self, String> {
        let canary: Canary = serde_json::from_value(manifest).map_err(|error| error.to_string())?;
        let plan = Plan::parse(&canary, &Defaults::default())
            .map_err(|problems| format!("{problems:?}"))?;
        let selector = PodSelector {
            label: "app".into(),
            value: plan.target.name.clone(),
        };
        let settings = CodecSettings::default();
        Ok(Self {
            canary,
            plan,
            selector,
            ports: Vec::new(),
            settings,
            alternative: 0,
        })
    }

    pub(crate) fn blueprint(&self) -> Blueprint<'_> {
        let Self {
            canary,
            plan,
            selector,
            ports,
            settings,
            alternative: _,
        } = self;
        Blueprint {
            plan,
            canary,
            selector,
            ports,
            settings,
        }
    }

    pub(crate) fn router(&self) -> &'static dyn Router {
        if self.alternative == GRPC {
            return slipway_traffic::of_route("GRPCRoute.gateway.networking.k8s.io").unwrap();
        }
        let (first, others) = backends(&self.plan.provider).unwrap();
        self.alternative
            .checked_sub(1)
            .map_or(first, |other| others[other])
    }

    /// What the backend asks for, as the shell reads it: again until it names nothing new.
    pub(crate) fn seen(&self, cluster: &Cluster) -> Objects {
        let mut seen = Objects::new();
        loop {
            let needs = self.router().needs(&self.blueprint(), &seen);
            let more: Objects = needs
                .into_iter()
                .filter(|key| !seen.contains_key(key))
                .filter_map(|key| Some((key.clone(), cluster.get(&key)?)))
                .collect();
            if more.is_empty() {
                if self.router().needs_pods(&self.plan) {
                    seen.extend(cluster.of_kind(kinds::POD));
                }
                return seen;
            }
            seen.extend(more);
        }
    }

    /// Renders and writes.
    pub(crate) fn route(&self, cluster: &mut Cluster, want: Routes) -> Result<(), Problem> {
        let seen = self.seen(cluster);
        let writes = self.router().render(&self.blueprint(), &seen, want)?;
        cluster.write_all(writes);
        Ok(())
    }

    pub(crate) fn read(&self, cluster: &Cluster) -> Result<Option<Routes>, Problem> {
        self.router().read(&self.blueprint(), &self.seen(cluster))
    }

    pub(crate) fn restore(&self, cluster: &mut Cluster) -> Result<(), Problem> {
        let seen = self.seen(cluster);
        let writes = self.router().restore(&self.blueprint(), &seen)?;
        cluster.write_all(writes);
        Ok(())
    }
}
