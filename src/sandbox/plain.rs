//! The show line by line: for pipes, for CI, and for whoever wants to keep it.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use slipway_api::Phase;

use super::live::Message;
use super::pace::Pace;
use super::picture::{Measured, Release};
use super::serve::Guests;
use super::show::{Line, Show, Voice};
use super::words;
use crate::screen::Signals;

/// How wide the bar is.
const BAR: i64 = 20;

/// The show with what of it has been printed.
pub(super) struct Plain {
    show: Show,
    pace: Pace,
    inbox: Receiver<Message>,
    guests: Option<Guests>,
    printed: usize,
    last: Option<(Phase, i64, i64, i64)>,
}

impl Plain {
    pub(super) fn new(
        show: Show,
        pace: Pace,
        inbox: Receiver<Message>,
        guests: Option<Guests>,
    ) -> Self {
        Self {
            show,
            pace,
            inbox,
            guests,
            printed: 0,
            last: None,
        }
    }

    /// Plays to the end; where guests are let in, it goes on until the process is asked to end.
    ///
    /// # Errors
    /// When nobody takes the lines, or the cluster refuses.
    pub(super) async fn play(mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut signals = self
            .guests
            .as_ref()
            .map(|_| Signals::listen())
            .transpose()?;
        if let Some(guests) = &self.guests {
            writeln!(out, "kubectl:    {}", guests.shown())?;
            writeln!(out, "Prometheus: {}", guests.prometheus())?;
        }
        let mut is_told = false;
        loop {
            if self.show.is_over() && !is_told {
                end(&self.show, out)?;
                is_told = true;
                if self.guests.is_none() {
                    return Ok(());
                }
                writeln!(out, "\nThe cluster stays, in real time; Ctrl-C ends it.")?;
                self.pace.settle();
            }
            if signals.as_mut().is_some_and(Signals::ask_to_end) {
                return Ok(());
            }
            self.tick(out).await?;
        }
    }

    async fn tick(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        self.attend().await;
        self.show.tick().await?;
        self.pace.ticked();
        self.print(out)?;
        Ok(())
    }

    /// Waits until the next tick is due, and sees to guests meanwhile.
    async fn attend(&mut self) {
        loop {
            match self.inbox.recv_timeout(self.pace.rest()) {
                Ok(Message::Guest(guest)) => {
                    if let Some(guests) = &self.guests {
                        guests.serve(*guest).await;
                    }
                }
                Ok(Message::Input(_)) => {}
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(self.pace.rest());
                    return;
                }
            }
        }
    }

    /// Prints what is new.
    fn print(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        for line in self.show.log.iter().skip(self.printed) {
            print(line, out)?;
        }
        self.printed = self.show.log.len();
        let release = self.show.release(self.show.focus());
        let status = &release.status;
        let state = (
            release.phase(),
            release.weight(),
            status.iterations,
            status.failed_checks,
        );
        if self.last.replace(state) != Some(state) && release.is_busy() {
            print_state(&self.show, &release, out)?;
        }
        out.flush()
    }
}

/// How far a release is, and how its new version does.
fn print_state(show: &Show, release: &Release, out: &mut impl Write) -> std::io::Result<()> {
    let weight = release.weight();
    let measured = Measured::of(show.world(), release.service.name());
    let success = measured
        .success
        .map_or_else(|| "-".to_owned(), |it| format!("{it:.2}%"));
    let latency = measured
        .latency
        .map_or_else(|| "-".to_owned(), |it| format!("{it:.0} ms"));
    writeln!(
        out,
        "{}  [{}] {weight:>3}% on {}, {}{}: success {success}, p99 {latency}, failed checks {} of {}",
        words::clock(show.now()),
        bar(weight),
        release.canary.version,
        release.phase().as_str(),
        if release.is_mirrored() {
            ", copies of all requests"
        } else {
            ""
        },
        release.status.failed_checks,
        release.limits.threshold,
    )
}

/// Prints the end.
///
/// # Errors
/// When nobody takes it.
pub(super) fn end(show: &Show, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out)?;
    for line in words::summary(show) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn bar(weight: i64) -> String {
    let filled = (weight * BAR + 99) / 100;
    let part = |mark: &str, of: i64| mark.repeat(usize::try_from(of).unwrap_or(0));
    part("=", BAR - filled) + &part("#", filled)
}

fn print(line: &Line, out: &mut impl Write) -> std::io::Result<()> {
    let at = words::clock(line.at);
    match line.voice {
        Voice::Story => writeln!(out, "{at}  == {}", line.text),
        Voice::Event | Voice::Hook => writeln!(out, "{at}     {}", line.text),
        Voice::Warning | Voice::Refusal => writeln!(out, "{at}   ! {}", line.text),
        Voice::Outcome => writeln!(out, "{at}  => {}", line.text),
    }
}
