//! `slipway tester`: the server that the webhooks of releases call. Takes the flags of Flagger's load tester, in Go's spelling too.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};
use regex::Regex;
use secrecy::SecretString;
use slipway_controller::settings::{LogFormat, LogSettings, go};
use slipway_controller::telemetry;
use slipway_tester::wire::Authorities;
use slipway_tester::{Settings, TOKEN_VARIABLE, TaskType, parse_duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{Level, info};

/// What `slipway tester` is told.
#[derive(Debug, Parser)]
#[command(
    name = "slipway tester",
    about = "Serve conformance and load tests to webhooks"
)]
struct Args {
    /// Port to serve on; 0 takes any (Flagger: 9090)
    #[arg(long, env = "SLIPWAY_TESTER_PORT", default_value_t = 9090)]
    port: u16,
    /// How long one task may take (Flagger)
    #[arg(long, env = "SLIPWAY_TESTER_TIMEOUT", default_value = "1h", value_parser = duration)]
    timeout: Duration,
    /// Namespaces that may ask: a pattern that matches somewhere in the name; empty: all (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_TESTER_NAMESPACE_REGEXP",
        default_value = "",
        hide_default_value = true
    )]
    namespace_regexp: String,
    /// File with the token that every request must show; `SLIPWAY_TESTER_TOKEN` may hold it instead
    #[arg(long, env = "SLIPWAY_TESTER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Programs that commands may name, with commas; any without it
    #[arg(long, env = "SLIPWAY_TESTER_ALLOW_COMMANDS", value_delimiter = ',')]
    allow_commands: Vec<String>,
    /// Types of tasks that are taken, with commas; all without it
    #[arg(long, env = "SLIPWAY_TESTER_ALLOW_TYPES", value_delimiter = ',', value_parser = task_type)]
    allow_types: Vec<TaskType>,
    /// Folder of suites, a file each: a mounted `ConfigMap`
    #[arg(long, env = "SLIPWAY_TESTER_SUITES")]
    suites: Option<PathBuf>,
    /// File with certificates (PEM) of authorities that suites and loads trust besides the usual ones
    #[arg(long, env = "SLIPWAY_TESTER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// How much output of a command is kept, in bytes
    #[arg(long, env = "SLIPWAY_TESTER_OUTPUT_MAX", default_value_t = 65_536)]
    output_max: usize,
    /// How many tasks may run at once
    #[arg(long, env = "SLIPWAY_TESTER_TASKS_MAX", default_value_t = 256)]
    tasks_max: usize,
    /// How long a stop waits for tasks whose answer is awaited (Flagger: 60s, fixed)
    #[arg(long, env = "SLIPWAY_TESTER_GRACE", default_value = "60s", value_parser = duration)]
    grace: Duration,
    /// debug, info, warn or error; anything else is info (Flagger: debug)
    #[arg(long, env = "SLIPWAY_TESTER_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// json or console (Flagger)
    #[arg(
        long,
        env = "SLIPWAY_TESTER_ZAP_ENCODING",
        default_value = "json",
        value_enum
    )]
    zap_encoding: LogFormat,
    /// Log the output of background commands, where the hook does not say (Flagger, until 0.12)
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = go::boolean)]
    log_cmd_output: bool,
    /// There is one logger (Flagger)
    #[arg(long, hide = true, default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    zap_replace_globals: String,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("it must be a duration such as 30s or 1m30s")
}

fn task_type(word: &str) -> Result<TaskType, String> {
    TaskType::parse(word).ok_or_else(|| {
        let all: Vec<_> = TaskType::ALL.iter().map(|it| it.as_str()).collect();
        format!("allowed are {}", all.join(", "))
    })
}

/// What the process does besides serving.
#[derive(Debug)]
struct Process {
    port: u16,
    log: LogSettings,
}

impl Args {
    fn read(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        command.build();
        let mut argv = vec![OsString::from("slipway tester")];
        argv.extend(go::to_clap(words, &command));
        Self::from_arg_matches(&command.try_get_matches_from(argv)?)
    }

    /// What is meant. `token` is the variable of the environment.
    fn settings(self, token: Option<String>) -> anyhow::Result<(Settings, Process)> {
        let Self {
            port,
            timeout,
            namespace_regexp,
            token_file,
            allow_commands,
            allow_types,
            suites,
            ca_file,
            output_max,
            tasks_max,
            grace,
            log_level,
            zap_encoding: format,
            log_cmd_output: log_output,
            zap_replace_globals: _,
        } = self;
        let types: BTreeSet<_> = allow_types.into_iter().collect();
        let commands: BTreeSet<_> = allow_commands.into_iter().collect();
        let level = level(&log_level);
        let settings = Settings {
            timeout,
            namespaces: pattern(&namespace_regexp)?,
            token: self::token(token_file.as_deref(), token)?,
            commands: (!commands.is_empty()).then_some(commands),
            types: if types.is_empty() {
                TaskType::ALL.into_iter().collect()
            } else {
                types
            },
            suites,
            authorities: authorities(ca_file.as_deref())?,
            log_output,
            output_max,
            tasks_max,
            grace,
        };
        let log = LogSettings { level, format };
        Ok((settings, Process { port, log }))
    }
}

fn pattern(text: &str) -> anyhow::Result<Option<Regex>> {
    if text.is_empty() {
        return Ok(None);
    }
    let pattern = Regex::new(text).context("--namespace-regexp must be a regular expression")?;
    Ok(Some(pattern))
}

fn level(word: &str) -> Level {
    match word {
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        _ => Level::INFO,
    }
}

/// The certificates of the file; none without one.
pub(crate) fn authorities(file: Option<&Path>) -> anyhow::Result<Authorities> {
    let Some(path) = file else {
        return Ok(Authorities::default());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read --ca-file {}", path.display()))?;
    Authorities::parse(&text).with_context(|| format!("--ca-file {}", path.display()))
}

/// The token of the file, or else of the environment. An empty one would let everybody in who shows nothing: it is refused.
fn token(file: Option<&Path>, variable: Option<String>) -> anyhow::Result<Option<SecretString>> {
    let text = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some(text.with_context(|| format!("read --token-file {}", path.display()))?)
        }
        None => variable,
    };
    let Some(text) = text else { return Ok(None) };
    let token = text.trim();
    anyhow::ensure!(!token.is_empty(), "the token must not be empty");
    Ok(Some(SecretString::from(token)))
}

/// Serves with those flags.
pub(crate) fn run(words: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let args = match Args::read(words) {
        Ok(args) => args,
        Err(error) => {
            error.print()?;
            return Ok(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from));
        }
    };
    match args.settings(std::env::var(TOKEN_VARIABLE).ok()) {
        Ok((settings, process)) => work(settings, &process),
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error:#}")?;
            Ok(ExitCode::from(crate::controller::USAGE))
        }
    }
}

fn work(settings: Settings, process: &Process) -> anyhow::Result<ExitCode> {
    telemetry::start(process.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        crate::controller::stop_on_signals(shutdown.clone())?;
        let listener = bind(process.port).await?;
        let address: SocketAddr = listener.local_addr()?;
        info!(version = env!("CARGO_PKG_VERSION"), %address, token = settings.token.is_some(), "tester starts");
        slipway_tester::serve(listener, settings, shutdown).await?;
        info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        // A node without IPv6.
        Err(_) => TcpListener::bind(("0.0.0.0", port))
            .await
            .with_context(|| format!("listen on port {port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> anyhow::Result<(Settings, Process)> {
        let words = words.iter().map(OsString::from).collect();
        Args::read(words)?.settings(None)
    }

    #[test]
    fn the_arguments_of_published_manifests_are_taken_as_they_are() {
        let words = [
            "-port=8080",
            "-log-level=info",
            "-timeout=1h",
            "-log-cmd-output=true",
        ];
        let (settings, process) = read(&words).unwrap();
        assert_eq!(process.port, 8080);
        assert_eq!(settings.timeout, Duration::from_hours(1));
        assert!(settings.log_output);
        assert_eq!(settings.types.len(), TaskType::ALL.len());
        let chart = [
            "-port=8080",
            "-log-level=debug",
            "-timeout=30m",
            "-namespace-regexp=^team-",
            "-zap-encoding=console",
            "-zap-replace-globals",
        ];
        let (settings, process) = read(&chart).unwrap();
        assert_eq!(process.log.level, Level::DEBUG);
        assert!(settings.namespaces.unwrap().is_match("team-a"));
    }

    #[test]
    fn lists_have_commas() {
        let words = ["--allow-types", "suite,load", "--allow-commands=hey,curl"];
        let (settings, _) = read(&words).unwrap();
        assert_eq!(settings.types, [TaskType::Suite, TaskType::Load].into());
        let commands: BTreeSet<_> = ["curl".to_owned(), "hey".to_owned()].into();
        assert_eq!(settings.commands, Some(commands));
        assert!(read(&["--allow-types=bats"]).is_err());
    }

    #[test]
    fn authorities_that_cannot_be_read_are_told_at_the_start() {
        let error = read(&["--ca-file=/none/ca.crt"]).unwrap_err();
        let expected = "read --ca-file /none/ca.crt: No such file";
        assert!(format!("{error:#}").starts_with(expected), "{error:#}");
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = read(&[&format!("--ca-file={here}")]).unwrap_err();
        let expected = format!("--ca-file {here}: there is no certificate in it, in PEM");
        assert_eq!(format!("{error:#}"), expected);
    }

    #[test]
    fn what_flagger_panics_on_is_refused_in_words() {
        let error = read(&["-namespace-regexp=("]).unwrap_err();
        assert!(
            format!("{error:#}").starts_with("--namespace-regexp must be a regular expression: ")
        );
        assert!(read(&["-timeout=5"]).is_err());
        let refused = Args::read(Vec::new())
            .unwrap()
            .settings(Some(" \n".to_owned()));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the token must not be empty"
        );
    }
}
