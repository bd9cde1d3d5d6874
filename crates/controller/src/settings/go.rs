//! Flags in Go's spelling, for clap.
//!
//! Go's flag package takes `-name=value`, `--name=value` and `-name value`; a boolean stands alone or takes its value behind `=`. A value
//! may begin with a dash. All of it becomes `--name=value` here.
//!
//! **Source**: dossier 03 C.

use std::ffi::{OsStr, OsString};

use chrono::TimeDelta;
use clap::{Arg, Command};
use secrecy::SecretString;
use slipway_api::go::parse_duration;

/// The arguments as clap reads them. Words that are no flag of `command` are left for clap to refuse.
pub fn to_clap(words: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut result = Vec::new();
    while let Some(word) = words.next() {
        let Some((name, value)) = flag(&word) else {
            result.push(word);
            continue;
        };
        let Some(known) = find(command, &name) else {
            result.push(unknown(&word, &name));
            continue;
        };
        let value = match value {
            Some(value) => Some(value),
            None if takes_next_word(known) => words.next(),
            None => None,
        };
        let mut joined = OsString::from(format!("--{name}"));
        if let Some(value) = value {
            joined.push("=");
            joined.push(value);
        }
        result.push(joined);
    }
    result
}

/// Name and value of a flag.
fn flag(word: &OsStr) -> Option<(String, Option<OsString>)> {
    let text = word.to_str()?;
    let bare = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    let (name, value) = match bare.split_once('=') {
        Some((name, value)) => (name, Some(OsString::from(value))),
        None => (bare, None),
    };
    (!name.is_empty()).then(|| (name.to_owned(), value))
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name))
}

/// A flag with one dash that we do not know, with two: clap would take `-xyz` for three flags of one letter.
fn unknown(word: &OsStr, name: &str) -> OsString {
    let is_short = name.chars().count() == 1 && word.len() == 2;
    if is_short {
        word.to_owned()
    } else {
        format!("--{name}").into()
    }
}

/// Booleans take their value behind `=` only.
fn takes_next_word(arg: &Arg) -> bool {
    arg.get_num_args()
        .is_some_and(|range| range.min_values() > 0)
}

/// A boolean as Go reads it.
///
/// # Errors
/// The words that are allowed.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("allowed are true, t, 1, false, f, 0".to_owned()),
    }
}

/// A duration as Go reads it, not negative.
///
/// # Errors
/// What Go would say, or that it is negative.
pub fn duration(text: &str) -> Result<TimeDelta, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    if duration < TimeDelta::zero() {
        return Err("it must not be negative".to_owned());
    }
    Ok(duration)
}

/// A text that is never printed.
///
/// # Errors
/// Never; clap wants a `Result`.
pub fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}
