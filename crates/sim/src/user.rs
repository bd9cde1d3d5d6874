//! Somebody at the keyboard, or a second writer such as a GitOps controller: requests without a wire, answered at once.

use crate::faults::Faults;
use crate::json::{dig, text};
use crate::server::kinds::{self, Kind, KindId};
use crate::server::{
    Answer, Failure,
    store::{Key, Object},
};
use crate::service::Direct;
use crate::world::World;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

/// A writer with a name of its own, which is its field manager too.
#[derive(Clone, Debug)]
pub struct User {
    world: World,
    client: Faults,
}

/// What a name like `deployment`, `vs` or `canaries.flagger.app` means now.
struct Found {
    id: KindId,
    kind: Arc<Kind>,
}

impl User {
    pub(crate) fn new(world: World, client: Faults) -> Self {
        Self { world, client }
    }

    /// Applies a whole object server-side with force, as `kubectl apply --server-side --force-conflicts`; its namespace is made if it is missing.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn apply(&self, object: &Value) -> Result<Value, Failure> {
        let found = self.found_by_type(object)?;
        let namespace = namespace_of(&found.kind, object);
        if !namespace.is_empty() {
            self.make_namespace(namespace);
        }
        let version = version_of(object);
        let place = path_of(
            &found.kind,
            version,
            namespace,
            text(object, &["metadata", "name"]),
            "",
        );
        let query = format!("force=true&fieldManager={}", self.client.identity());
        self.ask(
            Method::PATCH,
            &place,
            &query,
            "application/apply-patch+yaml",
            object,
        )
    }

    /// Creates an object with POST.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn create(&self, object: &Value) -> Result<Value, Failure> {
        let found = self.found_by_type(object)?;
        let namespace = namespace_of(&found.kind, object);
        let place = path_of(&found.kind, version_of(object), namespace, "", "");
        self.ask(Method::POST, &place, "", "application/json", object)
    }

    /// Replaces an object with PUT.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn replace(&self, object: &Value) -> Result<Value, Failure> {
        let found = self.found_by_type(object)?;
        let namespace = namespace_of(&found.kind, object);
        let place = path_of(
            &found.kind,
            version_of(object),
            namespace,
            text(object, &["metadata", "name"]),
            "",
        );
        self.ask(Method::PUT, &place, "", "application/json", object)
    }

    /// Merges `patch` into an object (RFC 7396).
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn patch(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Failure> {
        let place = self.path(kind, namespace, name, "")?;
        self.ask(
            Method::PATCH,
            &place,
            "",
            "application/merge-patch+json",
            patch,
        )
    }

    /// Merges `patch` into an object's status.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn patch_status(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Failure> {
        let place = self.path(kind, namespace, name, "status")?;
        self.ask(
            Method::PATCH,
            &place,
            "",
            "application/merge-patch+json",
            patch,
        )
    }

    /// Gives every container of a workload this image, as `kubectl set image workload *=IMAGE`.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn set_image(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        image: &str,
    ) -> Result<Value, Failure> {
        let live = self.get(kind, namespace, name)?;
        let containers: Vec<Value> =
            crate::json::list(&live, &["spec", "template", "spec", "containers"])
                .iter()
                .map(|container| json!({"name": dig(container, &["name"]), "image": image}))
                .collect();
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let place = self.path(kind, namespace, name, "")?;
        self.ask(
            Method::PATCH,
            &place,
            "",
            "application/strategic-merge-patch+json",
            &patch,
        )
    }

    /// Sets the replicas through the `scale` subresource.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn scale(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        replicas: u32,
    ) -> Result<Value, Failure> {
        let place = self.path(kind, namespace, name, "scale")?;
        let patch = json!({"spec": {"replicas": replicas}});
        self.ask(
            Method::PATCH,
            &place,
            "",
            "application/merge-patch+json",
            &patch,
        )
    }

    /// Deletes an object in the background.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<Value, Failure> {
        let place = self.path(kind, namespace, name, "")?;
        self.ask(Method::DELETE, &place, "", "application/json", &Value::Null)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// 404 if it or its kind does not exist.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Arc<Object>, Failure> {
        let found = self.found(kind)?;
        let key = Key::new(
            if found.kind.is_namespaced() {
                namespace
            } else {
                ""
            },
            name,
        );
        self.world
            .inner()
            .with(|state| state.api.store.get(found.id, &key).cloned())
            .ok_or_else(|| Failure::not_found(&found.kind, name))
    }

    /// Reads all objects of a kind in a namespace, or everywhere if that is empty.
    ///
    /// # Errors
    /// 404 if the kind does not exist.
    pub fn list(&self, kind: &str, namespace: &str) -> Result<Vec<Arc<Object>>, Failure> {
        let id = self.found(kind)?.id;
        Ok(self.world.inner().with(|state| {
            state
                .api
                .store
                .in_namespace(id, namespace)
                .cloned()
                .collect()
        }))
    }

    fn make_namespace(&self, name: &str) {
        let by = Arc::clone(self.client.identity());
        let object = json!({"metadata": {"name": name}});
        self.world
            .inner()
            .with(|state| state.api.make(kinds::NAMESPACE, object, &by));
    }

    fn found(&self, name: &str) -> Result<Found, Failure> {
        self.look_up(|kinds| kinds.named(name))
    }

    fn found_by_type(&self, object: &Value) -> Result<Found, Failure> {
        let (version, kind) = (text(object, &["apiVersion"]), text(object, &["kind"]));
        self.look_up(|kinds| kinds.of(version, kind))
    }

    fn look_up(
        &self,
        find: impl FnOnce(&kinds::Registry) -> Option<KindId>,
    ) -> Result<Found, Failure> {
        self.world.inner().with(|state| {
            let id = find(&state.api.kinds).ok_or_else(Failure::no_such_path)?;
            let kind = Arc::clone(state.api.kinds.get(id));
            let id = if id == kinds::NEW_EVENT {
                kinds::EVENT
            } else {
                id
            };
            Ok(Found { id, kind })
        })
    }

    fn path(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
    ) -> Result<String, Failure> {
        let found = self.found(kind)?;
        let version = found.kind.versions.first().map_or("v1", String::as_str);
        let namespace = if found.kind.is_namespaced() {
            namespace
        } else {
            ""
        };
        Ok(path_of(&found.kind, version, namespace, name, subresource))
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        query: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body).unwrap_or_default()
        };
        let direct = Direct {
            method,
            path,
            query,
            content_type,
            body: body.into(),
            by: &self.client,
        };
        let request = direct.request().ok_or_else(Failure::method_not_allowed)?;
        self.world
            .inner()
            .with(|state| state.api.answer(&request))
            .map(|answer| match answer {
                Answer::Json(_, text) => serde_json::from_slice(&text).unwrap_or_default(),
                Answer::Text(..) | Answer::Watch(_) => Value::Null,
            })
    }
}

fn namespace_of<'a>(kind: &Kind, object: &'a Value) -> &'a str {
    if !kind.is_namespaced() {
        return "";
    }
    match text(object, &["metadata", "namespace"]) {
        "" => "default",
        namespace => namespace,
    }
}

fn version_of(object: &Value) -> &str {
    let version = text(object, &["apiVersion"]);
    version.rsplit('/').next().unwrap_or(version)
}

fn path_of(kind: &Kind, version: &str, namespace: &str, name: &str, subresource: &str) -> String {
    let mut path = if kind.group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{}/{version}", kind.group)
    };
    if !namespace.is_empty() {
        path.push_str("/namespaces/");
        path.push_str(namespace);
    }
    for step in [kind.plural.as_str(), name, subresource] {
        if !step.is_empty() {
            path.push('/');
            path.push_str(step);
        }
    }
    path
}
