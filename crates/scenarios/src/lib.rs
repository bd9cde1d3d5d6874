//! The one scenario suite with its drivers: the real controller on the simulated cluster, in virtual time.
//!
//! A scenario starts the very function that `slipway controller` starts, over a world that it scripts.

pub mod objects;
pub mod outside;
pub mod stage;

pub use stage::Stage;
