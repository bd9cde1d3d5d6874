"""The story of the manifests that were published in 2019: applied as they are; only the tester's image is Slipway's."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request

from suites import objects
from suites.case import Case, Under, story
from suites.distribution import SERVICES, phase, reach, users_of
from suites.objects import Object
from suites.world import PROJECT

MANIFESTS = PROJECT / "tests" / "dist" / "published-2019.yaml"
# The namespace that stands in them, and the tags of podinfo: shipped, and of the update.
NS = "app"
SHIPPED, UPDATE = "3.1.0", "3.1.1"


def tester() -> list[Object]:
    """The tester as the published manifests call it."""
    labels, meta = {"app": "tester"}, {"name": "tester", "namespace": NS}
    arguments = ["-port=8080", "-log-level=info", "-timeout=1h"]
    pod = {"containers": [objects.container("commands:e2e", arguments, readinessProbe=objects.probe("/healthz"))]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": ports}},
    ]


def tasks() -> dict[str, int]:
    """How many tasks of which type the tester has begun and ended well, by its metrics."""
    with urllib.request.urlopen(f"http://tester.{NS}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, int] = {}
    for line in lines:
        if match := re.fullmatch(r'slipway_tester_tasks_total\{type="(\w+)",outcome="passed"\} (\d+)', line):
            found[match[1]] = int(match[2])
    return found


@story(backends=("istio",), under=Under.OWN)
def published_2019(case: Case) -> None:
    """Canaries of v1alpha3 with canaryAnalysis and thresholds, hooks that run bash and hey: an update of all four services is promoted."""
    case.ns, kube = NS, case.world.kube
    subprocess.run(["kubectl", "apply", "--server-side", "-f", str(MANIFESTS)], check=True, stdout=subprocess.DEVNULL)
    case.world.apply(*tester())
    case.world.install(NS, flags=("-mesh-provider=istio",))
    case.world.wait_available(NS, "tester")
    reach(case, SERVICES, "Initialized", 150)
    case.changed_at = time.time()
    for name in SERVICES:
        change = {"spec": {"template": {"spec": {"containers": [{"name": name, "image": f"stefanprodan/podinfo:{UPDATE}"}]}}}}
        kube.patch("apps/v1", "Deployment", NS, name, change, content_type="application/strategic-merge-patch+json")
    for name in SERVICES:
        reach(case, (name,), "Progressing", 60)
        case.world.wait_available(NS, name)
        # hey is outside of the mesh here: its requests are not counted.
        case.clients[name] = users_of(case, f"{name}-canary", 10)
    reach(case, SERVICES, "Succeeded", 420)
    case.notes.append(f"promoted after {time.time() - case.changed_at:.0f} s; the tester did {json.dumps(tasks())}")
    for name in SERVICES:
        primary = kube.get("apps/v1", "Deployment", NS, f"{name}-primary")
        image = primary["spec"]["template"]["spec"]["containers"][0]["image"]
        case.expect(image == f"stefanprodan/podinfo:{UPDATE}", f"the primary of {name} runs {image}")
        written = kube.get("flagger.app/v1alpha3", "Canary", NS, name)["spec"]
        case.expect("canaryAnalysis" in written and "analysis" not in written, f"the Canary {name} was rewritten: {sorted(written)}")
    passed = [text for text in case.events() if "acceptance-test passed" in text]
    case.expect(len(passed) == len(SERVICES), f"{len(passed)} services were tested before their release: {passed}")
    done = tasks()
    case.expect(done.get("bash", 0) >= len(SERVICES), f"the tester's bash tasks: {done}")
    case.expect(done.get("cmd", 0) > 0, f"no load was sent by hey: {done}")
    for name in SERVICES:
        kube.delete("flagger.app/v1beta1", "Canary", NS, name)
    for name in SERVICES:
        gone = case.world.watch.until("Canary", NS, name, lambda obj: not obj, 60)
        case.expect(gone, f"the Canary {name} is still there after 60 s: {phase(case, name)}")
