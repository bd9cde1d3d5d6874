//! `slipway status -w`: releases as a watch tells of them, drawn, or line by line.
//!
//! ```text
//!  watch of Canaries ──► Board ──► screen (a terminal), a line (none), JSON
//!  keys, a second ─────────────►
//! ```

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crossterm::event::KeyEvent;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use ratatui::DefaultTerminal;
use slipway_api::Canary;
use tokio::sync::mpsc;

use super::{Args, columns, facts, view};
use crate::cluster::{Cluster, Release};
use crate::output::{Form, Said};
use crate::screen::{Input, Signals, is_pressed, leaves, listen};

/// How often what counts in seconds is drawn anew.
const SECOND: Duration = Duration::from_secs(1);

/// What a watch gives.
type Events = BoxStream<'static, Result<Event<Canary>, watcher::Error>>;

/// The releases that are shown.
#[derive(Debug, Default)]
pub(crate) struct Board {
    releases: BTreeMap<String, Release>,
    /// What a list that has begun named so far.
    listed: Option<BTreeMap<String, Release>>,
    /// Whether the first list has come.
    pub(super) is_known: bool,
    /// The release that is looked at closely, by its place.
    pub(super) chosen: usize,
    /// Why the watch fails, while it does.
    pub(super) trouble: Option<String>,
}

impl Board {
    /// The releases in order.
    pub(super) fn releases(&self) -> impl Iterator<Item = &Release> {
        self.releases.values()
    }

    /// The release that is looked at closely.
    pub(super) fn chosen(&self) -> Option<&Release> {
        self.releases.values().nth(self.chosen)
    }

    /// Takes what the watch tells; the releases that it is about.
    pub(crate) async fn take(
        &mut self,
        cluster: &Cluster,
        event: Result<Event<Canary>, watcher::Error>,
    ) -> Vec<String> {
        match event {
            Ok(event) => {
                self.trouble = None;
                // A release is large, and so is what waits for one.
                Box::pin(self.know(cluster, event)).await
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                Vec::new()
            }
        }
    }

    async fn know(&mut self, cluster: &Cluster, event: Event<Canary>) -> Vec<String> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(canary) => {
                let release = cluster.around(canary).await;
                let name = release.name();
                self.listed.get_or_insert_default().insert(name, release);
                Vec::new()
            }
            Event::InitDone => {
                self.is_known = true;
                self.releases = self.listed.take().unwrap_or_default();
                self.choose(0);
                self.releases.keys().cloned().collect()
            }
            Event::Apply(canary) => {
                let release = cluster.around(canary).await;
                let name = release.name();
                self.releases.insert(name.clone(), release);
                vec![name]
            }
            Event::Delete(canary) => {
                let name = cluster.around(canary).await.name();
                self.releases.remove(&name);
                self.choose(0);
                vec![name]
            }
        }
    }

    fn choose(&mut self, by: isize) {
        let last = self.releases.len().saturating_sub(1);
        self.chosen = self.chosen.saturating_add_signed(by).min(last);
    }

    /// A key; whether it is one to leave by.
    pub(super) fn press(&mut self, key: KeyEvent) -> bool {
        if !is_pressed(key) {
            return false;
        }
        let by = match (key.code.is_up(), key.code.is_down(), key.code.as_char()) {
            (true, ..) | (.., Some('k')) => -1,
            (_, true, _) | (.., Some('j')) => 1,
            _ => 0,
        };
        self.choose(by);
        leaves(key)
    }
}

/// Tells until somebody leaves; what is left to say then.
pub(crate) async fn run(cluster: &Cluster, args: &Args) -> anyhow::Result<Option<Said>> {
    if let Some(name) = &args.name {
        // A name that does not exist is an error, not a view of nothing.
        cluster.release(name).await?;
    }
    let events = watch(cluster, args);
    if args.output == Form::Json || !std::io::stdout().is_terminal() {
        let mut signals = Signals::listen()?;
        let out = &mut std::io::stdout();
        tokio::select! {
            told = tell(cluster, args, events, Utc::now, out) => told?,
            () = signals.come() => {}
        }
        return Ok(None);
    }
    let mut terminal = ratatui::try_init()?;
    let shown = Box::pin(show(cluster, args, events, &mut terminal)).await;
    ratatui::try_restore()?;
    shown.map(|()| None)
}

/// The watch that the words ask for.
pub(crate) fn watch(cluster: &Cluster, args: &Args) -> Events {
    let (api, config) = cluster.watched(args.name.as_deref(), args.all_namespaces);
    watcher(api, config).default_backoff().boxed()
}

/// A line, or an object, whenever what is told of a release changes.
pub(crate) async fn tell(
    cluster: &Cluster,
    args: &Args,
    mut events: Events,
    now: impl Fn() -> DateTime<Utc>,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let mut board = Board::default();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    while let Some(event) = events.next().await {
        for name in board.take(cluster, event).await {
            let line = board
                .releases
                .get(&name)
                .map_or_else(|| format!("{name} is gone"), |it| line(cluster, it, args));
            if told.insert(name, line.clone()).as_ref() == Some(&line) {
                continue;
            }
            match args.output {
                Form::Text => writeln!(out, "{} {line}", now().format("%H:%M:%S"))?,
                Form::Json => writeln!(out, "{line}")?,
            }
            out.flush()?;
        }
        if let Some(trouble) = &board.trouble {
            writeln!(std::io::stderr(), "the watch is begun again: {trouble}")?;
        }
    }
    Ok(())
}

/// One release in one line, without anything that changes by itself.
fn line(cluster: &Cluster, release: &Release, args: &Args) -> String {
    if args.output == Form::Json {
        return facts(cluster, release).to_string();
    }
    let [name, phase, weight, step, failed, waits, _] =
        columns(cluster, release, DateTime::UNIX_EPOCH);
    let mut line = format!("{name} {phase} {weight}");
    let more = [("step", step), ("failed", failed), ("waits for", waits)];
    for (word, text) in more.into_iter().filter(|(_, text)| !text.is_empty()) {
        line = format!("{line}, {word} {text}");
    }
    match &release.slipway.reason {
        Some(reason) => format!("{line}: {reason}"),
        None => line,
    }
}

async fn show(
    cluster: &Cluster,
    args: &Args,
    mut events: Events,
    terminal: &mut DefaultTerminal,
) -> anyhow::Result<()> {
    let (keys, mut pressed) = mpsc::unbounded_channel();
    listen(move |input| keys.send(input).is_ok());
    let mut signals = Signals::listen()?;
    let mut board = Board::default();
    let whose = whose(cluster, args);
    loop {
        let now = Utc::now();
        terminal.draw(|frame| view::draw(frame, cluster, &board, &whose, now))?;
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    board.take(cluster, event).await;
                    // A burst of them is drawn once.
                    while let Some(Some(event)) = events.next().now_or_never() {
                        board.take(cluster, event).await;
                    }
                }
                None => return Ok(()),
            },
            input = pressed.recv() => match input {
                Some(Input::Key(key)) => if board.press(key) { return Ok(()); },
                Some(Input::Resized) => terminal.autoresize()?,
                None => return Ok(()),
            },
            () = signals.come() => return Ok(()),
            () = tokio::time::sleep(SECOND) => {}
        }
    }
}

/// What is looked at, for the first line.
fn whose(cluster: &Cluster, args: &Args) -> String {
    match &args.name {
        Some(name) => format!("{}/{name}", cluster.namespace),
        None if args.all_namespaces => "all namespaces".to_owned(),
        None => format!("namespace {}", cluster.namespace),
    }
}
