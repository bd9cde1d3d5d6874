//! DELETE: at once, after finalizers, or after the dependents.

use super::failure::{self, Failure};
use super::kinds::{self, Kind, KindId};
use super::request::Verb;
use super::store::{Cause, Content, Key, Object};
use super::watch::Message;
use super::{Answer, Api, Call};
use crate::json::{dig, int, list, set, text};
use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};
use std::sync::Arc;

/// The finalizer of a foreground deletion.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a deletion that leaves the dependents.
pub(crate) const ORPHAN: &str = "orphan";

impl Api {
    pub(super) fn delete(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let options = options(call)?;
        let old = self.live(call)?;
        self.delete_object(call, &old, &options)
    }

    pub(super) fn delete_all(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let options = options(call)?;
        let scope = Self::scope(call)?;
        let all = self.store.range(call.stored, &scope.namespace, None);
        let found: Vec<Arc<Object>> = all.filter(|object| scope.holds(object)).cloned().collect();
        for object in &found {
            self.delete_object(call, object, &options)?;
        }
        Ok(Answer::value(
            200,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
        ))
    }

    fn delete_object(
        &mut self,
        call: &Call<'_>,
        old: &Arc<Object>,
        options: &Value,
    ) -> Result<Answer, Failure> {
        check_preconditions(call, old, options)?;
        self.webhooks.judge(&super::admission::Review {
            verb: Verb::Delete,
            kind: &call.kind.name,
            namespace: old.namespace(),
            name: old.name(),
            by: &call.request.by,
            object: old,
        })?;
        let cause = self.cause(call, Verb::Delete);
        match self.going(call.stored, old, options) {
            None => {
                if !call.is_dry() {
                    self.erase(call.stored, &old.key(), &cause);
                }
                let mut details = failure::details(old.name(), &call.kind.group, &call.kind.plural);
                set(&mut details, &["uid"], old.uid());
                Ok(Answer::value(
                    200,
                    &json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                    }),
                ))
            }
            Some(value) if value == ***old || call.is_dry() => Ok(Self::shown(call, 200, old)),
            Some(value) => {
                let kind = Arc::clone(self.kinds.get(call.stored));
                let managers = old.managers().to_vec();
                let stored =
                    self.store
                        .put(call.stored, &kind, Content { value, managers }, &cause);
                Ok(Self::shown(call, 200, &stored))
            }
        }
    }

    /// A controller of the world deletes an object, in the background.
    pub(crate) fn discard(&mut self, id: KindId, key: &Key, by: &Arc<str>) {
        let Some(old) = self.store.get(id, key).cloned() else {
            return;
        };
        let cause = self.own_cause(by, Verb::Delete, "");
        match self.going(id, &old, &Value::Null) {
            None => self.erase(id, key, &cause),
            Some(value) if value == **old => {}
            Some(value) => {
                let kind = Arc::clone(self.kinds.get(id));
                let managers = old.managers().to_vec();
                self.store
                    .put(id, &kind, Content { value, managers }, &cause);
            }
        }
    }

    /// A controller of the world takes an object out that has nothing left to wait for.
    pub(crate) fn finish(&mut self, id: KindId, key: &Key, by: &Arc<str>) {
        let cause = self.own_cause(by, Verb::Delete, "");
        self.erase(id, key, &cause);
    }

    /// The object as it waits for its end, `None` if it has nothing to wait for.
    fn going(&self, id: KindId, old: &Object, options: &Value) -> Option<Value> {
        let mut value = (**old).clone();
        let mut finalizers = list(old, &["metadata", "finalizers"]).to_vec();
        let policy = text(options, &["propagationPolicy"]);
        if !policy.is_empty() {
            finalizers.retain(|it| it != FOREGROUND && it != ORPHAN);
        }
        match policy {
            "Foreground" => finalizers.push(FOREGROUND.into()),
            "Orphan" => finalizers.push(ORPHAN.into()),
            _ => {}
        }
        if finalizers.as_slice() != list(old, &["metadata", "finalizers"]) {
            set(&mut value, &["metadata", "finalizers"], finalizers.clone());
        }
        let grace = Self::grace(id, old, options);
        if finalizers.is_empty() && grace == 0 && id != kinds::NAMESPACE {
            return None;
        }
        let shortens = old.is_going()
            && int(old, &["metadata", "deletionGracePeriodSeconds"])
                .is_some_and(|before| grace < before);
        if !old.is_going() || shortens {
            let end = self.clock.now() + TimeDelta::seconds(grace);
            let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
            set(&mut value, &["metadata", "deletionTimestamp"], end);
            set(
                &mut value,
                &["metadata", "deletionGracePeriodSeconds"],
                grace,
            );
        }
        if !old.is_going() {
            if let Some(generation) = int(old, &["metadata", "generation"]) {
                set(&mut value, &["metadata", "generation"], generation + 1);
            }
            if id == kinds::NAMESPACE {
                set(&mut value, &["status", "phase"], "Terminating");
            }
        }
        Some(value)
    }

    /// Only pods that run somewhere end gracefully.
    fn grace(id: KindId, old: &Object, options: &Value) -> i64 {
        if id != kinds::POD || text(old, &["spec", "nodeName"]).is_empty() {
            return 0;
        }
        int(options, &["gracePeriodSeconds"])
            .or_else(|| int(old, &["spec", "terminationGracePeriodSeconds"]))
            .unwrap_or(30)
            .max(0)
    }

    pub(super) fn erase(&mut self, id: KindId, key: &Key, cause: &Cause) {
        let kind = Arc::clone(self.kinds.get(id));
        let gone = self.store.remove(id, &kind, key, cause);
        if id == kinds::CRD
            && let Some(gone) = gone
        {
            self.forget_kind(&gone, cause);
        }
    }

    /// With its definition, a custom kind and all its objects are gone.
    fn forget_kind(&mut self, definition: &Value, cause: &Cause) {
        let group = text(definition, &["spec", "group"]);
        let plural = text(definition, &["spec", "names", "plural"]);
        let version = list(definition, &["spec", "versions"]).first();
        let version = version.map_or("", |version| text(version, &["name"]));
        let Some(id) = self.kinds.at(group, version, plural) else {
            return;
        };
        let keys: Vec<Key> = self
            .store
            .range(id, "", None)
            .map(|object| object.key())
            .collect();
        for key in keys {
            self.erase(id, &key, cause);
        }
        self.kinds.uninstall(id);
        for watch in self.store.watches_of(id) {
            watch.tell(Message::End);
        }
    }
}

fn options(call: &Call<'_>) -> Result<Value, Failure> {
    let mut options = if call.request.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&call.request.body).map_err(|error| {
            Failure::bad_request(format!("error decoding delete options: {error}"))
        })?
    };
    for name in ["propagationPolicy", "gracePeriodSeconds"] {
        match call.request.query.get(name) {
            "" => {}
            value => match value.parse::<i64>() {
                Ok(number) => set(&mut options, &[name], number),
                Err(_) => set(&mut options, &[name], value),
            },
        }
    }
    Ok(options)
}

fn check_preconditions(call: &Call<'_>, old: &Object, options: &Value) -> Result<(), Failure> {
    let fields = [
        ("uid", old.uid(), "UID", "deleted and then recreated"),
        (
            "resourceVersion",
            text(old, &["metadata", "resourceVersion"]),
            "ResourceVersion",
            "modified",
        ),
    ];
    for (field, found, label, fate) in fields {
        let wanted = dig(options, &["preconditions", field]).as_str();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let why = format!(
                "the {label} in the precondition ({wanted}) does not match the {label} in record ({found}). The object might have been {fate}"
            );
            // This one check of the real server names the kind where all others name the resource.
            let kind = Kind {
                plural: call.kind.name.clone(),
                ..(*call.kind).clone()
            };
            return Err(Failure::conflict(&kind, old.name(), &why));
        }
    }
    Ok(())
}
