//! The tester from outside: its API over the loopback, its suites in virtual time, its laws.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod golden;
mod laws;
mod server;
mod suites;
mod support;
mod tls;
