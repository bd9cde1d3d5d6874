//! A simulated cluster in one process: the API server that a real `kube::Client` stands on, everything that lives in a cluster, and users.
//!
//! ```text
//!  controller ──► kube::Client ──► ClientService ──► Faults ──► API server ──► store ──► watches ──► back to the controller
//!      │                                                          ▲  │
//!      │                                       Deployment, ReplicaSet, DaemonSet, autoscaler,
//!      │                                       EndpointSlice, garbage collector, kubelets
//!      │                                                             │
//!      ├──► Prometheus ◄── counters of pods ◄── users ◄── plane (VirtualService, TrafficSplit, HTTPRoute, Service, EndpointSlice)
//!      └──► receivers (hooks, gates, chat rooms)
//! ```
//!
//! It knows Kubernetes and the meshes, never releases. The invariant: **a run is a function of the seed, of tokio's paused clock and of what its
//! clients do.** Nothing here reads another clock, binds a socket or iterates over a hash map in an order that shows. (What is above may:
//! `tokio::select!` without `biased`, and the hash maps of client libraries.)
//!
//! # A small example
//!
//! ```
//! use serde_json::json;
//! use slipway_sim::{Behaviour, Fault, Which, World};
//! use std::time::Duration;
//!
//! slipway_sim::runtime()?.block_on(async {
//!     let world = World::new(1);
//!     world.install_all();
//!     world.script(Which::image("podinfo:2"), Behaviour::healthy().errors(0.05));
//!
//!     let client = kube::Client::new(world.client_service("slipway"), "default"); // the controller's
//!     world.faults("slipway").at_write(3, Fault::LoseAnswer);
//!     world.on_write(|world, write| {
//!         // An oracle: whatever was written, nobody is sent to a Service without pods.
//!         let plane = world.plane("podinfo.test");
//!         assert!(!plane.rules.iter().any(slipway_sim::Rule::sends_to_nothing), "{} by {}", write.name(), write.by);
//!     });
//!
//!     world.apply(&json!({
//!         "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo", "namespace": "test"},
//!         "spec": {
//!             "replicas": 2, "selector": {"matchLabels": {"app": "podinfo"}},
//!             "template": {
//!                 "metadata": {"labels": {"app": "podinfo"}},
//!                 "spec": {"containers": [{"name": "podinfo", "image": "podinfo:1"}]},
//!             },
//!         },
//!     }))?;
//!     world.apply(&json!({
//!         "apiVersion": "v1", "kind": "Service", "metadata": {"name": "podinfo", "namespace": "test"},
//!         "spec": {"selector": {"app": "podinfo"}, "ports": [{"port": 80}]},
//!     }))?;
//!     let is_up = |world: &World| world.plane("podinfo.test").shares().len() == 1;
//!     assert!(world.eventually(Duration::from_secs(10), is_up).await);
//!
//!     world.users().call("podinfo.test", 100.0); // a second
//!     world.set_image("test", "podinfo", "podinfo:2")?;
//!     tokio::time::sleep(Duration::from_mins(10)).await; // a few milliseconds
//!
//!     let report = world.users().report();
//!     assert!(report.unanswered() < 0.001);
//!     assert!((0.04..0.06).contains(&(report.failed() / report.sent())));
//!     let query = "sum(rate(istio_requests_total{destination_workload=\"podinfo\",response_code!~\"5.*\"}[1m]))";
//!     assert_eq!(world.prometheus().query(query)["data"]["result"][0]["value"][1], "95");
//!     # drop(client);
//!     # Ok::<_, slipway_sim::Failure>(())
//! })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to find what
//!
//! | wish | way |
//! | --- | --- |
//! | a client, and one that is killed and started again | [`World::client_service`], again with the same name |
//! | a conflict, a 500, a lost answer, a crash at write n | [`World::faults`], [`Fault`] |
//! | a stale cache, a dropped or expired watch, events twice | [`World::lag_watches`], [`World::drop_watches`], [`World::expire_watches`], [`World::repeat_watch_events`] |
//! | a second writer, such as GitOps | [`World::user`] |
//! | pods that crash, are slow, fail requests | [`World::script`], [`Behaviour`], [`World::kill_pods`], [`World::break_pods`] |
//! | a kind that is not installed, or with its schema | [`World::install`], [`World::uninstall`], or apply its `CustomResourceDefinition` |
//! | an admission webhook that refuses | [`World::admit`] |
//! | what users meet now, and what they got | [`World::plane`], [`Users::report`], [`Users::losses`] |
//! | a metric that is missing, NaN, late | [`World::prometheus`], [`Reply`] |
//! | a hook that hangs, drips, breaks off; a gate | [`World::receivers`], [`Reply`] |
//! | every write with before, after, time and writer | [`World::on_write`] |

mod clock;
mod engine;
mod faults;
mod json;
mod mesh;
mod prometheus;
mod receivers;
mod reply;
mod server;
mod service;
mod user;
mod users;
mod workloads;
mod world;

pub use clock::Clock;
pub use faults::{Asked, Fault, Faults};
pub use mesh::{Backend, Destination, Mesh, Plane, Revision, Rule, Visit};
pub use prometheus::{Prometheus, Queried};
pub use receivers::{Received, Receivers};
pub use reply::{Reply, ReplyBody};
pub use server::admission::Review;
pub use server::request::Verb;
pub use server::{Failure, Object, Write};
pub use service::{AnswerBody, Broken, ClientService};
pub use user::User;
pub use users::{Audience, Loss, Report, Sampling, Tally, Users, Why};
pub use workloads::{Behaviour, Which};
pub use world::World;

/// A runtime for a world: one thread, and a clock that stands still unless everybody waits.
///
/// In tests, `#[tokio::test(start_paused = true)]` does the same.
///
/// # Errors
/// If the operating system gives no runtime.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
}
