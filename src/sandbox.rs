//! `slipway sandbox`: releases on a simulated cluster, to watch.
//!
//! ```text
//!  keys, guests ──► inbox ──► the one thread of virtual time: tick, serve, draw ──► terminal, or lines
//! ```
//!
//! Invariant: what happens in the cluster is a function of the seed and of what guests do; the pace, the screen and the keys change nothing.

mod acts;
mod cluster;
mod live;
mod pace;
mod picture;
mod plain;
mod replay;
mod serve;
mod show;
#[cfg(test)]
mod tests;
mod view;
mod words;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc;

use chrono::{TimeDelta, Utc};
use slipway_scenarios::Injected;
use slipway_sim::World;

use acts::{SCENARIOS, Scenario};
use live::{Live, Message};
use pace::{Pace, Speed};
use plain::Plain;
use serve::Guests;
use show::Show;

/// How far back a served cluster begins, so that kubectl, which compares with its own clock, sees nothing from the future.
const HEAD_START: TimeDelta = TimeDelta::minutes(10);

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Virtual seconds in one second of yours; 0 or max: as fast as it goes [default: 5; with --plain max]
    #[arg(long, value_name = "N")]
    speed: Option<Speed>,
    /// Where chance comes from: the same seed plays the same show
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What is played; --scenario list names them all. BACKEND/STRATEGY/STORY/SCALER plays a run of the fault matrix again, and tells each write
    #[arg(long, value_name = "NAME", default_value = "tour", value_parser = chosen)]
    scenario: Chosen,
    /// What goes wrong in a run of the fault matrix, by the number of the call: api:57:crash-before
    #[arg(long, value_name = "FAULT", default_value = "nothing")]
    fault: Injected,
    /// Print line by line instead of drawing; without a terminal that is done anyway
    #[arg(long)]
    plain: bool,
    /// Let kubectl in: serve the cluster's API server and Prometheus on loopback, and write a kubeconfig
    #[arg(long)]
    serve: bool,
}

const AFTER_HELP: &str = "\
Nothing outside of this process is touched: the cluster, its users, its mesh and its Prometheus are simulated,
and the controller inside is the very one that `slipway controller` runs.

  slipway sandbox                        the tour: about 70 seconds
  slipway sandbox --scenario accidents   pods die under traffic, Slipway itself is killed
  slipway sandbox --plain                the same as lines, in a moment
  slipway sandbox --serve                with kubectl beside it";

/// What `--scenario` names.
#[derive(Clone, Copy, Debug)]
enum Chosen {
    List,
    Play(&'static Scenario),
    Replay(slipway_scenarios::Scenario),
}

fn chosen(name: &str) -> Result<Chosen, String> {
    if name == "list" {
        return Ok(Chosen::List);
    }
    if name.contains('/') {
        return name.parse().map(Chosen::Replay);
    }
    let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
    acts::named(name)
        .map(Chosen::Play)
        .ok_or_else(|| format!("there is none of that name: there are {names}"))
}

/// Plays.
///
/// # Errors
/// When the terminal or the cluster refuses.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let scenario = match args.scenario {
        Chosen::List => return list(),
        Chosen::Replay(scenario) => {
            let mut out = std::io::stdout().lock();
            return replay::replay(scenario, args.fault, args.seed, &mut out);
        }
        Chosen::Play(scenario) => scenario,
    };
    if args.fault != Injected::Nothing {
        anyhow::bail!(
            "--fault {} needs --scenario BACKEND/STRATEGY/STORY/SCALER, such as istio/canary/promotes/fixed: the shows have no faults by number",
            args.fault
        );
    }
    slipway_sim::runtime()?.block_on(play(args, scenario))?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for scenario in SCENARIOS {
        writeln!(out, "{:<11} {}", scenario.name, scenario.shows)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn play(args: &Args, scenario: &'static Scenario) -> anyhow::Result<()> {
    let world = if args.serve {
        World::starting_at(args.seed, Utc::now() - HEAD_START)
    } else {
        World::new(args.seed)
    };
    let show = Show::new(world, scenario)?;
    let (inbox, messages) = mpsc::channel();
    let guests = args
        .serve
        .then(|| Guests::open(show.world(), &inbox))
        .transpose()?;
    let is_plain = args.plain || !std::io::stdout().is_terminal();
    if is_plain {
        let pace = Pace::new(args.speed.unwrap_or(Speed::Max));
        return Plain::new(show, pace, messages, guests)
            .play(&mut std::io::stdout().lock())
            .await;
    }
    let pace = Pace::new(args.speed.unwrap_or_default());
    let mut terminal = ratatui::try_init()?;
    crate::screen::listen(move |input| inbox.send(Message::Input(input)).is_ok());
    let played = Live::new(show, pace, messages, guests)
        .play(&mut terminal)
        .await;
    ratatui::try_restore()?;
    // The screen is gone: what it came to stays.
    plain::end(&played?, &mut std::io::stdout().lock())?;
    Ok(())
}
