//! What every backend of the registry holds to, whatever the Canary, and whatever somebody else had made before.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

mod support;

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use slipway_core::object::{Key, Kind, Objects, Write};
use slipway_core::weight::{Routes, Weight};
use support::Release;
use support::cluster::{Cluster, USER};

/// Names in `spec.provider` of everything that has a backend. One that takes the place of another has its number behind it.
const PROVIDERS: [&str; 14] = [
    "gatewayapi:v1",
    "gatewayapi:v1beta1",
    "gatewayapi:v1#1",
    "gatewayapi:v1#9",
    "linkerd#1",
    "linkerd#2",
    "kubernetes",
    "istio",
    "linkerd",
    "osm",
    "smi:v1alpha1",
    "smi:v1alpha2:istio",
    "smi:v1alpha3",
    "smi:v1alpha2",
];

proptest! {
    #[test]
    fn what_is_rendered_is_read_back(given in given(), want in routes()) {
        let Given { release, mut cluster, .. } = given;
        let nothing_there = cluster.objects();
        match release.route(&mut cluster, want) {
            Ok(()) if release.router().kinds(release.blueprint().plan).is_empty() => {
                prop_assert_eq!(cluster.objects(), nothing_there);
                prop_assert_eq!(release.read(&cluster), Ok(None));
            }
            Ok(()) => prop_assert_eq!(release.read(&cluster), Ok(Some(want))),
            Err(problem) => {
                prop_assert!(want != Routes::PRIMARY, "nothing keeps traffic from the primary, but {}", problem);
                prop_assert!(!problem.field.is_empty() && !problem.allowed.is_empty());
            }
        }
    }

    #[test]
    fn what_a_plan_asks_for_is_rendered_unless_the_backend_objected(given in given()) {
        let objections = given.release.router().check(given.release.blueprint().plan, given.release.blueprint().canary);
        let refused = |want: &Routes| given.release.route(&mut given.cluster.clone(), *want).err();
        let problem = wishes(&given.release).iter().find_map(refused);
        match problem {
            None => prop_assert_eq!(objections, vec![]),
            Some(problem) => prop_assert!(objections.contains(&problem), "{} is not in {:?}", problem, objections),
        }
    }

    #[test]
    fn weights_sum_to_100_and_change_in_one_write(given in given(), one in routes(), other in routes()) {
        let seen = given.release.seen(&given.cluster);
        let render = |want| given.release.router().render(&given.release.blueprint(), &seen, want);
        let (Ok(one), Ok(other)) = (render(one), render(other)) else { return Ok(()) };
        for write in &one {
            let Write::Apply { object, .. } = write else { continue };
            for sum in sums_of_weights(object) {
                prop_assert_eq!(sum, 100, "in {:?}", object);
            }
        }
        let changed = one.iter().zip(&other).filter(|(one, other)| one != other).count();
        prop_assert_eq!(one.len(), other.len());
        prop_assert!(changed <= 1, "{} writes change", changed);
    }

    #[test]
    fn rendering_twice_is_rendering_once(given in given(), want in routes()) {
        let Given { release, mut cluster, .. } = given;
        let render = |cluster: &Cluster| release.router().render(&release.blueprint(), &release.seen(cluster), want);
        let Ok(first) = render(&cluster) else { return Ok(()) };
        cluster.write_all(first.clone());
        let once = cluster.objects();
        let second = render(&cluster).unwrap();
        cluster.write_all(second.clone());
        prop_assert_eq!(cluster.objects(), once);
        let specs = |writes: &[Write]| writes.iter().map(spec).collect::<Vec<_>>();
        prop_assert_eq!(specs(&second), specs(&first));
        prop_assert_eq!(render(&cluster), Ok(second), "the third is the second, so that it can be left out");
    }

    #[test]
    fn what_stands_in_an_object_decides_no_weight(given in given(), history in vec(routes(), 0..4), want in routes()) {
        let Given { release, cluster, .. } = given;
        let mut straight = cluster.clone();
        let mut after_history = cluster;
        for want in history {
            let _refused = release.route(&mut after_history, want);
        }
        if release.route(&mut straight, want).is_ok() {
            release.route(&mut after_history, want).unwrap();
            prop_assert_eq!(without_lost_mirrors(&after_history), without_lost_mirrors(&straight));
        }
    }

    #[test]
    fn fields_of_others_survive(given in given(), history in vec(routes(), 1..4)) {
        let Given { release, mut cluster, .. } = given;
        let before = cluster.objects();
        for want in history {
            let _refused = release.route(&mut cluster, want);
        }
        let after = cluster.objects();
        for (key, theirs) in before {
            prop_assert_eq!(foreign(&after[&key]), foreign(&theirs), "in {}", key);
        }
    }

    #[test]
    fn restore_gives_back_what_the_user_had_after_any_history(
        given in given(),
        edited in canary(),
        history in vec((any::<bool>(), routes()), 0..5),
    ) {
        let Given { release, mut cluster, provider } = given;
        let before = cluster.objects();
        let mut edited = Release::of(of_provider(edited, provider)).unwrap();
        edited.settings = release.settings.clone();
        edited.alternative = release.alternative;
        let mut last = &release;
        for (is_edited, want) in history {
            last = if is_edited { &edited } else { &release };
            let _refused = last.route(&mut cluster, want);
        }
        last.restore(&mut cluster).unwrap();
        prop_assert_eq!(cluster.objects(), before.clone());
        last.restore(&mut cluster).unwrap();
        prop_assert_eq!(cluster.objects(), before, "restoring twice is restoring once");
    }

    #[test]
    fn nothing_is_read_or_written_that_was_not_asked_for(given in given(), want in routes()) {
        let Given { release, cluster, .. } = given;
        let blueprint = release.blueprint();
        let seen = release.seen(&cluster);
        let needs = release.router().needs(&blueprint, &seen);
        let Ok(writes) = release.router().render(&blueprint, &seen, want) else { return Ok(()) };
        let kinds = release.router().kinds(blueprint.plan);
        for write in &writes {
            prop_assert!(needs.contains(write.key()), "{} is written unseen", write.key());
            prop_assert!(kinds.contains(&write.key().kind()), "{} is of no kind that is probed", write.key());
        }
    }

    #[test]
    fn an_object_of_the_user_gets_no_owner(given in given(), want in routes()) {
        let Given { release, mut cluster, .. } = given;
        let before = cluster.objects();
        let _refused = release.route(&mut cluster, want);
        for (key, object) in cluster.objects() {
            let is_owned = object.pointer("/metadata/ownerReferences").is_some();
            prop_assert_eq!(is_owned, release.settings.own_routes && !before.contains_key(&key), "{}", key);
        }
    }
}

/// A Canary, and what is there already.
struct Given {
    release: Release,
    cluster: Cluster,
    provider: &'static str,
}

/// The two manifests, not all that was made of them.
impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            release,
            cluster,
            provider,
        } = self;
        let spec = serde_json::to_string(&release.blueprint().canary.spec).unwrap();
        writeln!(
            formatter,
            "{provider}, own_routes {}: {spec}",
            release.settings.own_routes
        )?;
        cluster
            .objects()
            .iter()
            .try_for_each(|(key, object)| writeln!(formatter, "{key}: {object}"))
    }
}

fn given() -> impl Strategy<Value = Given> {
    let parts = (canary(), select(&PROVIDERS[..]), any::<bool>());
    parts.prop_flat_map(|(manifest, provider, own_routes)| {
        let release = move |manifest| {
            let mut release = Release::of(manifest).unwrap();
            release.settings.own_routes = own_routes;
            release.alternative = alternative_of(provider);
            release
        };
        let manifest = of_provider(manifest, provider);
        let first = release(manifest.clone());
        let keys = first.router().needs(&first.blueprint(), &Objects::new());
        let objects: Vec<_> = keys
            .into_iter()
            .map(|key| proptest::option::of(object_of_somebody(key)))
            .collect();
        objects.prop_map(move |objects| {
            let mut cluster = Cluster::default();
            for (key, object) in objects.into_iter().flatten() {
                cluster.create(key, USER, &object);
            }
            Given {
                release: release(manifest.clone()),
                cluster,
                provider,
            }
        })
    })
}

fn routes() -> impl Strategy<Value = Routes> {
    let percent = prop_oneof![2 => Just(0), 1 => Just(100), 4 => 0..=100_i64];
    (percent, prop::bool::weighted(0.2)).prop_map(|(canary, mirrored)| Routes {
        canary: Weight::clamped(canary),
        mirrored,
        everyone: false,
    })
}

/// The routes that a plan will ask for.
fn wishes(release: &Release) -> Vec<Routes> {
    use slipway_core::plan::Strategy::{AbTesting, BlueGreen, Canary};
    let plan = release.blueprint().plan;
    let mirrored = Routes {
        canary: Weight::ZERO,
        mirrored: true,
        everyone: false,
    };
    let mut wishes = vec![Routes::PRIMARY];
    match &plan.strategy {
        Canary { steps, mirror } => {
            wishes.extend(mirror.then_some(mirrored));
            wishes.extend(steps.iter().map(|step| Routes::to_canary(*step)));
        }
        BlueGreen {
            iterations: _,
            mirror,
        } => {
            wishes.extend(mirror.then_some(mirrored));
            wishes.push(Routes::to_canary(Weight::FULL));
        }
        AbTesting { iterations: _ } => wishes.push(Routes::to_canary(Weight::FULL)),
    }
    wishes
}

/// A Canary of no provider yet.
fn canary() -> impl Strategy<Value = Value> {
    (service(), analysis(), cookies()).prop_map(|(service, analysis, cookies)| {
        json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": {"name": "app", "namespace": "test", "uid": "1-2-3"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
                "service": service,
                "analysis": analysis,
            },
            "status": cookies,
        })
    })
}

/// What the status says about cookies, of this release and of others.
fn cookies() -> impl Strategy<Value = Value> {
    some_of(vec![
        ("sessionAffinityCookie", json!("side=abcdefghij")),
        ("primarySessionAffinityCookie", json!("main=klmnopqrst")),
        ("previousSessionAffinityCookie", json!("side=uvwxyzabcd")),
    ])
}

fn of_provider(mut manifest: Value, provider: &str) -> Value {
    manifest["spec"]["provider"] = json!(provider.split('#').next());
    manifest
}

fn alternative_of(provider: &str) -> usize {
    let number = provider.split('#').nth(1);
    number.map_or(0, |number| number.parse().unwrap())
}

/// A choice of the fields.
fn some_of(fields: Vec<(&'static str, Value)>) -> impl Strategy<Value = Value> {
    let count = fields.len();
    subsequence(fields, 0..=count).prop_map(|chosen| {
        chosen
            .into_iter()
            .map(|(field, value)| (field.to_owned(), value))
            .collect()
    })
}

fn service() -> impl Strategy<Value = Value> {
    let fields = vec![
        ("hosts", json!(["app.example.com", "app"])),
        ("gateways", json!(["edge/public", "mesh"])),
        (
            "gatewayRefs",
            json!([{"name": "public", "namespace": "edge"}, {"kind": "Service", "name": "app", "port": 80}]),
        ),
        ("backendTimeout", json!("1.5s")),
        (
            "mirror",
            json!([{"backendRef": {"name": "copies", "port": 80}}]),
        ),
        ("delegation", json!(true)),
        ("portDiscovery", json!(true)),
        ("appProtocol", json!("TCP")),
        ("timeout", json!("15s")),
        ("retries", json!({"attempts": 3})),
        ("headers", json!({"request": {"add": {"x-by": "route"}}})),
        ("rewrite", json!({"uri": "/", "type": "ReplaceFullPath"})),
        (
            "corsPolicy",
            json!({"allowOrigins": [{"exact": "example.com"}]}),
        ),
        (
            "trafficPolicy",
            json!({"tls": {"mode": "ISTIO_MUTUAL"}, "connectionPool": {"http": {"maxRetries": 1}}}),
        ),
        (
            "match",
            json!([{"uri": {"prefix": "/api"}}, {"headers": {"x-tenant": {"exact": "a"}}, "port": 8080}]),
        ),
        (
            "apex",
            json!({
                "labels": {"team": "ours", "l": "apex"},
                "annotations": {"a": "apex", "slipway.dev/paused": "true"},
            }),
        ),
    ];
    some_of(fields).prop_map(|mut service| {
        service["port"] = json!(80);
        service
    })
}

fn analysis() -> impl Strategy<Value = Value> {
    let selected =
        json!([{"headers": {"x-canary": {"exact": "yes"}}}, {"sourceLabels": {"tier": "lab"}}]);
    let pace = prop_oneof![
        Just(json!({"stepWeight": 20})),
        Just(json!({"stepWeights": [1, 5, 50], "mirror": true})),
        Just(json!({"iterations": 3})),
        Just(json!({"iterations": 3, "mirror": true, "mirrorWeight": 50})),
        Just(json!({"iterations": 3, "match": selected})),
        Just(json!({"stepWeight": 20, "match": selected})),
        Just(json!({"stepWeight": 20, "sessionAffinity": {"cookieName": "side"}})),
        Just(
            json!({"stepWeight": 20, "sessionAffinity": {"cookieName": "side", "primaryCookieName": "main"}})
        ),
    ];
    pace.prop_map(|mut analysis| {
        analysis["interval"] = json!("30s");
        analysis
    })
}

/// An object that somebody made with kubectl or otherwise, with labels and annotations that we may want for ourselves.
fn object_of_somebody(key: Key) -> impl Strategy<Value = (Key, Value)> {
    let labels = some_of(vec![
        ("team", json!("theirs")),
        ("app", json!("web")),
        ("foreign/label", json!("kept")),
    ]);
    let annotations = some_of(vec![
        ("a", json!("theirs")),
        ("kustomize.toolkit.fluxcd.io/reconcile", json!("enabled")),
        ("foreign/annotation", json!("kept")),
    ]);
    (labels, annotations, spec_of_somebody(key.kind()), any::<bool>()).prop_map(
        move |(labels, annotations, spec, by_kubectl)| {
            let mut object = json!({
                "apiVersion": key.api_version,
                "kind": key.kind,
                "metadata": {"name": key.name, "namespace": key.namespace},
                "spec": spec,
            });
            for (section, values) in [("labels", labels), ("annotations", annotations)] {
                if values != json!({}) {
                    object["metadata"][section] = values;
                }
            }
            if by_kubectl {
                let applied = json!(object.to_string());
                object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = applied;
            }
            (key.clone(), object)
        },
    )
}

fn spec_of_somebody(kind: Kind) -> BoxedStrategy<Value> {
    match kind.kind {
        "VirtualService" => (
            some_of(vec![
                ("hosts", json!(["app.example.com", "app.test.svc.cluster.local"])),
                ("gateways", json!(["edge/public"])),
                ("exportTo", json!(["."])),
                ("tls", json!([{"match": [{"port": 443}], "route": [{"destination": {"host": "app"}}]}])),
                ("newerThanUs", json!({"deep": {"er": [1, 2]}})),
            ]),
            vec(route_of_somebody(), 0..5),
            vec(route_of_somebody(), 0..3),
        )
            .prop_map(|(mut spec, http, tcp)| {
                for (protocol, routes) in [("http", http), ("tcp", tcp)] {
                    if !routes.is_empty() {
                        spec[protocol] = json!(routes);
                    }
                }
                spec
            })
            .boxed(),
        "DestinationRule" => some_of(vec![
            ("host", json!("app-canary.test.svc.cluster.local")),
            ("subsets", json!([{"name": "v1"}])),
            ("trafficPolicy", json!({"connectionPool": {"http": {"maxRetries": 9}}, "outlierDetection": {"interval": "1s"}})),
        ])
        .boxed(),
        "HTTPRoute" | "GRPCRoute" => (
            some_of(vec![
                ("hostnames", json!(["app.example.com"])),
                (
                    "parentRefs",
                    json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"}]),
                ),
                ("newerThanUs", json!({"deep": {"er": [1, 2]}})),
            ]),
            vec(rule_of_somebody(), 0..5),
        )
            .prop_map(|(mut spec, rules)| {
                if !rules.is_empty() {
                    spec["rules"] = json!(rules);
                }
                spec
            })
            .boxed(),
        "TrafficSplit" => some_of(vec![
            ("service", json!("app")),
            ("backends", json!([{"service": "app", "weight": 90}, {"service": "other", "weight": 10}])),
            ("matches", json!([{"kind": "HTTPRouteGroup", "name": "app"}])),
        ])
        .boxed(),
        _ => some_of(vec![("newerThanUs", json!({"deep": {"er": [1, 2]}}))]).boxed(),
    }
}

fn route_of_somebody() -> impl Strategy<Value = Value> {
    let host = select(vec![
        "app",
        "app.test",
        "app.test.svc.cluster.local",
        "cdn",
        "app.other",
        "application",
    ]);
    let fields = some_of(vec![
        ("name", json!("named")),
        ("match", json!([{"uri": {"prefix": "/static"}}])),
        ("timeout", json!("3s")),
        ("newerThanUs", json!({"deep": [1]})),
        ("mirror", json!({"host": "shadow"})),
    ]);
    let destination = (host, fields).prop_map(|(host, mut route)| {
        route["route"] = json!([{"destination": {"host": host}}]);
        route
    });
    prop_oneof![6 => destination, 1 => Just(json!({"redirect": {"uri": "/"}, "match": [{"uri": {"exact": "/old"}}]}))]
}

fn rule_of_somebody() -> impl Strategy<Value = Value> {
    let backend = select(vec![
        json!({"group": "", "kind": "Service", "name": "app", "port": 80, "weight": 1}),
        json!({"name": "app", "namespace": "test", "port": 80}),
        json!({"name": "app", "namespace": "other", "port": 80}),
        json!({"name": "cdn", "port": 80}),
        json!({"group": "example.com", "kind": "Bucket", "name": "app"}),
    ]);
    let fields = some_of(vec![
        (
            "matches",
            json!([{"path": {"value": "/static"}, "headers": [{"name": "a", "value": "b"}]}]),
        ),
        ("timeouts", json!({"request": "3s"})),
        ("newerThanUs", json!({"deep": [1]})),
        (
            "filters",
            json!([
                {"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Limit", "name": "theirs"}},
                {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x", "value": "theirs"}]}},
                {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow", "port": 80}}},
            ]),
        ),
    ]);
    (backend, fields).prop_map(|(backend, mut rule)| {
        rule["backendRefs"] = json!([backend]);
        rule
    })
}

/// What is not ours in an object.
fn foreign(object: &Value) -> Value {
    const OURS: [&str; 2] = ["team", "app"];
    let mut kept = Map::new();
    let labels = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let others = labels
        .into_iter()
        .filter(|(key, _)| !OURS.contains(&key.as_str()) && key != "l");
    kept.insert("labels".into(), Value::Object(others.collect()));
    for annotation in [
        "foreign/annotation",
        "kubectl.kubernetes.io/last-applied-configuration",
    ] {
        kept.insert(
            annotation.into(),
            object["metadata"]["annotations"][annotation].clone(),
        );
    }
    for field in ["exportTo", "tls", "newerThanUs", "subsets", "matches"] {
        kept.insert(field.into(), object["spec"][field].clone());
    }
    kept.insert(
        "outlierDetection".into(),
        object["spec"]["trafficPolicy"]["outlierDetection"].clone(),
    );
    let parents = object["spec"]["parentRefs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let theirs = parents
        .into_iter()
        .filter(|parent| parent["name"] == "theirs");
    kept.insert("parentRefs".into(), theirs.collect());
    for protocol in ["http", "tcp", "rules"] {
        let routes = object["spec"][protocol]
            .as_array()
            .cloned()
            .unwrap_or_default();
        kept.insert(
            protocol.into(),
            routes.into_iter().filter(leads_elsewhere).collect(),
        );
    }
    Value::Object(kept)
}

fn leads_elsewhere(route: &Value) -> bool {
    if let Some(backends) = route["backendRefs"].as_array() {
        let ours = ["app", "app-primary", "app-canary"].map(Value::from);
        let is_ours = |backend: &Value| {
            ours.contains(&backend["name"])
                && backend["namespace"] != "other"
                && backend["kind"] != "Bucket"
        };
        return !backends.iter().any(is_ours);
    }
    let host = route
        .pointer("/route/0/destination/host")
        .and_then(Value::as_str)
        .unwrap_or_default();
    ![
        "app",
        "app.test",
        "app.test.svc.cluster.local",
        "app-primary",
        "app-canary",
    ]
    .contains(&host)
}

/// A copy to the canary takes the place of a copy that somebody else wanted.
fn without_lost_mirrors(cluster: &Cluster) -> Vec<Value> {
    let mut objects: Vec<Value> = cluster.objects().into_values().collect();
    for object in &mut objects {
        let routes = object
            .pointer_mut("/spec/http")
            .and_then(Value::as_array_mut);
        for route in routes
            .into_iter()
            .flatten()
            .filter(|route| route["mirror"]["host"] == "shadow")
        {
            route.as_object_mut().unwrap().remove("mirror");
        }
    }
    objects
}

fn spec(write: &Write) -> Value {
    match write {
        Write::Apply { object, .. } => object["spec"].clone(),
        Write::Create { .. }
        | Write::Merge { .. }
        | Write::Replace { .. }
        | Write::Delete { .. } => Value::Null,
    }
}

/// The sum of each list whose entries have weights, as numbers or texts.
fn sums_of_weights(value: &Value) -> Vec<i64> {
    let weight = |entry: &Value| {
        let weight = entry.get("weight")?;
        weight.as_i64().or_else(|| weight.as_str()?.parse().ok())
    };
    match value {
        Value::Array(entries) => {
            let weights: Option<Vec<i64>> = entries.iter().map(weight).collect();
            let own = weights
                .filter(|weights| !weights.is_empty())
                .map(|weights| weights.iter().sum());
            own.into_iter()
                .chain(entries.iter().flat_map(sums_of_weights))
                .collect()
        }
        Value::Object(fields) => fields.values().flat_map(sums_of_weights).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
