//! Codecs of outbound calls: webhooks and notifications.
//!
//! ```text
//!  Hook, Payload ──► webhook::request ──► http::Request ··· the shell sends it ···► status, body ──► webhook::verdict ──► Verdict
//!  Alert, Destination ──► Notifier::request ──► http::Request ··· the shell sends it ···► status, body ──► Notifier::accepted
//! ```
//!
//! No I/O, no clock. The invariants of this crate: **a hook passes with 200, 201 or 202 and with nothing else**, and **no secret, and
//! no address of a chat, is in an error, a verdict or a `Debug` of ours**. (An `http::Request` shows its URI: a chat's is not for logs.)
//!
//! A new chat is one module under `notify`, one variant of [`Chat`](notify::Chat), and one folder of golden cases.

mod address;
mod json;
pub mod notify;
mod payload;
mod text;
mod transport;
pub mod webhook;

pub use payload::Payload;
pub use transport::Transport;
