//! The API server: one request in, one answer out, nothing awaited.
//!
//! ```text
//!  request ──► verb on a resource ──► admission ──► store ──► watches
//!                                        │            └────► writes, for the rest of the world and for oracles
//!                                        └─ defaults, pruning, managed fields, generation
//! ```
//!
//! Not here: authentication, roles (rights can be taken away one by one), protobuf, schemas in OpenAPI, subresources that run programs.

pub(crate) mod admission;
mod apply;
mod authorization;
mod defaults;
mod delete;
mod discovery;
mod events;
mod failure;
mod fields;
pub(crate) mod kinds;
mod object;
mod openapi;
mod own;
mod patch;
mod read;
pub(crate) mod request;
mod rules;
mod scale;
pub(crate) mod selector;
mod shape;
pub(crate) mod store;
mod table;
pub(crate) mod watch;
mod write;

pub(crate) use delete::{FOREGROUND, ORPHAN};
pub use failure::Failure;
pub use object::{Object, Write};

use crate::clock::{Chance, Clock};
use crate::faults::Staleness;
use admission::Webhooks;
use bytes::Bytes;
use kinds::{Kind, KindId, Registry};
use read::Pages;
use request::{Query, Resource, Target, Verb};
use serde_json::Value;
use std::sync::Arc;
use store::{Cause, Store};
use watch::{Form, Part, WatchBody};

/// A request without its wire form.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) content_type: String,
    pub(crate) accept: String,
    pub(crate) body: Bytes,
    /// Who asks.
    pub(crate) by: Arc<str>,
    pub(crate) staleness: Arc<Staleness>,
}

/// An answer without its wire form.
#[derive(Debug)]
pub(crate) enum Answer {
    Json(u16, Bytes),
    Text(u16, String),
    Watch(Box<WatchBody>),
}

impl Answer {
    fn value(code: u16, value: &Value) -> Self {
        Self::Json(code, serde_json::to_vec(value).unwrap_or_default().into())
    }

    pub(crate) fn failure(failure: &Failure) -> Self {
        if failure.reason.is_empty() {
            Self::Text(failure.code, format!("{}\n", failure.message))
        } else {
            Self::value(failure.code, &failure.to_status())
        }
    }
}

/// The API server of one cluster.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) kinds: Registry,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) webhooks: Webhooks,
    pub(crate) rights: authorization::Rights,
    chance: Chance,
    pages: Pages,
    addresses: u32,
}

/// A request whose kind is known.
#[derive(Debug)]
struct Call<'a> {
    request: &'a Request,
    resource: &'a Resource,
    /// The kind as it is asked for.
    kind: Arc<Kind>,
    /// Where it is stored: events of both groups share one place.
    stored: KindId,
    form: Form,
}

impl Call<'_> {
    fn key(&self) -> store::Key {
        store::Key::new(
            self.resource.namespace.as_str(),
            self.resource.name.as_str(),
        )
    }

    fn is_dry(&self) -> bool {
        self.request.query.get("dryRun") == "All"
    }

    fn is_status(&self) -> bool {
        self.resource.subresource == "status"
    }

    fn manager(&self) -> &str {
        match self.request.query.get("fieldManager") {
            "" => &self.request.by,
            named => named,
        }
    }
}

impl Api {
    pub(crate) fn new(clock: Clock, chance: Chance) -> Self {
        Self {
            kinds: Registry::new(),
            store: Store::new(),
            clock,
            webhooks: Webhooks::default(),
            rights: authorization::Rights::default(),
            chance,
            pages: Pages::default(),
            addresses: 0,
        }
    }

    /// Answers one request.
    pub(crate) fn serve(&mut self, request: &Request) -> Answer {
        self.answer(request)
            .unwrap_or_else(|failure| Answer::failure(&failure))
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Result<Answer, Failure> {
        if let Some(reviewed) = self.rights.review(request) {
            return Ok(reviewed);
        }
        let resource = match Target::parse(&request.path, &self.kinds)? {
            Target::Document(path) => return discovery::document(&self.kinds, &path),
            Target::Resource(resource) => resource,
        };
        let kind = Arc::clone(self.kinds.get(resource.kind));
        let part = Part::accepted(&request.accept);
        let call = Call {
            request,
            resource: &resource,
            stored: if resource.kind == kinds::NEW_EVENT {
                kinds::EVENT
            } else {
                resource.kind
            },
            form: Form::new(resource.kind, &kind, &resource.version, part).at(self.clock),
            kind,
        };
        self.rights.check(&call)?;
        Self::check_subresource(&call)?;
        match request.verb {
            Verb::Get if resource.subresource == "scale" => self.read_scale(&call),
            Verb::Update | Verb::Patch if resource.subresource == "scale" => {
                self.write_scale(&call)
            }
            Verb::Get => self.read_one(&call),
            Verb::List => self.read_list(&call),
            Verb::Watch => self.follow(&call),
            Verb::Create => self.create(&call),
            Verb::Update => self.update(&call),
            Verb::Patch => self.patch(&call),
            Verb::Delete => self.delete(&call),
            Verb::DeleteCollection => self.delete_all(&call),
        }
    }

    fn check_subresource(call: &Call<'_>) -> Result<(), Failure> {
        let is_there = match call.resource.subresource.as_str() {
            "" => true,
            "status" => call.kind.status,
            "scale" => call.kind.scale,
            "finalize" => call.stored == kinds::NAMESPACE,
            _ => false,
        };
        let is_misplaced = call.kind.is_namespaced() == call.resource.namespace.is_empty()
            && !matches!(call.request.verb, Verb::List | Verb::Watch);
        if is_misplaced {
            return Err(Failure::no_such_path());
        }
        if !is_there && call.kind.is_native() {
            return Err(Failure::no_such_subresource());
        }
        if !is_there {
            return Err(Failure::not_found(&call.kind, &call.resource.name));
        }
        let needs_name =
            matches!(call.request.verb, Verb::Create) == !call.resource.name.is_empty();
        let is_named = matches!(
            call.request.verb,
            Verb::List | Verb::Watch | Verb::DeleteCollection
        );
        if needs_name && !is_named {
            return Err(Failure::method_not_allowed());
        }
        Ok(())
    }

    fn cause(&self, call: &Call<'_>, verb: Verb) -> Cause {
        Cause {
            by: Arc::clone(&call.request.by),
            verb,
            subresource: call.resource.subresource.clone(),
            at: self.clock.now(),
        }
    }

    fn live(&self, call: &Call<'_>) -> Result<Arc<Object>, Failure> {
        self.store
            .get(call.stored, &call.key())
            .cloned()
            .ok_or_else(|| Failure::not_found(&call.kind, &call.resource.name))
    }

    fn shown(call: &Call<'_>, code: u16, object: &Object) -> Answer {
        Answer::Json(code, call.form.text(object))
    }
}
