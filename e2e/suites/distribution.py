"""The story of a distribution: a vendor's application with Slipway inside, as it is shipped; an update of it, and who is told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

from suites import objects
from suites.case import Case, Under, story
from suites.objects import DISTRIBUTION_PORT, HOOKS, NODE, PROMETHEUS, SLIPWAY, Object
from suites.world import PROJECT, Users

SERVICES = ("database", "cache", "backend", "frontend")
# What the update changes: two services, their image and their config at once.
UPDATED = ("backend", "frontend")
PORT = 9898
# The tag that the distributions are shipped with, and the one of the update.
SHIPPED, UPDATE = "6.9.2", "6.9.3"
ENVOY = "distroless-v1.40.0"
# What moves traffic, where it also counts requests; elsewhere the application counts, whoever asks.
COUNTING = ("istio", "linkerd")


def kustomization(case: Case, *, updated: bool) -> Object:
    """What a provider writes: the distribution, Slack, and what this cluster has instead of its own Prometheus."""
    where = case.world.folder.resolve() / f"provider-{case.ns}"
    dist = os.path.relpath(PROJECT / "dist", where)
    flags = [f"-metrics-server={PROMETHEUS}", "--minimum-interval=1s", "-log-level=debug"]
    args = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": flag} for flag in flags]
    patches: list[Any] = [
        {"target": {"kind": "Deployment", "name": SLIPWAY}, "patch": json.dumps(args)},
        # A quick pace; the steps are as shipped.
        {"target": {"kind": "Canary"}, "patch": json.dumps([{"op": "replace", "path": "/spec/analysis/interval", "value": "3s"}])},
    ]
    if case.backend_name not in COUNTING:
        gone = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "prometheus"}, "$patch": "delete"}
        patches.append({"patch": json.dumps(gone)})
    if case.backend_name == "gateway":
        # The class is the cluster's, as shipped; where its Envoy is found, and a port that is free there, are this node's.
        change: list[Any] = [{"op": "add", "path": "/spec/addresses", "value": [objects.edge_address(case.ns)]}]
        change.append({"op": "replace", "path": "/spec/listeners/0/port", "value": DISTRIBUTION_PORT})
        patches.append({"target": {"kind": "Gateway", "name": "app"}, "patch": json.dumps(change)})
    for name in UPDATED if updated else ():
        image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"stefanprodan/podinfo:{UPDATE}"}
        patches.append({"target": {"kind": "Deployment", "name": name}, "patch": json.dumps([image])})
        data = case.world.kube.get("v1", "ConfigMap", case.ns, name)["data"]["config.yaml"]
        changed = data.replace("http-client-timeout: 1m", "http-client-timeout: 30s")
        config = {"op": "replace", "path": "/data/config.yaml", "value": changed}
        patches.append({"target": {"kind": "ConfigMap", "name": name}, "patch": json.dumps([config])})
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": case.ns,
        "resources": [f"{dist}/app-{case.backend_name}"],
        "components": [f"{dist}/overlays/slack"],
        "generatorOptions": {"disableNameSuffixHash": True},
        "secretGenerator": [{"name": "slack", "literals": [f"address={HOOKS}/ok/{case.ns}"]}],
        "patches": patches,
    }


def apply(case: Case, *, updated: bool) -> None:
    """Applies it as GitOps does."""
    where = case.world.folder.resolve() / f"provider-{case.ns}"
    where.mkdir(exist_ok=True)
    # JSON is YAML.
    (where / "kustomization.yaml").write_text(json.dumps(kustomization(case, updated=updated), indent=1))
    subprocess.run(["kubectl", "apply", "--server-side", "-k", str(where)], check=True, stdout=subprocess.DEVNULL)


def phase(case: Case, name: str) -> str:
    """The phase of a service's release."""
    return str(case.world.watch.latest("Canary", case.ns, name).get("status", {}).get("phase", ""))


def reach(case: Case, names: tuple[str, ...], wanted: str, seconds: float) -> None:
    """Waits until the releases of these services are in a phase; without that there is nothing more to tell."""
    end = time.time() + seconds
    for name in names:
        seen = case.world.watch.until(
            "Canary", case.ns, name, lambda obj: obj.get("status", {}).get("phase") in (wanted, "Failed"), end - time.time()
        )
        if not seen or phase(case, name) != wanted:
            phases = {each: phase(case, each) for each in SERVICES}
            status = case.world.watch.latest("Canary", case.ns, name).get("status")
            raise RuntimeError(f"{name} is not {wanted} after {seconds:.0f} s: {phases}; {json.dumps(status)[:1500]}; {case.events()[-8:]}")


def connected(case: Case) -> None:
    """The Job of the vendor's pipeline: through the ingress, and to each service."""
    name = f"connectivity-{int(time.time())}"
    create = ["kubectl", "--namespace", case.ns, "create", "job", "--from=cronjob/traffic-tester", name]
    subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
    wait = ["kubectl", "--namespace", case.ns, "wait", f"job/{name}", "--for=condition=complete", "--timeout=60s"]
    if subprocess.run(wait, check=False, capture_output=True).returncode:
        logs = ["kubectl", "--namespace", case.ns, "logs", f"job/{name}"]
        told = subprocess.run(logs, check=False, capture_output=True, text=True)
        case.expect(False, f"the application does not hang together: {told.stdout}{told.stderr}")


def users_of(case: Case, host: str, rate: int) -> Users:
    """Users at a Service of the distribution, as the mesh has them reach it; those of a Gateway's frontend are outside."""
    proxy, url = case.backend.proxy, f"http://{host}.{case.ns}:{PORT}/"
    if case.backend_name == "gateway" and host == "frontend":
        proxy = f"http://{NODE}:{DISTRIBUTION_PORT}"
    elif case.backend_name in ("istio", "gateway"):
        # The sidecar's HTTP proxy looks for hosts without their port, and has those of port 80 alone under such names.
        proxy = f"http://127.0.0.1:{PORT}"
    case.world.wait_reachable(url, proxy)
    return case.world.users(f"{case.ns}.{host}", url, proxy, rate)


def released(case: Case, name: str) -> None:
    """Waits until a release has succeeded. Where a proxy counts for the mesh, its canary gets requests as its sidecar would see them."""
    if case.backend_name in COUNTING:
        reach(case, (name,), "Progressing", 150)
        case.world.wait_available(case.ns, name)
        client = users_of(case, f"{name}-canary", 10)
        reach(case, (name,), "Succeeded", 150)
        client.stop()
    else:
        reach(case, (name,), "Succeeded", 150)


def first(case: Case, name: str, wanted: str) -> float:
    """When a release came to a phase first, since the change."""
    states = case.world.watch.states("Canary", case.ns, name)
    at = [state.at for state in states if state.at > case.changed_at and state.obj.get("status", {}).get("phase") == wanted]
    return at[0] if at else float("inf")


def weights_of(case: Case, name: str) -> list[int]:
    """Every share of the users that the canary of a service had by its HTTPRoute, one after the other."""
    found: list[int] = []
    for state in case.world.watch.states("HTTPRoute", case.ns, name):
        shares = {part["name"]: part["weight"] for part in state.obj["spec"]["rules"][0]["backendRefs"]}
        case.expect(sum(shares.values()) == 100, f"the weights of {name} are {shares}")
        found += [shares[f"{name}-canary"]] if found[-1:] != [shares[f"{name}-canary"]] else []
    return found


@story(backends=("kubernetes", "istio", "linkerd", "gateway"), core=("kubernetes",), under=Under.OWN)
def distribution(case: Case) -> None:
    """The distribution is initialised, an update of two services is tested, released in order and promoted, and Slack is told."""
    if case.backend_name == "gateway":
        case.world.apply(objects.namespace(case.ns), objects.edge_service(case.ns, DISTRIBUTION_PORT))
        case.world.start_gateway(case.ns)
    apply(case, updated=False)
    for name in ("ingress", "tester", SLIPWAY):
        case.world.wait_available(case.ns, name)
    reach(case, SERVICES, "Initialized", 150)
    connected(case)
    case.clients |= {name: users_of(case, name, 20) for name in UPDATED}
    case.changed_at = time.time()
    apply(case, updated=True)
    for name in UPDATED:
        released(case, name)
    case.notes.append(", ".join(f"{name} promoted after {first(case, name, 'Succeeded') - case.changed_at:.0f} s" for name in UPDATED))
    time.sleep(4)
    for name, client in case.clients.items():
        summary = client.stop()
        case.notes.append(f"{name}: {summary['failed']} of {summary['sent']} failed")
    for name in UPDATED:
        primary = case.world.kube.get("apps/v1", "Deployment", case.ns, f"{name}-primary")
        image = primary["spec"]["template"]["spec"]["containers"][0]["image"]
        case.expect(image == f"stefanprodan/podinfo:{UPDATE}", f"the primary of {name} runs {image}")
        config = case.world.kube.get("v1", "ConfigMap", case.ns, f"{name}-primary")["data"]["config.yaml"]
        case.expect("http-client-timeout: 30s" in config, f"the primary of {name} has the config {config}")
        told = [text for text in case.events() if "acceptance-test passed" in text]
        case.expect(len(told) >= len(UPDATED), f"conformance was tested {len(told)} times: {case.events()}")
        posts = [json.dumps(call["payload"]) for call in case.world.calls_of(f"/ok/{case.ns}")]
        promoted = [text for text in posts if f"{name}.{case.ns}" in text and "promotion finished" in text.lower()]
        case.expect(promoted, f"Slack was not told that {name} is promoted: {posts[-6:]}")
        if case.backend_name == "gateway":
            # A primary of one pod is empty while it takes over: the canary, which is judged by then, answers for both.
            weights = weights_of(case, name)
            in_steps = weights[:6] == [0, 10, 20, 30, 40, 50] and weights[-1] == 0
            case.expect(in_steps, f"the shares of the canary of {name} were {weights}")
    for name in set(SERVICES) - set(UPDATED):
        case.expect(phase(case, name) == "Initialized", f"{name} was released, although nothing of it changed: {phase(case, name)}")
    began, before = first(case, "frontend", "Progressing"), first(case, "backend", "Succeeded")
    case.expect(began >= before, f"frontend began {before - began:.1f} s before backend was promoted")
    connected(case)
    for name in SERVICES:
        case.world.kube.delete("flagger.app/v1beta1", "Canary", case.ns, name)
    for name in SERVICES:
        gone = case.world.watch.until("Canary", case.ns, name, lambda obj: not obj, 60)
        case.expect(gone, f"the Canary {name} is still there after 60 s")
