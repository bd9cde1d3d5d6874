//! The writes of the world's own controllers, and what every new object gets.

use super::Api;
use super::apply::{self, Writer};
use super::kinds::{self, Generation, Kind, KindId};
use super::request::Verb;
use super::rules::{complete, count_generation, lingers};
use super::store::{Cause, Content, Key, Object};
use crate::json::{dig, list, object, set, take, text};
use serde_json::{Value, json};
use std::sync::Arc;

impl Api {
    /// Gives a new object its metadata and takes away what only the server may say.
    pub(super) fn begin(&mut self, id: KindId, kind: &Kind, value: &mut Value) {
        if kind.status && id != kinds::NAMESPACE && id != kinds::NODE {
            take(value, &["status"]);
        }
        if id == kinds::POD {
            set(
                value,
                &["status"],
                json!({"phase": "Pending", "qosClass": "BestEffort"}),
            );
        }
        let uid = self.chance.uid();
        let stamp = self.clock.stamp();
        let metadata = object(object(value).entry("metadata").or_insert(Value::Null));
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "generation",
        ] {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), uid.into());
        metadata.insert("creationTimestamp".to_owned(), stamp.into());
        if kind.generation != Generation::Never {
            metadata.insert("generation".to_owned(), 1.into());
        }
    }

    /// Cluster addresses of Services; they belong to nobody.
    pub(super) fn allocate(&mut self, id: KindId, value: &mut Value) {
        if id != kinds::SERVICE || text(value, &["spec", "type"]) == "ExternalName" {
            return;
        }
        if text(value, &["spec", "clusterIP"]).is_empty() {
            self.addresses += 1;
            let (high, low) = (self.addresses / 250, self.addresses % 250 + 1);
            set(value, &["spec", "clusterIP"], format!("10.96.{high}.{low}"));
        }
        let address = dig(value, &["spec", "clusterIP"]).clone();
        set(value, &["spec", "clusterIPs"], json!([address]));
        crate::json::default(value, &["spec", "ipFamilies"], json!(["IPv4"]));
        crate::json::default(value, &["spec", "ipFamilyPolicy"], "SingleStack");
        crate::json::default(value, &["status"], json!({"loadBalancer": {}}));
    }

    /// Stores an object, and serves the kind that it defines if it defines one.
    pub(super) fn keep(
        &mut self,
        id: KindId,
        kind: &Arc<Kind>,
        mut content: Content,
        cause: &Cause,
    ) -> Arc<Object> {
        if id == kinds::CRD
            && let Some(defined) = kinds::defined_by(&content.value)
        {
            self.kinds.install(defined);
            set(
                &mut content.value,
                &["status", "conditions"],
                json!([{"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}]),
            );
        }
        self.store.put(id, kind, content, cause)
    }

    /// A controller of the world makes an object; it is told if the name is taken.
    pub(crate) fn make(
        &mut self,
        id: KindId,
        mut value: Value,
        by: &Arc<str>,
    ) -> Option<Arc<Object>> {
        let kind = Arc::clone(self.kinds.get(id));
        let key = Key::new(
            text(&value, &["metadata", "namespace"]),
            text(&value, &["metadata", "name"]),
        );
        if self.store.get(id, &key).is_some() {
            return None;
        }
        set(&mut value, &["apiVersion"], kind.stored_version());
        set(&mut value, &["kind"], kind.name.as_str());
        let status = take(&mut value, &["status"]);
        self.begin(id, &kind, &mut value);
        complete(id, &kind, &mut value);
        if let Some(status) = status {
            set(&mut value, &["status"], status);
        }
        let cause = self.own_cause(by, Verb::Create, "");
        Some(self.keep(
            id,
            &kind,
            Content {
                value,
                managers: Vec::new(),
            },
            &cause,
        ))
    }

    /// A controller of the world changes an object; nothing is written if nothing changes.
    ///
    /// Ownership is tracked for the kinds that controllers share with users; pods and the like have no managed fields here.
    pub(crate) fn edit(
        &mut self,
        id: KindId,
        key: &Key,
        by: &Arc<str>,
        subresource: &str,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Object>> {
        let old = Arc::clone(self.store.get(id, key)?);
        let kind = Arc::clone(self.kinds.get(id));
        let mut new = (*old).clone();
        change(&mut new);
        if new == **old {
            return Some(old);
        }
        if subresource != "status" {
            count_generation(&kind, &old, &mut new);
        }
        let managers = if old.managers().is_empty() {
            Vec::new()
        } else {
            let time = self.clock.stamp();
            let version = kind.stored_version();
            let writer = Writer {
                manager: by,
                version: &version,
                subresource,
                time: &time,
            };
            apply::after_update(&kind.shape, old.managers().to_vec(), &old, &new, &writer)
        };
        let cause = self.own_cause(by, Verb::Update, subresource);
        let stored = self.keep(
            id,
            &kind,
            Content {
                value: new,
                managers,
            },
            &cause,
        );
        if stored.is_going()
            && list(&stored, &["metadata", "finalizers"]).is_empty()
            && !lingers(id)
        {
            self.erase(id, key, &cause);
        }
        Some(stored)
    }

    pub(super) fn own_cause(&self, by: &Arc<str>, verb: Verb, subresource: &str) -> Cause {
        Cause {
            by: Arc::clone(by),
            verb,
            subresource: subresource.to_owned(),
            at: self.clock.now(),
        }
    }
}
