//! Whose a routing object is, and the way back.
//!
//! ```text
//!  nothing there ──► created ──► owned by the Canary, and goes with it
//!  user's object ──► taken over ──► what it was stands in two annotations, and comes back
//! ```
//!
//! The invariant: **what a user had is written down once, before our first write to it, and never again.**

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_api::names::{API_VERSION, GROUP, TOOLKIT_ANNOTATIONS, annotation};
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Objects, Write};
use slipway_core::plan::Problem;

use crate::found;

/// The annotation that holds the spec of an object as it was before it was taken over, as JSON.
///
/// **Source**: Flagger's, so that either controller can restore what the other took over. **Differs from Flagger**, which overwrites it
/// with its own spec later (F-3).
pub const ORIGINAL_SPEC: &str = "flagger.kubernetes.io/original-configuration";

/// The annotation that says what else an object was before us.
///
/// **Shape**: JSON, in `labels` and `annotations` for each key that we ever set the value before us, `null` where there was none; or `none`
/// when the object did not exist, and no owner reference can say so (it stands in another cluster or another namespace, or in none).
pub const ORIGINAL_METADATA: &str = "slipway.dev/original";

const CREATED: &str = "none";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The labels and annotations of an object that are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// Those of `spec.service.apex`, and the annotations that keep Flux away.
    ///
    /// **Source**: dossier 02 A.3; with `apex` there, the route also gets the label that tells the pods apart.
    pub(crate) fn of_apex(blueprint: &Blueprint<'_>) -> Self {
        let mut metadata = Self::default();
        if let Some(apex) = &blueprint.canary.spec.service.apex {
            metadata.labels = without_wishes(&apex.labels);
            metadata.annotations = without_wishes(&apex.annotations);
            let label = &blueprint.selector.label;
            if !label.is_empty() {
                metadata
                    .labels
                    .insert(label.clone(), blueprint.plan.names.apex.clone());
            }
        }
        let toolkit = TOOLKIT_ANNOTATIONS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        metadata.annotations.extend(toolkit);
        metadata
    }
}

/// All but our own annotations: those are wishes about a release and are never copied.
fn without_wishes(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let copied = all
        .iter()
        .filter(|(key, _)| !key.starts_with(annotation::PREFIX));
    copied
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Nobody's: it does not exist.
    Nobody,
    /// The Canary's: it was created for the release.
    Canary,
    /// The user's.
    User,
}

/// Our claim on a part of one object.
pub(crate) struct Claim<'a> {
    blueprint: &'a Blueprint<'a>,
    key: Key,
    live: Option<&'a Value>,
    metadata: Metadata,
    owner: Owner,
}

impl<'a> Claim<'a> {
    /// A claim on the object of that key, which may exist already.
    pub(crate) fn on(
        blueprint: &'a Blueprint<'a>,
        seen: &'a Objects,
        key: Key,
        metadata: Metadata,
    ) -> Self {
        let live = found(seen, &key);
        let owner = owner(blueprint, &key, live);
        Self {
            blueprint,
            key,
            live,
            metadata,
            owner,
        }
    }

    /// Whether the object was there before us.
    pub(crate) fn is_of_the_user(&self) -> bool {
        self.owner == Owner::User
    }

    /// A part of the spec as it stands now.
    pub(crate) fn live(&self, field: &str) -> Option<&'a Value> {
        self.live?.get("spec")?.get(field)
    }

    /// The spec as the user had it: applied last, else written down on taking over, else as it stands. `None`: the object is not the user's.
    pub(crate) fn of_the_user(&self) -> Option<Value> {
        if !self.is_of_the_user() {
            return None;
        }
        let recorded = self.spec_of_the_user().ok().flatten();
        recorded.or_else(|| self.live?.get("spec").cloned())
    }

    /// All that we own of the object, as one server-side apply.
    pub(crate) fn apply(&self, spec: Map<String, Value>) -> Write {
        let object = Map::from_iter([
            ("apiVersion".into(), json!(self.key.api_version)),
            ("kind".into(), json!(self.key.kind)),
            ("metadata".into(), Value::Object(self.rendered_metadata())),
            ("spec".into(), Value::Object(spec)),
        ]);
        Write::Apply {
            key: self.key.clone(),
            object: Value::Object(object),
        }
    }

    fn rendered_metadata(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("name".into(), json!(self.key.name));
        if !self.key.namespace.is_empty() {
            metadata.insert("namespace".into(), json!(self.key.namespace));
        }
        if !self.metadata.labels.is_empty() {
            metadata.insert("labels".into(), json!(self.metadata.labels));
        }
        let mut annotations = self.metadata.annotations.clone();
        annotations.extend(
            self.original_spec()
                .map(|text| (ORIGINAL_SPEC.to_owned(), text)),
        );
        annotations.extend(
            self.original_metadata()
                .map(|text| (ORIGINAL_METADATA.to_owned(), text)),
        );
        if !annotations.is_empty() {
            metadata.insert("annotations".into(), json!(annotations));
        }
        if self.has_owner_reference() {
            metadata.insert(
                "ownerReferences".into(),
                json!([owner_reference(self.blueprint)]),
            );
        }
        metadata
    }

    /// On what we create, and on what has it already: a field that we stop sending would be removed.
    fn has_owner_reference(&self) -> bool {
        match self.owner {
            Owner::Nobody => can_own(self.blueprint, &self.key),
            Owner::Canary | Owner::User => owned_by_reference(self.blueprint, &self.key, self.live),
        }
    }

    fn live_annotation(&self, key: &str) -> Option<&'a str> {
        annotation_of(self.live?, key)
    }

    fn original_spec(&self) -> Option<String> {
        if let Some(kept) = self.live_annotation(ORIGINAL_SPEC) {
            return Some(kept.to_owned());
        }
        let is_first = self.is_of_the_user() && self.live_annotation(ORIGINAL_METADATA).is_none();
        if !is_first || self.live_annotation(LAST_APPLIED).is_some() {
            return None;
        }
        self.live?.get("spec").map(Value::to_string)
    }

    fn original_metadata(&self) -> Option<String> {
        let kept = self.live_annotation(ORIGINAL_METADATA);
        match self.owner {
            Owner::Nobody => (!can_own(self.blueprint, &self.key)).then(|| CREATED.to_owned()),
            Owner::Canary => kept.map(str::to_owned),
            Owner::User => {
                let record = kept.map_or_else(|| Ok(json!({})), serde_json::from_str);
                // What cannot be read is kept for whoever can mend it.
                record.map_or_else(
                    |_| kept.map(str::to_owned),
                    |record| Some(self.with_what_stands_in(&record, self.live).to_string()),
                )
            }
        }
    }

    /// The record with what stands, before this very write, in the keys that are new in it.
    fn with_what_stands_in(&self, record: &Value, live: Option<&Value>) -> Value {
        let Metadata {
            labels,
            annotations,
        } = &self.metadata;
        let section = |name: &str, ours: &BTreeMap<String, String>| {
            let theirs = live.and_then(|live| live.get("metadata")?.get(name));
            let mut before = record
                .get(name)
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            for key in ours.keys() {
                let value = theirs.and_then(|theirs| theirs.get(key)).cloned();
                before
                    .entry(key.clone())
                    .or_insert(value.unwrap_or_default());
            }
            before
        };
        json!({"labels": section("labels", labels), "annotations": section("annotations", annotations)})
    }

    /// The write that gives the object back: what was created goes, in what was taken over these fields of the spec become what they were.
    /// `lead_home` turns what still leads to the primary or the canary towards the apex, since their Services end with the release.
    ///
    /// # Errors
    /// A record of what the user had that cannot be read.
    pub(crate) fn give_back(
        &self,
        fields: &[&str],
        lead_home: impl Fn(&mut Value),
    ) -> Result<Option<Write>, Problem> {
        let Some(live) = self.live else {
            return Ok(None);
        };
        if self.owner == Owner::Canary {
            return Ok(Some(Write::Delete {
                key: self.key.clone(),
            }));
        }
        if !self.is_touched(live, &lead_home) {
            return Ok(None);
        }
        let mut object = live.clone();
        if let Some(spec) = object.get_mut("spec") {
            if let Some(original) = self.spec_of_the_user()? {
                put_back(spec, &original, fields);
            }
            lead_home(spec);
        }
        self.put_metadata_back(&mut object)?;
        Ok((object != *live).then(|| Write::Replace {
            key: self.key.clone(),
            object,
        }))
    }

    fn is_touched(&self, live: &Value, lead_home: impl Fn(&mut Value)) -> bool {
        let mut spec = live.get("spec").cloned().unwrap_or_default();
        lead_home(&mut spec);
        let leads_to_us = Some(&spec) != live.get("spec");
        let is_recorded = |key: &&str| self.live_annotation(key).is_some();
        leads_to_us || [ORIGINAL_SPEC, ORIGINAL_METADATA].iter().any(is_recorded)
    }

    /// What the user applied last, else what was written down on taking over.
    fn spec_of_the_user(&self) -> Result<Option<Value>, Problem> {
        if let Some(applied) = self.recorded(LAST_APPLIED)?
            && let Some(spec) = applied.get("spec")
        {
            return Ok(Some(spec.clone()));
        }
        self.recorded(ORIGINAL_SPEC)
    }

    fn put_metadata_back(&self, object: &mut Value) -> Result<(), Problem> {
        let record = match self.recorded(ORIGINAL_METADATA)? {
            Some(record) => record,
            None => self.record_of_flagger(),
        };
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Ok(());
        };
        for section in ["labels", "annotations"] {
            let before = record.get(section).and_then(Value::as_object);
            let values = metadata.entry(section).or_insert_with(|| json!({}));
            let Some(values) = values.as_object_mut() else {
                continue;
            };
            put_section_back(values, before);
            if values.is_empty() {
                metadata.remove(section);
            }
        }
        Ok(())
    }

    /// Flagger, which takes over without a record, sets what we would set.
    fn record_of_flagger(&self) -> Value {
        self.with_what_stands_in(&json!({}), None)
    }

    fn recorded(&self, key: &str) -> Result<Option<Value>, Problem> {
        let Some(text) = self.live_annotation(key) else {
            return Ok(None);
        };
        serde_json::from_str(text).map(Some).map_err(|error| {
            let beginning: String = text.chars().take(80).collect();
            let allowed = format!(
                "must be JSON ({error}): what the user had cannot be given back without it"
            );
            Problem::new(format!("metadata.annotations[{key}]"), beginning, allowed)
                .of(self.key.to_string())
        })
    }
}

fn put_back(spec: &mut Value, original: &Value, fields: &[&str]) {
    let Some(spec) = spec.as_object_mut() else {
        return;
    };
    for field in fields {
        match original.get(field) {
            Some(value) => spec.insert((*field).to_owned(), value.clone()),
            None => spec.remove(*field),
        };
    }
}

/// Gives the keys of one section back, and takes our records out of it.
fn put_section_back(values: &mut Map<String, Value>, before: Option<&Map<String, Value>>) {
    for record in [ORIGINAL_SPEC, ORIGINAL_METADATA] {
        values.remove(record);
    }
    for (key, value) in before.into_iter().flatten() {
        if value.is_null() {
            values.remove(key);
        } else {
            values.insert(key.clone(), value.clone());
        }
    }
}

fn annotation_of<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(key)?
        .as_str()
}

fn owner(blueprint: &Blueprint<'_>, key: &Key, live: Option<&Value>) -> Owner {
    match live {
        None => Owner::Nobody,
        Some(_) if owned_by_reference(blueprint, key, live) => Owner::Canary,
        Some(object) if annotation_of(object, ORIGINAL_METADATA) == Some(CREATED) => Owner::Canary,
        Some(_) => Owner::User,
    }
}

/// By name, not by uid: a Canary that was deleted without its objects and made again has another uid.
fn owned_by_reference(blueprint: &Blueprint<'_>, key: &Key, live: Option<&Value>) -> bool {
    let references = live.and_then(|live| live.get("metadata")?.get("ownerReferences")?.as_array());
    let is_ours = |reference: &Value| {
        let text = |field: &str| {
            reference
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let group = text("apiVersion").split('/').next();
        text("kind") == "Canary"
            && group == Some(GROUP)
            && text("name") == blueprint.plan.canary.name
    };
    key.namespace == blueprint.plan.canary.namespace
        && references.into_iter().flatten().any(is_ours)
}

/// An owner must be in the same cluster and the same namespace.
fn can_own(blueprint: &Blueprint<'_>, key: &Key) -> bool {
    let canary = &blueprint.plan.canary;
    blueprint.settings.own_routes && !canary.uid.is_empty() && key.namespace == canary.namespace
}

fn owner_reference(blueprint: &Blueprint<'_>) -> Value {
    let canary = &blueprint.plan.canary;
    json!({
        "apiVersion": API_VERSION,
        "kind": "Canary",
        "name": canary.name,
        "uid": canary.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}
