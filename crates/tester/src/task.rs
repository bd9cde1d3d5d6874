//! What a hook asks to be done.

pub(crate) mod allow;
pub(crate) mod command;
pub(crate) mod concord;
pub(crate) mod run;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::load::Limits;
use crate::payload::Payload;
use crate::suite::{LoadTemplate, Suite, load_from_pairs};
use crate::text::Variables;

use command::CommandLine;
use concord::Concord;

/// The types of tasks. Also a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskType {
    /// A command in the background (Flagger).
    Cmd,
    /// A command that is waited for (Flagger).
    Bash,
    /// Helm (Flagger).
    Helm,
    /// Helm, by its old name (Flagger).
    Helmv3,
    /// kubectl (Flagger).
    Kubectl,
    /// A process of Concord (Flagger).
    Concord,
    /// A suite.
    Suite,
    /// Load.
    Load,
}

impl TaskType {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cmd,
        Self::Bash,
        Self::Helm,
        Self::Helmv3,
        Self::Kubectl,
        Self::Concord,
        Self::Suite,
        Self::Load,
    ];

    /// The word in the metadata of a hook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cmd => "cmd",
            Self::Bash => "bash",
            Self::Helm => "helm",
            Self::Helmv3 => "helmv3",
            Self::Kubectl => "kubectl",
            Self::Concord => "concord",
            Self::Suite => "suite",
            Self::Load => "load",
        }
    }

    /// The type of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

impl fmt::Display for TaskType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A task, as its hook means it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) kind: TaskType,
    pub(crate) work: Work,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    Background {
        line: CommandLine,
        text: String,
        log_output: Option<bool>,
    },
    Blocking {
        line: CommandLine,
        text: String,
        return_output: bool,
    },
    Concord(Concord),
    Suite {
        suite: Source,
        variables: Variables,
    },
    Load {
        load: Box<LoadTemplate>,
        limits: Limits,
        variables: Variables,
        wait: bool,
    },
}

/// Where a suite comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Inline(Box<Suite>),
    File(String),
}

/// Why a payload is no task that we take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(String);

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

type Metadata = BTreeMap<String, String>;

impl Task {
    /// The task that a payload means.
    ///
    /// **Differs from Flagger**: an unknown type is refused by name, where Flagger closes the connection without an answer.
    pub(crate) fn parse(payload: &Payload) -> Result<Self, Refusal> {
        let metadata = payload
            .metadata
            .as_ref()
            .ok_or("metadata not found in payload")?;
        let named = metadata.get("type").map_or("cmd", String::as_str);
        let kind = TaskType::parse(named).ok_or_else(|| unknown(named))?;
        let work = match kind {
            TaskType::Cmd => background(metadata)?,
            TaskType::Bash => blocking("bash", metadata)?,
            TaskType::Helm | TaskType::Helmv3 => blocking("helm", metadata)?,
            TaskType::Kubectl => blocking("kubectl", metadata)?,
            TaskType::Concord => Work::Concord(Concord::parse(metadata)?),
            TaskType::Suite => suite(payload, metadata)?,
            TaskType::Load => load(payload, metadata)?,
        };
        Ok(Self { kind, work })
    }

    /// Whether its types and programs are among those that we take.
    pub(crate) fn is_allowed(
        &self,
        types: &BTreeSet<TaskType>,
        programs: Option<&BTreeSet<String>>,
    ) -> Result<(), Refusal> {
        if !types.contains(&self.kind) {
            let allowed: Vec<_> = types.iter().map(|it| it.as_str()).collect();
            let (kind, allowed) = (self.kind, allowed.join(", "));
            return Err(format!(
                "task type {kind:?} is not allowed here: allowed are {allowed}",
                kind = kind.as_str()
            )
            .into());
        }
        let (
            Some(programs),
            Work::Background { line, text, .. } | Work::Blocking { line, text, .. },
        ) = (programs, &self.work)
        else {
            return Ok(());
        };
        let checked = if line.is_shell() {
            allow::check(text, programs)
        } else {
            allow::check_program(&line.program, programs)
        };
        checked.map_err(|refused| Refusal(refused.to_string()))
    }

    /// What is the same when the same hook asks again; a background task runs once at a time by it.
    pub(crate) fn identity(&self, payload: &Payload) -> String {
        let canary = format!("{}.{}", payload.name, payload.namespace);
        match &self.work {
            Work::Background { text, .. } | Work::Blocking { text, .. } => {
                format!("{canary} {} {text}", self.kind)
            }
            Work::Concord(_) | Work::Suite { .. } | Work::Load { .. } => {
                format!("{canary} {} {:?}", self.kind, payload.metadata)
            }
        }
    }

    /// Whether the hook is answered at once.
    pub(crate) const fn is_background(&self) -> bool {
        match &self.work {
            Work::Background { .. } => true,
            Work::Load { wait, .. } => !*wait,
            Work::Blocking { .. } | Work::Concord(_) | Work::Suite { .. } => false,
        }
    }
}

fn unknown(word: &str) -> Refusal {
    let known: Vec<_> = TaskType::ALL.iter().map(|it| it.as_str()).collect();
    let known = known.join(", ");
    let word = crate::text::bounded(word, 60);
    let hint = if word == "ngrinder" {
        " (nGrinder is not supported: call its API from a bash task)"
    } else {
        ""
    };
    Refusal(format!(
        "unknown task type {word:?}{hint}: allowed are {known}"
    ))
}

fn background(metadata: &Metadata) -> Result<Work, Refusal> {
    let text = metadata.get("cmd").ok_or("cmd not found in metadata")?;
    Ok(Work::Background {
        line: CommandLine::shell("sh", text),
        text: text.clone(),
        log_output: metadata.get("logCmdOutput").map(|it| is_true(it)),
    })
}

fn blocking(program: &str, metadata: &Metadata) -> Result<Work, Refusal> {
    let text = metadata.get("cmd").map_or("", String::as_str);
    let line = if program == "bash" {
        CommandLine::shell(program, text)
    } else {
        CommandLine {
            program: program.to_owned(),
            arguments: words::split(text).ok_or_else(|| {
                format!("the cmd of a {program} task has a quote that is not closed: {text:?}")
            })?,
        }
    };
    Ok(Work::Blocking {
        line,
        text: text.to_owned(),
        return_output: metadata
            .get("returnCmdOutput")
            .is_some_and(|it| is_true(it)),
    })
}

/// A boolean as Go reads it; what is none is false.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn suite(payload: &Payload, metadata: &Metadata) -> Result<Work, Refusal> {
    let suite = match (metadata.get("suite"), metadata.get("suiteFile")) {
        (Some(text), None) => {
            let suite = Suite::parse(text, &payload.name).map_err(|error| error.to_string())?;
            Source::Inline(Box::new(suite))
        }
        (None, Some(file)) if is_file_name(file) => Source::File(file.clone()),
        (None, Some(_)) => return Err("metadata.suiteFile: must be the name of a file".into()),
        _ => return Err("a suite task needs one of metadata.suite and metadata.suiteFile".into()),
    };
    let variables = variables(payload, metadata);
    Ok(Work::Suite { suite, variables })
}

/// No way out of the folder.
fn is_file_name(text: &str) -> bool {
    let is_fine = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_fine)
}

fn load(payload: &Payload, metadata: &Metadata) -> Result<Work, Refusal> {
    let own = metadata
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "type" | "wait"));
    let (load, limits) = load_from_pairs(own).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })?;
    Ok(Work::Load {
        load: Box::new(load),
        limits,
        variables: variables(payload, &Metadata::new()),
        wait: metadata.get("wait").is_some_and(|it| is_true(it)),
    })
}

/// What `${…}` stands for: the canary, and whatever else the metadata of the hook says.
fn variables(payload: &Payload, metadata: &Metadata) -> Variables {
    let own = metadata
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "type" | "suite" | "suiteFile"));
    let mut variables: Variables = own
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let canary = [
        ("name", &payload.name),
        ("namespace", &payload.namespace),
        ("phase", &payload.phase),
        ("checksum", &payload.checksum),
    ];
    variables.extend(canary.map(|(key, value)| (key.to_owned(), value.clone())));
    variables
}

#[cfg(test)]
mod tests;
