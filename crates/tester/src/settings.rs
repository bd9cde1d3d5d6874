//! What the server was told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use secrecy::SecretString;

use crate::task::TaskType;
use crate::wire::Authorities;

/// What is meant, all of it checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long one task may take (Flagger: 1h).
    pub timeout: Duration,
    /// Which namespaces may ask: one of these patterns matches somewhere in the name; `None`: all.
    pub namespaces: Option<Regex>,
    /// What every request but probes and scrapes must show; `None`: nothing.
    pub token: Option<SecretString>,
    /// Which programs a command may name; `None`: any.
    pub commands: Option<BTreeSet<String>>,
    /// Which types of tasks are taken.
    pub types: BTreeSet<TaskType>,
    /// The folder of suites, a file each; `None`: suites come in the metadata of hooks only.
    pub suites: Option<PathBuf>,
    /// Whose servers suites and loads trust, besides those that everybody trusts.
    pub authorities: Authorities,
    /// Whether the output of successful background commands is logged where the hook does not say.
    pub log_output: bool,
    /// How much output of a command is kept, in bytes.
    pub output_max: usize,
    /// How many tasks may run at once.
    pub tasks_max: usize,
    /// How long a stop waits for tasks whose answer somebody awaits.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_hours(1),
            namespaces: None,
            token: None,
            commands: None,
            types: TaskType::ALL.into_iter().collect(),
            suites: None,
            authorities: Authorities::default(),
            log_output: false,
            output_max: 64 << 10,
            tasks_max: 256,
            grace: Duration::from_mins(1),
        }
    }
}

/// The variable of the environment that holds the token. Commands do not inherit it.
pub const TOKEN_VARIABLE: &str = "SLIPWAY_TESTER_TOKEN";
