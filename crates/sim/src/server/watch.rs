//! Watches: what a follower sees of a write, and the stream that carries it.

use super::events;
use super::kinds::{Kind, KindId};
use super::selector::{FieldSelector, LabelSelector};
use super::store::{Event, Object};
use super::table::{self, Column};
use crate::clock::Clock;
use crate::faults::Staleness;
use crate::json::dig;
use bytes::Bytes;
use http_body::Frame;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

/// How often a watch at rest says how far it is, as the real server does.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

/// How an object is written for a client: in which version, whole or its metadata only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    api_version: String,
    kind: String,
    part: Part,
    representation: Representation,
    stored: String,
    columns: Arc<[Column]>,
    /// What ages are told by.
    clock: Option<Clock>,
}

/// How much of an object a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Metadata,
    /// A row of a table.
    Row,
}

impl Part {
    /// What an `Accept` header asks for; of several, the first that is known.
    pub(crate) fn accepted(accept: &str) -> Self {
        let known = accept.split(',').find_map(|form| {
            let is_v1 = form.contains("v=v1;") || form.trim_end().ends_with("v=v1");
            if form.contains("as=PartialObjectMetadata") {
                Some(Self::Metadata)
            } else if form.contains("as=Table") && is_v1 {
                Some(Self::Row)
            } else {
                None
            }
        });
        known.unwrap_or(Self::Whole)
    }
}

/// Whether an object is stored as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Representation {
    Same,
    /// An event in the form of `events.k8s.io`; events are stored in the core form.
    NewEvent,
}

impl Form {
    pub(crate) fn new(id: KindId, kind: &Kind, version: &str, part: Part) -> Self {
        Self {
            api_version: kind.api_version(version),
            kind: kind.name.clone(),
            part,
            representation: if id == super::kinds::NEW_EVENT {
                Representation::NewEvent
            } else {
                Representation::Same
            },
            stored: kind.stored_version(),
            columns: if part == Part::Row {
                let defined = kind.columns.clone();
                defined.unwrap_or_else(|| table::columns(id).into())
            } else {
                Arc::default()
            },
            clock: None,
        }
    }

    /// With ages told by this clock.
    pub(crate) fn at(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// These objects as a table.
    pub(crate) fn table<'a>(
        &self,
        metadata: &Value,
        objects: impl Iterator<Item = &'a Value>,
    ) -> Value {
        let clock = self.clock.unwrap_or_else(Clock::start);
        table::table(&self.columns, clock, metadata, objects)
    }

    pub(crate) fn api_version(&self) -> &str {
        &self.api_version
    }

    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// The object in this form.
    pub(crate) fn value(&self, object: &Object) -> Value {
        self.shown(object).unwrap_or_else(|| (**object).clone())
    }

    /// The object's text in this form.
    pub(crate) fn text(&self, object: &Object) -> Bytes {
        match self.shown(object) {
            None => object.text(),
            Some(value) => serde_json::to_vec(&value).unwrap_or_default().into(),
        }
    }

    /// `None` where the object is shown as it is stored.
    fn shown(&self, object: &Object) -> Option<Value> {
        match (self.part, self.representation) {
            (Part::Metadata, _) => Some(json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": object.get("metadata"),
            })),
            (Part::Row, _) => {
                let version = dig(object, &["metadata", "resourceVersion"]);
                let metadata = json!({"resourceVersion": version});
                Some(self.table(&metadata, std::iter::once(&**object)))
            }
            (Part::Whole, Representation::NewEvent) => Some(events::to_new(object)),
            (Part::Whole, Representation::Same) if self.api_version == self.stored => None,
            (Part::Whole, Representation::Same) => {
                let mut value = (**object).clone();
                crate::json::set(&mut value, &["apiVersion"], self.api_version.as_str());
                Some(value)
            }
        }
    }

    /// One line of a watch stream.
    pub(crate) fn line(&self, class: &str, object: &Object) -> Bytes {
        let text = self.text(object);
        let mut line = Vec::with_capacity(text.len() + 40);
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(class.as_bytes());
        line.extend_from_slice(b"\",\"object\":");
        line.extend_from_slice(&text);
        line.extend_from_slice(b"}\n");
        line.into()
    }

    fn bookmark(&self, version: u64, annotations: &Value) -> Bytes {
        let (api_version, kind) = match self.part {
            Part::Whole => (self.api_version.as_str(), self.kind.as_str()),
            Part::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadata"),
            Part::Row => ("meta.k8s.io/v1", "Table"),
        };
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if !annotations.is_null() {
            crate::json::set(&mut metadata, &["annotations"], annotations.clone());
        }
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        format!("{}\n", json!({"type": "BOOKMARK", "object": object})).into()
    }
}

/// What a client follows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Empty for all.
    pub(crate) namespace: String,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Scope {
    pub(crate) fn holds(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && self.labels.matches(object)
            && self.fields.matches(object)
    }

    /// An object that leaves the selection is deleted for the follower, one that enters it is added.
    pub(crate) fn sees<'a>(&self, event: &'a Event) -> Option<(&'static str, &'a Object)> {
        let before = event.before.as_deref().filter(|object| self.holds(object));
        let after = event.after.as_deref().filter(|object| self.holds(object));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(("ADDED", after)),
            (Some(_), Some(after)) => Some(("MODIFIED", after)),
            (Some(_), None) => event.departed().map(|departed| ("DELETED", departed)),
        }
    }
}

/// The server's end of a watch.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) form: Form,
    pub(crate) client: Arc<str>,
    scope: Scope,
    lines: mpsc::UnboundedSender<Message>,
}

/// What goes through a watch.
#[derive(Debug)]
pub(crate) enum Message {
    Line(Bytes),
    /// The staleness of the client changed: look again.
    Poke,
    /// `410 Gone`, then the end.
    Expire,
    /// The connection ends.
    End,
}

impl Watch {
    pub(crate) fn sees<'a>(&self, event: &'a Event) -> Option<(&'static str, &'a Object)> {
        self.scope.sees(event)
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.lines.is_closed()
    }

    pub(crate) fn send(&self, line: Bytes) -> bool {
        self.tell(Message::Line(line))
    }

    /// `false` if nobody listens any more.
    pub(crate) fn tell(&self, message: Message) -> bool {
        self.lines.send(message).is_ok()
    }
}

/// What a watch request asks for beside its scope.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) client: Arc<str>,
    pub(crate) staleness: Arc<Staleness>,
    pub(crate) bookmarks: Bookmarks,
    pub(crate) timeout: Option<Duration>,
    pub(crate) latest: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    Unwanted,
    Wanted,
}

/// The client's end of a watch: a response body with one line for each event.
#[derive(Debug)]
pub struct WatchBody {
    lines: mpsc::UnboundedReceiver<Message>,
    form: Form,
    terms: Terms,
    held: VecDeque<(Instant, Bytes)>,
    last_words: Option<Bytes>,
    is_ending: bool,
    is_repeating: bool,
    ends: Option<Instant>,
    bookmark: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// Both ends of a new watch that begins with `backlog`.
pub(crate) fn open(
    form: Form,
    scope: Scope,
    terms: Terms,
    backlog: Vec<Bytes>,
) -> (Watch, WatchBody) {
    let (sender, lines) = mpsc::unbounded_channel();
    let now = Instant::now();
    let watch = Watch {
        form: form.clone(),
        client: Arc::clone(&terms.client),
        scope,
        lines: sender,
    };
    let body = WatchBody {
        lines,
        form,
        held: backlog.into_iter().map(|line| (now, line)).collect(),
        last_words: None,
        is_ending: false,
        is_repeating: false,
        ends: terms.timeout.map(|timeout| now + timeout),
        bookmark: (terms.bookmarks == Bookmarks::Wanted).then(|| now + BOOKMARK_EVERY),
        timer: Box::pin(tokio::time::sleep_until(now)),
        terms,
    };
    (watch, body)
}

/// The line that ends a watch which cannot go on, as a body of its own.
pub(crate) fn refused(failure: &super::failure::Failure) -> Bytes {
    format!(
        "{}\n",
        json!({"type": "ERROR", "object": failure.to_status()})
    )
    .into()
}

/// The bookmark that ends the initial events of a streaming list.
pub(crate) fn initial_end(form: &Form, version: u64) -> Bytes {
    form.bookmark(version, &json!({"k8s.io/initial-events-end": "true"}))
}

impl WatchBody {
    fn hear(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Poll::Ready(Some(message)) = self.lines.poll_recv(cx) {
            match message {
                Message::Line(line) => self.held.push_back((now, line)),
                Message::Poke => {}
                Message::End => self.is_ending = true,
                Message::Expire => {
                    let gone = super::failure::Failure::expired(
                        "The resourceVersion for the provided watch is too old.",
                    );
                    self.last_words = Some(refused(&gone));
                    self.is_ending = true;
                }
            }
        }
    }

    /// The next line that the client's staleness lets through, or when to look again.
    fn release(&mut self, now: Instant) -> Result<Bytes, Option<Instant>> {
        let stale = self.terms.staleness.now();
        if self.held.len() <= stale.behind {
            return Err(None);
        }
        match self.held.front() {
            Some((came, _)) if *came + stale.delay > now => Err(Some(*came + stale.delay)),
            Some(_) => {
                let Some((_, line)) = self.held.pop_front() else {
                    return Err(None);
                };
                self.is_repeating = stale.duplicates && !self.is_repeating;
                if self.is_repeating {
                    self.held.push_front((now, line.clone()));
                }
                Ok(line)
            }
            None => Err(None),
        }
    }

    fn due_bookmark(&mut self, now: Instant) -> Option<Bytes> {
        let due = self.bookmark.filter(|due| *due <= now)?;
        self.bookmark = Some(due + BOOKMARK_EVERY);
        // A bookmark must not say more than what was delivered.
        self.held.is_empty().then(|| {
            self.form
                .bookmark(self.terms.latest.load(Ordering::Acquire), &Value::Null)
        })
    }
}

impl http_body::Body for WatchBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            let now = Instant::now();
            self.hear(cx, now);
            if self.terms.staleness.now().is_dead {
                return Poll::Pending;
            }
            if self.is_ending {
                return Poll::Ready(self.last_words.take().map(|line| Ok(Frame::data(line))));
            }
            let next = match self.release(now) {
                Ok(line) => return Poll::Ready(Some(Ok(Frame::data(line)))),
                Err(next) => next,
            };
            if self.ends.is_some_and(|ends| ends <= now) {
                return Poll::Ready(None);
            }
            if let Some(bookmark) = self.due_bookmark(now) {
                return Poll::Ready(Some(Ok(Frame::data(bookmark))));
            }
            let Some(wake) = [next, self.ends, self.bookmark].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            if self.timer.deadline() != wake {
                self.timer.as_mut().reset(wake);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
