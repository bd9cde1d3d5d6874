//! The judgement of Slipway: pure, without I/O, clock or randomness.
//!
//! Three nouns and one function. A [`Plan`](plan::Plan) is what a Canary means; an [`Observation`](observation::Observation) is what
//! the shell saw and heard; a [`Decision`](decision::Decision) is the next status, effects in order, questions, and when to wake:
//!
//! ```text
//! decide : Plan × CanaryStatus × Observation × now → Decision
//! ```
//!
//! The invariant of this crate: **the status is the only memory**. The next weight is computed from the status, never from what a route says,
//! and deciding again from the same inputs gives the same decision, so that a crash between any two writes changes nothing.

pub mod action;
pub mod analysis;
pub mod blueprint;
mod conditions;
pub mod decide;
pub mod decision;
pub mod fleet;
pub mod object;
pub mod observation;
pub mod order;
pub mod plan;
pub mod pods;
pub mod readiness;
pub mod revision;
pub mod strategy;
pub mod weight;
pub mod words;

pub use decide::decide;
