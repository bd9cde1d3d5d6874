//! `dist/` and the kustomizations of the docs, built as a provider builds them, and held against what they promise.
//!
//! kustomize is `$SLIPWAY_KUSTOMIZE`, or `kustomize` or `kubectl kustomize` on the PATH; helm is `$SLIPWAY_HELM` or `helm`. Where a program is
//! not there the tests that need it are left out, unless its variable is set: `./test` installs both and sets them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test may fail as the test does"
)]

mod build;
mod distributions;
mod installs;
mod overlays;
mod published;
