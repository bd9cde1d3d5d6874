//! `slipway test FILE`: carries a suite out and tells what came of it.
//!
//! Exit codes: 0 every check passed, 1 one failed, 2 there is no suite to carry out.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use slipway_tester::Variables;
use slipway_tester::suite::{Report, Suite, run};
use slipway_tester::wire::{Authorities, Network};

/// The exit code of a call that was wrong.
const USAGE: u8 = 2;

/// How the report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// What `slipway test` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The suite, in YAML; - is standard input
    file: PathBuf,
    /// The value of ${NAME} in the suite
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// File with certificates (PEM) of authorities that are trusted besides the usual ones
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// How the report is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Carries the suite out.
pub(crate) fn start(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        file,
        set,
        ca_file,
        output,
    } = args;
    let (suite, authorities) = match given(&file, ca_file.as_deref()) {
        Ok(given) => given,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error:#}")?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let variables: Variables = set.into_iter().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let network = Arc::new(Network::new(authorities));
    let report = runtime.block_on(run(&suite, &variables, &network));
    write(&report, output)?;
    Ok(if report.has_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn given(file: &Path, ca_file: Option<&Path>) -> anyhow::Result<(Suite, Authorities)> {
    Ok((read(file)?, crate::tester::authorities(ca_file)?))
}

fn read(file: &Path) -> anyhow::Result<Suite> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("read {}", file.display()))?;
    let name = file.file_name().unwrap_or(file.as_os_str());
    Suite::parse(&text, &name.to_string_lossy()).with_context(|| format!("in {}", file.display()))
}

fn write(report: &Report, format: Format) -> anyhow::Result<()> {
    let text = match format {
        Format::Text => report.to_string(),
        Format::Json => format!("{:#}\n", serde_json::to_value(report)?),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
