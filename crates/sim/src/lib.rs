//! A simulated cluster behind a tower service: API server, workload controllers, mesh, users and Prometheus.

mod clock;
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
pub use server::Failure;
pub use server::admission::Review;
pub use server::request::Verb;
pub use server::store::{Object, Write};
pub use service::{AnswerBody, Broken, ClientService};
pub use user::User;
pub use users::{Audience, Loss, Report, Sampling, Tally, Users, Why};
pub use workloads::{Behaviour, Which};
pub use world::World;
