//! `slipway completions`: what a shell completes the commands by.

use std::process::ExitCode;

use clap_complete::Shell;

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for that shell.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> ExitCode {
    clap_complete::generate(args.shell, &mut command, "slipway", &mut std::io::stdout());
    ExitCode::SUCCESS
}
