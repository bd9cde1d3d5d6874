//! What a hook sends.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The payload of a hook. Unknown fields are ignored; a gate needs neither metadata nor, strictly, a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Payload {
    /// The name of the Canary.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its phase, as the hook is to believe it.
    pub phase: String,
    /// The checksum of the revision.
    pub checksum: String,
    /// What the hook says besides.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Why a body is no payload.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("the body is empty: a payload with name, namespace and metadata is expected")]
    Empty,
    #[error("read the payload: {0}")]
    Json(String),
}

impl Payload {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        match body.trim_ascii().first() {
            None => return Err(PayloadError::Empty),
            Some(b'{') => {}
            // serde would read a list as the fields in their order.
            Some(_) => return Err(PayloadError::Json("it is no JSON object".to_owned())),
        }
        serde_json::from_slice(body).map_err(|error| PayloadError::Json(error.to_string()))
    }

    /// Namespace and name.
    pub(crate) fn canary(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }
}
