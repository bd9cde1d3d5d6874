//! What the API server refuses, and what a scripted admission webhook refuses in its place.

use super::events;
use super::failure::Failure;
use super::kinds::{self, Kind, KindId};
use super::request::Verb;
use crate::json::{dig, list, text};
use crate::server::selector::LabelSelector;
use serde_json::Value;
use std::fmt;

/// A write that admission looks at.
#[derive(Clone, Copy, Debug)]
pub struct Review<'a> {
    /// Create, Update or Delete; a patch is one of these by then.
    pub verb: Verb,
    /// The kind, `VirtualService` for example.
    pub kind: &'a str,
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// Who writes.
    pub by: &'a str,
    /// The object as it would be stored.
    pub object: &'a Value,
}

type Judge = dyn Fn(&Review<'_>) -> Option<String> + Send;

/// The scripted admission webhooks of a cluster.
#[derive(Default)]
pub(crate) struct Webhooks(Vec<(String, Box<Judge>)>);

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Webhooks {
    pub(crate) fn add(&mut self, name: &str, judge: Box<Judge>) {
        self.0.push((name.to_owned(), judge));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(it, _)| it != name);
    }

    /// # Errors
    /// 403 with the first refusal.
    pub(crate) fn judge(&self, review: &Review<'_>) -> Result<(), Failure> {
        for (name, judge) in &self.0 {
            if let Some(why) = judge(review) {
                let message = format!("admission webhook \"{name}\" denied the request: {why}");
                return Err(Failure::new(403, "Forbidden", message));
            }
        }
        Ok(())
    }
}

/// Checks a new object of any kind.
///
/// # Errors
/// 422 with the first field that is not allowed.
pub(crate) fn validate(id: KindId, kind: &Kind, object: &Value) -> Result<(), Failure> {
    validate_name(id, kind, text(object, &["metadata", "name"]))?;
    validate_labels(kind, object)?;
    match id {
        kinds::DEPLOYMENT | kinds::DAEMON_SET | kinds::REPLICA_SET => workload(kind, object),
        kinds::SERVICE => service(kind, object),
        kinds::EVENT => events::validate_namespace(kind, object),
        kinds::AUTOSCALER => autoscaler(kind, object),
        _ => Ok(()),
    }
}

/// Checks what must not change.
///
/// # Errors
/// 422 with the first field that changed and must not.
pub(crate) fn validate_change(
    id: KindId,
    kind: &Kind,
    old: &Value,
    new: &Value,
) -> Result<(), Failure> {
    let fixed: &[&[&str]] = match id {
        kinds::DEPLOYMENT | kinds::DAEMON_SET | kinds::REPLICA_SET => &[&["spec", "selector"]],
        kinds::SECRET => &[&["type"]],
        _ => &[],
    };
    let name = text(new, &["metadata", "name"]);
    for path in fixed {
        let (before, after) = (dig(old, path), dig(new, path));
        if before != after {
            let why = format!("Invalid value: {after}: field is immutable");
            return Err(Failure::invalid(kind, name, &path.join("."), &why));
        }
    }
    let address = &["spec", "clusterIP"];
    let (before, after) = (dig(old, address), dig(new, address));
    if id == kinds::SERVICE && before != after && !before.is_null() {
        let why = format!("Invalid value: [{after}]: may not change once set");
        return Err(Failure::invalid(kind, name, "spec.clusterIPs[0]", &why));
    }
    if matches!(id, kinds::CONFIG_MAP | kinds::SECRET)
        && dig(old, &["immutable"]).as_bool() == Some(true)
        && dig(old, &["data"]) != dig(new, &["data"])
    {
        let why = "Forbidden: field is immutable when `immutable` is set";
        return Err(Failure::invalid(kind, name, "data", why));
    }
    Ok(())
}

fn validate_name(id: KindId, kind: &Kind, name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        let why = "Required value: name or generateName is required";
        return Err(Failure::invalid(kind, name, "metadata.name", why));
    }
    let is_label = matches!(id, kinds::SERVICE | kinds::NAMESPACE);
    let allowed = |letter: char| {
        letter.is_ascii_lowercase()
            || letter.is_ascii_digit()
            || letter == '-'
            || (letter == '.' && !is_label)
    };
    let edge = |letter: Option<char>| {
        letter.is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    let longest = if is_label { 63 } else { 253 };
    if name.len() <= longest
        && name.chars().all(allowed)
        && edge(name.chars().next())
        && edge(name.chars().next_back())
    {
        return Ok(());
    }
    let form = if is_label {
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    } else {
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    };
    Err(Failure::invalid(
        kind,
        name,
        "metadata.name",
        &format!("Invalid value: \"{name}\": {form}"),
    ))
}

fn validate_labels(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let labels = dig(object, &["metadata", "labels"]);
    for (label, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            let why = format!("Invalid value: \"{value}\": must be no more than 63 bytes");
            let name = text(object, &["metadata", "name"]);
            return Err(Failure::invalid(
                kind,
                name,
                &format!("metadata.labels[{label}]"),
                &why,
            ));
        }
    }
    Ok(())
}

fn workload(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let name = text(object, &["metadata", "name"]);
    let refuse = |field: &str, why: &str| Err(Failure::invalid(kind, name, field, why));
    let selector = dig(object, &["spec", "selector"]);
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        return refuse("spec.selector", "Required value");
    }
    let template = dig(object, &["spec", "template"]);
    if !LabelSelector::of_workload(selector).matches(template) {
        let labels = dig(template, &["metadata", "labels"]);
        let why = format!("Invalid value: {labels}: `selector` does not match template `labels`");
        return refuse("spec.template.metadata.labels", &why);
    }
    if list(template, &["spec", "containers"]).is_empty() {
        return refuse("spec.template.spec.containers", "Required value");
    }
    for (at, container) in list(template, &["spec", "containers"]).iter().enumerate() {
        let field = |name: &str| format!("spec.template.spec.containers[{at}].{name}");
        if text(container, &["name"]).is_empty() {
            return refuse(&field("name"), "Required value");
        }
        if text(container, &["image"]).is_empty() {
            return refuse(&field("image"), "Required value");
        }
    }
    if dig(object, &["spec", "replicas"])
        .as_i64()
        .is_some_and(|replicas| replicas < 0)
    {
        return refuse(
            "spec.replicas",
            "Invalid value: must be greater than or equal to 0",
        );
    }
    Ok(())
}

fn service(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let name = text(object, &["metadata", "name"]);
    let is_external = text(object, &["spec", "type"]) == "ExternalName";
    let is_headless = text(object, &["spec", "clusterIP"]) == "None";
    let ports = list(object, &["spec", "ports"]);
    if ports.is_empty() && !is_external && !is_headless {
        return Err(Failure::invalid(kind, name, "spec.ports", "Required value"));
    }
    for (at, port) in ports.iter().enumerate() {
        if ports.len() > 1 && text(port, &["name"]).is_empty() {
            let field = format!("spec.ports[{at}].name");
            return Err(Failure::invalid(kind, name, &field, "Required value"));
        }
        if !dig(port, &["port"])
            .as_i64()
            .is_some_and(|port| (1..=65535).contains(&port))
        {
            let field = format!("spec.ports[{at}].port");
            let why = format!(
                "Invalid value: {}: must be between 1 and 65535, inclusive",
                dig(port, &["port"])
            );
            return Err(Failure::invalid(kind, name, &field, &why));
        }
    }
    Ok(())
}

fn autoscaler(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let name = text(object, &["metadata", "name"]);
    let spec = dig(object, &["spec"]);
    let (least, most) = (
        dig(spec, &["minReplicas"]).as_i64(),
        dig(spec, &["maxReplicas"]).as_i64(),
    );
    let why = match most {
        None | Some(..1) => "must be greater than 0",
        Some(most) if least.is_some_and(|least| least > most) => {
            "must be greater than or equal to `minReplicas`"
        }
        Some(_) => return Ok(()),
    };
    let why = format!("Invalid value: {}: {why}", most.unwrap_or(0));
    Err(Failure::invalid(kind, name, "spec.maxReplicas", &why))
}
