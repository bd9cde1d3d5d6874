//! Keptn: a metric that it keeps, or an analysis that it is asked for, both objects behind the API server.
//!
//! **Source**: dossier 02 C.3 (keptn), F-56; Keptn's API `metrics.keptn.sh/v1beta1`, which it serves beside its newer ones.
//!
//! **Differs from Flagger**: arguments keep their letters; a metric that was never measured is no data, and one whose last measurement failed is an
//! error, whatever value is left of an earlier one; the API server names an analysis.

use chrono::TimeDelta;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};
use slipway_api::{MetricProviderSpec, go};
use slipway_core::observation::Reading;

use crate::call::{of_api_server, query};
use crate::step::{Heard, Sending, Step};
use crate::{Ask, MetricError, MetricProvider, SecretData, Target, Transport, answer, text};

/// The codec.
pub(crate) struct Keptn;

const API: &str = "/apis/metrics.keptn.sh/v1beta1";
const ALLOWED: &str = "must be keptnmetric/NAMESPACE/NAME, or analysis/NAMESPACE/NAME/TIMEFRAME/ARGUMENTS with the last two optional, such as analysis/test/podinfo/5m/service=podinfo;stage=dev";
/// The window of an analysis where the query names none.
const TIMEFRAME: &str = "1m";
/// How often an analysis is looked at, and how long after the look before.
const LOOKS: usize = 10;
const PAUSE: TimeDelta = TimeDelta::seconds(1);

/// What a query means.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Metric {
        namespace: String,
        name: String,
    },
    Analysis {
        namespace: String,
        name: String,
        timeframe: String,
        arguments: Map<String, Value>,
    },
}

impl Wanted {
    /// Kind, namespace and name are lower-cased, as all names of Kubernetes are.
    fn parse(query: &str) -> Result<Self, MetricError> {
        let wrong = || MetricError::Query(ALLOWED);
        let mut parts = query.trim().splitn(5, '/');
        let mut place = || {
            let part = parts.next().map(str::to_ascii_lowercase);
            part.ok_or_else(wrong)
        };
        let (kind, namespace, name) = (place()?, place()?, place()?);
        let (timeframe, arguments) = (parts.next(), parts.next());
        if !is_name(&namespace) || !is_name(&name) {
            return Err(wrong());
        }
        match kind.as_str() {
            "keptnmetric" | "keptnmetrics" if timeframe.is_none() => {
                Ok(Self::Metric { namespace, name })
            }
            "analysis" | "analyses" => Ok(Self::Analysis {
                namespace,
                name,
                timeframe: window(timeframe).ok_or_else(wrong)?,
                arguments: pairs(arguments.unwrap_or_default()).ok_or_else(wrong)?,
            }),
            _ => Err(wrong()),
        }
    }

    /// The first request: the metric, or the beginning of an analysis.
    fn first(&self) -> Result<Request<Vec<u8>>, MetricError> {
        match self {
            Self::Metric { namespace, name } => {
                let path = format!("{API}/namespaces/{namespace}/keptnmetrics/{name}");
                of_api_server(Method::GET, &path, Vec::new())
            }
            Self::Analysis {
                namespace,
                name,
                timeframe,
                arguments,
            } => {
                let object = json!({
                    "apiVersion": "metrics.keptn.sh/v1beta1",
                    "kind": "Analysis",
                    // What is left behind by a controller that was killed can be told by its label.
                    "metadata": {
                        "generateName": format!("{name}-"),
                        "labels": {"app.kubernetes.io/managed-by": "slipway"},
                    },
                    "spec": {
                        "analysisDefinition": {"name": name},
                        "timeframe": {"recent": timeframe},
                        "args": arguments,
                    },
                });
                let path = format!("{API}/namespaces/{namespace}/analyses");
                of_api_server(Method::POST, &path, object.to_string().into_bytes())
            }
        }
    }
}

/// What may be the name of an object.
fn is_name(text: &str) -> bool {
    let is_inner = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
    let is_end = |letter: Option<char>| letter.is_some_and(|it| it.is_ascii_alphanumeric());
    text.len() <= 253
        && text.chars().all(is_inner)
        && is_end(text.chars().next())
        && is_end(text.chars().next_back())
}

fn window(text: Option<&str>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(TIMEFRAME);
    let parsed = go::parse_duration(text).ok()?;
    (parsed > TimeDelta::zero()).then(|| text.to_owned())
}

/// `a=b;c=d`.
fn pairs(text: &str) -> Option<Map<String, Value>> {
    let all = text.split(';').filter(|pair| !pair.trim().is_empty());
    all.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into()))
    })
    .collect()
}

impl MetricProvider for Keptn {
    fn request(
        &self,
        _spec: &MetricProviderSpec,
        _secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        Wanted::parse(query(ask)?)?.first()
    }

    fn reading(&self, query: &str, status: StatusCode, body: &[u8]) -> Reading {
        let object = match answer::json_of_api_server(status, body) {
            Ok(object) => object,
            Err(why) => return why,
        };
        match Wanted::parse(query) {
            Ok(Wanted::Metric { .. }) => measured(&object),
            Ok(Wanted::Analysis { .. }) => judged(&object).unwrap_or_else(|| {
                let state = object.pointer("/status/state").and_then(Value::as_str);
                let state = state.unwrap_or("without a state");
                answer::invalid(&format!("the analysis is {state} after {LOOKS} s"))
            }),
            Err(why) => Reading::Unusable(why.to_string()),
        }
    }

    fn step(
        &self,
        spec: &MetricProviderSpec,
        _secret: Option<&SecretData>,
        ask: &Ask<'_>,
        heard: &[Heard],
    ) -> Result<Step, MetricError> {
        let wanted = Wanted::parse(query(ask)?)?;
        let read =
            |last: &Heard| last.reading(|status, body| self.reading(ask.query, status, body));
        Ok(match (&wanted, heard) {
            (_, []) => Step::send(wanted.first()?, self.transport(spec)),
            (Wanted::Metric { .. }, [.., last]) => Step::Read(read(last)),
            (Wanted::Analysis { namespace, .. }, [made, looks @ ..]) => match path(namespace, made)
            {
                Ok(path) => follow(&path, looks, read)?,
                Err(why) => Step::Read(why),
            },
        })
    }

    /// Whether the API is served.
    fn probe(
        &self,
        _spec: &MetricProviderSpec,
        _secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        of_api_server(Method::GET, API, Vec::new())
    }

    fn transport(&self, _spec: &MetricProviderSpec) -> Transport {
        Transport {
            target: Target::ApiServer,
            ..Transport::default()
        }
    }
}

/// The path of the analysis that was made.
fn path(namespace: &str, made: &Heard) -> Result<String, Reading> {
    let (status, body) = match made {
        Heard::Answer { status, body } => (*status, body),
        Heard::Nothing(why) => return Err(Reading::Failed(why.clone())),
    };
    let object = answer::json_of_api_server(status, body)?;
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    match name.filter(|name| is_name(name)) {
        Some(name) => Ok(format!("{API}/namespaces/{namespace}/analyses/{name}")),
        None => Err(answer::invalid("the analysis that was made has no name")),
    }
}

/// An analysis is looked at until it is judged or cannot be seen, taken away, and then read. It is taken away whatever was heard, and what came of that changes nothing.
fn follow(
    path: &str,
    looks: &[Heard],
    read: impl Fn(&Heard) -> Reading,
) -> Result<Step, MetricError> {
    let is_last = |look: &Heard| match look {
        Heard::Answer { status, body } => {
            status.is_client_error() || answer::json(*status, body).is_ok_and(|it| is_judged(&it))
        }
        Heard::Nothing(_) => false,
    };
    let last = looks.iter().position(is_last);
    let last = last.unwrap_or(LOOKS - 1).min(LOOKS - 1);
    let (method, after) = match looks.get(last) {
        None => (Method::GET, PAUSE),
        Some(_) if looks.len() == last + 1 => (Method::DELETE, TimeDelta::zero()),
        Some(look) => return Ok(Step::Read(read(look))),
    };
    Ok(Step::Send(Box::new(Sending {
        request: of_api_server(method, path, Vec::new())?,
        transport: Keptn.transport(&MetricProviderSpec::default()),
        after,
    })))
}

fn is_judged(analysis: &Value) -> bool {
    let state = analysis.pointer("/status/state");
    state.and_then(Value::as_str) == Some("Completed")
}

/// 1 where an analysis passed, 0 where it did not; nothing as long as it is under way. Keptn leaves a false out.
fn judged(analysis: &Value) -> Option<Reading> {
    let passed = analysis.pointer("/status/pass").and_then(Value::as_bool);
    let value = if passed.unwrap_or(false) { 1.0 } else { 0.0 };
    is_judged(analysis).then_some(Reading::Value(value))
}

/// The value of a metric.
fn measured(metric: &Value) -> Reading {
    let at = |field: &str| metric.pointer(&format!("/status/{field}"));
    let is_said = |text: &&str| !text.is_empty();
    if let Some(why) = at("errMsg").and_then(Value::as_str).filter(is_said) {
        let why = text::bounded(why, answer::SHOWN);
        return Reading::Failed(format!("Keptn could not measure it: {why}"));
    }
    match at("value") {
        Some(Value::String(text)) if text.is_empty() => answer::none(),
        value => answer::value(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analysis(timeframe: &str, arguments: &Value) -> Wanted {
        Wanted::Analysis {
            namespace: "test".to_owned(),
            name: "app".to_owned(),
            timeframe: timeframe.to_owned(),
            arguments: arguments.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_query_names_a_metric_or_an_analysis_with_its_window_and_arguments() {
        let metric = || Wanted::Metric {
            namespace: "test".to_owned(),
            name: "app".to_owned(),
        };
        let rows = [
            ("keptnmetric/test/app", metric()),
            (" KeptnMetrics/Test/App\n", metric()),
            ("analysis/test/app", analysis("1m", &json!({}))),
            ("analyses/test/app/", analysis("1m", &json!({}))),
            (
                "Analysis/test/app/5m/Stage=Dev;url=http://a/b=c;",
                analysis("5m", &json!({"Stage": "Dev", "url": "http://a/b=c"})),
            ),
        ];
        for (query, expected) in rows {
            assert_eq!(Wanted::parse(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn a_query_that_names_neither_is_refused() {
        for query in [
            "",
            "keptnmetric",
            "keptnmetric/test",
            "keptnmetric/test/",
            "keptnmetric/../app",
            "keptnmetric/test/a?b",
            "keptnmetric/test/app/5m",
            "keptnmetrics/te%73t/app",
            "metric/test/app",
            "analysis/test/app/soon",
            "analysis/test/app/-5m",
            "analysis/test/app/5m/stage",
            "analysis/test/app/5m/=dev",
        ] {
            assert_eq!(
                Wanted::parse(query),
                Err(MetricError::Query(ALLOWED)),
                "{query}"
            );
        }
    }

    /// What is asked until an analysis is read, where each look at it is heard so.
    fn asked(look: impl Fn(usize) -> Heard) -> (Vec<String>, Reading) {
        let answer = |body: &str| Heard::Answer {
            status: StatusCode::OK,
            body: body.as_bytes().to_vec(),
        };
        let ask = Ask::now("analysis/test/app", "1m", chrono::DateTime::UNIX_EPOCH);
        let spec = MetricProviderSpec::default();
        let (mut heard, mut asked) = (Vec::new(), Vec::new());
        loop {
            match Keptn.step(&spec, None, &ask, &heard).unwrap() {
                Step::Read(reading) => return (asked, reading),
                Step::Send(sending) => asked.push(sending.request.method().to_string()),
            }
            heard.push(match heard.len() {
                0 => answer(r#"{"metadata": {"name": "app-x"}}"#),
                number => look(number),
            });
        }
    }

    #[test]
    fn an_analysis_is_looked_at_ten_times_at_most_and_always_taken_away() {
        let pending = |_: usize| Heard::Answer {
            status: StatusCode::OK,
            body: br#"{"status": {"state": "Progressing"}}"#.to_vec(),
        };
        let (requests, reading) = asked(pending);
        let looks = requests.iter().filter(|it| *it == "GET").count();
        assert_eq!((requests.len(), looks), (LOOKS + 2, LOOKS));
        assert_eq!(requests.last().map(String::as_str), Some("DELETE"));
        assert!(matches!(&reading, Reading::Failed(why) if why.contains("Progressing")));
        assert!(requests.len() <= crate::MOST_STEPS);
    }

    #[test]
    fn a_look_that_is_not_answered_is_looked_again_and_one_that_is_refused_is_not() {
        let (requests, reading) = asked(|_| Heard::Nothing("too late".to_owned()));
        assert_eq!(requests.len(), LOOKS + 2);
        assert_eq!(reading, Reading::Failed("too late".to_owned()));
        let (requests, reading) = asked(|_| Heard::Answer {
            status: StatusCode::FORBIDDEN,
            body: br#"{"message": "no"}"#.to_vec(),
        });
        assert_eq!(requests, ["POST", "GET", "DELETE"]);
        assert!(
            matches!(&reading, Reading::Failed(why) if why.contains("403")),
            "{reading:?}"
        );
    }
}
