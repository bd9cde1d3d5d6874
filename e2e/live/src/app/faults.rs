//! What is wrong with a revision: set by its environment, and by files that may change while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;

use crate::args;

/// The faults of a revision; none by default.
#[derive(clap::Args, Clone, Debug, PartialEq)]
pub(super) struct Faults {
    /// The share of requests that are answered with 500.
    #[arg(long, env = "ERROR_RATE", default_value = "0", value_parser = args::share)]
    pub(super) error_rate: f64,
    /// How long every request takes.
    #[arg(long, env = "LATENCY", default_value = "0ms", value_parser = args::duration)]
    pub(super) latency: Duration,
    /// The pod never gets ready.
    #[arg(long, env = "NEVER_READY")]
    pub(super) never_ready: bool,
    /// The process ends at this request, counted from 0.
    #[arg(long, env = "CRASH_AFTER")]
    pub(super) crash_after: Option<u64>,
}

impl Faults {
    /// Whether the request of this number is answered with an error: evenly spread, so that any run of requests has its share.
    #[expect(
        clippy::cast_precision_loss,
        clippy::as_conversions,
        reason = "no run has 2^52 requests"
    )]
    pub(super) fn strikes(&self, number: u64) -> bool {
        let due = |requests: u64| (requests as f64 * self.error_rate).floor();
        due(number + 1) > due(number)
    }

    /// These faults, changed by the files that are named like one.
    fn changed_by(mut self, files: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        for (name, text) in files {
            let named = || format!("the file {name}");
            match name.as_str() {
                "error-rate" => self.error_rate = args::share(text).with_context(named)?,
                "latency" => self.latency = args::duration(text).with_context(named)?,
                "never-ready" => self.never_ready = text.trim().parse().with_context(named)?,
                "crash-after" => {
                    self.crash_after = Some(text.trim().parse().with_context(named)?);
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

/// The files of the configuration, as last read.
pub(super) struct Config {
    folder: PathBuf,
    from_environment: Faults,
    current: RwLock<(BTreeMap<String, String>, Faults)>,
}

impl Config {
    /// Reads a folder; one that does not exist is empty.
    pub(super) fn open(folder: &Path, from_environment: Faults) -> anyhow::Result<Self> {
        let config = Self {
            folder: folder.to_owned(),
            current: RwLock::new((BTreeMap::new(), from_environment.clone())),
            from_environment,
        };
        config.reload()?;
        Ok(config)
    }

    /// Reads it again.
    pub(super) fn reload(&self) -> anyhow::Result<()> {
        let files = read(&self.folder)?;
        let faults = self.from_environment.clone().changed_by(&files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (files, faults);
        Ok(())
    }

    /// What is wrong now.
    pub(super) fn faults(&self) -> Faults {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }

    /// The files' names and contents.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }
}

/// The files of a folder; those that a ConfigMap's volume keeps for itself begin with a dot.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(files);
    };
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !name.starts_with('.') && path.is_file() {
            files.insert(name.to_owned(), std::fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Faults {
        Faults {
            error_rate: 0.0,
            latency: Duration::ZERO,
            never_ready: false,
            crash_after: None,
        }
    }

    #[test]
    fn one_request_in_five_fails_at_a_rate_of_a_fifth() {
        let faults = Faults {
            error_rate: 0.2,
            ..healthy()
        };
        let struck: Vec<u64> = (0..12).filter(|number| faults.strikes(*number)).collect();
        assert_eq!(struck, [4, 9]);
        assert!((0..1000).all(|number| !healthy().strikes(number)));
        assert!((0..1000).all(|number| {
            Faults {
                error_rate: 1.0,
                ..healthy()
            }
            .strikes(number)
        }));
    }

    #[test]
    fn a_file_named_like_a_fault_sets_it() {
        let files = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect()
        };
        let faults = healthy()
            .changed_by(&files(&[("error-rate", "0.5\n"), ("greeting", "hello")]))
            .unwrap();
        assert_eq!(
            faults,
            Faults {
                error_rate: 0.5,
                ..healthy()
            }
        );
        let refused = healthy()
            .changed_by(&files(&[("latency", "fast")]))
            .unwrap_err();
        assert!(
            format!("{refused:#}").starts_with("the file latency: "),
            "{refused:#}"
        );
    }
}
