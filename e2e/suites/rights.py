"""What Slipway may do, compared with what the API server's audit log says that it did."""

from __future__ import annotations

from fnmatch import fnmatch

from suites.objects import SLIPWAY, Object
from suites.world import World

RBAC = "rbac.authorization.k8s.io/v1"
# A right: API group, resource, verb.
Right = tuple[str, str, str]

# Granted for what no story tells, and why.
RARE = {
    "flagger.app canaries/finalizers update": "owner references, where their admission is strict",
    " configmaps delete": "never needed; the rule is one with that of Secrets",
    " secrets delete": "a copy whose Secret changed its type is made anew",
    "apps daemonsets get": "adoption of what Flagger made",
    "autoscaling horizontalpodautoscalers get": "adoption of what Flagger made",
    "networking.istio.io destinationrules update": "a user's own DestinationRule is given back",
    "split.smi-spec.io trafficsplits update": "a user's own TrafficSplit is given back",
    "gateway.networking.k8s.io httproutes update": "a user's own HTTPRoute is given back",
    "gateway.networking.k8s.io grpcroutes *": "no story calls by gRPC",
    "policy.linkerd.io httproutes *": "there is no Linkerd here",
    "keda.sh scaledobjects *": "there is no KEDA here",
}


def granted(world: World) -> set[Right]:
    """The rights of the whole cluster's Slipway."""
    rules = world.kube.get(RBAC, "ClusterRole", None, SLIPWAY)["rules"]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(request: Object) -> set[Right]:
    """The rights that a request needs: an apply that made its object needs two."""
    aim = request["objectRef"]
    resource = "/".join(filter(None, (aim["resource"], aim.get("subresource"))))
    verbs = {request["verb"]} | ({"create"} if request["responseStatus"]["code"] == 201 else set())
    return {(aim.get("apiGroup", ""), resource, verb) for verb in verbs}


def in_vain(world: World) -> list[str]:
    """Rights that nobody used in any case; only a run of all cases can tell."""
    needed = {right for request in world.requests() for right in used(request)}
    unused = [" ".join(right) for right in sorted(granted(world) - needed)]
    return [right for right in unused if not any(fnmatch(right, rare) for rare in RARE)]


def refused(world: World) -> list[str]:
    """Requests that were refused for want of a right."""
    texts = {request["responseStatus"].get("message", "") for request in world.requests() if request["responseStatus"]["code"] == 403}
    return sorted(text for text in texts if " cannot " in text)
