//! Logs: one line an event on stderr, as JSON with Flagger's keys or as text.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::settings::{LogFormat, LogSettings};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
#[error("start the log: there is one already")]
pub struct LogError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Starts the log of this process. `RUST_LOG` wins over the level of the settings.
///
/// # Errors
/// When the process has a log already.
pub fn start(settings: LogSettings) -> Result<(), LogError> {
    let LogSettings { level, format } = settings;
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter(level));
    let started = match format {
        LogFormat::Json => builder.event_format(JsonLine).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    started.map_err(LogError)
}

fn filter(level: Level) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(level)))
}

/// At debug we mean our own debug; the libraries below us tell every request twice.
fn directives(level: Level) -> String {
    // kube logs each refused request as an error, also those that are answers to us (404, 409).
    let libraries = "kube_client=warn,kube_client::client::builder=off,kube_runtime=warn,hyper=warn,hyper_util=warn,h2=warn,rustls=warn,reqwest=warn,tower=warn";
    format!("{level},{libraries}")
}

/// One JSON object a line: `level`, `ts`, `logger`, `msg`, and the fields of the event.
///
/// **Source**: dossier 03 D3; `jq .msg` is how Flagger's log is read.
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let text = serde_json::to_string(&line(event, time)).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

/// Our four keys first, then the fields in their order; of a field with one of our names, ours is kept.
fn line(event: &Event<'_>, time: String) -> Line {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut line = vec![
        ("level", word(*event.metadata().level()).into()),
        ("ts", time.into()),
        ("logger", event.metadata().target().into()),
        ("msg", fields.message),
    ];
    for (name, value) in fields.others {
        if line.iter().all(|(known, _)| *known != name) {
            line.push((name, value));
        }
    }
    Line(line)
}

/// Keys and values of one line, in their order.
struct Line(Vec<(&'static str, Value)>);

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(line) = self;
        to.collect_map(line.iter().map(|(name, value)| (name, value)))
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

#[derive(Default)]
struct Fields {
    message: Value,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, crate::error::chain(value).into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_has_the_keys_that_flaggers_log_is_read_by() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .event_format(JsonLine)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                canary = "podinfo.test",
                weight = 5,
                level = "x",
                "Advance {}",
                5
            );
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.starts_with("{\"level\":\"info\",\"ts\":\"20"),
            "{text}"
        );
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let time = line.as_object_mut().unwrap().remove("ts").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        let expected = serde_json::json!({
            "level": "info", "logger": "slipway_controller::telemetry::tests",
            "msg": "Advance 5", "canary": "podinfo.test", "weight": 5,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_filter_is_understood_at_every_level() {
        for level in [Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR] {
            assert!(EnvFilter::try_new(directives(level)).is_ok(), "{level}");
        }
    }
}
