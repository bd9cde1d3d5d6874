//! The Canary that is made for a workload which only carries annotations.
//!
//! ```text
//!  slipway.dev/release: canary | blue-green | ab  ──► strategy
//!  slipway.dev/port, a Service, a container port  ──► spec.service
//!  slipway.dev/match                              ──► spec.analysis.match
//!  the autoscaler of the workload                 ──► spec.autoscalerRef
//! ```
//!
//! Everything else of ours on the workload tunes it as it does any Canary. The Canary has the workload's name and is owned by it; once it routes, its
//! Services select other pods, so that what was found for it at first stays (but for a port that is named).

use serde_json::{Map, Value, json};
use slipway_api::names::{self, annotation};
use slipway_core::object::Kind;
use slipway_core::plan::Problem;

/// What there is around a workload.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The Services of its namespace.
    pub services: Vec<Value>,
    /// The autoscalers of its namespace.
    pub autoscalers: Vec<Value>,
    /// The Canary that was made for it before.
    pub canary: Option<Value>,
}

/// The value of the annotation that asks for a Canary; nothing on what a Canary controls: that is never opted in itself.
pub fn asked(workload: &Value) -> Option<&str> {
    let is_controlled = owners(workload).any(|owner| text(owner, "/kind") == "Canary");
    let asked = our(workload, annotation::RELEASE);
    asked.filter(|_| !is_controlled)
}

/// Whether a Canary was made for this workload.
pub fn is_made_for(canary: &Value, workload: &Value) -> bool {
    let uid = text(workload, "/metadata/uid");
    owners(canary).any(|owner| !uid.is_empty() && text(owner, "/uid") == uid)
}

/// Whether a Canary was made for a workload: it is owned by its target.
pub fn is_made(canary: &Value) -> bool {
    let target = |field: &str| text(canary, &format!("/spec/targetRef/{field}"));
    let mut owners = owners(canary);
    owners.any(|owner| {
        text(owner, "/kind") == target("kind") && text(owner, "/name") == target("name")
    })
}

/// The Canary for a workload that asks for one, ready to be applied.
///
/// # Errors
/// What is wrong with its annotations, or cannot be told from what is around it; each names what is allowed.
pub fn canary(kind: Kind, workload: &Value, around: &Around) -> Result<Value, Vec<Problem>> {
    let mut problems = Vec::new();
    let analysis = analysis(workload, &mut problems);
    let service = match &around.canary {
        Some(known) => keep_service(workload, known),
        None => find_service(workload, around),
    };
    let service = service.map_err(|problem| problems.push(problem)).ok();
    let (Some(service), true) = (service, problems.is_empty()) else {
        let (namespace, name) = (
            text(workload, "/metadata/namespace"),
            text(workload, "/metadata/name"),
        );
        let object = format!("{} {namespace}/{name}", kind.kind);
        let named = problems
            .into_iter()
            .map(|problem| problem.of(object.clone()));
        return Err(named.collect());
    };
    let name = text(workload, "/metadata/name");
    let mut spec = json!({
        "targetRef": {"apiVersion": kind.api_version, "kind": kind.kind, "name": name},
        "service": service,
        "analysis": analysis,
    });
    if let Some(autoscaler) = autoscaler(kind, name, around)
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("autoscalerRef".to_owned(), autoscaler);
    }
    let owner = json!({
        "apiVersion": kind.api_version, "kind": kind.kind, "name": name,
        "uid": text(workload, "/metadata/uid"), "controller": true, "blockOwnerDeletion": false,
    });
    Ok(json!({
        "apiVersion": names::API_VERSION, "kind": "Canary",
        "metadata": {"name": name, "namespace": text(workload, "/metadata/namespace"), "ownerReferences": [owner]},
        "spec": spec,
    }))
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    let owners = object.pointer("/metadata/ownerReferences");
    owners.and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn our<'a>(workload: &'a Value, key: &str) -> Option<&'a str> {
    workload
        .pointer("/metadata/annotations")?
        .get(key)?
        .as_str()
}

fn wrong(key: &str, value: &str, allowed: impl Into<String>) -> Problem {
    Problem::new(format!("annotation {key}"), value, allowed)
}

/// The strategy with a pace and both built-in checks, which annotations tune: without any check every revision would pass.
fn analysis(workload: &Value, problems: &mut Vec<Problem>) -> Value {
    let mut analysis = json!({
        "interval": "1m", "threshold": 5,
        "metrics": [
            {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
            {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
        ],
    });
    let release = our(workload, annotation::RELEASE).unwrap_or_default();
    let wished = our(workload, annotation::MATCH);
    let mut more = Map::new();
    match release {
        // The steps of an annotation come over these.
        "canary" => {
            more.insert("stepWeight".to_owned(), json!(10));
            more.insert("maxWeight".to_owned(), json!(50));
        }
        "blue-green" | "ab" => {
            more.insert("iterations".to_owned(), json!(10));
        }
        other => problems.push(wrong(
            annotation::RELEASE,
            other,
            "must be canary, blue-green or ab",
        )),
    }
    match (release, wished) {
        ("ab", None) => problems.push(wrong(
            annotation::MATCH,
            "",
            format!("must say who meets the new revision, {MATCH}"),
        )),
        ("ab", Some(wished)) => match matchers(wished) {
            Some(matchers) => {
                more.insert("match".to_owned(), matchers);
            }
            None => problems.push(wrong(annotation::MATCH, wished, format!("must be {MATCH}"))),
        },
        (_, Some(wished)) => problems.push(wrong(
            annotation::MATCH,
            wished,
            "must stand beside slipway.dev/release: ab only",
        )),
        (_, None) => {}
    }
    if let Some(analysis) = analysis.as_object_mut() {
        analysis.extend(more);
    }
    analysis
}

const MATCH: &str = "header:NAME=VALUE or cookie:NAME=VALUE, several with commas between, such as header:x-user=beta";

/// Whoever one of these fits.
fn matchers(wished: &str) -> Option<Value> {
    let one = |word: &str| {
        let (kind, pair) = word.trim().split_once(':')?;
        let (name, value) = pair.split_once('=')?;
        let is_token = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|it| it.is_ascii_graphic() && !";,".contains(it))
        };
        if !is_token(name) || !is_token(value) {
            return None;
        }
        match kind {
            "header" => Some(json!({"headers": {name.to_ascii_lowercase(): {"exact": value}}})),
            "cookie" => {
                let pair = format!("{}={}", escaped(name), escaped(value));
                Some(
                    json!({"headers": {"cookie": {"regex": format!(r"^(.*?;)?\s*({pair})(;.*)?$")}}}),
                )
            }
            _ => None,
        }
    };
    let all: Option<Vec<Value>> = wished.split(',').map(one).collect();
    all.map(Value::Array)
}

/// A text as a regular expression that fits it alone.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// The port that is named, if one is.
fn named_port(workload: &Value) -> Result<Option<i64>, Problem> {
    let Some(named) = our(workload, annotation::PORT) else {
        return Ok(None);
    };
    let number = named
        .trim()
        .parse()
        .ok()
        .filter(|port| (1..=65535).contains(port));
    let number = number.ok_or_else(|| {
        wrong(
            annotation::PORT,
            named,
            "must be the number of a port, 1 to 65535",
        )
    });
    number.map(Some)
}

/// What was found at first, with another port where one is named.
fn keep_service(workload: &Value, known: &Value) -> Result<Value, Problem> {
    let mut service = known.pointer("/spec/service").cloned().unwrap_or_default();
    if let (Some(port), Some(service)) = (named_port(workload)?, service.as_object_mut()) {
        let had = service.get("port").and_then(Value::as_i64);
        if had != Some(port) {
            service.insert("port".to_owned(), json!(port));
            service.remove("targetPort");
        }
    }
    Ok(service)
}

/// The Service that users call: the one that selects the workload, else one of its name with its one container port.
fn find_service(workload: &Value, around: &Around) -> Result<Value, Problem> {
    let named = named_port(workload)?;
    let name = text(workload, "/metadata/name");
    let selecting: Vec<&Value> = around
        .services
        .iter()
        .filter(|it| selects(it, workload))
        .collect();
    let own = selecting
        .iter()
        .find(|it| text(it, "/metadata/name") == name);
    match (own, selecting.as_slice()) {
        (Some(service), _) | (None, [service]) => of_service(service, name, named),
        (None, []) => of_container(workload, named),
        (None, several) => {
            let selecting_ones: Vec<&str> = several
                .iter()
                .map(|it| text(it, "/metadata/name"))
                .collect();
            let allowed = format!(
                "cannot be told: the Services {} select the pods; give one of them the name {name}, or write a Canary",
                selecting_ones.join(", ")
            );
            Err(wrong(annotation::PORT, "", allowed))
        }
    }
}

/// Whether a Service of a user selects the pods of a workload.
fn selects(service: &Value, workload: &Value) -> bool {
    let is_ours = owners(service).any(|owner| text(owner, "/kind") == "Canary");
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    let labels = workload.pointer("/spec/template/metadata/labels");
    !is_ours
        && selector.is_some_and(|selector| {
            let fits =
                |(key, value): (&String, &Value)| labels.and_then(|it| it.get(key)) == Some(value);
            !selector.is_empty() && selector.iter().all(fits)
        })
}

fn of_service(service: &Value, name: &str, named: Option<i64>) -> Result<Value, Problem> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let ports: Vec<&Value> = ports.into_iter().flatten().collect();
    let number = |port: &&Value| port.get("port").and_then(Value::as_i64);
    let called = text(service, "/metadata/name");
    let found = match (named, ports.as_slice()) {
        (Some(named), ports) => ports
            .iter()
            .find(|port| number(port) == Some(named))
            .copied(),
        (None, [one]) => Some(*one),
        (None, _) => None,
    };
    let Some(found) = found else {
        let numbers: Vec<String> = ports
            .iter()
            .filter_map(number)
            .map(|port| port.to_string())
            .collect();
        let value = named.map(|port| port.to_string()).unwrap_or_default();
        let allowed = format!(
            "must be one of the ports of Service {called}: {}",
            numbers.join(", ")
        );
        return Err(wrong(annotation::PORT, &value, allowed));
    };
    let mut wanted = Map::new();
    if called != name {
        wanted.insert("name".to_owned(), json!(called));
    }
    for (field, from) in [
        ("port", "port"),
        ("targetPort", "targetPort"),
        ("portName", "name"),
        ("appProtocol", "appProtocol"),
    ] {
        if let Some(value) = found.get(from) {
            wanted.insert(field.to_owned(), value.clone());
        }
    }
    Ok(Value::Object(wanted))
}

fn of_container(workload: &Value, named: Option<i64>) -> Result<Value, Problem> {
    if let Some(port) = named {
        return Ok(json!({"port": port}));
    }
    let containers = workload
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let ports = containers
        .into_iter()
        .flatten()
        .filter_map(|it| it.get("ports")?.as_array());
    let ports: Vec<i64> = ports
        .flatten()
        .filter_map(|port| port.get("containerPort")?.as_i64())
        .collect();
    match ports.as_slice() {
        [port] => Ok(json!({"port": port})),
        [] => Err(wrong(
            annotation::PORT,
            "",
            "must name the port: no Service selects the pods, and no container has a port",
        )),
        several => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            let allowed = format!("must be one of the container ports {}", several.join(", "));
            Err(wrong(annotation::PORT, "", allowed))
        }
    }
}

/// The one autoscaler of the workload.
fn autoscaler(kind: Kind, name: &str, around: &Around) -> Option<Value> {
    let is_its = |scaler: &&Value| {
        text(scaler, "/spec/scaleTargetRef/kind") == kind.kind
            && text(scaler, "/spec/scaleTargetRef/name") == name
    };
    let scaler = around.autoscalers.iter().find(is_its)?;
    let name = text(scaler, "/metadata/name");
    Some(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": name}))
}
