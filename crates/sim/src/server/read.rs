//! GET, LIST and WATCH.

use super::failure::Failure;
use super::selector::{FieldSelector, LabelSelector};
use super::store::{Event, Object};
use super::watch::{self, Bookmarks, Part, Scope, Terms};
use super::{Answer, Api, Call};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How many lists can be read on from their next page at once.
const OPEN_LISTS: usize = 64;

/// Lists whose next page has not been asked for yet: each is a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    open: VecDeque<Snapshot>,
    made: u64,
}

#[derive(Debug)]
struct Snapshot {
    token: String,
    version: u64,
    rest: Vec<Arc<Object>>,
}

impl Pages {
    fn keep(&mut self, version: u64, rest: Vec<Arc<Object>>) -> String {
        self.made += 1;
        let token = format!("page-{}", self.made);
        self.open.push_back(Snapshot {
            token: token.clone(),
            version,
            rest,
        });
        if self.open.len() > OPEN_LISTS {
            self.open.pop_front();
        }
        token
    }

    fn take(&self, token: &str) -> Result<(u64, Vec<Arc<Object>>), Failure> {
        if !token.starts_with("page-") {
            let message = "invalid continue token: continue key is not valid";
            return Err(Failure::bad_request(message));
        }
        let found = self.open.iter().find(|it| it.token == token);
        found.map(|it| (it.version, it.rest.clone())).ok_or_else(|| {
            Failure::expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.")
        })
    }

    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}

impl Api {
    pub(super) fn read_one(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        Ok(Self::shown(call, 200, &*self.live(call)?))
    }

    pub(super) fn scope(call: &Call<'_>) -> Result<Scope, Failure> {
        let query = &call.request.query;
        let mut scope = Scope {
            namespace: call.resource.namespace.clone(),
            labels: LabelSelector::parse(query.get("labelSelector"))?,
            fields: FieldSelector::parse(query.get("fieldSelector"), &call.kind.name)?,
        };
        if !call.resource.name.is_empty() {
            let one = format!("metadata.name={}", call.resource.name);
            scope.fields = FieldSelector::parse(&one, &call.kind.name)?;
        }
        Ok(scope)
    }

    pub(super) fn read_list(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let scope = Self::scope(call)?;
        let query = &call.request.query;
        let (version, mut found) = match query.get("continue") {
            "" => {
                let all = self.store.range(call.stored, &scope.namespace, None);
                let found = all.filter(|object| scope.holds(object)).cloned().collect();
                (self.store.version(), found)
            }
            token => self.pages.take(token)?,
        };
        let limit = query
            .number("limit")
            .and_then(|limit| usize::try_from(limit).ok());
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if let Some(limit) = limit.filter(|limit| *limit > 0 && *limit < found.len()) {
            let rest = found.split_off(limit);
            crate::json::set(&mut metadata, &["remainingItemCount"], rest.len());
            crate::json::set(&mut metadata, &["continue"], self.pages.keep(version, rest));
        }
        Ok(Answer::Json(200, Self::list_text(call, &metadata, &found)))
    }

    fn list_text(call: &Call<'_>, metadata: &Value, items: &[Arc<Object>]) -> Bytes {
        let (api_version, kind) = match call.form.part() {
            Part::Row => {
                let objects = items.iter().map(|item| &***item);
                return call.form.table(metadata, objects).to_string().into();
            }
            Part::Metadata => (
                "meta.k8s.io/v1".to_owned(),
                "PartialObjectMetadata".to_owned(),
            ),
            Part::Whole => (
                call.kind.api_version(&call.resource.version),
                call.kind.name.clone(),
            ),
        };
        let mut text = format!(
            "{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}List\",\"metadata\":{metadata},\"items\":["
        )
        .into_bytes();
        // The real server leaves kind and version out of the items of built-in kinds, and so does this one.
        let is_bare = call.kind.is_native() && call.form.part() == Part::Whole;
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            if is_bare {
                write_bare(&mut text, &call.form.value(item));
            } else {
                text.extend_from_slice(&call.form.text(item));
            }
        }
        text.extend_from_slice(b"]}");
        text.into()
    }

    pub(super) fn follow(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let scope = Self::scope(call)?;
        let query = &call.request.query;
        let version = query.get("resourceVersion");
        let backlog = match version {
            _ if query.is_set("sendInitialEvents") => {
                let mut lines = self.everything(call, &scope);
                lines.push(watch::initial_end(&call.form, self.store.version()));
                lines
            }
            "" | "0" => self.everything(call, &scope),
            version => {
                let Some(lines) = self.events_since(call, &scope, version)? else {
                    let newest = self.store.version();
                    let message = format!("too old resource version: {version} ({newest})");
                    let line = watch::refused(&Failure::expired(message));
                    return Ok(Answer::Json(200, line));
                };
                lines
            }
        };
        let terms = Terms {
            client: Arc::clone(&call.request.by),
            staleness: Arc::clone(&call.request.staleness),
            bookmarks: if query.is_set("allowWatchBookmarks") {
                Bookmarks::Wanted
            } else {
                Bookmarks::Unwanted
            },
            timeout: query.number("timeoutSeconds").map(Duration::from_secs),
            latest: self.store.latest(),
        };
        let (watch, body) = watch::open(call.form.clone(), scope, terms, backlog);
        self.store.follow(call.stored, watch);
        Ok(Answer::Watch(Box::new(body)))
    }

    fn everything(&self, call: &Call<'_>, scope: &Scope) -> Vec<Bytes> {
        self.store
            .range(call.stored, &scope.namespace, None)
            .filter(|object| scope.holds(object))
            .map(|object| call.form.line("ADDED", object))
            .collect()
    }

    /// `None` when the history does not reach back that far.
    fn events_since(
        &self,
        call: &Call<'_>,
        scope: &Scope,
        version: &str,
    ) -> Result<Option<Vec<Bytes>>, Failure> {
        let version: u64 = version.parse().map_err(|_| {
            Failure::new(
                500,
                "InternalError",
                format!("resourceVersion: Invalid value: \"{version}\""),
            )
        })?;
        let line = |event: &Event| {
            let (class, object) = scope.sees(event)?;
            Some(call.form.line(class, object))
        };
        let events = self.store.since(call.stored, version);
        Ok(events.map(|events| events.filter_map(line).collect()))
    }

    /// Makes every watch and every open list too old, as a compaction of etcd does.
    pub(crate) fn compact(&mut self) {
        self.store.compact();
        self.pages.forget();
    }
}

/// An object without its kind and version.
fn write_bare(text: &mut Vec<u8>, object: &Value) {
    let fields = object.as_object().into_iter().flatten();
    let mut is_first = true;
    text.push(b'{');
    for (name, value) in fields.filter(|(name, _)| *name != "kind" && *name != "apiVersion") {
        if !std::mem::take(&mut is_first) {
            text.push(b',');
        }
        text.extend_from_slice(format!("{}:{value}", Value::from(name.as_str())).as_bytes());
    }
    text.push(b'}');
}
