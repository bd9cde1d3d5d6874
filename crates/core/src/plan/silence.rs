//! What is made of a metric that says nothing.

use std::fmt;

/// What a metric means that was not measured, the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// A failed check, as with Flagger.
    #[default]
    Fail,
    /// The release stays where it is until something is measured.
    Hold,
    /// As if it had passed: an SRE asks for it.
    Pass,
}

impl Silence {
    /// All of them, the strictest first.
    pub const ALL: [Self; 3] = [Self::Fail, Self::Hold, Self::Pass];

    /// The word that annotations spell it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Hold => "hold",
            Self::Pass => "pass",
        }
    }

    /// The one of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
