"""The objects that the suites apply."""

from __future__ import annotations

import json
from typing import Any

Object = dict[str, Any]

APP = "app"
SLIPWAY = "slipway"
# What the application has in its environment before a release that removes it.
OLD_ENV = {"OLD": "yes"}
# Flagger's checksum of the ConfigMap that greets with hello.
CHECKSUM = "aac83f481075f7ca"
# Where dist/install puts Slipway for a whole cluster.
SYSTEM = "slipway-system"
HOOKS = "http://hooks.e2e"
# The parents of HTTPRoutes: in the form of a mesh the apex Service, else a Gateway in front of all.
APEX: Object = {"group": "", "kind": "Service", "name": APP, "port": 80}
EDGE: Object = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "namespace": "default"}
EDGE_PORT = 8181
# The port of the Gateway that a distribution brings.
DISTRIBUTION_PORT = 8282
# The address of the node.
NODE = "10.10.0.1"
PROMETHEUS = f"http://{NODE}:9090"

# The revisions of the application, by the tag of their image: what the environment makes of them.
REVISIONS: dict[str, dict[str, str]] = {
    "v1": {},
    "v2": {},
    "v3": {},
    "bad": {"ERROR_RATE": "0.2"},
    "slow": {"LATENCY": "900ms"},
    "never-ready": {"NEVER_READY": "true"},
    "crash": {"CRASH_AFTER": "40"},
    "broken": {"ERROR_RATE": "1"},
    # For measuring: everything usually fails once in a thousand requests, and takes 20 ms.
    "usual": {"ERROR_RATE": "0.001", "LATENCY": "20ms"},
    "usual-2": {"ERROR_RATE": "0.001", "LATENCY": "20ms"},
    "fails-100": {"ERROR_RATE": "1", "LATENCY": "20ms"},
    "fails-20": {"ERROR_RATE": "0.2", "LATENCY": "20ms"},
    "fails-5": {"ERROR_RATE": "0.05", "LATENCY": "20ms"},
    "fails-1": {"ERROR_RATE": "0.01", "LATENCY": "20ms"},
    "twice-as-slow": {"ERROR_RATE": "0.001", "LATENCY": "40ms"},
}


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def container(image: str, args: list[str] | None = None, **more: Any) -> Object:
    """A container with an image that is on the node, as an unprivileged user may run it."""
    return {
        "name": APP,
        "image": image,
        "imagePullPolicy": "Never",
        **({"args": args} if args else {}),
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **more,
    }


def probe(path: str) -> Object:
    """A probe a second; patient, because a loaded machine is not a sick pod."""
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 5}


def deployment(ns: str, tag: str, deadline: int) -> Object:
    """The application at a revision: two pods, with the ConfigMap `app` at /config."""
    app = container(f"app:{tag}", readinessProbe=probe("/readyz"), volumeMounts=[{"name": "config", "mountPath": "/config"}])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": APP, "namespace": ns, "labels": {"app": APP}},
        "spec": {
            "replicas": 2,
            "progressDeadlineSeconds": deadline,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": APP}},
            "template": {
                "metadata": {
                    "labels": {"app": APP},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
                },
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 20,
                    "containers": [app],
                    "volumes": [{"name": "config", "configMap": {"name": APP}}],
                },
            },
        },
    }


def as_daemon_set(workload: Object) -> Object:
    """A Deployment's application as a DaemonSet that starts the new pod before it ends the old one."""
    spec = {field: workload["spec"][field] for field in ("selector", "template")}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {**workload, "kind": "DaemonSet", "spec": {**spec, "updateStrategy": strategy}}


def secret(ns: str, value: str, kind: str = "Opaque") -> Object:
    """The application's Secret, of a type."""
    meta = {"name": APP, "namespace": ns}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": kind, "stringData": {"PASSWORD": value}}


def service(ns: str) -> Object:
    """A Service of the user's own before the application."""
    spec = {"selector": {"app": APP}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": APP, "namespace": ns, "labels": {"team": "shop"}}, "spec": spec}


def own_routes(ns: str, backend: str) -> list[Object]:
    """A route of the user's own that leads to that Service, where a backend has routes."""
    meta = {"name": APP, "namespace": ns, "labels": {"team": "shop"}}
    virtual = {"hosts": [APP], "http": [{"name": "all", "route": [{"destination": {"host": APP}}]}]}
    split = {"service": APP, "backends": [{"service": APP, "weight": "100"}]}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": APP, "port": 80, "weight": 100}]}
    kinds = {
        "istio": ("networking.istio.io/v1beta1", "VirtualService", virtual),
        "linkerd": ("split.smi-spec.io/v1alpha1", "TrafficSplit", split),
        "gateway-api": ("gateway.networking.k8s.io/v1", "HTTPRoute", {"parentRefs": [APEX], "rules": [rule]}),
    }
    if backend not in kinds:
        return []
    version, kind, spec = kinds[backend]
    return [{"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}]


def autoscaler(ns: str) -> Object:
    """A HorizontalPodAutoscaler of the application. There are no pod metrics here: it holds its limits and no more."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": APP}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": APP, "namespace": ns},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4},
    }


def config(ns: str, greeting: str) -> Object:
    """The application's ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": APP, "namespace": ns}, "data": {"greeting": greeting}}


def routed(ns: str, parent: Object | None) -> Object:
    """What a Canary says of the parents of its route: behind a gateway, which serves many, also of its host."""
    if parent is None:
        return {}
    return {"gatewayRefs": [parent], **({"hosts": [f"{APP}.{ns}"]} if parent is EDGE else {})}


def canary(ns: str, provider: str, analysis: Object, deadline: int, parent: Object | None = None) -> Object:
    """A Canary as users of Flagger write it, with a pace of two seconds."""
    metrics = [
        {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "10s"},
        {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "10s"},
    ]
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": APP, "namespace": ns},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": APP},
            "progressDeadlineSeconds": deadline,
            "service": {"port": 80, "targetPort": "http", "portName": "http", **routed(ns, parent)},
            "analysis": {"interval": "2s", "metrics": metrics, **analysis},
        },
    }


def edge_service(ns: str, port: int) -> Object:
    """The Service by which istiod knows the Envoy of a Gateway: in the Gateway's namespace, with the port of its listener."""
    spec = {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "http", "port": port, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": EDGE["name"], "namespace": ns}, "spec": spec}


def edge_address(ns: str) -> Object:
    """How a Gateway names that Service."""
    return {"type": "Hostname", "value": f"{EDGE['name']}.{ns}.svc.cluster.local"}


def gateway() -> list[Object]:
    """A Gateway in front of everything, and its Service."""
    meta = {"name": EDGE["name"], "namespace": EDGE["namespace"]}
    listener = {"name": "http", "port": EDGE_PORT, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    spec = {"gatewayClassName": "istio", "addresses": [edge_address(meta["namespace"])], "listeners": [listener]}
    return [
        edge_service(meta["namespace"], EDGE_PORT),
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": meta, "spec": spec},
    ]


def hook(kind: str, path: str) -> Object:
    """A webhook of the receiver in the cluster."""
    return {"name": path.strip("/").replace("/", "-"), "type": kind, "url": HOOKS + path, "timeout": "5s"}


def hooks() -> list[Object]:
    """The webhook receiver, behind http://hooks.e2e."""
    labels, ns = {"app": "hooks"}, "e2e"
    pod = {
        "automountServiceAccountToken": False,
        "containers": [container("hooks:e2e", readinessProbe=probe("/healthz"))],
    }
    return [
        namespace(ns),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "hooks", "namespace": ns},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hooks", "namespace": ns},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        },
    ]


def made_by_flagger(ns: str, provider: str, parent: Object | None, owner: Object, replicas: int) -> list[Object]:
    """What a Flagger makes for the application at v1, at rest: the primary with so many replicas, the Services, the routes."""
    primary = with_env(deployment(ns, "v1", 60), OLD_ENV)
    primary["spec"]["replicas"] = replicas
    name = f"{APP}-primary"
    labels, template = {"app": name}, primary["spec"]["template"]
    primary["metadata"] |= {"name": name, "labels": labels}
    primary["spec"]["selector"] = {"matchLabels": labels}
    template["metadata"]["labels"] = labels
    template["metadata"]["annotations"]["flagger-id"] = "c7cbf972-4f02-4741-8e98-2e0e0a0e812a"
    template["spec"]["volumes"][0]["configMap"]["name"] = name
    copy = config(ns, "hello")
    copy["metadata"]["name"] = name
    kept = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled", "helm.toolkit.fluxcd.io/driftDetection": "disabled"}
    made = [copy, primary]
    for service, selected in ((APP, name), (name, name), (f"{APP}-canary", APP)):
        port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}
        spec = {"type": "ClusterIP", "selector": {"app": selected}, "ports": [port]}
        made.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": service, "labels": {"app": service}}, "spec": spec})
    made += routes_of_flagger(ns, provider, parent)
    for item in made:
        item["metadata"] |= {"namespace": ns, "annotations": kept, "ownerReferences": [owner]}
    return made


def with_env(workload: Object, env: dict[str, str]) -> Object:
    """A Deployment of the application with environment variables."""
    workload["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": name, "value": value} for name, value in env.items()]
    return workload


def status_of_flagger() -> Object:
    """The status of a Canary that a Flagger has initialised."""
    at = "2026-01-01T00:00:00Z"
    told = {
        "type": "Promoted",
        "status": "True",
        "reason": "Initialized",
        "message": "Deployment initialization completed.",
        "lastTransitionTime": at,
        "lastUpdateTime": at,
    }
    return {
        "phase": "Initialized",
        "canaryWeight": 0,
        "failedChecks": 0,
        "iterations": 0,
        # A hash of one of Flagger's older versions, which nobody can reproduce: target and primary must be compared.
        "lastAppliedSpec": "12345678901234567890",
        "lastPromotedSpec": "12345678901234567890",
        "lastTransitionTime": at,
        "trackedConfigs": {f"configmap/{APP}": CHECKSUM},
        "conditions": [told],
    }


def routes_of_flagger(ns: str, provider: str, parent: Object | None) -> list[Object]:
    """The routing objects of a Canary at rest."""
    split = (f"{APP}-primary", 100), (f"{APP}-canary", 0)
    if provider == "istio":
        version = "networking.istio.io/v1beta1"
        routes = [{"destination": {"host": host}, "weight": weight} for host, weight in split]
        rule = {"apiVersion": version, "kind": "DestinationRule"}
        rules = [{**rule, "metadata": {"name": host}, "spec": {"host": host}} for host, _ in split]
        spec = {"gateways": ["mesh"], "hosts": [APP], "http": [{"route": routes}]}
        return [*rules, {"apiVersion": version, "kind": "VirtualService", "metadata": {"name": APP}, "spec": spec}]
    if provider == "linkerd":
        backends = [{"service": host, "weight": str(weight)} for host, weight in split]
        spec = {"service": APP, "backends": backends}
        return [{"apiVersion": "split.smi-spec.io/v1alpha1", "kind": "TrafficSplit", "metadata": {"name": APP}, "spec": spec}]
    if parent is not None:
        services: list[Object] = [{"group": "", "kind": "Service", "name": host, "port": 80, "weight": weight} for host, weight in split]
        matches = [{"path": {"type": "PathPrefix", "value": "/"}}]
        route: Object = {"parentRefs": [parent], "rules": [{"matches": matches, "backendRefs": services}]}
        route |= {"hostnames": [f"{APP}.{ns}"]} if parent is EDGE else {}
        return [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": APP}, "spec": route}]
    return []


def installation(manifests: str, *, ns: str | None, replicas: int, flags: tuple[str, ...] = ()) -> Object:
    """A kustomization over dist/install, as a provider writes one: the image of the node, this cluster's Prometheus, a pace for suites.

    With a namespace it is the one for that namespace, with nothing cluster-wide. Later flags win, so the manifests' own stay as they are.
    """
    slipway = "/spec/template/spec/containers/0"
    more = [f"-metrics-server={PROMETHEUS}", "--minimum-interval=1s", "-log-level=debug", *flags]
    patch = [
        {"op": "replace", "path": "/spec/replicas", "value": replicas},
        {"op": "add", "path": f"{slipway}/imagePullPolicy", "value": "Never"},
        *({"op": "add", "path": f"{slipway}/args/-", "value": flag} for flag in more),
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **({"namespace": ns} if ns else {}),
        "resources": [f"{manifests}/{'namespaced' if ns else 'controller'}"],
        "components": [f"{manifests}/backends/{backend}" for backend in ("istio", "linkerd", "gateway", "keda")],
        "images": [{"name": SLIPWAY, "newTag": "e2e"}],
        "patches": [{"target": {"kind": "Deployment", "name": SLIPWAY}, "patch": json.dumps(patch)}],
    }
