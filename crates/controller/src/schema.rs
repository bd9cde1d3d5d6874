//! Does the API server keep what we remember? The status is our only memory, and a CRD of Flagger's that was left in place drops our part of
//! it with every write (A10).

use http::Request;
use serde_json::Value;

use crate::error::ApiError;

/// What the API server says of the kinds of Flagger's group. Every account may read it, so that no right is needed for a look at a CRD.
const DOCUMENT: &str = "/openapi/v3/apis/flagger.app/v1beta1";

/// Whether the Canaries that are served keep `status.slipway`.
///
/// # Errors
/// When it cannot be found out.
pub async fn keeps_status(client: &kube::Client) -> Result<bool, ApiError> {
    let failed = |error| ApiError::new("get", DOCUMENT, error);
    let request = Request::get(DOCUMENT).body(Vec::new());
    let request = request.map_err(|error| failed(kube::Error::HttpError(error)))?;
    let document: Value = client.request(request).await.map_err(failed)?;
    Ok(keeps(&document))
}

/// A document without Canaries says nothing against them.
fn keeps(document: &Value) -> bool {
    let schemas = document
        .pointer("/components/schemas")
        .and_then(Value::as_object);
    let canary = schemas
        .into_iter()
        .flatten()
        .find(|(name, _)| name.ends_with(".Canary"));
    let Some((_, canary)) = canary else {
        return true;
    };
    let at = |pointer: &str| canary.pointer(pointer).unwrap_or(&Value::Null);
    let keeps_all = |schema: &Value| {
        let extension = schema.get("x-kubernetes-preserve-unknown-fields");
        extension.and_then(Value::as_bool).unwrap_or(false)
    };
    at("/properties/status/properties/slipway").is_object()
        || keeps_all(at("/properties/status"))
        || keeps_all(canary)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_without_our_part_of_the_status_keeps_nothing_of_it() {
        let phase = json!({"type": "string"});
        let rows = [
            (json!({"properties": {"phase": phase}}), false),
            (json!({}), false),
            (
                json!({"properties": {"phase": phase, "slipway": {"type": "object"}}}),
                true,
            ),
            (json!({"x-kubernetes-preserve-unknown-fields": true}), true),
        ];
        for (status, expected) in rows {
            let canary = json!({"properties": {"status": status}});
            let document =
                json!({"components": {"schemas": {"app.flagger.v1beta1.Canary": canary}}});
            assert_eq!(keeps(&document), expected, "{document}");
        }
        assert!(
            keeps(&json!({"components": {"schemas": {}}})),
            "no Canaries are served yet"
        );
    }
}
