//! The schema is structural, complete, and never narrower than what decodes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

mod support;

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use slipway_api::{AlertProvider, Canary, MetricTemplate};
use support::{as_go_means_it, assert_same, objections, schema_of};

const VERSIONS: [(&str, &str); 4] = [
    ("Canary", "v1beta1"),
    ("Canary", "v1alpha3"),
    ("MetricTemplate", "v1beta1"),
    ("AlertProvider", "v1beta1"),
];

/// Every field of Flagger's Canary, as its dossier lists them, and the two of ours in the status; what only travels on stands without its inside.
const FIELDS: &str = "
    spec.provider:string spec.metricsServer:string
    spec.targetRef.apiVersion:string spec.targetRef.kind:string spec.targetRef.name:string
    spec.autoscalerRef.apiVersion:string spec.autoscalerRef.kind:string spec.autoscalerRef.name:string
    spec.autoscalerRef.primaryScalerQueries:object
    spec.autoscalerRef.primaryScalerReplicas.minReplicas:number spec.autoscalerRef.primaryScalerReplicas.maxReplicas:number
    spec.ingressRef.apiVersion:string spec.ingressRef.kind:string spec.ingressRef.name:string
    spec.routeRef.apiVersion:string spec.routeRef.kind:string spec.routeRef.name:string
    spec.upstreamRef.apiVersion:string spec.upstreamRef.kind:string spec.upstreamRef.name:string spec.upstreamRef.namespace:string
    spec.service.name:string spec.service.port:number spec.service.portName:string spec.service.targetPort:int-or-string
    spec.service.appProtocol:string spec.service.trafficDistribution:string spec.service.portDiscovery:boolean
    spec.service.headless:boolean spec.service.timeout:string spec.service.backendTimeout:string
    spec.service.gateways:array spec.service.gatewayRefs:array spec.service.hosts:array spec.service.delegation:boolean
    spec.service.trafficPolicy:object spec.service.match:array spec.service.rewrite.uri:string
    spec.service.rewrite.authority:string spec.service.rewrite.type:string spec.service.retries:object
    spec.service.headers:object spec.service.mirror:array spec.service.corsPolicy:object spec.service.meshName:string
    spec.service.backends:array
    spec.service.apex.labels:object spec.service.apex.annotations:object
    spec.service.primary.labels:object spec.service.primary.annotations:object
    spec.service.canary.labels:object spec.service.canary.annotations:object
    spec.service.unmanagedMetadata.annotations:array spec.service.unmanagedMetadata.labels:array
    A.interval:string A.threshold:number A.iterations:number A.maxWeight:number A.stepWeight:number A.stepWeights:array
    A.stepWeightPromotion:number A.mirror:boolean A.mirrorWeight:number A.primaryReadyThreshold:number
    A.canaryReadyThreshold:number A.match[].headers:object A.match[].queryParams:object A.match[].sourceLabels:object
    A.metrics[].name:string A.metrics[].interval:string A.metrics[].threshold:number
    A.metrics[].thresholdRange.min:number A.metrics[].thresholdRange.max:number A.metrics[].query:string
    A.metrics[].templateRef.name:string A.metrics[].templateRef.namespace:string A.metrics[].templateVariables:object
    A.alerts[].name:string A.alerts[].severity:string A.alerts[].providerRef.name:string A.alerts[].providerRef.namespace:string
    A.webhooks[].name:string A.webhooks[].type:string A.webhooks[].url:string A.webhooks[].timeout:string
    A.webhooks[].retries:number A.webhooks[].muteAlert:boolean A.webhooks[].disableTLS:boolean A.webhooks[].metadata:object
    A.sessionAffinity.cookieName:string A.sessionAffinity.primaryCookieName:string A.sessionAffinity.maxAge:number
    A.sessionAffinity.domain:string A.sessionAffinity.httpOnly:boolean A.sessionAffinity.partitioned:boolean
    A.sessionAffinity.path:string A.sessionAffinity.sameSite:string A.sessionAffinity.secure:boolean
    spec.progressDeadlineSeconds:number spec.skipAnalysis:boolean spec.revertOnDeletion:boolean spec.suspend:boolean
    status.phase:string status.failedChecks:number status.canaryWeight:number status.iterations:number
    status.sessionAffinityCookie:string status.primarySessionAffinityCookie:string status.previousSessionAffinityCookie:string
    status.trackedConfigs:object status.lastAppliedSpec:string status.lastPromotedSpec:string
    status.lastTransitionTime:string status.conditions[].type:string status.conditions[].status:string
    status.conditions[].lastUpdateTime:string status.conditions[].lastTransitionTime:string status.conditions[].reason:string
    status.conditions[].message:string status.slipway:object status.observedGeneration:number
";

/// `path:type` of every field, with both names of the analysis.
fn fields() -> BTreeSet<String> {
    let both = |field: &str| match field.strip_prefix("A.") {
        Some(rest) => vec![
            format!("spec.analysis.{rest}"),
            format!("spec.canaryAnalysis.{rest}"),
        ],
        None => vec![field.to_owned()],
    };
    FIELDS.split_whitespace().flat_map(both).collect()
}

/// `path:type` of every leaf of a schema. A list of typed objects is not a leaf.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if schema["x-kubernetes-int-or-string"] == true {
        found.insert(format!("{path}:int-or-string"));
        return;
    }
    let opaque = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if let (Some(properties), false) = (schema["properties"].as_object(), opaque) {
        for (name, inner) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            leaves(inner, &path, found);
        }
        return;
    }
    let items = &schema["items"];
    if items["properties"].is_object() && items["x-kubernetes-preserve-unknown-fields"] != true {
        leaves(items, &format!("{path}[]"), found);
        return;
    }
    found.insert(format!("{path}:{}", schema["type"].as_str().unwrap()));
}

/// Calls `visit` on a schema and everything in it.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    let object = schema
        .as_object()
        .unwrap_or_else(|| panic!("{path} is {schema}"));
    visit(path, object);
    for (name, inner) in object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        walk(inner, &format!("{path}.{name}"), visit);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = object.get(inner) {
            walk(schema, &format!("{path}.{inner}"), visit);
        }
    }
}

#[test]
fn every_field_of_flagger_is_there_with_its_type_and_no_other() {
    for version in ["v1beta1", "v1alpha3"] {
        let mut found = BTreeSet::new();
        leaves(&schema_of("Canary", version), "", &mut found);
        let expected = fields();
        let missing: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{version}: missing {missing:#?}, more {more:#?}"
        );
    }
}

#[test]
fn the_schema_is_structural_and_says_nothing_that_refuses() {
    const KNOWN: [&str; 11] = [
        "type",
        "description",
        "properties",
        "items",
        "additionalProperties",
        "required",
        "enum",
        "format",
        "default",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
    ];
    for (kind, version) in VERSIONS {
        walk(&schema_of(kind, version), kind, &mut |path,
                                                    schema: &Map<
            String,
            Value,
        >| {
            let int_or_string = schema.contains_key("x-kubernetes-int-or-string");
            assert_eq!(
                schema.contains_key("type"),
                !int_or_string,
                "{path}: one type"
            );
            for key in schema.keys() {
                assert!(KNOWN.contains(&key.as_str()), "{path}: {key}");
            }
            assert!(
                !(schema.contains_key("properties") && schema.contains_key("additionalProperties")),
                "{path}: both kinds of fields"
            );
            assert_ne!(
                schema.get("type"),
                Some(&json!("integer")),
                "{path}: refuses 10.0"
            );
        });
    }
}

#[test]
fn only_the_defaults_of_flagger_are_filled_in() {
    let mut found = BTreeSet::new();
    walk(&schema_of("Canary", "v1beta1"), "", &mut |path,
                                                    schema: &Map<
        String,
        Value,
    >| {
        if let Some(value) = schema.get("default") {
            found.insert(format!("{path}={value}"));
        }
    });
    let expected = [
        ".spec.analysis.sessionAffinity.maxAge=86400",
        ".spec.canaryAnalysis.sessionAffinity.maxAge=86400",
        r#".spec.service.gatewayRefs.items.group="gateway.networking.k8s.io""#,
        r#".spec.service.gatewayRefs.items.kind="Gateway""#,
        r#".spec.service.mirror.items.backendRef.group="""#,
        r#".spec.service.mirror.items.backendRef.kind="Service""#,
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn only_words_that_this_build_closes_are_enumerated() {
    let mut found = BTreeSet::new();
    for (kind, version) in VERSIONS {
        walk(&schema_of(kind, version), kind, &mut |path,
                                                    schema: &Map<
            String,
            Value,
        >| {
            if schema.contains_key("enum") {
                found.insert(path.replace("canaryAnalysis", "analysis"));
            }
        });
    }
    let expected = [
        "AlertProvider.spec.type",
        "Canary.spec.analysis.alerts.items.severity",
        "Canary.spec.analysis.sessionAffinity.sameSite",
        "Canary.spec.analysis.webhooks.items.type",
        "Canary.status.phase",
        "MetricTemplate.spec.provider.type",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn nothing_is_required_that_flagger_does_not_require() {
    let mut found = BTreeSet::new();
    for (kind, version) in VERSIONS {
        walk(&schema_of(kind, version), kind, &mut |path,
                                                    schema: &Map<
            String,
            Value,
        >| {
            for name in schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                found.insert(format!("{path}.{}", name.as_str().unwrap()));
            }
        });
    }
    for free in [
        "Canary.spec.service",
        "Canary.spec.service.port",
        "Canary.spec.analysis",
        "Canary.spec.analysis.interval",
        "Canary.spec.analysis.threshold",
    ] {
        assert!(!found.contains(free), "{free}");
    }
    for needed in ["Canary.spec.targetRef", "Canary.spec.targetRef.name"] {
        assert!(found.contains(needed), "{needed}");
    }
}

#[test]
fn both_versions_of_the_canary_share_one_schema() {
    assert_eq!(
        schema_of("Canary", "v1beta1"),
        schema_of("Canary", "v1alpha3")
    );
}

#[test]
fn our_part_of_the_status_keeps_what_it_does_not_know() {
    let slipway = &schema_of("Canary", "v1beta1")["properties"]["status"]["properties"]["slipway"];
    assert_eq!(slipway["type"], "object");
    assert_eq!(slipway["x-kubernetes-preserve-unknown-fields"], true);
    assert!(slipway.get("properties").is_none());
}

#[test]
fn one_version_is_stored_and_both_are_served_without_a_webhook() {
    let crd = &slipway_api::crds()[0];
    let versions: Vec<_> = crd["spec"]["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| {
            (
                v["name"].as_str().unwrap(),
                v["served"] == true,
                v["storage"] == true,
            )
        })
        .collect();
    assert_eq!(
        versions,
        [("v1beta1", true, true), ("v1alpha3", true, false)]
    );
    assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
}

#[test]
fn the_envelope_is_flaggers() {
    for crd in slipway_api::crds() {
        let names = &crd["spec"]["names"];
        let kind = names["kind"].as_str().unwrap();
        let name = format!("{}.flagger.app", names["plural"].as_str().unwrap());
        assert_eq!(crd["metadata"]["name"], name);
        assert_eq!(
            crd["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
        // Flux and Argo CD leave it where it is, too: every release of the cluster hangs on it.
        let annotations = &crd["metadata"]["annotations"];
        assert_eq!(annotations["kustomize.toolkit.fluxcd.io/prune"], "disabled");
        let options = &annotations["argocd.argoproj.io/sync-options"];
        assert_eq!(options, "Prune=false,Delete=false");
        assert_eq!(names["listKind"], format!("{kind}List"));
        assert_eq!(names["singular"], kind.to_lowercase());
        assert_eq!(names["categories"], json!(["all"]));
        assert_eq!(crd["spec"]["scope"], "Namespaced");
        for version in crd["spec"]["versions"].as_array().unwrap() {
            assert_eq!(version["subresources"], json!({"status": {}}), "{kind}");
        }
    }
}

#[test]
fn the_columns_are_flaggers_in_flaggers_order() {
    let crd = &slipway_api::crds()[0];
    let columns: Vec<String> = crd["spec"]["versions"][0]["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let word = |key: &str| c[key].as_str().unwrap();
            format!(
                "{}:{}:{}:{}",
                word("name"),
                word("type"),
                word("jsonPath"),
                c["priority"]
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            "Status:string:.status.phase:0",
            "Weight:string:.status.canaryWeight:0",
            "Suspended:boolean:.spec.suspend:1",
            "FailedChecks:string:.status.failedChecks:1",
            "Interval:string:.spec.analysis.interval:1",
            "Mirror:boolean:.spec.analysis.mirror:1",
            "StepWeight:string:.spec.analysis.stepWeight:1",
            "StepWeights:string:.spec.analysis.stepWeights:1",
            "MaxWeight:string:.spec.analysis.maxWeight:1",
            "LastTransitionTime:string:.status.lastTransitionTime:0",
        ]
    );
}

/// The committed manifests; `BLESS=1 cargo test` writes them.
#[test]
fn the_committed_manifests_are_those_of_the_types() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/install/crds.yaml");
    let generated = format!(
        "# Generated from the types of crates/api: BLESS=1 cargo test -p slipway-api\n{}",
        slipway_api::crds_yaml().unwrap()
    );
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == generated,
        "dist/install/crds.yaml is not what the types say: BLESS=1 cargo test -p slipway-api"
    );
    let read: Vec<Value> = serde_saphyr::from_multiple(&committed).unwrap();
    assert_eq!(read, slipway_api::crds());
}

/// Anything at all that a schema lets through.
fn accepted_by(schema: &Value) -> BoxedStrategy<Value> {
    if schema["x-kubernetes-int-or-string"] == true {
        return prop_oneof![any::<i32>().prop_map(Value::from), text()].boxed();
    }
    if let Some(words) = schema["enum"].as_array() {
        return select(words.clone()).boxed();
    }
    match schema["type"].as_str().unwrap() {
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "number" => number(),
        "string" if schema["format"] == "date-time" => moment(),
        "string" => text(),
        "array" => vec(accepted_by(&schema["items"]), 0..3)
            .prop_map(Value::from)
            .boxed(),
        "object" => object_accepted_by(schema),
        other => panic!("type {other}"),
    }
}

fn object_accepted_by(schema: &Value) -> BoxedStrategy<Value> {
    if schema["additionalProperties"].is_object() {
        return btree_map(
            "[a-z]{1,4}",
            accepted_by(&schema["additionalProperties"]),
            0..3,
        )
        .prop_map(|fields| json!(fields))
        .boxed();
    }
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let fields: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        // Our own part is opaque to the schema and typed to us: its format is versioned instead.
        .filter(|(name, _)| *name != "slipway")
        .map(|(name, inner)| {
            let value = accepted_by(inner);
            let value = if required.contains(&name.as_str()) {
                value.prop_map(Some).boxed()
            } else {
                proptest::option::of(value).boxed()
            };
            let name = name.clone();
            value.prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    let known =
        fields.prop_map(|fields| fields.into_iter().flatten().collect::<Map<String, Value>>());
    if schema["x-kubernetes-preserve-unknown-fields"] != true {
        return known.prop_map(Value::from).boxed();
    }
    let unknown = btree_map("[a-z]{1,4}", prop_oneof![text(), number()], 0..3);
    (known, unknown)
        .prop_map(|(mut known, unknown)| {
            known.extend(unknown);
            Value::from(known)
        })
        .boxed()
}

fn text() -> BoxedStrategy<Value> {
    prop_oneof![Just(String::new()), "[a-z0-9:./ ]{1,8}", any::<String>()]
        .prop_map(Value::from)
        .boxed()
}

fn number() -> BoxedStrategy<Value> {
    prop_oneof![
        (-200_i64..200).prop_map(Value::from),
        (-200_i32..200).prop_map(|whole| json!(f64::from(whole))),
        (-200.0..200.0).prop_map(|float: f64| json!(float)),
        // Up to what a JSON number is good for.
        (-(1_i64 << 53)..(1 << 53)).prop_map(Value::from),
    ]
    .boxed()
}

fn moment() -> BoxedStrategy<Value> {
    (1970_i32..2200, 1_u32..13, 1_u32..29, 0_u32..86_400)
        .prop_map(|(year, month, day, second)| {
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            json!(format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
            ))
        })
        .boxed()
}

fn whole_object(kind: &str) -> BoxedStrategy<Value> {
    let kind = kind.to_owned();
    accepted_by(&schema_of(&kind, "v1beta1"))
        .prop_map(move |mut object| {
            object["apiVersion"] = json!("flagger.app/v1beta1");
            object["kind"] = json!(kind);
            object["metadata"] = json!({"name": "any"});
            object
        })
        .boxed()
}

fn there_and_back<K>(object: &Value) -> Result<Value, serde_json::Error>
where
    K: serde::Serialize + serde::de::DeserializeOwned,
{
    serde_json::to_value(serde_json::from_value::<K>(object.clone())?)
}

fn assert_comes_back<K>(object: &Value)
where
    K: serde::Serialize + serde::de::DeserializeOwned,
{
    let back = there_and_back::<K>(object).unwrap_or_else(|error| panic!("{error} in {object:#}"));
    // The spec only: of a status that no controller wrote, decoding is all that is asked.
    assert_same(
        &as_go_means_it(&object["spec"]),
        &as_go_means_it(&back["spec"]),
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_canary_that_the_schema_accepts_decodes_and_comes_back(object in whole_object("Canary")) {
        assert_comes_back::<Canary>(&object);
    }

    #[test]
    fn a_template_that_the_schema_accepts_decodes_and_comes_back(object in whole_object("MetricTemplate")) {
        assert_comes_back::<MetricTemplate>(&object);
    }

    #[test]
    fn a_provider_that_the_schema_accepts_decodes_and_comes_back(object in whole_object("AlertProvider")) {
        assert_comes_back::<AlertProvider>(&object);
    }

    #[test]
    fn what_we_write_the_schema_accepts(object in whole_object("Canary")) {
        let mut back = there_and_back::<Canary>(&object).unwrap();
        for of_every_object in ["apiVersion", "kind", "metadata"] {
            back.as_object_mut().unwrap().remove(of_every_object);
        }
        let told = objections(&schema_of("Canary", "v1beta1"), &back, "");
        prop_assert!(told.is_empty(), "{told:#?}");
    }
}
