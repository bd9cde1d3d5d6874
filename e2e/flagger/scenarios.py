"""The stories of the traces, told so that any controller of `flagger.app/v1beta1` can be driven through them. Nothing here judges.

Flagger was recorded at an interval of ten seconds, its floor. All times here are in ticks, one tick being one interval, so that a
controller with a lower floor is through sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gateway

if TYPE_CHECKING:
    from record import Teller

Object = dict[str, Any]
ALL: dict[str, Callable[[Teller], None]] = {}
DONE = ("Succeeded", "Failed")
HOOKS = "http://127.0.0.1:19091"


def scenario(tell: Callable[[Teller], None]) -> Callable[[Teller], None]:
    """Registers a story under its name."""
    ALL[tell.__name__.replace("_", "-")] = tell
    return tell


def deployment(t: Teller, *, replicas: int = 1, pod: Object | None = None, container: Object | None = None, **spec: Any) -> Object:
    """The target."""
    app = {"name": "app", "image": "app:v1", "ports": [{"name": "http", "containerPort": 8080}], **(container or {})}
    template = {
        "metadata": {"labels": {"app": "app"}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {"nodeName": "n0", "automountServiceAccountToken": False, "containers": [app], **(pod or {})},
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": t.ns, "labels": {"app": "app"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "app"}}, "template": template, **spec},
    }


def canary(t: Teller, analysis: Object, *, service: Object | None = None, **spec: Any) -> Object:
    """The Canary, with both built-in metrics."""
    metrics = [
        {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
        {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
    ]
    return {
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "app", "namespace": t.ns},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "progressDeadlineSeconds": 60,
            "service": {"port": 80, "targetPort": "http", **(service or {})},
            "analysis": {"interval": f"{t.tick}s", "threshold": 2, "metrics": metrics, **analysis},
            **spec,
        },
    }


def start(t: Teller, made: Object, *extra: Object, target: Object | None = None) -> None:
    """The target and what it needs, then the Canary, until it is initialised."""
    t.apply(*extra, target or deployment(t))
    t.sleep(0.2)
    t.apply(made)
    t.phase("Initialized")


def release(t: Teller, tag: str = "v2") -> None:
    """A new revision, until it has ended."""
    t.image(tag)
    t.phase("Progressing")
    t.phase(*DONE)


def hook(t: Teller, name: str, kind: str, path: str, **more: Any) -> Object:
    """A webhook of the recorder."""
    return {"name": name, "type": kind, "url": f"{HOOKS}/{t.ns}/{path}", "timeout": "5s", **more}


@scenario
def canary_succeeds(t: Teller) -> None:
    """Istio, stepWeight 20, maxWeight 60: a healthy release is promoted."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 60}))
    release(t)


@scenario
def canary_fails_on_success_rate(t: Teller) -> None:
    """Istio: the success rate drops to 50 at the first weight; rolled back at the threshold. The next release is healthy."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 60}))
    t.image("v2")
    t.until(lambda status: status.get("canaryWeight", 0) >= 20)
    t.metrics(success=50.0)
    t.phase(*DONE)
    t.metrics(success=99.9)
    release(t, "v3")


@scenario
def canary_step_weights(t: Teller) -> None:
    """Istio: stepWeights 1, 10, 50, 80."""
    start(t, canary(t, {"stepWeights": [1, 10, 50, 80]}))
    release(t)


@scenario
def ab_testing(t: Teller) -> None:
    """Istio: A/B by header and cookie, three iterations."""
    match = [{"headers": {"x-canary": {"exact": "insider"}}}, {"headers": {"cookie": {"regex": "^(.*?;)?(canary=always)(;.*)?$"}}}]
    start(t, canary(t, {"iterations": 3, "match": match}))
    release(t)


@scenario
def blue_green(t: Teller) -> None:
    """Istio: blue/green, three iterations."""
    start(t, canary(t, {"iterations": 3}))
    release(t)


@scenario
def blue_green_mirror(t: Teller) -> None:
    """Istio: blue/green with traffic mirroring, three iterations."""
    start(t, canary(t, {"iterations": 3, "mirror": True, "mirrorWeight": 50}))
    release(t)


@scenario
def kubernetes_blue_green(t: Teller) -> None:
    """provider kubernetes: blue/green by Service selector, three iterations."""
    start(t, canary(t, {"iterations": 3}, provider="kubernetes"))
    release(t)


@scenario
def linkerd_canary(t: Teller) -> None:
    """provider linkerd (TrafficSplit v1alpha1): stepWeight 25, maxWeight 50."""
    start(t, canary(t, {"stepWeight": 25, "maxWeight": 50}, provider="linkerd"))
    release(t)


@scenario
def gateway_api_canary(t: Teller) -> None:
    """provider gatewayapi:v1: stepWeight 25, maxWeight 50."""
    t.kube.apply(*gateway.entrance("gw", "gw"))
    service = {"gatewayRefs": [{"name": "gw", "namespace": "gw"}], "hosts": ["app.example.com"]}
    start(t, canary(t, {"stepWeight": 25, "maxWeight": 50}, service=service, provider="gatewayapi:v1"))
    release(t)


@scenario
def hooks_and_gates(t: Teller) -> None:
    """Every kind of webhook; gates for rollout, traffic increase and promotion start closed and are opened in turn."""
    webhooks = [
        hook(t, "may-start", "confirm-rollout", "gate/rollout"),
        hook(t, "conformance", "pre-rollout", "ok", metadata={"type": "bash", "cmd": "true"}),
        hook(t, "load", "rollout", "ok", metadata={"cmd": "hey"}),
        hook(t, "may-grow", "confirm-traffic-increase", "gate/traffic"),
        hook(t, "may-promote", "confirm-promotion", "gate/promotion"),
        hook(t, "after", "post-rollout", "ok"),
        hook(t, "say", "event", "events"),
        hook(t, "back", "rollback", "gate/rollback"),
    ]
    start(t, canary(t, {"stepWeight": 50, "maxWeight": 50, "webhooks": webhooks}))
    t.image("v2")
    t.phase("Waiting")
    t.sleep(1.2)
    t.gate("rollout", is_open=True)
    t.phase("Progressing")
    t.sleep(2.5)
    t.gate("traffic", is_open=True)
    t.phase("WaitingPromotion")
    t.sleep(1.5)
    t.gate("promotion", is_open=True)
    t.phase(*DONE)


@scenario
def pre_rollout_fails(t: Teller) -> None:
    """The conformance test before the rollout keeps failing."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 60, "webhooks": [hook(t, "conformance", "pre-rollout", "fail")]}))
    release(t)


@scenario
def skip_analysis(t: Teller) -> None:
    """skipAnalysis: promoted at once."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 60}, skipAnalysis=True))
    t.image("v2")
    t.sleep(0.5)
    t.phase(*DONE)


@scenario
def new_revision_during_analysis(t: Teller) -> None:
    """v3 arrives while v2 is at 20."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 40}))
    t.image("v2")
    t.until(lambda status: status.get("canaryWeight", 0) >= 20)
    t.image("v3")
    t.sleep(1.2)
    t.phase(*DONE)


@scenario
def progress_deadline(t: Teller) -> None:
    """The canary's pods never become ready; progressDeadlineSeconds is three ticks."""
    deadline = 3 * t.tick
    made = canary(t, {"stepWeight": 20, "maxWeight": 60}, progressDeadlineSeconds=deadline)
    start(t, made, target=deployment(t, progressDeadlineSeconds=deadline))
    release(t, "broken")


@scenario
def session_affinity(t: Teller) -> None:
    """Istio, weights with sessionAffinity."""
    start(t, canary(t, {"stepWeight": 25, "maxWeight": 50, "sessionAffinity": {"cookieName": "app-cookie", "maxAge": 3600}}))
    release(t)


@scenario
def config_change(t: Teller) -> None:
    """A tracked ConfigMap changes, then a Secret; volume, env and envFrom; one is opted out."""
    untracked = {"flagger.app/config-tracking": "disabled"}

    def config(name: str, value: str, **meta: Any) -> Object:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": {"k": value}}

    def secret(name: str, value: str) -> Object:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"k": value}}

    sources = [{"secret": {"name": "sec"}}, {"configMap": {"name": "vol"}}]
    pod = {"volumes": [{"name": "v", "configMap": {"name": "vol"}}, {"name": "p", "projected": {"sources": sources}}]}
    container = {
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "envcm", "key": "k"}}}],
        "envFrom": [{"secretRef": {"name": "sec"}}, {"configMapRef": {"name": "optout"}}],
    }
    extra = [config("vol", "1"), config("envcm", "1"), config("optout", "1", annotations=untracked), secret("sec", "1")]
    start(t, canary(t, {"stepWeight": 50, "maxWeight": 50}), *extra, target=deployment(t, pod=pod, container=container))
    t.apply(config("optout", "2", annotations=untracked))
    t.sleep(2.2)
    t.apply(config("vol", "2"))
    t.phase("Progressing")
    t.phase(*DONE)
    t.sleep(0.3)
    t.apply(secret("sec", "2"))
    t.phase("Progressing")
    t.phase(*DONE)


@scenario
def revert_on_deletion(t: Teller) -> None:
    """revertOnDeletion: the Canary is deleted; the target is scaled up again and the objects are set back."""
    start(t, canary(t, {"stepWeight": 50, "maxWeight": 50}, revertOnDeletion=True), target=deployment(t, replicas=2))
    t.delete("flagger.app/v1beta1", "Canary", "app")
    t.sleep(4.5)
    t.gone("Deployment", "app-primary")


@scenario
def autoscaler(t: Teller) -> None:
    """autoscalerRef to an HPA with primaryScalerReplicas."""
    reference = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "app"}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 99}}}]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}
    scaler = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "app"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4, "metrics": metrics},
    }
    made = canary(
        t, {"stepWeight": 50, "maxWeight": 50},
        autoscalerRef={**reference, "primaryScalerReplicas": {"minReplicas": 3, "maxReplicas": 6}},
    )
    start(t, made, scaler, target=deployment(t, replicas=2))
    release(t)


@scenario
def metrics_server_down(t: Teller) -> None:
    """The metrics server answers 503 while the canary has traffic."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 60}))
    t.image("v2")
    t.until(lambda status: status.get("canaryWeight", 0) >= 20)
    t.metrics(success="down", duration="down")
    t.phase(*DONE)


@scenario
def no_traffic(t: Teller) -> None:
    """The queries return no samples."""
    start(t, canary(t, {"stepWeight": 20, "maxWeight": 60}))
    t.metrics(success="none", duration="none")
    release(t)


@scenario
def alerts(t: Teller) -> None:
    """AlertProviders of type slack, msteams and discord with severities info, warn and error; one release succeeds, one fails."""
    kinds = {"slack": "info", "msteams": "warn", "discord": "error"}
    providers = [
        {
            "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": kind},
            "spec": {"type": kind, "channel": "ops", "username": "bot", "address": f"{HOOKS}/{t.ns}/alert/{kind}"},
        }
        for kind in kinds
    ]
    told = [{"name": kind, "severity": severity, "providerRef": {"name": kind}} for kind, severity in kinds.items()]
    start(t, canary(t, {"stepWeight": 50, "maxWeight": 50, "alerts": told}), *providers)
    release(t)
    t.metrics(success=10.0)
    release(t, "v3")


@scenario
def service_options(t: Teller) -> None:
    """Istio service options: gateways, hosts, retries, timeout, headers, CORS, trafficPolicy, match, rewrite, metadata."""
    service = {
        "port": 9898,
        "portName": "http-main",
        "targetPort": "http",
        "portDiscovery": True,
        "gateways": ["istio-system/public"],
        "hosts": ["app.example.com"],
        "timeout": "15s",
        "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "gateway-error"},
        "headers": {"request": {"add": {"x-some-header": "value"}}},
        "corsPolicy": {"allowOrigin": ["example.com"], "allowMethods": ["GET"], "maxAge": "24h"},
        "match": [{"uri": {"prefix": "/"}}],
        "rewrite": {"uri": "/"},
        "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}},
        "apex": {"annotations": {"a": "apex"}, "labels": {"l": "apex"}},
        "primary": {"labels": {"l": "primary"}},
        "canary": {"labels": {"l": "canary"}},
    }
    start(t, canary(t, {"stepWeight": 50, "maxWeight": 50}, service=service))
    release(t)
