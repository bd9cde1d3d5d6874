"""A double of a gateway's controller: it accepts every HTTPRoute as it stands, and routes nothing.

A controller that waits for the parents of a route waits for somebody who speaks for them; nobody else does in the light tier.
"""

from __future__ import annotations

from kube import ApiError, Kube, Object

VERSION = "gateway.networking.k8s.io/v1"
CONTROLLER = "e2e/gateway-double"


def entrance(namespace: str, name: str) -> list[Object]:
    """A Gateway that takes routes of every namespace, in a namespace of its own."""
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": VERSION, "kind": "Gateway", "metadata": {"name": name, "namespace": namespace},
            "spec": {"gatewayClassName": "double", "listeners": [listener]},
        },
    ]


def accept(kube: Kube, route: Object) -> None:
    """Says of a route that all its parents have accepted it, unless that has been said."""
    meta = route["metadata"]
    parents = [said(parent, meta["generation"], meta["creationTimestamp"]) for parent in route["spec"].get("parentRefs", [])]
    if route.get("status", {}).get("parents") == parents:
        return
    path = kube.resource(VERSION, "HTTPRoute").path(meta["namespace"], meta["name"], "status")
    try:
        kube.request("PATCH", path, {"status": {"parents": parents}}, "application/merge-patch+json")
    except ApiError as error:
        if error.code != 404:   # gone meanwhile
            raise


def said(parent: Object, generation: int, since: str) -> Object:
    """What is said for one parent."""
    common = {"status": "True", "message": "", "observedGeneration": generation, "lastTransitionTime": since}
    conditions = [{"type": kind, "reason": kind, **common} for kind in ("Accepted", "ResolvedRefs")]
    return {"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions}
