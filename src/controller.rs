//! `slipway controller`: reads the flags, starts the log, and runs until it is told to stop.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use slipway_controller::settings::{Args, Parsed, Settings};
use slipway_controller::telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The exit code of a call that was wrong, as Go's flag package and clap have it.
pub(crate) const USAGE: u8 = 2;

/// Runs the controller with those flags.
pub(crate) fn run(words: Vec<OsString>) -> anyhow::Result<ExitCode> {
    match Args::read(words) {
        Ok(parsed) if parsed.asks_version() => crate::version(),
        Ok(parsed) => meant(parsed),
        Err(error) => {
            error.print()?;
            Ok(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

fn meant(parsed: Parsed) -> anyhow::Result<ExitCode> {
    match parsed.settings(&environment()) {
        Ok(settings) => work(settings),
        Err(problems) => {
            for problem in problems {
                writeln!(std::io::stderr(), "error: {problem}")?;
            }
            Ok(ExitCode::from(USAGE))
        }
    }
}

fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

fn work(settings: Settings) -> anyhow::Result<ExitCode> {
    telemetry::start(settings.log)?;
    announce(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        stop_on_signals(shutdown.clone())?;
        slipway_controller::run::start(settings, shutdown)
            .await
            .context("run the controller")?;
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// What was not left at its default, and what of it does not work.
fn announce(settings: &Settings) {
    info!(version = env!("CARGO_PKG_VERSION"), namespaces = %settings.cluster.namespaces, "slipway starts");
    for given in &settings.given {
        info!(
            flag = given.flag,
            value = given.value,
            origin = given.origin.as_str(),
            "setting"
        );
    }
    for warning in &settings.warnings {
        warn!(problem = %warning, "setting without effect");
    }
}

/// Listens to the signals that ask to stop.
pub(crate) fn stop_on_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let (terminate, interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::spawn(stop_on(terminate, interrupt, shutdown));
    Ok(())
}

/// The first signal asks to stop: the write in hand is finished and the lease given up. A second one ends the process.
async fn stop_on(mut terminate: Signal, mut interrupt: Signal, shutdown: CancellationToken) {
    next(&mut terminate, &mut interrupt).await;
    info!("asked to stop");
    shutdown.cancel();
    next(&mut terminate, &mut interrupt).await;
    #[expect(
        clippy::exit,
        reason = "somebody asked twice, and nothing that is still running may delay it"
    )]
    std::process::exit(1);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
