#!/usr/bin/env python3
"""Measures one controller over a fleet of canaries, in the space of the light tier; prints JSON.

usage: fleet.py FOLDER USER PID CANARIES RELEASED
  USER      the name in the controller's certificate (slipway, flagger): the audit log counts its requests
  PID       the controller's process
  RELEASED  how many of the canaries are released at once, after the fleet's rest was measured
Its metrics server is fakeprom.py. FLEET_NS, FLEET_INTERVAL (10s) and FLEET_REST (seconds of rest, 60) change what is in capitals.
Latencies come from a watch that stands before the change.
"""

from __future__ import annotations

import collections
import datetime
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from kube import Kube, Object, Seen, Watch

NS = os.environ.get("FLEET_NS", "fleet")
INTERVAL = os.environ.get("FLEET_INTERVAL", "10s")
REST = float(os.environ.get("FLEET_REST", "60"))
PATIENCE = 900
AT_REST = ("Initialized", "Succeeded")
# What a release changes the targets to.
IMAGE = "app:v2"


class Process:
    """The controller's costs, as the kernel counts them."""

    def __init__(self, pid: int) -> None:
        self.proc = Path(f"/proc/{pid}")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = (self.proc / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident memory now, in MiB."""
        line = next(line for line in (self.proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
        return round(int(line.split()[1]) / 1024)


class Audit:
    """The requests of one user, in the API server's audit log."""

    def __init__(self, log: Path, user: str) -> None:
        self.log, self.user = log, user

    def between(self, start: str, end: str = "9") -> collections.Counter[str]:
        """Counts by verb and resource; `work` leaves out leases and watches."""
        counts: collections.Counter[str] = collections.Counter()
        with self.log.open() as lines:
            for line in lines:
                event = json.loads(line)
                if event["user"]["username"] != self.user or not start <= event["requestReceivedTimestamp"] <= end:
                    continue
                asked = event.get("objectRef", {})
                resource = "/".join(filter(None, (asked.get("resource"), asked.get("subresource"))))
                counts[f"{event['verb']} {resource}"] += 1
                if event["verb"] != "watch" and resource != "leases":
                    counts["work"] += 1
        return counts


def now() -> str:
    """The time as the audit log writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def name_of(number: int) -> str:
    """The name of a canary."""
    return f"app-{number:05d}"


def canary(name: str) -> tuple[Object, Object]:
    """A Deployment of one pod and its Canary, of five steps."""
    labels, meta = {"app": name}, {"name": name, "namespace": NS}
    pod = {
        "nodeName": "n0",
        "automountServiceAccountToken": False,
        "containers": [{"name": "app", "image": "app:v1", "ports": [{"containerPort": 8080}]}],
    }
    metrics = [
        {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
        {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
    ]
    target = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    spec = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "progressDeadlineSeconds": 60,
        "service": {"port": 80, "targetPort": 8080},
        "analysis": {"interval": INTERVAL, "threshold": 3, "maxWeight": 50, "stepWeight": 10, "metrics": metrics},
    }
    return target, {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": meta, "spec": spec}


def spread(values: list[float], digits: int = 2) -> dict[str, float] | None:
    """The median and the greatest."""
    return {"p50": round(statistics.median(values), digits), "max": round(max(values), digits)} if values else None


def first_effect(states: list[Seen]) -> float | None:
    """From the change of a target to its scale-up, the first thing that a controller does about it; both as one watch saw them."""
    changed = next((state.at for state in states if IMAGE in json.dumps(state.obj["spec"])), None)
    scaled = (state.at for state in states if changed is not None and state.at > changed and state.obj["spec"]["replicas"] > 0)
    up = next(scaled, None)
    return None if changed is None or up is None else up - changed


class Fleet:
    """The measurement, in three parts: initialise, rest, release."""

    def __init__(self, folder: Path, user: str, pid: int, size: int) -> None:
        self.kube = Kube(folder / "admin.kubeconfig")
        self.watch = Watch(self.kube)
        self.process = Process(pid)
        self.audit = Audit(folder / "audit.log", user)
        self.size = size

    def phases(self) -> collections.Counter[str]:
        """How many canaries are in which phase."""
        latest = [self.watch.latest("Canary", NS, name_of(number)) for number in range(self.size)]
        return collections.Counter(obj.get("status", {}).get("phase", "") for obj in latest)

    def initialise(self) -> dict[str, Any]:
        """Applies the fleet and waits until all of it is initialised."""
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        self.watch.follow("flagger.app/v1beta1", "Canary")
        since, started = now(), time.time()
        for number in range(self.size):
            self.kube.apply(*canary(name_of(number)))
        applied = time.time() - started
        while sum(self.phases()[phase] for phase in AT_REST) < self.size and time.time() - started < PATIENCE:
            time.sleep(0.25)
        took = time.time() - started
        return {
            "apply_s": round(applied, 1),
            "init_s": round(took, 1),
            "init_phases": dict(self.phases()),
            "init_requests_per_canary": round(self.audit.between(since)["work"] / self.size, 1),
            "memory_init_mib": self.process.memory(),
        }

    def rest(self) -> dict[str, Any]:
        """Measures what a fleet costs to which nothing happens."""
        time.sleep(min(15.0, REST))
        since, cpu, started = now(), self.process.cpu(), time.time()
        time.sleep(REST)
        took, requests = time.time() - started, self.audit.between(since, now())
        return {
            "idle_requests_per_s": round(requests["work"] / took, 2),
            "idle_cpu_percent": round(100 * (self.process.cpu() - cpu) / took, 2),
            "idle_verbs": dict(requests),
            "memory_idle_mib": self.process.memory(),
        }

    def release(self, count: int) -> dict[str, Any]:
        """Changes the image of some at once and follows each to its end."""
        names = [name_of(number) for number in range(count)]
        self.watch.follow("apps/v1", "Deployment")
        since, cpu = now(), self.process.cpu()
        changed = {}
        for name in names:
            changed[name] = time.time()
            change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": IMAGE}]}}}}
            self.kube.patch("apps/v1", "Deployment", NS, name, change, content_type="application/strategic-merge-patch+json")
        times = Times(changed)
        while not times.are_complete() and time.time() - min(changed.values()) < PATIENCE:
            time.sleep(0.5)
            for name in names:
                times.read(name, self.watch.states("Canary", NS, name))
        time.sleep(1)
        effects = [took for name in names if (took := first_effect(self.watch.states("Deployment", NS, name))) is not None]
        requests = self.audit.between(since)
        return {
            "change_to_first_effect_s": spread(effects, digits=3),
            "change_to_progressing_s": spread(list(times.first.values())),
            "change_to_first_weight_s": spread(list(times.shifted.values())),
            "release_s": spread([took for took, _ in times.done.values()]),
            "outcomes": dict(collections.Counter(phase for _, phase in times.done.values())),
            "release_cpu_s": round(self.process.cpu() - cpu, 2),
            "requests_in_release": requests["work"],
            "requests_per_release": round(requests["work"] / count, 1),
            "verbs": dict(requests),
            "memory_end_mib": self.process.memory(),
        }


class Times:
    """Seconds from each canary's change to its first effect, its first weight and its end."""

    def __init__(self, changed: dict[str, float]) -> None:
        self.changed = changed
        self.first: dict[str, float] = {}
        self.shifted: dict[str, float] = {}
        self.done: dict[str, tuple[float, str]] = {}

    def read(self, name: str, states: list[Seen]) -> None:
        """Reads the states that were seen since the change."""
        for state in states:
            took, status = state.at - self.changed[name], state.obj.get("status", {})
            phase = status.get("phase")
            if took < 0 or phase is None or (name not in self.first and phase in AT_REST):
                continue
            self.first.setdefault(name, took)
            if status.get("canaryWeight", 0) > 0:
                self.shifted.setdefault(name, took)
            if phase in ("Succeeded", "Failed"):
                self.done.setdefault(name, (took, phase))

    def are_complete(self) -> bool:
        """Whether every release has ended."""
        return len(self.done) == len(self.changed)


def measure(folder: Path, user: str, pid: int, size: int, released: int) -> dict[str, Any]:
    """The whole measurement."""
    fleet = Fleet(folder, user, pid, size)
    result: dict[str, Any] = {"user": user, "canaries": size, "released": released, "interval": INTERVAL}
    result |= fleet.initialise()
    result |= fleet.rest()
    if released:
        result |= fleet.release(released)
    return result


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) != 5:
        sys.exit(__doc__)
    numbers = [int(argument) for argument in arguments[2:]]
    print(json.dumps(measure(Path(arguments[0]), arguments[1], *numbers), indent=1))
