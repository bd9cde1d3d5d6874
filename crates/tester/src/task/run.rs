//! Doing tasks: one at a time of a kind in the background, each within its timeout, all of them stopped with the server.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::command::{self, CommandLine, Finished, Why};
use super::{Source, Task, Work};
use crate::duration::shown;
use crate::load;
use crate::metrics::{Metrics, Outcome};
use crate::payload::Payload;
use crate::settings::Settings;
use crate::suite::{self, Report, Suite};
use crate::text::{Variables, bounded};
use crate::wire::Network;

/// Everything that tasks share. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    network: Arc<Network>,
    metrics: Metrics,
    running: Mutex<HashSet<String>>,
    slots: Arc<Semaphore>,
    all: TaskTracker,
    awaited: TaskTracker,
    /// Ends tasks in the background.
    stop: CancellationToken,
    /// Ends tasks whose answer somebody awaits.
    kill: CancellationToken,
}

/// What a task came to, for its hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It did what it should, with what it may tell.
    Passed(String),
    /// It could not be done, or did not end well: another try makes sense.
    Failed(String),
    /// It was done, and what was tested is not as it should be: another try is the suite's to make.
    NotMet(String),
}

/// What became of a task in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Now,
    RunsAlready,
}

/// As many tasks run as may.
#[derive(Debug, thiserror::Error)]
#[error("{0} tasks are running, which is the most: try again later")]
pub(crate) struct Busy(usize);

/// The longest line of an answer that is logged, in bytes.
const LOGGED_MAX: usize = 4096;

impl Tasks {
    pub(crate) fn new(settings: Settings, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            slots: Arc::new(Semaphore::new(settings.tasks_max)),
            network: Arc::new(Network::new(settings.authorities.clone())),
            settings,
            metrics,
            running: Mutex::default(),
            all: TaskTracker::new(),
            awaited: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        }))
    }

    /// Does the task in the background, unless the same one is running.
    pub(crate) fn start(&self, task: Task, payload: &Payload) -> Result<Started, Busy> {
        let Self(shared) = self;
        let Some(alone) = shared.alone(task.identity(payload)) else {
            info!(canary = %canary(payload), task = %task.kind, "skipped: it is already running");
            return Ok(Started::RunsAlready);
        };
        let slot = shared.slot()?;
        let (shared, canary) = (Arc::clone(shared), canary(payload));
        let all = shared.all.clone();
        all.spawn(async move {
            let stop = shared.stop.clone();
            shared.perform(&task, &canary, &stop).await;
            drop((alone, slot));
        });
        Ok(Started::Now)
    }

    /// Does the task to its end, also when nobody waits for it any more.
    ///
    /// A hook that gave up waiting may still have wanted it done (`post-rollout`, `rollback`): Flagger goes on as well.
    pub(crate) async fn finish(&self, task: Task, payload: &Payload) -> Result<Done, Busy> {
        let Self(shared) = self;
        let slot = shared.slot()?;
        let (shared, canary) = (Arc::clone(shared), canary(payload));
        let awaited = shared.awaited.clone();
        let done = awaited.spawn(async move {
            let stop = shared.kill.clone();
            let done = shared.perform(&task, &canary, &stop).await;
            drop(slot);
            done
        });
        let broken = |_| Done::Failed("the task broke: see the log of the tester".to_owned());
        Ok(done.await.unwrap_or_else(broken))
    }

    /// Ends everything: what runs in the background at once, what is awaited after a grace.
    pub(crate) async fn stop(&self) {
        let Self(shared) = self;
        shared.stop.cancel();
        shared.awaited.close();
        shared.all.close();
        let graceful = timeout(shared.settings.grace, shared.awaited.wait()).await;
        if graceful.is_err() {
            warn!(grace = %shown(shared.settings.grace), "tasks are killed that did not end in time");
        }
        shared.kill.cancel();
        shared.awaited.wait().await;
        shared.all.wait().await;
    }
}

fn canary(payload: &Payload) -> String {
    format!("{}.{}", payload.name, payload.namespace)
}

/// The right to be the only one of an identity.
struct Alone {
    shared: Arc<Shared>,
    identity: String,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.shared.running().remove(&self.identity);
    }
}

impl Shared {
    fn running(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(self: &Arc<Self>, identity: String) -> Option<Alone> {
        let is_new = self.running().insert(identity.clone());
        is_new.then(|| Alone {
            shared: Arc::clone(self),
            identity,
        })
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Busy> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        slot.map_err(|_| Busy(self.settings.tasks_max))
    }

    async fn perform(&self, task: &Task, canary: &str, stop: &CancellationToken) -> Done {
        let running = self.metrics.begin(task.kind);
        let done = match &task.work {
            Work::Background {
                line,
                text,
                log_output,
            } => {
                let log = log_output.unwrap_or(self.settings.log_output);
                self.command(line, text, Tell { log, answer: false }, canary, stop)
                    .await
            }
            Work::Blocking {
                line,
                text,
                return_output: answer,
            } => {
                let tell = Tell {
                    log: true,
                    answer: *answer,
                };
                self.command(line, text, tell, canary, stop).await
            }
            Work::Concord(concord) => {
                let ran = self.within(concord.run(&self.network), stop).await;
                ran.flatten().map_or_else(Done::Failed, Done::Passed)
            }
            Work::Suite { suite, variables } => {
                let ran = self.within(self.suite(suite, variables), stop).await;
                ran.unwrap_or_else(Done::Failed)
            }
            Work::Load {
                load,
                limits,
                variables,
                wait: _,
            } => match load.fill(variables) {
                Ok(load) => {
                    let summary = self.within(load::run(&load, &self.network), stop).await;
                    summary.map_or_else(Done::Failed, |it| self.judged(&it, limits))
                }
                Err(failure) => Done::Failed(failure.to_string()),
            },
        };
        let outcome = match &done {
            Done::Passed(_) => Outcome::Passed,
            Done::Failed(_) => Outcome::Failed,
            Done::NotMet(_) => Outcome::NotMet,
        };
        running.end(outcome);
        log(task, canary, &done);
        done
    }

    async fn command(
        &self,
        line: &CommandLine,
        text: &str,
        tell: Tell,
        canary: &str,
        stop: &CancellationToken,
    ) -> Done {
        let limit = self.settings.timeout;
        let end = async {
            tokio::select! {
                () = sleep(limit) => Why::Timeout(limit),
                () = stop.cancelled() => Why::Shutdown,
            }
        };
        let finished = command::run(line, self.settings.output_max, end).await;
        if let Some(error) = finished.error() {
            let Finished { output, .. } = finished;
            return Done::Failed(format!("command {text} failed: {output}: {error}"));
        }
        if tell.log {
            let output = bounded(&finished.output, LOGGED_MAX);
            info!(%canary, command = %bounded(text, LOGGED_MAX), output, "command finished");
        }
        Done::Passed(if tell.answer {
            finished.output
        } else {
            String::new()
        })
    }

    /// The work within the timeout of a task; otherwise why it was stopped.
    async fn within<T>(
        &self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
    ) -> Result<T, String> {
        let limit: Duration = self.settings.timeout;
        tokio::select! {
            done = work => Ok(done),
            () = sleep(limit) => Err(format!("it did not end within the timeout of {}", shown(limit))),
            () = stop.cancelled() => Err("the tester stops".to_owned()),
        }
    }

    async fn suite(&self, source: &Source, variables: &Variables) -> Done {
        let suite = match source {
            Source::Inline(suite) => Ok(suite.as_ref().clone()),
            Source::File(file) => read(self.settings.suites.as_deref(), file).await,
        };
        match suite {
            Ok(suite) => self.reported(&suite::run(&suite, variables, &self.network).await),
            Err(why) => Done::Failed(why),
        }
    }

    fn reported(&self, report: &Report) -> Done {
        for check in &report.checks {
            self.metrics.checked(check.has_passed());
            if let Some(summary) = &check.load {
                self.metrics.loaded(summary);
            }
        }
        if report.has_passed() {
            Done::Passed(report.line())
        } else {
            Done::NotMet(report.line())
        }
    }

    fn judged(&self, summary: &load::Summary, limits: &load::Limits) -> Done {
        self.metrics.loaded(summary);
        let failures = summary.failures(limits);
        if failures.is_empty() {
            return Done::Passed(summary.to_string());
        }
        let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
        Done::NotMet(format!("load: {}; {summary}", failures.join(", ")))
    }
}

/// Who is told what a successful command said.
#[derive(Clone, Copy)]
struct Tell {
    log: bool,
    answer: bool,
}

/// A suite of the folder, read anew: a mounted `ConfigMap` changes under us.
async fn read(folder: Option<&Path>, file: &str) -> Result<Suite, String> {
    let folder =
        folder.ok_or("there is no folder of suites here: start the tester with --suites")?;
    let path = folder.join(file);
    let text = tokio::fs::read_to_string(&path).await;
    let text = text.map_err(|error| format!("read the suite {}: {error}", path.display()))?;
    Suite::parse(&text, file).map_err(|error| format!("suite {file}: {error}"))
}

fn log(task: &Task, canary: &str, done: &Done) {
    match done {
        Done::Passed(told) => {
            info!(%canary, task = %task.kind, told = %bounded(told, LOGGED_MAX), "task passed");
        }
        Done::Failed(why) | Done::NotMet(why) => {
            warn!(%canary, task = %task.kind, why = %bounded(why, LOGGED_MAX), "task failed");
        }
    }
}
