//! What is wrong in something that a person wrote: where, what stands there, what is allowed.

use std::fmt;

use crate::text::bounded;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    value: String,
    allowed: String,
}

impl Problem {
    /// At `path` stands `value`; `allowed` says what it must be, as a sentence part.
    pub fn new(path: impl Into<String>, value: &str, allowed: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            value: bounded(value, 120),
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            value,
            allowed,
        } = self;
        if value.is_empty() {
            write!(formatter, "{path}: {allowed}")
        } else {
            write!(formatter, "{path}: {value:?} {allowed}")
        }
    }
}

/// Problems, found all at once.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Problem>);

impl Findings {
    pub(crate) fn add(&mut self, path: impl Into<String>, value: &str, allowed: impl Into<String>) {
        self.0.push(Problem::new(path, value, allowed));
    }

    /// The value, or a finding.
    pub(crate) fn take<T, E: Into<String>>(
        &mut self,
        path: &str,
        value: &str,
        read: Result<T, E>,
    ) -> Option<T> {
        read.map_err(|allowed| self.add(path, value, allowed)).ok()
    }

    /// `value` where nothing was found.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, Vec<Problem>> {
        let Self(problems) = self;
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(problems)
        }
    }
}
