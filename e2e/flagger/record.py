#!/usr/bin/env python3
"""Records what a controller really does with a Canary, in the space of the light tier.

usage: record.py FOLDER OUT [scenario...]
The controller runs already, with its metrics server at 127.0.0.1:19090, which this program serves, as it does the webhooks at
127.0.0.1:19091. Every story has a namespace of its own, so all are told side by side. One JSON file a story: what was done, and the
timeline of statuses, routes, Services, workloads, events, hooks, alerts and queries as they were seen, in seconds since it began.
The format is that of the traces in `traces/`, which hold what Flagger 1.44 did with the same stories.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway
import scenarios

from fakeprom import Answer, FakePrometheus, Handler, Server
from kube import ApiError, Kube, Object, Seen, Watch

PROMETHEUS, HOOKS = 19090, 19091
# The interval of the Canaries, in whole seconds; Flagger's floor is 10.
TICK = int(os.environ.get("TICK", "2"))
# How long a story waits for a phase, in seconds.
PATIENCE = 60 + 18 * TICK
# How long a story is watched after its end, in seconds: Slipway scales a canary down five seconds after its traffic has left.
AFTERMATH = 8
FOLLOWED = {
    "Canary": ("flagger.app/v1beta1", "canaries"),
    "Deployment": ("apps/v1", "deployments"),
    "Service": ("v1", "services"),
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "VirtualService": ("networking.istio.io/v1beta1", "virtualservices"),
    "DestinationRule": ("networking.istio.io/v1beta1", "destinationrules"),
    "TrafficSplit": ("split.smi-spec.io/v1alpha2", "trafficsplits"),
    "HTTPRoute": (gateway.VERSION, "httproutes"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "Event": ("v1", "event"),
}
HEADERS = ("content-type", "user-agent", "authorization")


class GaveUpWaiting(Exception):
    """The controller did not do what the story is about."""


def owners(meta: Object) -> list[str]:
    """Who owns an object; the controller is marked."""
    return [f"{owner['kind']}/{owner['name']}" + ("*" if owner.get("controller") else "") for owner in meta.get("ownerReferences", [])]


def shorten(kind: str, obj: Object) -> Object:
    """What of an object a reader compares."""
    meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    if kind == "Canary":
        return {"status": status, "finalizers": meta.get("finalizers")}
    kept = {key: copy.deepcopy(meta[key]) for key in ("labels", "annotations", "finalizers") if meta.get(key)}
    kept.get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if owners(meta):
        kept["owners"] = owners(meta)
    if kind == "Deployment":
        pod = spec["template"]["spec"]
        return {
            **kept, "replicas": spec.get("replicas"), "image": pod["containers"][0]["image"], "selector": spec["selector"],
            "template_meta": spec["template"]["metadata"], "volumes": pod.get("volumes"), "nodeSelector": pod.get("nodeSelector"),
            "ready": status.get("readyReplicas"),
        }
    if kind == "Service":
        headless = spec.get("clusterIP") == "None"
        return {**kept, "selector": spec.get("selector"), "ports": spec.get("ports"), "type": spec.get("type"), "headless": headless}
    if kind in ("ConfigMap", "Secret"):
        return {**kept, "keys": sorted(obj.get("data") or {}), "type": obj.get("type")}
    return {**kept, "spec": spec}


class Recorder:
    """The timelines of all stories that are being told."""

    def __init__(self, folder: Path) -> None:
        self.kube = Kube(folder / "admin.kubeconfig")
        self.watch = Watch(self.kube, self.see)
        self.prometheus = FakePrometheus(lambda ns, text, answer: self.note(ns, "query", text=text, answer=answer))
        self.gates: dict[tuple[str, str], bool] = {}
        self.lock = threading.Lock()
        self.timelines: dict[str, list[Object]] = {}
        self.begun: dict[str, float] = {}
        self.last: dict[tuple[str, str, str], str] = {}

    def serve(self) -> None:
        """Begins to answer and to watch."""
        recorder = self

        class Hooks(Handler):
            def do_POST(self) -> None:  # noqa: N802
                recorder.hook(self)

        for server in (self.prometheus.server(PROMETHEUS), Server(("127.0.0.1", HOOKS), Hooks)):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        for kind, (api_version, _) in FOLLOWED.items():
            self.watch.follow(api_version, kind)

    def note(self, ns: str, kind: str, **what: Any) -> None:
        """Adds to the timeline of a namespace whose story is being told."""
        with self.lock:
            if ns in self.timelines:
                self.timelines[ns].append({"t": round(time.time() - self.begun[ns], 1), "kind": kind, **what})

    def see(self, kind: str, seen: Seen) -> None:
        """An object has changed; what a reader would not notice is left out."""
        meta = seen.obj["metadata"]
        ns, name = meta.get("namespace", ""), meta["name"]
        if kind == "Event":
            if seen.obj["involvedObject"].get("kind") == "Canary":
                event = seen.obj
                self.note(ns, "event", type=event["type"], reason=event["reason"], message=event["message"], count=event.get("count"))
            return
        if name == "kube-root-ca.crt":
            return
        if kind == "HTTPRoute" and not seen.deleted:
            gateway.accept(self.kube, seen.obj)
        plural, key = FOLLOWED[kind][1], (kind, ns, name)
        if seen.deleted:
            self.last.pop(key, None)
            self.note(ns, plural, name=name, deleted=True)
            return
        short = shorten(kind, seen.obj)
        text = json.dumps(short, sort_keys=True)
        if self.last.get(key) != text:
            self.last[key] = text
            self.note(ns, plural, name=name, **short)

    def hook(self, handler: Handler) -> None:
        """Answers a webhook as its path says: NAMESPACE/ok, /fail, /gate/NAME, anything else is ok."""
        body = handler.body()
        ns, _, path = urllib.parse.urlsplit(handler.path).path.strip("/").partition("/")
        code = 200
        if path.startswith("gate/"):
            code = 200 if self.gates.get((ns, path.removeprefix("gate/"))) else 403
        elif path == "fail":
            code = 500
        try:
            payload = json.loads(body)
        except json.JSONDecodeError:
            payload = body
        headers = {name.lower(): value for name, value in handler.headers.items() if name.lower() in HEADERS}
        self.note(ns, "hook", path=path, answer=code, payload=payload, headers=headers)
        handler.reply(code, "ok" if code == 200 else "no")

    def record(self, name: str, out: Path) -> None:
        """Tells a story and writes its timeline."""
        tell, ns = scenarios.ALL[name], f"t-{name}"
        with self.lock:
            self.begun[ns], self.timelines[ns] = time.time(), []
        self.prometheus.answers[ns] = {}
        try:
            self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
            tell(Teller(self, ns))
            time.sleep(AFTERMATH)
        except (ApiError, OSError, GaveUpWaiting) as error:
            self.note(ns, "error", text=f"{type(error).__name__} {error}")
        with self.lock:
            timeline = self.timelines.pop(ns)
        trace = {"scenario": name, "about": (tell.__doc__ or "").strip(), "namespace": ns, "tick": TICK, "timeline": timeline}
        (out / f"{name}.json").write_text(json.dumps(trace, indent=1))
        self.kube.delete("v1", "Namespace", None, ns)


class Teller:
    """What a story can do; every act is noted in its timeline."""

    tick = TICK

    def __init__(self, recorder: Recorder, ns: str) -> None:
        self.recorder, self.ns, self.kube = recorder, ns, recorder.kube

    def apply(self, *objects: Object) -> None:
        """Applies whole objects."""
        for obj in objects:
            obj["metadata"].setdefault("namespace", self.ns)
        self.recorder.note(self.ns, "do", apply=copy.deepcopy(list(objects)))
        self.kube.apply(*objects)

    def image(self, tag: str) -> None:
        """Changes the image of the target."""
        self.recorder.note(self.ns, "do", set_image=tag, of="deployment/app")
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": f"app:{tag}"}]}}}}
        self.kube.patch("apps/v1", "Deployment", self.ns, "app", change, content_type="application/strategic-merge-patch+json")

    def metrics(self, **answers: Answer) -> None:
        """What Prometheus answers from now on."""
        self.recorder.note(self.ns, "do", metrics=answers)
        self.recorder.prometheus.answers[self.ns] |= answers

    def gate(self, name: str, *, is_open: bool) -> None:
        """Opens or closes a gate."""
        self.recorder.note(self.ns, "do", gate=name, open=is_open)
        self.recorder.gates[self.ns, name] = is_open

    def delete(self, api_version: str, kind: str, name: str) -> None:
        """Deletes an object and waits for nothing."""
        self.recorder.note(self.ns, "do", delete=f"{kind.lower()}/{name}")
        self.kube.delete(api_version, kind, self.ns, name)

    def until(self, wanted: Callable[[Object], bool]) -> None:
        """Waits until the status is as wanted; in vain ends the story."""
        def holds(obj: Object) -> bool:
            return bool(obj.get("status")) and wanted(obj["status"])

        if not self.recorder.watch.until("Canary", self.ns, "app", holds, PATIENCE):
            raise GaveUpWaiting

    def phase(self, *phases: str) -> None:
        """Waits for a phase."""
        self.until(lambda status: status.get("phase") in phases)

    def gone(self, kind: str, name: str) -> None:
        """Waits until an object is collected, which a young cluster begins late; in vain ends the story."""
        if not self.recorder.watch.until(kind, self.ns, name, lambda obj: not obj, PATIENCE):
            raise GaveUpWaiting

    def sleep(self, ticks: float) -> None:
        """Waits for a while."""
        time.sleep(ticks * self.tick)


def record(folder: Path, out: Path, names: list[str]) -> None:
    """Tells the stories side by side."""
    out.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(folder)
    recorder.serve()
    threads = [threading.Thread(target=recorder.record, args=(name, out)) for name in names or scenarios.ALL]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    record(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
