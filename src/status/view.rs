//! Releases on a screen: all of them in a table, the chosen one closely.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Cell, Paragraph, Table, TableState, Wrap};
use slipway_api::{NoteType, Phase};

use super::watch::Board;
use super::{FAILS, HEAD, PASSES, columns, lines};
use crate::cluster::{Cluster, Release};
use crate::screen::{BAD, GOOD, NEW, OLD, QUIET, block, cells};

/// Draws everything.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    cluster: &Cluster,
    board: &Board,
    whose: &str,
    now: DateTime<Utc>,
) {
    let count = board.releases().count();
    let listed = u16::try_from(count).unwrap_or(u16::MAX).saturating_add(3);
    let most = frame.area().height.saturating_sub(1) / 2;
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if count > 1 {
            listed.min(most.max(4))
        } else {
            0
        }),
        Constraint::Min(0),
    ]);
    let [top, all, one] = rows.areas(frame.area());
    frame.render_widget(header(board, whose, count, now), top);
    if count > 1 {
        list(frame, cluster, board, now, all);
    }
    if let Some(release) = board.chosen() {
        return closely(frame, cluster, release, now, one);
    }
    let text = if board.is_known {
        " no releases yet"
    } else {
        " reads the releases"
    };
    frame.render_widget(Paragraph::new(text).fg(QUIET), one);
}

fn header(board: &Board, whose: &str, count: usize, now: DateTime<Utc>) -> Paragraph<'static> {
    let keys = if count > 1 {
        "↑ ↓: choose   q: quit"
    } else {
        "q: quit"
    };
    let mut spans = vec![
        Span::from(" slipway status ").bold().reversed(),
        Span::from(format!("  {whose}  ")),
        Span::from(format!("{}  ", now.format("%H:%M:%S"))).fg(QUIET),
    ];
    spans.push(match &board.trouble {
        Some(trouble) => Span::from(format!("the watch is begun again: {trouble}")).fg(BAD),
        None => Span::from(keys).fg(QUIET),
    });
    Paragraph::new(Row::from(spans))
}

fn list(frame: &mut Frame<'_>, cluster: &Cluster, board: &Board, now: DateTime<Utc>, area: Rect) {
    let all: Vec<(Color, [String; 7])> = board
        .releases()
        .map(|release| (mood(release), columns(cluster, release, now)))
        .collect();
    let wide = |column: usize| {
        let cells = all.iter().filter_map(|(_, row)| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        let head = HEAD.get(column).map_or(0, |head| head.len());
        u16::try_from(widest.max(head)).unwrap_or(u16::MAX)
    };
    let widths = [
        Constraint::Length(wide(0).min(area.width / 3)),
        Constraint::Length(wide(1)),
        Constraint::Length(wide(2)),
        Constraint::Length(wide(3)),
        Constraint::Length(wide(4)),
        Constraint::Fill(1),
        Constraint::Length(wide(6)),
    ];
    let rows = all.iter().map(|(colour, row)| {
        let cells = row.iter().enumerate().map(|(column, text)| {
            let cell = Cell::from(text.clone());
            if column == 1 {
                cell.style(Style::new().fg(*colour))
            } else {
                cell
            }
        });
        ratatui::widgets::Row::new(cells)
    });
    let table = Table::new(rows, widths)
        .header(ratatui::widgets::Row::new(HEAD).style(Style::new().fg(QUIET)))
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(block("Releases"));
    let mut state = TableState::new().with_selected(board.chosen);
    frame.render_stateful_widget(table, area, &mut state);
}

/// One release: its weight as a bar, and what there is to tell.
fn closely(
    frame: &mut Frame<'_>,
    cluster: &Cluster,
    release: &Release,
    now: DateTime<Utc>,
    area: Rect,
) {
    let mut rows = vec![bar(release, area)];
    rows.extend(
        lines(cluster, release, now)
            .into_iter()
            .map(|line| told(release, &line)),
    );
    rows.extend(events(release));
    let frame_style = Style::new().fg(mood(release));
    let panel = Paragraph::new(rows)
        .wrap(Wrap { trim: false })
        .block(block(&release.name()).border_style(frame_style));
    frame.render_widget(panel, area);
}

fn bar(release: &Release, area: Rect) -> Row<'static> {
    let weight = release.weight();
    let percent: f64 = u32::try_from(weight.clamp(0, 100)).map_or(0.0, f64::from);
    let shown = format!(" primary {}%  canary {weight}% ", 100 - weight);
    let width = usize::from(area.width.saturating_sub(2)).saturating_sub(shown.chars().count() + 1);
    let new = cells(percent, width);
    Row::from(vec![
        Span::from(" "),
        Span::from("█".repeat(width.saturating_sub(new))).fg(OLD),
        Span::from("▒".repeat(new)).fg(NEW),
        Span::from(shown),
    ])
}

fn told(release: &Release, line: &[String]) -> Row<'static> {
    let name = line.first().map_or("", |name| name.trim());
    let text = line.get(1).cloned().unwrap_or_default();
    let style = match name {
        "phase" => Style::new().fg(mood(release)).bold(),
        "check" if text.ends_with(PASSES) => Style::new().fg(GOOD),
        "check" if text.ends_with(FAILS) => Style::new().fg(BAD),
        "problem" | "not running" => Style::new().fg(BAD),
        "waits for" | "deadline" => Style::new().fg(NEW),
        "reason" if release.status.phase == Phase::Failed => Style::new().fg(BAD),
        "failed" if release.status.failed_checks > 0 => Style::new().fg(BAD),
        _ => Style::new(),
    };
    Row::from(vec![
        Span::from(format!(" {name:<12} ")).fg(QUIET),
        Span::styled(text, style),
    ])
}

/// What was told last.
fn events(release: &Release) -> Vec<Row<'static>> {
    let Some(last) = &release.slipway.transition else {
        return Vec::new();
    };
    let at = last
        .at
        .map_or_else(String::new, |at| at.format("%H:%M:%S").to_string());
    let notes = last.notes.iter().map(|note| {
        let style = match note.type_ {
            NoteType::Normal => Style::new(),
            NoteType::Warning => Style::new().fg(BAD),
        };
        Row::from(vec![
            Span::from(format!(" {at:<12} ")).fg(QUIET),
            Span::styled(note.text.clone(), style),
        ])
    });
    notes.collect()
}

/// The colour of how a release fares.
fn mood(release: &Release) -> Color {
    match release.status.phase {
        Phase::Failed => BAD,
        Phase::Succeeded | Phase::Initialized => GOOD,
        _ if release.status.failed_checks > 0 => BAD,
        Phase::Empty | Phase::Terminating | Phase::Terminated => QUIET,
        Phase::Initializing
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising => NEW,
    }
}
