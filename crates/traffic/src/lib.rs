//! The `Router` seam and a codec a traffic backend; no I/O.
//!
//! ```text
//!             needs ──► the shell reads ──► seen
//!  Blueprint ┐                               │
//!  Routes    ┴────────────────► render ◄─────┤──► writes (server-side apply)
//!                                  read ◄────┤──► Routes
//!                              standing ◄────┤──► accepted, not yet, refused
//!                               restore ◄────┘──► writes (what the user had)
//! ```
//!
//! A backend is one file, one line in [`backends`] and one folder of golden cases; it passes `tests/laws.rs` without being mentioned there.
//!
//! The invariant of this crate: **a backend writes the fields that it owns and nothing else, and the weights of a route, which sum
//! to 100, change in one write.** What stands in an object already never decides a weight: rendering goes by what is wanted.

mod affinity;
mod gateway_api;
mod istio;
mod kubernetes;
mod linkerd;
mod ownership;
mod pods;
mod problem;
mod share;

use slipway_api::Canary;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Objects, Write};
use slipway_core::observation::Standing;
use slipway_core::plan::{Plan, Problem, Provider};
use slipway_core::pods::PodCounts;
use slipway_core::weight::Routes;

pub use ownership::{ORIGINAL_METADATA, ORIGINAL_SPEC};

/// A traffic router: from a wish to routing objects and back.
pub trait Router: Send + Sync {
    /// The kinds whose absence from the cluster makes the provider unavailable; the first is that of the route.
    fn kinds(&self, plan: &Plan) -> Vec<Kind>;

    /// What of a spec this backend cannot carry out; empty: nothing stands against it. Asked before a plan is put in force, so that no release
    /// is begun that could not be ended.
    fn check(&self, plan: &Plan, canary: &Canary) -> Vec<Problem>;

    /// The objects to read: asked again with what was found until it names nothing new.
    fn needs(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Vec<Key>;

    /// Whether the pods of both sides are to be among what was found, beside what [`Router::needs`] names: who makes weight of pods counts them.
    fn needs_pods(&self, _: &Plan) -> bool {
        false
    }

    /// The ready pods that weight is made of; `None` where it is not.
    fn pods(&self, _: &Blueprint<'_>, _: &Objects) -> Option<PodCounts> {
        None
    }

    /// The writes that make the routes as wanted, both sides of a route in a single one (P1). `seen` holds what [`Router::needs`] named.
    ///
    /// **Shape**: empty means that this backend has nothing to write for these routes, never that it does not know.
    ///
    /// # Errors
    /// What keeps exactly these routes from being made. All traffic on the primary ([`Routes::PRIMARY`]) is rendered whatever
    /// [`Router::check`] objects to: a rollback must not depend on a spec that was broken meanwhile. It may fail only where an object that
    /// must be read first is missing or unreadable.
    fn render(
        &self,
        blueprint: &Blueprint<'_>,
        seen: &Objects,
        want: Routes,
    ) -> Result<Vec<Write>, Problem>;

    /// What the routing objects say now. `None`: they do not exist, or do not lead to the canary yet.
    ///
    /// # Errors
    /// An object that contradicts itself, such as weights that are all 0. Rendering mends it, so this need not stop a release.
    fn read(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Option<Routes>, Problem>;

    /// The writes that give back what the user had, from any history: objects that were taken over become what they were, objects that
    /// were created for the release go. What does not exist needs no write.
    ///
    /// # Errors
    /// A record of what the user had that cannot be read.
    fn restore(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Vec<Write>, Problem>;

    /// Whether those who carry traffic by the route have taken it over as it stands. A backend that cannot know says that they have.
    fn standing(&self, _: &Blueprint<'_>, _: &Objects) -> Standing {
        Standing::Accepted
    }

    /// The kind of the routing object by a name that the status remembers: of those backends that can take each other's place. Versions of one kind
    /// have one name.
    fn route(&self) -> Option<&'static str> {
        None
    }

    /// A routing object in the place of ours that is about something else: nothing is begun while it stands there, and it is left as it is.
    fn intrusion(&self, _: &Blueprint<'_>, _: &Objects) -> Option<Problem> {
        None
    }
}

/// A provider that is known, but that this build has no backend for: nothing of it is touched (A12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("provider {provider} has no backend in this build, it must be one of {SUPPORTED}")]
pub struct Unsupported {
    /// The provider.
    pub provider: Provider,
}

/// The providers that have a backend, for messages.
const SUPPORTED: &str = "kubernetes, istio, linkerd, osm, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, gatewayapi:v1, gatewayapi:v1beta1";

/// The backend of a provider: the first of its [`backends`].
///
/// # Errors
/// As [`backends`].
pub fn backend(provider: &Provider) -> Result<&'static dyn Router, Unsupported> {
    backends(provider).map(|(first, _)| first)
}

/// A backend, and what takes its place, in this order, where its kinds are not installed.
pub type Alternatives = (&'static dyn Router, &'static [&'static dyn Router]);

/// The backends of a provider. Linkerd has two routes for the same thing: SMI's, and where that is not installed Gateway API's, which in turn comes in
/// Linkerd's own group where the standard one is not installed.
///
/// # Errors
/// [`Unsupported`]; no provider ever falls back to the backend of another.
///
/// **Source**: dossier 02 A.2. **Differs from Flagger**, where whatever is not known is Istio.
pub fn backends(provider: &Provider) -> Result<Alternatives, Unsupported> {
    match provider {
        Provider::Kubernetes => Ok((&kubernetes::Kubernetes, &[])),
        Provider::Istio => Ok((&istio::Istio, &[])),
        Provider::Linkerd => Ok((&linkerd::V1ALPHA1, &WITHOUT_SMI)),
        Provider::Smi { version, .. } => Ok((linkerd::of(*version), &[])),
        Provider::GatewayApiV1 => Ok((&gateway_api::V1, &OF_LINKERD)),
        Provider::GatewayApiV1Beta1 => Ok((&gateway_api::V1BETA1, &OF_LINKERD)),
        Provider::AppMesh
        | Provider::AppMeshV1Beta2
        | Provider::Contour
        | Provider::Gloo
        | Provider::Nginx
        | Provider::Skipper
        | Provider::Traefik
        | Provider::Apisix
        | Provider::Kuma
        | Provider::Knative => Err(Unsupported {
            provider: provider.clone(),
        }),
    }
}

/// The backend of a service whose protocol is gRPC, where its provider has one that can say everything that the Canary asks for.
pub fn for_grpc(plan: &Plan, canary: &Canary) -> Option<&'static dyn Router> {
    let protocol = canary.spec.service.app_protocol.as_deref();
    let is_grpc = protocol.is_some_and(|protocol| {
        matches!(
            protocol.to_lowercase().as_str(),
            "grpc" | "kubernetes.io/grpc"
        )
    });
    let router: &'static dyn Router = &gateway_api::GRPC;
    let is_wanted = is_grpc && plan.provider == Provider::GatewayApiV1;
    (is_wanted && router.check(plan, canary).is_empty()).then_some(router)
}

/// The backend of that [`Router::route`], which the status remembers.
pub fn of_route(name: &str) -> Option<&'static dyn Router> {
    let all: [&'static dyn Router; 4] = [
        &linkerd::V1ALPHA1,
        &gateway_api::LINKERD,
        &gateway_api::LINKERD_POLICY,
        &gateway_api::GRPC,
    ];
    all.into_iter().find(|router| router.route() == Some(name))
}

static WITHOUT_SMI: [&dyn Router; 2] = [&gateway_api::LINKERD, &gateway_api::LINKERD_POLICY];
static OF_LINKERD: [&dyn Router; 1] = [&gateway_api::LINKERD_POLICY];

/// The object of that key, unless it does not exist.
fn found<'a>(seen: &'a Objects, key: &Key) -> Option<&'a serde_json::Value> {
    seen.get(key).map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_that_the_message_names_has_a_backend() {
        for name in SUPPORTED.split(", ") {
            let provider = Provider::parse("spec.provider", name).unwrap();
            assert!(backend(&provider).is_ok(), "{name}");
            assert_eq!(provider.to_string(), name);
        }
    }

    #[test]
    fn a_known_provider_without_a_backend_is_refused_and_the_choices_are_named() {
        for provider in [Provider::Nginx, Provider::Kuma, Provider::AppMeshV1Beta2] {
            let Err(error) = backend(&provider) else {
                panic!("{provider} has a backend now")
            };
            let text = error.to_string();
            assert!(
                text.contains(&provider.to_string()) && text.contains(SUPPORTED),
                "{text}"
            );
        }
    }
}
