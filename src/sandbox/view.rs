//! The show in a terminal: one screen, drawn anew from what can be seen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Padding, Paragraph, Wrap};
use slipway_api::Phase;

use super::cluster::{INSIDERS, RATE, Service};
use super::pace::Pace;
use super::picture::{Measured, Release};
use super::show::{Line, Show, Stage, Voice};
use super::words;
use crate::screen::{BAD, GOOD, NEW, OLD, QUIET, block, cells};

/// What stands below the users, when there is something.
#[derive(Clone, Debug, Default)]
pub(super) struct Footer(pub(super) Option<String>);

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, show: &Show, pace: &Pace, footer: &Footer) {
    let release = show.release(show.focus());
    let story = story(show, &release);
    let width = usize::from(frame.area().width.saturating_sub(6)).max(1);
    let needed: usize = story
        .iter()
        .map(|row| row.width().div_ceil(width).max(1))
        .sum();
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(needed + 2).unwrap_or(5).clamp(5, 9)),
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Length(if frame.area().height >= 30 { 6 } else { 1 }),
        Constraint::Min(0),
        Constraint::Length(if footer.0.is_some() { 2 } else { 1 }),
    ]);
    let [top, said, traffic, checks, services, log, users] = rows.areas(frame.area());
    frame.render_widget(header(show, pace), top);
    let title = title(show);
    let panel = Paragraph::new(story).wrap(Wrap { trim: false });
    frame.render_widget(
        panel.block(
            block(&title)
                .border_style(Style::new().fg(mood(show, &release)))
                .padding(Padding::horizontal(1)),
        ),
        said,
    );
    frame.render_widget(traffic_panel(show, &release, traffic), traffic);
    frame.render_widget(checks_panel(show, &release), checks);
    frame.render_widget(services_panel(show, services), services);
    frame.render_widget(log_panel(show, log), log);
    frame.render_widget(users_line(show, footer), users);
}

fn header(show: &Show, pace: &Pace) -> Paragraph<'static> {
    let row = Row::from(vec![
        Span::from(" slipway sandbox ").bold().reversed(),
        Span::from(format!("  {}  ", words::clock(show.now()))),
        Span::from(format!("{}  ", pace.shown())).fg(NEW),
        Span::from("space: pause   + -: speed   q: quit").fg(QUIET),
    ]);
    Paragraph::new(row)
}

fn title(show: &Show) -> String {
    match show.stage {
        Stage::Opening { .. } => "The cluster starts".to_owned(),
        Stage::Over => "The end".to_owned(),
        Stage::Lead { .. } | Stage::Playing { .. } | Stage::Ended { .. } => {
            words::title(show.at, show.scenario.acts.len(), &show.act())
        }
    }
}

/// What happens now and why; at the end, what it all came to.
fn story(show: &Show, release: &Release) -> Vec<Row<'static>> {
    if show.is_over() {
        let lines = words::summary(show);
        return lines
            .into_iter()
            .enumerate()
            .map(|(at, line)| {
                if at == 0 {
                    Row::from(line.bold())
                } else {
                    Row::from(line)
                }
            })
            .collect();
    }
    vec![Row::from(words::now(show, release))]
}

/// The colour of what happens.
fn mood(show: &Show, release: &Release) -> Color {
    let ended = matches!(show.stage, Stage::Ended { .. } | Stage::Over);
    match release.phase() {
        _ if !ended && !release.is_busy() => QUIET,
        Phase::Succeeded => GOOD,
        Phase::Failed => BAD,
        _ if release.status.failed_checks > 0 => BAD,
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => NEW,
    }
}

/// What share of the requests goes to the new version, in percent, and a word where that needs one.
fn share(show: &Show, release: &Release) -> (f64, &'static str) {
    let name = release.service.name();
    let plane = show.world().plane(&format!("{name}.app"));
    let has_insiders = plane.rules.iter().any(|rule| {
        rule.is_conditional()
            && rule
                .shares()
                .keys()
                .any(|revision| revision.workload == name)
    });
    let weight = i32::try_from(release.weight()).map_or(0.0, f64::from);
    if release.is_mirrored() {
        (weight, ", and copies of all requests")
    } else if has_insiders && weight == 0.0 {
        (INSIDERS / RATE * 100.0, ": the insiders")
    } else {
        (weight, "")
    }
}

fn traffic_panel(show: &Show, release: &Release, area: Rect) -> Paragraph<'static> {
    let (percent, word) = share(show, release);
    let width = usize::from(area.width.saturating_sub(4));
    let new = cells(percent, width);
    let bar = Row::from(vec![
        Span::from(" "),
        Span::from("█".repeat(width.saturating_sub(new))).fg(OLD),
        Span::from("▒".repeat(new)).fg(NEW),
    ]);
    let primary = &release.primary;
    let left = format!(" primary {}: {:.0}%", primary.version, 100.0 - percent);
    let pods = format!("  ({} of {} pods ready)", primary.ready, primary.wanted);
    let mut below = vec![Span::from(left).fg(OLD).bold(), Span::from(pods).fg(QUIET)];
    let canary = &release.canary;
    if canary.wanted > 0 {
        let pods = format!("({} of {} pods ready)  ", canary.ready, canary.wanted);
        let right = format!("canary {}: {percent:.0}%{word} ", canary.version);
        let used: usize = below.iter().map(Span::width).sum();
        let room = usize::from(area.width.saturating_sub(2));
        let mut right = vec![Span::from(pods).fg(QUIET), Span::from(right).fg(NEW).bold()];
        let mut taken: usize = right.iter().map(Span::width).sum();
        if used + taken > room {
            // Where it is narrow, the versions matter more than the pods.
            right.remove(0);
            below.truncate(1);
            taken = right.iter().map(Span::width).sum();
        }
        let used: usize = below.iter().map(Span::width).sum();
        below.push(Span::from(" ".repeat(room.saturating_sub(used + taken))));
        below.extend(right);
    }
    let title = format!("Who answers the users of {}", release.service.name());
    Paragraph::new(vec![bar, Row::from(below)]).block(block(&title))
}

fn checks_panel(show: &Show, release: &Release) -> Paragraph<'static> {
    let old = Measured::of(show.world(), &show.primary());
    let new = if release.is_busy() {
        Measured::of(show.world(), release.service.name())
    } else {
        Measured::default()
    };
    let limits = release.limits;
    let success = Check {
        name: "requests that succeed",
        old: old.success.map(|it| format!("{it:.1}%")),
        new: new.success.map(|it| format!("{it:.1}%")),
        passes: new.success.map(|it| it >= limits.success),
        limit: format!("at least {}%", limits.success),
    };
    let latency = Check {
        name: "99 of 100 answers in",
        old: old.latency.map(|it| format!("{it:.0} ms")),
        new: new.latency.map(|it| format!("{it:.0} ms")),
        passes: new.latency.map(|it| it <= limits.latency),
        limit: format!("at most {} ms", limits.latency),
    };
    let rows = vec![success.row(), latency.row(), counters(show, release)];
    let next = release.next_check(show.world().now());
    let next = next.map_or_else(String::new, |next| {
        format!(": next check in {} s", next.as_secs() + 1)
    });
    Paragraph::new(rows).block(block(&format!("What the new version must pass{next}")))
}

/// One service level objective.
struct Check {
    name: &'static str,
    old: Option<String>,
    new: Option<String>,
    passes: Option<bool>,
    limit: String,
}

impl Check {
    fn row(self) -> Row<'static> {
        let (mark, colour) = match self.passes {
            Some(true) => ("✓", GOOD),
            Some(false) => ("✗", BAD),
            None => (" ", QUIET),
        };
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        Row::from(vec![
            Span::from(format!(" {:<22}", self.name)),
            Span::from(format!("primary {:>7}   ", shown(self.old))).fg(OLD),
            Span::from(format!("canary {:>7} ", shown(self.new))).fg(NEW),
            Span::from(format!("{mark}  ")).fg(colour).bold(),
            Span::from(self.limit).fg(QUIET),
        ])
    }
}

/// Failed checks as lamps, and the hooks.
fn counters(show: &Show, release: &Release) -> Row<'static> {
    let count = |number: i64| usize::try_from(number.clamp(0, 10)).unwrap_or(0);
    let (failed, threshold) = (
        count(release.status.failed_checks),
        count(release.limits.threshold),
    );
    let mut spans = vec![
        Span::from(" failed checks         "),
        Span::from("●".repeat(failed)).fg(BAD),
        Span::from("○".repeat(threshold.saturating_sub(failed))).fg(QUIET),
        Span::from("   hooks "),
    ];
    for (name, passed) in show.hooks() {
        let (mark, colour) = match passed {
            Some(true) => ("✓", GOOD),
            Some(false) => ("✗", BAD),
            None => ("-", QUIET),
        };
        spans.push(Span::from(format!(" {name} ")));
        spans.push(Span::from(mark).fg(colour).bold());
    }
    Row::from(spans)
}

fn services_panel(show: &Show, area: Rect) -> Paragraph<'static> {
    let releases = Service::ALL.map(|service| show.release(service));
    if area.height < 6 {
        let mut spans = vec![Span::from(" ")];
        spans.extend(releases.iter().flat_map(|release| {
            let version = &release.primary.version;
            [
                Span::from(format!("{} ", release.service.name())),
                Span::from(format!("{version}   ")).fg(colour_of(release)),
            ]
        }));
        return Paragraph::new(Row::from(spans));
    }
    let rows: Vec<Row<'static>> = releases.iter().map(service_row).collect();
    Paragraph::new(rows).block(block("The four services"))
}

fn colour_of(release: &Release) -> Color {
    if release.is_busy() {
        NEW
    } else if release.phase() == Phase::Failed {
        BAD
    } else {
        GOOD
    }
}

fn service_row(release: &Release) -> Row<'static> {
    let phase = release.phase().as_str();
    let manner = match release.service {
        Service::Frontend => "A/B: insiders first",
        Service::Backend => "step by step: 10%, 20%, ... 50%",
        Service::Cache => "blue/green",
        Service::Database => "blue/green, judged by copies of requests",
    };
    Row::from(vec![
        Span::from(format!(" {:<10}", release.service.name())).bold(),
        Span::from(format!("{:<8}", release.primary.version)),
        Span::from(format!("{phase:<14}")).fg(colour_of(release)),
        Span::from(manner).fg(QUIET),
    ])
}

fn log_panel(show: &Show, area: Rect) -> Paragraph<'static> {
    let room = usize::from(area.height.saturating_sub(2));
    let skip = show.log.len().saturating_sub(room);
    let rows: Vec<Row<'static>> = show.log.iter().skip(skip).map(log_row).collect();
    Paragraph::new(rows).block(block("What happened"))
}

fn log_row(line: &Line) -> Row<'static> {
    let (mark, style) = match line.voice {
        Voice::Story => ("»", Style::new().add_modifier(Modifier::BOLD)),
        Voice::Event => ("·", Style::new()),
        Voice::Hook => ("→", Style::new().fg(QUIET)),
        Voice::Warning | Voice::Refusal => ("!", Style::new().fg(BAD)),
        Voice::Outcome => ("=", Style::new().fg(GOOD).add_modifier(Modifier::BOLD)),
    };
    Row::from(vec![
        Span::from(format!(" {} {mark} ", words::clock(line.at))).fg(QUIET),
        Span::styled(line.text.clone(), style),
    ])
}

fn users_line(show: &Show, footer: &Footer) -> Paragraph<'static> {
    let users = show.users();
    let colour = if users.failed > 0.0 { BAD } else { GOOD };
    let mut spans = vec![
        Span::from(format!(" users: {} requests, ", words::whole(users.sent))),
        Span::from(format!("{} failed", words::whole(users.failed)))
            .fg(colour)
            .bold(),
        Span::from(format!(" ({:.3}%)", users.share() * 100.0)),
    ];
    if show.is_over() {
        spans.push(Span::from("   q quits").bold());
    }
    let mut rows = vec![Row::from(spans)];
    rows.extend(
        footer
            .0
            .iter()
            .map(|said| Row::from(format!(" {said}")).fg(QUIET)),
    );
    Paragraph::new(rows)
}
