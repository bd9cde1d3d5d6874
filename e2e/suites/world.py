"""The cluster as the suites see it, from inside its space: the API server, the users' requests, the hooks, Slipway's pod."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kube import Kube, Watch
from suites import objects
from suites.objects import APP, SLIPWAY, SYSTEM, Object

PROJECT = Path(__file__).resolve().parents[2]
INSTALL = PROJECT / "dist" / "install"
SMI_CRD = PROJECT / "e2e" / "cluster" / "smi-crd.yaml"
LEASE = "slipway-leader-election"

# The kinds whose every state is remembered.
FOLLOWED = [
    ("flagger.app/v1beta1", "Canary"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("v1", "Event"),
    ("coordination.k8s.io/v1", "Lease"),
    ("networking.istio.io/v1beta1", "VirtualService"),
    ("split.smi-spec.io/v1alpha2", "TrafficSplit"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
]


@dataclass(frozen=True)
class Backend:
    """A way to move traffic, and how the users' requests meet it."""

    provider: str
    # Where users send requests; None is the Service itself.
    proxy: str | None
    # The steps of a release.
    steps: Object
    # Failed checks that end a release. Prometheus needs some seconds until it knows new pods, so plain Kubernetes gets more.
    threshold: int
    route_kind: str | None
    # The parent of its HTTPRoutes.
    parent: Object | None = None

    def weight_of_canary(self, route: Object) -> tuple[int, int]:
        """The weight of the canary and the sum of all weights, in an object of the route's kind."""
        if self.route_kind == "VirtualService":
            # One destination alone needs no weight.
            parts = [(part["destination"]["host"], part.get("weight", 100)) for part in route["spec"]["http"][0]["route"]]
        elif self.route_kind == "HTTPRoute":
            parts = [(part["name"], part["weight"]) for part in route["spec"]["rules"][0]["backendRefs"]]
        else:
            parts = [(part["service"], part["weight"]) for part in route["spec"]["backends"]]
        return sum(int(w) for host, w in parts if host == f"{APP}-canary"), sum(int(w) for _, w in parts)


WEIGHTS: Object = {"stepWeight": 20, "maxWeight": 60}
BACKENDS = {
    "kubernetes": Backend("kubernetes", None, {"iterations": 3}, 8, None),
    "istio": Backend("istio", "http://127.0.0.1:15007", WEIGHTS, 3, "VirtualService"),
    "linkerd": Backend("linkerd", "http://127.0.0.1:15081", WEIGHTS, 3, "TrafficSplit"),
    # The application's own counters are read, through the Prometheus of plain Kubernetes.
    "gateway-api": Backend("gatewayapi:v1", "http://127.0.0.1:80", WEIGHTS, 8, "HTTPRoute", objects.APEX),
    "gateway": Backend("gatewayapi:v1", f"http://{objects.NODE}:{objects.EDGE_PORT}", WEIGHTS, 8, "HTTPRoute", objects.EDGE),
}


@dataclass
class Users:
    """A running client; its log is the truth about what users saw."""

    process: subprocess.Popen[str]
    log: Path
    summary: dict[str, Any] = field(default_factory=dict)

    def stop(self) -> dict[str, Any]:
        """Ends it and returns its summary."""
        if not self.summary:
            self.process.send_signal(signal.SIGTERM)
            out, _ = self.process.communicate(timeout=30)
            self.summary = json.loads(out)
        return self.summary

    def responses(self) -> list[dict[str, Any]]:
        """What was answered so far, in order of arrival."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]


class World:
    """Everything that cases share."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder = folder
        self.program = program
        self.kube = Kube(folder / "admin.kubeconfig")
        self.watch = Watch(self.kube)
        self.results = folder / "results"
        self.results.mkdir(exist_ok=True)

    def follow(self) -> None:
        """Begins to remember; the CRDs must be there."""
        for api_version, kind in FOLLOWED:
            self.watch.follow(api_version, kind)

    def apply(self, *items: Object) -> None:
        """Applies objects as a user would."""
        self.kube.apply(*items)

    def create_as(self, manager: str, *items: Object) -> None:
        """Creates objects with a plain request, as a controller does that knows nothing of server-side apply."""
        for item in items:
            resource = self.kube.resource(item["apiVersion"], item["kind"])
            self.kube.request("POST", f"{resource.path(item['metadata']['namespace'])}?fieldManager={manager}", item)

    def write_status_as(self, manager: str, item: Object, status: Object) -> None:
        """Replaces the status of an object."""
        resource, meta = self.kube.resource(item["apiVersion"], item["kind"]), item["metadata"]
        path = resource.path(meta["namespace"], meta["name"], "status")
        self.kube.request("PUT", f"{path}?fieldManager={manager}", {**item, "status": status})

    def wait_available(self, ns: str, name: str, seconds: float = 60, replicas: int = 1, kind: str = "Deployment") -> None:
        """Until a workload has so many available pods; raises with what its pods say."""
        def available(obj: Object) -> bool:
            status = obj.get("status", {})
            is_current = status.get("observedGeneration") == obj.get("metadata", {}).get("generation")
            return bool(is_current and status.get("availableReplicas", status.get("numberAvailable", 0)) >= replicas)

        if not self.watch.until(kind, ns, name, available, seconds):
            pods = self.kube.list("v1", "Pod", ns)
            told = [pod["status"].get("containerStatuses", pod["status"].get("conditions")) for pod in pods]
            raise RuntimeError(f"{ns}/{name} is not available after {seconds:.0f} s: {json.dumps(told)[:2000]}")

    def wait_empty(self, ns: str, selector: str, seconds: float = 60) -> None:
        """Until the last pod with these labels has ended."""
        end = time.time() + seconds
        while pods := self.kube.list("v1", "Pod", ns, selector):
            if time.time() > end:
                raise RuntimeError(f"{len(pods)} pods with {selector} are still there after {seconds:.0f} s")
            time.sleep(0.2)

    def users(self, name: str, url: str, proxy: str | None, rate: int) -> Users:
        """Starts a client that runs until it is stopped."""
        log = self.results / f"{name}.jsonl"
        command = [str(self.program), "client", "--url", url, "--rate", str(rate), "--duration", "30m", "--timeout", "10s"]
        command += ["--out", str(log)]
        command += ["--proxy", proxy] if proxy else []
        return Users(subprocess.Popen(command, stdout=subprocess.PIPE, text=True), log)

    def wait_reachable(self, url: str, proxy: str | None, seconds: float = 30) -> None:
        """Until an address answers well ten times in a row: a new Service is known to proxies a moment after the API server knows it."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy} if proxy else {}))
        end, well = time.time() + seconds, 0
        while well < 10:
            try:
                with opener.open(url, timeout=5):
                    well += 1
            except OSError as error:
                if time.time() > end:
                    raise RuntimeError(f"{url} does not answer after {seconds:.0f} s") from error
                well = 0
                time.sleep(0.2)

    @contextmanager
    def linkerd_traffic_double(self) -> Iterator[None]:
        """The double of Linkerd's traffic, while the cases run."""
        with (self.folder / "logs" / "linkerd-traffic-double.log").open("w") as log:
            process = subprocess.Popen([str(self.program), "linkerd-traffic-double"], stderr=log)
            try:
                yield
            finally:
                process.terminate()
                process.wait(timeout=30)

    def start_gateway(self, ns: str) -> None:
        """Starts an Envoy for the Gateways of a namespace, as their class would; it ends with the cluster."""
        subprocess.run([PROJECT / "e2e" / "cluster" / "istio.sh", "gateway", self.folder, ns], check=True)

    def hook_calls(self, ns: str) -> list[Object]:
        """What the receiver got about a namespace."""
        with urllib.request.urlopen(f"{objects.HOOKS}/log?namespace={ns}", timeout=10) as response:
            return [json.loads(line) for line in response.read().decode().splitlines()]

    def calls_of(self, path: str) -> list[Object]:
        """Likewise, what came to one path."""
        with urllib.request.urlopen(f"{objects.HOOKS}/log", timeout=10) as response:
            calls = [json.loads(line) for line in response.read().decode().splitlines()]
        return [call for call in calls if call["path"] == path]

    def install_crds(self) -> None:
        """Slipway's custom resources, and those of TrafficSplits."""
        for manifest in (INSTALL / "crds.yaml", SMI_CRD):
            apply = ["kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(manifest)]
            subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
        kinds = ["canaries.flagger.app", "trafficsplits.split.smi-spec.io", "virtualservices.networking.istio.io"]
        names = [f"crd/{kind}" for kind in kinds]
        subprocess.run(["kubectl", "wait", "--for=condition=Established", "--timeout=30s", *names], check=True, stdout=subprocess.DEVNULL)

    def install(self, ns: str | None = None, *, replicas: int = 1, flags: tuple[str, ...] = ()) -> None:
        """Slipway under the rules of dist/install, for the whole cluster or for a namespace; returns when it is ready."""
        where = self.folder.resolve() / f"install-{ns or SYSTEM}"
        where.mkdir(exist_ok=True)
        manifests = os.path.relpath(INSTALL, where)
        wanted = objects.installation(manifests, ns=ns, replicas=replicas, flags=flags)
        # JSON is YAML.
        (where / "kustomization.yaml").write_text(json.dumps(wanted, indent=1))
        subprocess.run(["kubectl", "apply", "--server-side", "-k", str(where)], check=True, stdout=subprocess.DEVNULL)
        self.wait_available(ns or SYSTEM, SLIPWAY, replicas=replicas)

    def uninstall(self) -> None:
        """Ends the Slipway of the whole cluster; returns when none of its pods is left."""
        self.kube.delete("apps/v1", "Deployment", SYSTEM, SLIPWAY)
        end = time.time() + 60
        while self.kube.list("v1", "Pod", SYSTEM):
            if time.time() > end:
                raise RuntimeError("Slipway's pods are still there after 60 s")
            time.sleep(0.2)

    def signal_slipway(self, ns: str, pod: str, number: signal.Signals) -> int:
        """Sends a signal to Slipway's process in a pod; returns its pid in this space."""
        state = self.kube.get("v1", "Pod", ns, pod)["status"]["containerStatuses"][0]
        container = state["containerID"].removeprefix("containerd://")
        ctr = ["ctr", "--address", str(self.folder / "containerd.sock"), "--namespace", "k8s.io", "tasks", "ls"]
        tasks = subprocess.run(ctr, check=True, capture_output=True, text=True).stdout
        pid = next(int(line.split()[1]) for line in tasks.splitlines() if line.startswith(container))
        os.kill(pid, number)
        return pid

    def requests(self) -> list[Object]:
        """What the API server's audit log has of every Slipway."""
        with (self.folder / "audit.log").open() as log:
            entries = [json.loads(line) for line in log if f":{SLIPWAY}\"" in line and line.endswith("}\n")]
        return [entry for entry in entries if entry["user"]["username"].endswith(f":{SLIPWAY}") and "objectRef" in entry]

    def requests_of(self, ns: str) -> list[Object]:
        """Likewise, of the Slipway in a namespace."""
        return [entry for entry in self.requests() if entry["user"]["username"] == f"system:serviceaccount:{ns}:{SLIPWAY}"]
