//! A run of the fault matrix, played again: what was written, and what was not as promised.

use std::io::Write;
use std::process::ExitCode;

use slipway_scenarios::{Injected, Scenario, play};

/// Plays a scenario with a fault, and tells every write of it; 1 when something was not as promised.
///
/// # Errors
/// The output is closed.
pub(super) fn replay(
    scenario: Scenario,
    fault: Injected,
    seed: u64,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let ended = play(scenario, fault, seed);
    writeln!(out, "{scenario} with {fault}, seed {seed}")?;
    for line in &ended.tale {
        writeln!(out, "  {line}")?;
    }
    let (took, asked) = (ended.took.as_secs(), ended.asked.len());
    writeln!(
        out,
        "{took} s of virtual time, {asked} requests to the API server"
    )?;
    if ended.complaints.is_empty() {
        writeln!(out, "Every promise was kept.")?;
        return Ok(ExitCode::SUCCESS);
    }
    for complaint in &ended.complaints {
        writeln!(out, "not as promised: {complaint}")?;
    }
    Ok(ExitCode::FAILURE)
}
