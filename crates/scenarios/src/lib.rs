//! The one scenario suite with its drivers: the real controller on the simulated cluster, in virtual time.
//!
//! A scenario starts the very function that `slipway controller` starts, over a world that it scripts.

pub mod exposure;
pub mod fault;
pub mod matrix;
pub mod objects;
pub mod oracle;
pub mod outside;
pub mod play;
pub mod scenario;
pub mod stage;
pub mod wire;

pub use fault::{Injected, OddReply};
pub use play::{Ended, play};
pub use scenario::Scenario;
pub use stage::Stage;
