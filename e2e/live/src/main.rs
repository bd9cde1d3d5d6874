//! What the end to end suites put on a real cluster, in one static program:
//!
//! ```text
//!  client ──► Envoy | linkerd-traffic-double | ClusterIP ──► app (a revision: its faults are set by its image)
//!                                      Slipway ──► hooks (answers as told, remembers what it got)
//! ```
//!
//! The client's log is the truth about what users saw; nothing here knows of releases.

mod app;
mod args;
mod client;
mod double;
mod exchange;
mod hooks;
mod stop;

use clap::{Parser, Subcommand};

/// The programs of the end to end suites.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// An HTTP server whose error rate, latency and readiness are set by environment and by files.
    App(app::Args),
    /// A user: requests at a fixed pace, one JSON line a response, a summary at the end.
    Client(client::Args),
    /// A webhook receiver that answers as its path says and tells what it got.
    Hooks(hooks::Args),
    /// NOT Linkerd: splits live requests by `TrafficSplits`, and exports metrics under Linkerd's names.
    LinkerdTrafficDouble(double::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().program {
        Program::App(args) => app::run(args).await,
        Program::Client(args) => client::run(args).await,
        Program::Hooks(args) => hooks::run(args).await,
        Program::LinkerdTrafficDouble(args) => double::run(args).await,
    }
}
