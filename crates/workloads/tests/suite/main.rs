//! The codecs against golden cases, against what a real Flagger wrote, and against laws.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that does not get what it needs has failed"
)]

mod given;
mod golden;
mod laws;
mod opt_in;
