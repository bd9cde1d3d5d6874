//! The conformance and load test server that the webhooks of releases call: Flagger's load tester API, and without a shell suites and load.
//!
//! ```text
//!  hook ──► server ──► payload ──► task ──► command (a process group, killed whole)
//!             │                      ├────► suite ──┐
//!           gates                    └────► load ───┴─► wire ──► the canary
//! ```
//!
//! The invariant: a task ends by its timeout and leaves nothing behind, and no more of its output is kept than is told. What a suite
//! expects, how a load is paced and what an answer means is pure; sockets are in `wire`, processes in `task/command`.
//!
//! The crate depends on no other of the house: it can be built, run and replaced alone.

#[cfg(test)]
mod documented;
mod duration;
mod gate;
mod grpc;
mod json_path;
pub mod load;
mod metrics;
mod payload;
mod problem;
mod server;
mod settings;
pub mod suite;
mod task;
mod text;
pub mod wire;

pub use duration::parse_duration;
pub use json_path::JsonPath;
pub use problem::Problem;
pub use server::{ServeError, serve};
pub use settings::{Settings, TOKEN_VARIABLE};
pub use task::TaskType;
pub use text::{Missing, Template, Variables};
