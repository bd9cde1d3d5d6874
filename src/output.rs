//! What commands print: tables and texts for people, JSON for programs.

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What a command has to say, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The text, without the last line break.
    pub(crate) text: String,
    /// The exit code.
    pub(crate) code: u8,
}

impl Said {
    /// All went well.
    pub(crate) fn well(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 0,
        }
    }

    /// It came to nothing.
    pub(crate) fn failed(text: impl Into<String>, code: u8) -> Self {
        Self {
            text: text.into(),
            code,
        }
    }

    /// Prints it.
    pub(crate) fn print(&self) -> anyhow::Result<ExitCode> {
        writeln!(std::io::stdout(), "{}", self.text)?;
        Ok(ExitCode::from(self.code))
    }
}

/// Rows under a heading, each column as wide as its widest cell.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let cells: Vec<String> = cells.collect();
        cells.join("   ").trim_end().to_owned()
    };
    let lines: Vec<String> = rows.iter().map(line).collect();
    lines.join("\n")
}

/// A span as kubectl prints an age: its two largest units.
pub(crate) fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m{}s", seconds / 60, seconds % 60),
        7200..=172_799 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// How long ago something was.
pub(crate) fn since(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span(now - then)
}
