//! Commands: each in a process group of its own, which ends as a whole.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use crate::duration::shown;
use crate::settings::TOKEN_VARIABLE;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
}

impl CommandLine {
    /// A text that this shell reads.
    pub(crate) fn shell(program: &str, text: &str) -> Self {
        Self {
            program: program.to_owned(),
            arguments: vec!["-c".to_owned(), text.to_owned()],
        }
    }

    pub(crate) fn is_shell(&self) -> bool {
        matches!(self.program.as_str(), "sh" | "bash")
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Both its outputs, in the order in which they came.
    pub(crate) output: String,
    pub(crate) ended: Ended,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Exit(ExitStatus),
    Killed(Why),
    NotStarted(io::Error),
}

/// Why it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Timeout(Duration),
    Shutdown,
}

impl Finished {
    /// Why it failed, in Go's words; nothing where it did not.
    pub(crate) fn error(&self) -> Option<String> {
        Some(match &self.ended {
            Ended::Exit(status) if status.success() => return None,
            Ended::Exit(status) => exit_words(*status),
            Ended::Killed(Why::Timeout(after)) => format!(
                "signal: killed (its timeout of {} passed; its children were killed with it)",
                shown(*after)
            ),
            Ended::Killed(Why::Shutdown) => "signal: killed (the tester stops)".to_owned(),
            Ended::NotStarted(error) => format!("it cannot be started: {error}"),
        })
    }
}

fn exit_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(15)) => "signal: terminated".to_owned(),
        (None, Some(other)) => format!("signal: {other}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// Runs the command until it and everything that holds its output has ended, or `end` says why it must.
///
/// **Guarantees**: what then is left of its process group is killed, also when this future is dropped; of its output `most` bytes are kept
/// and all is read, so that it never blocks on us.
/// **Caveats**: a process that leaves the group on purpose (`setsid`) is not killed. It cannot delay the answer.
pub(crate) async fn run(
    line: &CommandLine,
    most: usize,
    end: impl Future<Output = Why> + Send,
) -> Finished {
    let mut output = Output::new(most);
    let ended = match start(line) {
        Ok((child, pipe)) => follow(child, pipe, &mut output, end).await,
        Err(error) => Ended::NotStarted(error),
    };
    let output = output.text();
    Finished { output, ended }
}

fn start(line: &CommandLine) -> io::Result<(Child, Receiver)> {
    let (reader, writer) = io::pipe()?;
    // Before there is a process that nobody would end.
    let pipe = Receiver::from_owned_fd(reader.into())?;
    let child = Command::new(&line.program)
        .args(&line.arguments)
        .env_remove(TOKEN_VARIABLE)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, pipe))
}

async fn follow(
    mut child: Child,
    pipe: Receiver,
    output: &mut Output,
    end: impl Future<Output = Why> + Send,
) -> Ended {
    let group = Group::of(&child);
    let finished = async {
        while output.read(&pipe).await {}
        child.wait().await
    };
    let ended = tokio::select! {
        finished = finished => finished.map_or_else(Ended::NotStarted, Ended::Exit),
        why = end => Ended::Killed(why),
    };
    drop(group);
    if matches!(ended, Ended::Killed(_)) {
        // Killed as it is, it has ended or is about to; what it said until then is in the pipe.
        drop(child.wait().await);
        while output.read_now(&pipe) == Read::More {}
    }
    ended
}

/// A process group that does not outlive this value.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Refused only where nobody is left.
        if let Some(group) = self.0 {
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
    }
}

/// The beginning and the end of an output, in bounded memory.
struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// The most of each.
    half: usize,
    left_out: usize,
}

impl Output {
    fn new(most: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            half: most / 2,
            left_out: 0,
        }
    }

    /// Waits for more; false at the end.
    async fn read(&mut self, pipe: &Receiver) -> bool {
        pipe.readable().await.is_ok() && self.read_now(pipe) != Read::End
    }

    /// Takes what is there.
    fn read_now(&mut self, pipe: &Receiver) -> Read {
        let mut buffer = [0; 8192];
        match pipe.try_read(&mut buffer) {
            Ok(0) => Read::End,
            Ok(read) => {
                self.add(buffer.get(..read).unwrap_or_default());
                Read::More
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::End,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = self.half.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or_default();
        self.head.extend(head);
        self.tail.extend(rest);
        let beyond = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..beyond);
        self.left_out += beyond;
    }

    fn text(self) -> String {
        let mut bytes = self.head;
        if self.left_out > 0 {
            let mark = format!("\n… {} bytes left out …\n", self.left_out);
            bytes.extend(mark.into_bytes());
        }
        bytes.extend(self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a look into the pipe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    More,
    Nothing,
    End,
}

#[cfg(test)]
mod tests;
