//! `slipway crds`: the manifests of the custom resources, for `kubectl apply -f -`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

/// Prints them.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let manifests = slipway_api::crds_yaml().context("write the custom resources as YAML")?;
    std::io::stdout().write_all(manifests.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
