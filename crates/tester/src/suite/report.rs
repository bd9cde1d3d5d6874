//! What a suite came to.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::Failure;
use crate::duration::shown;
use crate::load::Summary;

/// What a suite came to. As a text it is for people: a line a check, and under one that failed what was expected and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The suite.
    pub suite: String,
    /// Its checks, in order.
    pub checks: Vec<CheckReport>,
    /// How long it took.
    pub took: Duration,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The check.
    pub name: String,
    /// Method and URL; empty where they were never known.
    pub target: String,
    /// What was not as expected in the last try; empty: it passed.
    pub failures: Vec<Failure>,
    /// How often it was tried.
    pub attempts: u32,
    /// How long all tries took.
    pub took: Duration,
    /// The summary, of a load.
    pub load: Option<Summary>,
}

impl CheckReport {
    /// Whether everything was as expected.
    pub const fn has_passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Report {
    /// Whether every check passed.
    pub fn has_passed(&self) -> bool {
        self.checks.iter().all(CheckReport::has_passed)
    }

    /// The answer to a hook: one line, because it becomes the text of an event.
    pub fn line(&self) -> String {
        let (passed, all) = (self.passed(), self.checks.len());
        if passed == all {
            return format!("suite {}: {all} of {all} checks passed", self.suite);
        }
        let failed = self.checks.iter().filter(|check| !check.has_passed());
        let failed = failed.map(|check| {
            let failures: Vec<_> = check.failures.iter().map(ToString::to_string).collect();
            format!("check {:?}: {}", check.name, failures.join(", "))
        });
        let failed: Vec<_> = failed.collect();
        let (suite, failed) = (&self.suite, failed.join("; "));
        format!("suite {suite}: {passed} of {all} checks passed; {failed}")
    }

    fn passed(&self) -> usize {
        self.checks
            .iter()
            .filter(|check| check.has_passed())
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.suite)?;
        for check in &self.checks {
            write!(formatter, "{check}")?;
        }
        let (passed, all) = (self.passed(), self.checks.len());
        writeln!(
            formatter,
            "{passed} of {all} checks passed in {}",
            shown(self.took)
        )
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.has_passed() { "ok  " } else { "FAIL" };
        let took = shown(Duration::from_millis(
            u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        ));
        let tries = match self.attempts {
            0 | 1 => String::new(),
            many => format!(", {many} tries"),
        };
        writeln!(formatter, "  {word}  {} ({took}{tries})", self.name)?;
        if !self.has_passed() && !self.target.is_empty() {
            writeln!(formatter, "        {}", self.target)?;
        }
        for failure in &self.failures {
            writeln!(formatter, "        {failure}")?;
        }
        let summary = self.load.as_ref().map(ToString::to_string);
        for line in summary.iter().flat_map(|summary| summary.lines()) {
            writeln!(formatter, "        {line}")?;
        }
        Ok(())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let checks: Vec<_> = self.checks.iter().map(check_json).collect();
        let fields = json!({
            "suite": self.suite,
            "passed": self.has_passed(),
            "seconds": self.took.as_secs_f64(),
            "checks": checks,
        });
        fields.serialize(to)
    }
}

fn check_json(check: &CheckReport) -> serde_json::Value {
    json!({
        "name": check.name,
        "target": check.target,
        "passed": check.has_passed(),
        "failures": check.failures,
        "attempts": check.attempts,
        "seconds": check.took.as_secs_f64(),
        "load": check.load,
    })
}
