//! The `slipway` command: one file a subcommand.
//!
//! Exit codes: 0 done, 1 it failed, 2 it was called wrongly.
//!
//! In Flagger's place the binary is called as Flagger is: where its own name is `flagger`, or the first word is a flag that is not one of
//! `slipway` itself, the flags are those of `slipway controller`. So `./flagger -log-level=info` and an image whose `args` are Flagger's
//! both work unchanged. Called as `loadtester`, it is `slipway tester` with Flagger's flags.

mod act;
mod adopt;
mod check;
mod cluster;
mod completions;
mod controller;
mod crds;
mod explain;
mod history;
mod leave;
mod output;
mod record;
mod replay;
mod sandbox;
mod screen;
mod simulate;
mod sre;
mod status;
mod test;
mod tester;
mod wait;
mod why;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use slipway_controller::error::chain;

/// Progressive delivery for Kubernetes: tests, shifts, checks, and promotes or rolls back.
#[derive(Debug, Parser)]
#[command(name = "slipway", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller; its flags: slipway controller --help
    #[command(disable_help_flag = true)]
    Controller {
        /// Flags of the controller, also in Flagger's spelling
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    #[command(flatten)]
    Sre(sre::Command),
    /// Watch releases on a simulated cluster: no cluster needed, no network
    Sandbox(sandbox::Args),
    /// Tell what a plan is to expect at given traffic: false rollbacks, escapes, failed requests, time
    Simulate(simulate::Args),
    /// Print the manifests of the custom resources
    Crds,
    /// Print what a shell completes these commands by
    Completions(completions::Args),
    /// Carry out a conformance suite
    Test(test::Args),
    /// Serve conformance and load tests to webhooks; its flags: slipway tester --help
    #[command(disable_help_flag = true)]
    Tester {
        /// Flags of the tester, also in Flagger's spelling
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Print the version
    Version,
}

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let done = match (loadtester_words(&argv), flagger_words(&argv)) {
        (Some(words), _) => tester::run(words),
        (None, Some(words)) => controller::run(words),
        (None, None) => dispatch(parse(&argv).command),
    };
    done.unwrap_or_else(|error| {
        // Whoever reads our output has seen enough of it.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        // Where even this cannot be written, nobody is left to read it.
        writeln!(std::io::stderr(), "error: {}", chain(error.as_ref())).unwrap_or_default();
        ExitCode::FAILURE
    })
}

/// The words of the command line. Found by kubectl as its plugin, we are called `kubectl slipway`.
fn parse(argv: &[OsString]) -> Cli {
    let matches = command(argv).get_matches_from(argv);
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn command(argv: &[OsString]) -> clap::Command {
    let command = Cli::command();
    if is_plugin(argv) {
        command.bin_name("kubectl slipway")
    } else {
        command
    }
}

fn is_plugin(argv: &[OsString]) -> bool {
    let program = argv.first().map(Path::new);
    let stem = program.and_then(Path::file_stem);
    stem == Some(OsStr::new("kubectl-slipway"))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Controller { words } => controller::run(words),
        Command::Sandbox(args) => sandbox::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Sre(command) => sre::run(&command),
        Command::Crds => crds::run(),
        Command::Completions(args) => Ok(completions::run(&args, Cli::command())),
        Command::Test(args) => test::start(args),
        Command::Tester { words } => tester::run(words),
        Command::Version => version(),
    }
}

fn version() -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "slipway {}", env!("CARGO_PKG_VERSION"))?;
    Ok(ExitCode::SUCCESS)
}

/// The flags of the controller, when we are called as Flagger is.
fn flagger_words(argv: &[OsString]) -> Option<Vec<OsString>> {
    let (program, words) = argv.split_first()?;
    if is_plugin(argv) {
        return None;
    }
    let is_flagger = Path::new(program).file_name() == Some(OsStr::new("flagger"));
    let called_so = match words.first().and_then(|word| word.to_str()) {
        None => is_flagger && words.is_empty(),
        Some("-h" | "--help" | "-V" | "--version") => is_flagger,
        Some(word) => word.starts_with('-'),
    };
    called_so.then(|| words.to_vec())
}

/// The flags of the tester, when we are called as Flagger's load tester is.
fn loadtester_words(argv: &[OsString]) -> Option<Vec<OsString>> {
    let (program, words) = argv.split_first()?;
    let is_loadtester = Path::new(program).file_name() == Some(OsStr::new("loadtester"));
    is_loadtester.then(|| words.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller_words(argv: &[&str]) -> Option<Vec<String>> {
        let argv: Vec<_> = argv.iter().map(OsString::from).collect();
        let words = flagger_words(&argv)?;
        Some(
            words
                .into_iter()
                .map(|word| word.into_string().unwrap())
                .collect(),
        )
    }

    #[test]
    fn called_as_flagger_is_the_binary_is_the_controller() {
        let rows = [
            (
                vec!["./flagger", "-log-level=info", "-v", "2"],
                Some(vec!["-log-level=info", "-v", "2"]),
            ),
            (vec!["/flagger"], Some(vec![])),
            (vec!["flagger", "-h"], Some(vec!["-h"])),
            (vec!["flagger", "crds"], None),
            (
                vec!["/slipway", "-mesh-provider=istio"],
                Some(vec!["-mesh-provider=istio"]),
            ),
            (vec!["/slipway", "-version"], Some(vec!["-version"])),
            (vec!["slipway", "--version"], None),
            (vec!["slipway", "-h"], None),
            (vec!["slipway"], None),
            (vec!["slipway", "controller", "-port=1"], None),
        ];
        for (argv, expected) in rows {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(controller_words(&argv), expected, "{argv:?}");
        }
    }

    #[test]
    fn called_by_kubectl_it_says_so() {
        let argv = ["/usr/bin/kubectl-slipway", "status", "-h"].map(OsString::from);
        assert_eq!(flagger_words(&argv), None);
        let told = command(&argv).try_get_matches_from(&argv).unwrap_err();
        let usage = told.to_string();
        assert!(usage.contains("Usage: kubectl slipway status"), "{usage}");
    }

    #[test]
    fn the_controllers_flags_are_left_to_it() {
        let argv = [
            "slipway",
            "controller",
            "-log-level=info",
            "--port",
            "1",
            "-h",
        ];
        let Command::Controller { words } = Cli::parse_from(argv).command else {
            panic!("not the controller");
        };
        assert_eq!(words, ["-log-level=info", "--port", "1", "-h"]);
    }

    #[test]
    fn called_as_flaggers_load_tester_is_the_binary_is_the_tester() {
        let words = |argv: &[&str]| {
            let argv: Vec<_> = argv.iter().map(OsString::from).collect();
            loadtester_words(&argv).map(|words| words.len())
        };
        assert_eq!(words(&["./loadtester", "-port=8080"]), Some(1));
        assert_eq!(words(&["loadtester"]), Some(0));
        assert_eq!(words(&["slipway", "tester", "-port=8080"]), None);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
