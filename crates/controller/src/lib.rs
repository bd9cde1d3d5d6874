//! The imperative shell: watches, observes, asks, acts and records.
//!
//! ```text
//!  watches ──► observe ──► decide ──► act ──► Kubernetes, mesh objects
//!                 ▲        (core)      │
//!  ask ──────────-┘                    └──► record: status, events, alerts, metrics
//! ```
//!
//! The invariant of this crate: **it has no judgement**. It carries weights and phases and never compares them; everything that it does stands
//! in a [`Decision`](slipway_core::decision::Decision), in order, and the first failure ends the tick.

mod act;
mod ask;
mod canaries;
pub mod clock;
pub mod error;
mod fleet;
pub mod http;
pub mod leader;
mod memory;
mod merge;
mod observe;
mod opt_in;
mod reconcile;
pub mod record;
mod rival;
pub mod run;
pub mod schema;
pub mod server;
pub mod settings;
mod shell;
pub mod telemetry;
