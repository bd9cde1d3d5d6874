//! What is wrong in a spec, an annotation or an object that it names.

use std::fmt;

/// One mistake: where it is, what stands there, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object, when it is not the Canary itself: `MetricTemplate test/latency`.
    pub object: Option<String>,
    /// The field: `spec.analysis.stepWeight`.
    pub field: String,
    /// What stands there; empty when nothing does.
    pub value: String,
    /// What is allowed, as a sentence part: `must be 1 to 100`.
    pub allowed: String,
}

impl Problem {
    /// A mistake in the Canary itself.
    pub fn new(
        field: impl Into<String>,
        value: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            object: None,
            field: field.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }

    /// The same mistake in another object.
    pub fn of(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(object) = &self.object {
            write!(formatter, "{object}: ")?;
        }
        write!(formatter, "{}", self.field)?;
        if !self.value.is_empty() {
            write!(formatter, " is {}", self.value)?;
            return write!(formatter, ", {}", self.allowed);
        }
        write!(formatter, " {}", self.allowed)
    }
}
