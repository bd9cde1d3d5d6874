//! A simulated cluster behind a tower service: API server, workload controllers, mesh, users and Prometheus.

mod clock;
mod faults;
mod json;
mod server;
mod service;
mod user;
mod workloads;
mod world;

pub use clock::Clock;
pub use faults::{Asked, Fault, Faults};
pub use server::Failure;
pub use server::admission::Review;
pub use server::request::Verb;
pub use server::store::{Object, Write};
pub use service::{AnswerBody, Broken, ClientService};
pub use user::User;
pub use workloads::{Behaviour, Which};
pub use world::World;
