//! What is written down and told: status, events, alerts, metrics.

mod alerting;
pub mod alerts;
pub mod events;
pub mod metrics;
mod refusal;
pub(crate) mod status;
mod tell;
