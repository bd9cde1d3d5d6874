//! The CRDs (objects of kind `CustomResourceDefinition`): generated from the types, committed as `dist/install/crds.yaml`.
//!
//! A schema that refuses what Flagger's accepts breaks the drop-in, so it says as little as it can (A10 in the house's terms):
//! counts are `number`, no range is checked, kinds and routers are open words, either form of the analysis may be absent, and both served
//! versions share one schema. `Plan` says what is wrong, with the field and what is allowed.
//!
//! What it does say: the shape, the fields without which an object means nothing, the words of sets that this build closes itself, and
//! the few defaults that Flagger's schema had, so that one manifest is stored alike under either.

use kube_core::Resource;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::names::{GROUP, OLD_VERSION, VERSION};
use crate::{AlertProvider, Canary, MetricTemplate};

/// Key of a default that is meant: serde's own defaults, which schemars writes too, must not change what a user stored.
pub(crate) const DEFAULT: &str = "x-slipway-default";

/// The three CRDs: Canary, MetricTemplate, AlertProvider.
///
/// **Shape:** complete objects of `apiextensions.k8s.io/v1`, ready to be applied.
///
/// **Differs from Flagger:** `v1alpha3` of the Canary is served too, without a conversion webhook, since both versions have the same fields.
pub fn crds() -> Vec<Value> {
    vec![
        definition::<Canary>(&[
            version::<Canary>(VERSION, true, &canary_columns("analysis")),
            version::<Canary>(OLD_VERSION, false, &canary_columns("canaryAnalysis")),
        ]),
        definition::<MetricTemplate>(&[version::<MetricTemplate>(
            VERSION,
            true,
            &json!([column("Provider", "string", ".spec.provider.type", 0)]),
        )]),
        definition::<AlertProvider>(&[version::<AlertProvider>(
            VERSION,
            true,
            &json!([column("Type", "string", ".spec.type", 0)]),
        )]),
    ]
}

/// The CRDs as one YAML text, a document each, every document behind a `---`.
///
/// # Errors
/// Those of the YAML writer; none is known for these objects.
pub fn crds_yaml() -> Result<String, serde_saphyr::ser::Error> {
    let documents = serde_saphyr::to_string_multiple(&crds())?;
    Ok(format!("---\n{documents}"))
}

fn definition<K: Resource<DynamicType = ()>>(versions: &[Value]) -> Value {
    let (kind, plural) = (K::kind(&()), K::plural(&()));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{GROUP}"),
            // Helm, Flux and Argo CD would delete every release of the cluster with a chart or a distribution that is taken away.
            "annotations": {
                "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
                "helm.sh/resource-policy": "keep",
                "kustomize.toolkit.fluxcd.io/prune": "disabled",
            },
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "conversion": {"strategy": "None"},
            "versions": versions,
        },
    })
}

fn version<K: JsonSchema>(name: &str, storage: bool, columns: &Value) -> Value {
    json!({
        "name": name,
        "served": true,
        "storage": storage,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema::<K>()},
    })
}

/// Flagger's columns in Flagger's order; `analysis` is the field that this version's manifests use.
fn canary_columns(analysis: &str) -> Value {
    let spec = |field: &str| format!(".spec.{analysis}.{field}");
    json!([
        column("Status", "string", ".status.phase", 0),
        column("Weight", "string", ".status.canaryWeight", 0),
        column("Suspended", "boolean", ".spec.suspend", 1),
        column("FailedChecks", "string", ".status.failedChecks", 1),
        column("Interval", "string", &spec("interval"), 1),
        column("Mirror", "boolean", &spec("mirror"), 1),
        column("StepWeight", "string", &spec("stepWeight"), 1),
        column("StepWeights", "string", &spec("stepWeights"), 1),
        column("MaxWeight", "string", &spec("maxWeight"), 1),
        column(
            "LastTransitionTime",
            "string",
            ".status.lastTransitionTime",
            0
        ),
    ])
}

fn column(name: &str, type_: &str, path: &str, priority: i32) -> Value {
    json!({"name": name, "type": type_, "jsonPath": path, "priority": priority})
}

/// The structural schema of a kind.
fn schema<K: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut root = settings
        .into_generator()
        .into_root_schema_for::<K>()
        .to_value();
    make_structural(&mut root);
    if let Value::Object(root) = &mut root {
        root.remove("title");
    }
    root
}

/// Turns what schemars says of a Rust type into what a CRD may say of a field.
fn make_structural(schema: &mut Value) {
    let Value::Object(schema) = schema else {
        return;
    };
    unwrap_option(schema);
    for of_rust_only in ["nullable", "default"] {
        schema.remove(of_rust_only);
    }
    if let Some(meant) = schema.remove(DEFAULT) {
        schema.insert("default".to_owned(), meant);
    }
    // Widths of Rust's numbers; of the formats left only date-time means something to a reader.
    if schema.get("type") == Some(&json!("number")) {
        schema.remove("format");
    }
    keep_first_paragraph(schema);
    children(schema).for_each(make_structural);
}

/// `Option<T>` comes as a choice between `T` and null. Absent is how a manifest says null, so `T` is what stays.
fn unwrap_option(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.remove("anyOf") else {
        return;
    };
    let some = choices
        .iter()
        .filter_map(Value::as_object)
        .find(|choice| !choice.contains_key("nullable"));
    for (key, value) in some.into_iter().flatten() {
        // The field's own description says more than that of its type.
        schema.entry(key).or_insert_with(|| value.clone());
    }
}

/// The first paragraph of a doc comment is for users; the rest is for readers of the code.
fn keep_first_paragraph(schema: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = schema.get_mut("description")
        && let Some(end) = text.find("\n\n")
    {
        text.truncate(end);
    }
}

fn children(schema: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    let mut found = Vec::new();
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => found.extend(properties.values_mut()),
            ("items" | "additionalProperties", value) => found.push(value),
            _ => {}
        }
    }
    found.into_iter()
}
