"""The objects that the suites apply."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

APP = "app"
HOOKS = "http://hooks.e2e"
PROMETHEUS = "http://10.10.0.1:9090"

# The revisions of the application, by the tag of their image: what the environment makes of them.
REVISIONS: dict[str, dict[str, str]] = {
    "v1": {},
    "v2": {},
    "bad": {"ERROR_RATE": "0.2"},
    "slow": {"LATENCY": "900ms"},
    "never-ready": {"NEVER_READY": "true"},
    "crash": {"CRASH_AFTER": "40"},
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


def config(ns: str, greeting: str) -> Object:
    """The application's ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": APP, "namespace": ns}, "data": {"greeting": greeting}}


def canary(ns: str, provider: str, analysis: Object, deadline: int) -> Object:
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
            "service": {"port": 80, "targetPort": "http", "portName": "http"},
            "analysis": {"interval": "2s", "metrics": metrics, **analysis},
        },
    }


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


# What Slipway may do: in the namespaces of the releases, and to the kinds that the three backends need.
EVERYTHING = ["get", "list", "watch", "create", "update", "patch", "delete"]
RULES: list[Object] = [
    {"apiGroups": ["flagger.app"], "resources": ["*"], "verbs": EVERYTHING},
    {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale", "daemonsets"], "verbs": EVERYTHING},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["services", "configmaps", "secrets", "events"], "verbs": EVERYTHING},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": EVERYTHING},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": EVERYTHING},
    {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices", "destinationrules"], "verbs": EVERYTHING},
    {"apiGroups": ["split.smi-spec.io"], "resources": ["trafficsplits"], "verbs": EVERYTHING},
]
CLUSTER_RULES = [{"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get", "list", "watch"]}]


def slipway(ns: str, *, only_here: bool) -> list[Object]:
    """Slipway as a pod under its own rights: for the whole cluster, or with nothing but a Role in its own namespace."""
    name, labels = "slipway", {"app": "slipway"}
    args = [
        "controller",
        "-mesh-provider=kubernetes",
        f"-metrics-server={PROMETHEUS}",
        "--minimum-interval=1s",
        "-port=8080",
        "-log-level=debug",
        *([f"-namespace={ns}"] if only_here else []),
    ]
    prefix, scope = ("", {"namespace": ns}) if only_here else ("Cluster", {})
    rights = "rbac.authorization.k8s.io"
    spec = {
        "serviceAccountName": name,
        "containers": [container("slipway:e2e", args, readinessProbe=probe("/readyz"), livenessProbe=probe("/healthz"))],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": ns}},
        {
            "apiVersion": f"{rights}/v1",
            "kind": f"{prefix}Role",
            "metadata": {"name": name, **scope},
            "rules": RULES + ([] if only_here else CLUSTER_RULES),
        },
        {
            "apiVersion": f"{rights}/v1",
            "kind": f"{prefix}RoleBinding",
            "metadata": {"name": name, **scope},
            "roleRef": {"apiGroup": rights, "kind": f"{prefix}Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": ns}],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": ns},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        },
    ]
