"""What Slipway may do, compared with what the API server's audit log says that it did."""

from __future__ import annotations

from fnmatch import fnmatch

from suites.objects import SLIPWAY, SYSTEM, Object
from suites.world import World

RBAC = "rbac.authorization.k8s.io/v1"
# A right: API group, resource, verb.
Right = tuple[str, str, str]

# Granted for what no story tells, and why.
RARE = {
    "flagger.app canaries/finalizers update": "owner references, where their admission is strict",
    "networking.istio.io destinationrules update": "a user's own DestinationRule is given back",
    "gateway.networking.k8s.io grpcroutes *": "no story calls by gRPC",
    "policy.linkerd.io httproutes *": "there is no Linkerd here",
    "keda.sh scaledobjects *": "there is no KEDA here",
}


def granted(world: World) -> set[Right]:
    """The rights of the whole cluster's Slipway, those of its election among them."""
    roles = (("ClusterRole", None, SLIPWAY), ("Role", SYSTEM, f"{SLIPWAY}-leader"))
    rules = [rule for kind, ns, name in roles for rule in world.kube.get(RBAC, kind, ns, name)["rules"]]
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
    """Rights that nobody used in any case, and exceptions of which nothing is left; only a run of all cases can tell."""
    needed = {right for request in world.requests() for right in used(request)}
    unused = [" ".join(right) for right in sorted(granted(world) - needed)]
    wrong = [f"granted in vain: {right}" for right in unused if not any(fnmatch(right, rare) for rare in RARE)]
    return wrong + [f"no exception any more: {rare}" for rare in RARE if not any(fnmatch(right, rare) for right in unused)]


def refused(world: World) -> list[str]:
    """Requests that were refused for want of a right."""
    texts = {request["responseStatus"].get("message", "") for request in world.requests() if request["responseStatus"]["code"] == 403}
    return sorted(text for text in texts if " cannot " in text)
