//! The garbage collector, and the end of namespaces.

use crate::json::{list, set, text};
use crate::server::Api;
use crate::server::kinds::{self, KindId};
use crate::server::store::{Key, Object};
use crate::server::{FOREGROUND, ORPHAN};
use serde_json::Value;
use std::sync::Arc;

/// An object whose owners are all gone goes too.
pub(super) fn check_owners(api: &mut Api, id: KindId, key: &Key, by: &Arc<str>) {
    let Some(object) = api.store.get(id, key) else {
        return;
    };
    let owners = list(object, &["metadata", "ownerReferences"]);
    let is_alive = |owner: &Value| api.store.by_uid(text(owner, &["uid"])).is_some();
    if owners.is_empty() || owners.iter().any(is_alive) {
        return;
    }
    api.discard(id, key, by);
}

/// What depends on an object that is gone, or that waits for its dependents.
pub(super) fn follow_owner(api: &mut Api, uid: &str, by: &Arc<str>) {
    let dependents: Vec<(KindId, Key)> = api.store.dependents(uid).cloned().collect();
    let Some((id, key)) = api.store.by_uid(uid).cloned() else {
        for (id, key) in dependents {
            check_owners(api, id, &key, by);
        }
        return;
    };
    let Some(owner) = api.store.get(id, &key).cloned() else {
        return;
    };
    if has_finalizer(&owner, ORPHAN) {
        for (id, key) in dependents {
            api.edit(id, &key, by, "", |live| {
                drop_from(live, &["metadata", "ownerReferences"], |owner| {
                    text(owner, &["uid"]) == uid
                });
            });
        }
        drop_finalizer(api, id, &key, ORPHAN, by);
    } else if has_finalizer(&owner, FOREGROUND) {
        if dependents.is_empty() {
            drop_finalizer(api, id, &key, FOREGROUND, by);
            return;
        }
        for (id, key) in dependents {
            api.discard(id, &key, by);
        }
    }
}

fn has_finalizer(object: &Object, finalizer: &str) -> bool {
    list(object, &["metadata", "finalizers"])
        .iter()
        .any(|it| it == finalizer)
}

fn drop_finalizer(api: &mut Api, id: KindId, key: &Key, finalizer: &str, by: &Arc<str>) {
    api.edit(id, key, by, "", |live| {
        drop_from(live, &["metadata", "finalizers"], |it| it == finalizer);
    });
}

fn drop_from(live: &mut Value, path: &[&str], goes: impl Fn(&Value) -> bool) {
    let kept: Vec<Value> = list(live, path)
        .iter()
        .filter(|it| !goes(it))
        .cloned()
        .collect();
    if kept.is_empty() {
        crate::json::take(live, path);
    } else {
        set(live, path, kept);
    }
}

/// Deletes what is in a namespace that is going, and the namespace when nothing is left.
pub(super) fn empty_namespace(api: &mut Api, name: &str, by: &Arc<str>) {
    let key = Key::new("", name);
    if !api
        .store
        .get(kinds::NAMESPACE, &key)
        .is_some_and(|it| it.is_going())
    {
        return;
    }
    let namespaced: Vec<KindId> = api
        .kinds
        .served()
        .filter(|(_, kind)| kind.is_namespaced())
        .map(|(id, _)| id)
        .collect();
    let content: Vec<(KindId, Key)> = namespaced
        .iter()
        .flat_map(|id| {
            api.store
                .in_namespace(*id, name)
                .map(move |object| (*id, object.key()))
        })
        .collect();
    for (id, key) in &content {
        api.discard(*id, key, by);
    }
    let is_empty = namespaced
        .iter()
        .all(|id| api.store.in_namespace(*id, name).next().is_none());
    if is_empty {
        api.finish(kinds::NAMESPACE, &key, by);
    }
}
