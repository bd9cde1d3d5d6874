//! The words of an SRE: what is asked about releases of a cluster, and what is done to them.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use slipway_core::action::Verb;

use crate::cluster::{Cluster, ClusterArgs};
use crate::output::Said;
use crate::{act, adopt, check, explain, history, leave, replay, status, wait, why};

/// Commands that go to a cluster, as kubectl does.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Tell where releases stand
    Status(status::Args),
    /// Tell the plan in force, and where each value came from
    Explain(explain::Args),
    /// Tell in a paragraph why a release is where it is
    Why(why::Args),
    /// Tell what each tick of a release measured, and what came of it
    History(history::Args),
    /// Tell what the sequential test would have said of the last release
    Replay(replay::Args),
    /// Open a gate that waits for a person
    Approve(act::ApproveArgs),
    /// Hold a release at the step that it has reached
    Pause(act::Args),
    /// Let a paused release go on
    Resume(act::Args),
    /// Promote a revision without further analysis
    Promote(act::PromoteArgs),
    /// Take a revision back
    Abort(act::Args),
    /// Try a revision that failed again
    Retry(act::Args),
    /// Look whether Slipway has what it needs here; what it has not, with the remedy (1)
    Check(check::Args),
    /// Tell what would happen if Slipway took Flagger's place now
    Adopt(adopt::Args),
    /// Leave Canaries to Flagger, so that it goes on without starting a release
    HandBack(leave::HandBackArgs),
    /// Let Canaries go, so that they can be deleted without a controller
    Uninstall(leave::Args),
    /// Wait until a revision is promoted (0) or failed (1), or it takes too long (2)
    Wait(wait::Args),
}

impl Command {
    fn cluster(&self) -> &ClusterArgs {
        match self {
            Self::Status(args) => &args.cluster,
            Self::Explain(args) => &args.cluster,
            Self::Why(args) => &args.cluster,
            Self::History(args) => &args.cluster,
            Self::Replay(args) => &args.cluster,
            Self::Approve(args) => &args.common.cluster,
            Self::Promote(args) => &args.common.cluster,
            Self::Pause(args) | Self::Resume(args) | Self::Abort(args) | Self::Retry(args) => {
                &args.cluster
            }
            Self::Check(args) => &args.cluster,
            Self::Adopt(args) => &args.cluster,
            Self::HandBack(args) => &args.common.cluster,
            Self::Uninstall(args) => &args.cluster,
            Self::Wait(args) => &args.cluster,
        }
    }

    /// Does it on that cluster.
    ///
    /// A box of its own: what waits for a cluster is large.
    pub(crate) fn on<'a>(
        &'a self,
        cluster: &'a Cluster,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, anyhow::Result<Said>> {
        match self {
            Self::Status(args) => status::run(cluster, args, now).boxed(),
            Self::Explain(args) => explain::run(cluster, args).boxed(),
            Self::Why(args) => why::run(cluster, args, now).boxed(),
            Self::History(args) => history::run(cluster, args).boxed(),
            Self::Replay(args) => replay::run(cluster, args, now).boxed(),
            Self::Approve(args) => act::approve(cluster, args, now).boxed(),
            Self::Promote(args) => act::promote(cluster, args, now).boxed(),
            Self::Pause(args) => act::simple(cluster, Verb::Pause, args, now).boxed(),
            Self::Resume(args) => act::simple(cluster, Verb::Resume, args, now).boxed(),
            Self::Abort(args) => act::simple(cluster, Verb::Abort, args, now).boxed(),
            Self::Retry(args) => act::simple(cluster, Verb::Retry, args, now).boxed(),
            Self::Check(args) => check::run(cluster, args, now).boxed(),
            Self::Adopt(args) => adopt::run(cluster, args).boxed(),
            Self::HandBack(args) => leave::hand_back(cluster, args, now).boxed(),
            Self::Uninstall(args) => leave::uninstall(cluster, args, now).boxed(),
            Self::Wait(args) => wait::run(cluster, args).boxed(),
        }
    }
}

/// Does it on the cluster that the flags name, and prints what it came to.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let said = runtime.block_on(async {
        let cluster = Cluster::connect(command.cluster()).await?;
        if let Command::Status(args) = command
            && args.watch
        {
            return status::watch::run(&cluster, args).boxed().await;
        }
        command.on(&cluster, Utc::now()).await.map(Some)
    })?;
    said.map_or(Ok(ExitCode::SUCCESS), |said| said.print())
}
