"""The dashboards and the alerts on a real Prometheus; `light.py` calls this, in the space of the light tier.

Slipway releases on three backends, promotes and rolls back, while Prometheus scrapes it as the operator's PodMonitor has it do. The
built-in queries of the analysis go to the same Prometheus: what it knows of users' requests is a double's, in the words of Istio, of
Linkerd and of an application. Then Prometheus is asked what Grafana would ask. A query that shows nothing, or nothing but zero, fails,
and so does an alert that looks at series which are not there, or that fires without cause.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeprom import Handler, Server
from kube import Kube, Object, Watch

PROJECT = Path(__file__).resolve().parents[1]
MONITORING = PROJECT / "dist" / "install" / "monitoring"
NS, DOUBLE_PORT = "boards", 19091
VERSION = "flagger.app/v1beta1"
# Requests a second of the double's users, to each workload.
RATE = 50
# How long anything here may take, in seconds.
PATIENCE = 120


@dataclass(frozen=True)
class Release:
    """A release, and how it must end."""

    name: str
    provider: str
    # The share of its canary's requests that fail.
    errors: float
    end: str

    @property
    def canary(self) -> Object:
        """Its Canary."""
        steps = {"iterations": 3} if self.provider == "kubernetes" else {"stepWeight": 25, "maxWeight": 50}
        metrics = [
            {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "10s"},
            {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "10s"},
        ]
        alerts = [{"name": "chat", "severity": "info", "providerRef": {"name": "chat"}}]
        return {
            "apiVersion": VERSION, "kind": "Canary", "metadata": {"name": self.name, "namespace": NS},
            "spec": {
                "provider": self.provider,
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
                "service": {"port": 80, "targetPort": 8080},
                "analysis": {"interval": "2s", "threshold": 2, **steps, "metrics": metrics, "alerts": alerts},
            },
        }

    @property
    def target(self) -> Object:
        """Its Deployment."""
        labels = {"app": self.name}
        pod = {"nodeName": "n0", "automountServiceAccountToken": False, "containers": [{"name": "app", "image": "app:v1"}]}
        template = {"metadata": {"labels": labels}, "spec": pod}
        return {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name, "namespace": NS, "labels": labels},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }


RELEASES = (
    Release("shop", "istio", 0, "Succeeded"),
    Release("pay", "istio", 0.3, "Failed"),
    Release("search", "linkerd", 0, "Succeeded"),
    Release("mail", "kubernetes", 0, "Succeeded"),
)
# Whose requests a query is about, by the beginning of its metric; every other metric is Slipway's, and about each release.
TELEMETRY = {"istio_": "istio", "response_total": "linkerd", "response_latency": "linkerd", "http_request_": "kubernetes"}
# Queries that show zero here, and why.
ZERO = {
    "controller: Errors and panics (A)": "nothing goes wrong",
    "controller: Errors and panics (B)": "nothing goes wrong",
}
# The alerts that must fire, and for which release.
FIRING = {("ReleaseFailed", "pay")}


# --- the double of meshes and of an application


def series(name: str, value: float, **labels: str) -> str:
    """A line of Prometheus' text format."""
    inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {value}"


def requests_to(release: Release, workload: str, seconds: float) -> Iterator[str]:
    """What is counted of the requests to a workload in so many seconds, each of which took between 50 and 100 milliseconds."""
    count = RATE * seconds
    failed = count * (0 if workload.endswith("-primary") else release.errors)
    if release.provider == "istio":
        at = {"reporter": "destination", "destination_workload": workload, "destination_workload_namespace": NS}
        yield series("istio_requests_total", count - failed, **at, response_code="200")
        yield series("istio_requests_total", failed, **at, response_code="503")
        bucket, low, high = "istio_request_duration_milliseconds_bucket", "50", "100"
    elif release.provider == "linkerd":
        at = {"namespace": NS, "deployment": workload, "direction": "inbound"}
        yield series("response_total", count - failed, **at, classification="success")
        yield series("response_total", failed, **at, classification="failure")
        bucket, low, high = "response_latency_ms_bucket", "50", "100"
    else:
        at = {"kubernetes_namespace": NS, "kubernetes_pod_name": f"{workload}-5d9c7b6f4-x2x4z", "app": workload, "status": "200"}
        yield series("http_request_duration_seconds_count", count, **at)
        bucket, low, high = "http_request_duration_seconds_bucket", "0.05", "0.1"
    for limit, share in ((low, 0), (high, 1), ("+Inf", 1)):
        yield series(bucket, share * count, **at, le=limit)


@contextmanager
def double() -> Iterator[None]:
    """Serves what meshes and applications count, and the chat that is told of releases."""
    since = time.time()

    class Double(Handler):
        def do_GET(self) -> None:  # noqa: N802
            told = (
                line
                for release in RELEASES
                for workload in (release.name, f"{release.name}-primary")
                for line in requests_to(release, workload, time.time() - since)
            )
            data = "".join(f"{line}\n" for line in told).encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:  # noqa: N802
            self.body()
            self.reply(200, "ok")

    server = Server(("127.0.0.1", DOUBLE_PORT), Double)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


# --- Prometheus


def read(manifest: Path) -> Object:
    """A manifest, as kubectl reads it; a label comes with it, since kubectl has no command that does nothing."""
    words = ["kubectl", "label", "--local", "--dry-run=client", "--output=json", f"--filename={manifest}", "read=here"]
    found: Object = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def configuration(folder: Path, slipway: str) -> Path:
    """What Prometheus is told: the targets, with the labels that the operator gives to a pod's, and the rules."""
    endpoint = read(MONITORING / "podmonitor.yaml")["spec"]["podMetricsEndpoints"][0]
    pod = {"namespace": "slipway-system", "pod": "slipway-0", "container": "slipway"}
    jobs = [
        {
            "job_name": "slipway",
            "metrics_path": endpoint["path"],
            "honor_labels": endpoint.get("honorLabels", False),
            "static_configs": [{"targets": [slipway], "labels": pod}],
        },
        {"job_name": "double", "static_configs": [{"targets": [f"127.0.0.1:{DOUBLE_PORT}"]}]},
    ]
    rules = folder / "rules.json"
    # JSON is YAML.
    rules.write_text(json.dumps(read(MONITORING / "prometheusrule.yaml")["spec"]))
    pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    file = folder / "prometheus.json"
    file.write_text(json.dumps({"global": pace, "rule_files": [str(rules)], "scrape_configs": jobs}, indent=1))
    return file


@dataclass
class Prometheus:
    """Asks a Prometheus, about the time since a moment."""

    url: str
    since: float

    def ask(self, path: str, **parameters: str | float) -> Any:
        """The data of an answer."""
        query = urllib.parse.urlencode({name.replace("match", "match[]"): value for name, value in parameters.items()})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path} {parameters}: {error.read().decode()}") from error

    def shown(self, query: str) -> list[tuple[Object, list[float]]]:
        """What a panel draws: the labels of each line, and its numbers."""
        found = self.ask("query_range", query=query, start=self.since, end=time.time(), step=1)["result"]
        lines = ((line["metric"], [float(value) for _, value in line["values"]]) for line in found)
        return [(labels, numbers) for labels, values in lines if (numbers := [value for value in values if math.isfinite(value)])]

    def holds(self, query: str) -> bool:
        """Whether a query finds anything now."""
        return bool(self.ask("query", query=query)["result"])

    def selectors(self, query: str) -> list[str]:
        """What a query looks at, by Prometheus' own reading of it."""
        found: list[str] = []

        def walk(node: Any) -> None:
            for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
                walk(part)
            if isinstance(node, dict) and node.get("type") in ("vectorSelector", "matrixSelector"):
                matchers = (f"{one['name']}{one['type']}{json.dumps(one['value'])}" for one in node["matchers"])
                found.append(f"{{{','.join(matchers)}}}")

        walk(self.ask("parse_query", query=query))
        return found


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Until something holds."""
    end = time.time() + PATIENCE
    while not holds():
        if time.time() > end:
            raise RuntimeError(f"given up after {PATIENCE} s: {what}")
        time.sleep(0.2)


# --- the releases


def release_all(folder: Path, prometheus: Prometheus) -> list[str]:
    """Releases on every backend until Prometheus knows how they ended; what did not end as it must."""
    kube = Kube(folder / "admin.kubeconfig")
    watch = Watch(kube)
    chat = {"type": "slack", "channel": "releases", "address": f"http://127.0.0.1:{DOUBLE_PORT}/chat"}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    kube.apply({"apiVersion": VERSION, "kind": "AlertProvider", "metadata": {"name": "chat", "namespace": NS}, "spec": chat})
    watch.follow(VERSION, "Canary")

    def reach(release: Release, *phases: str) -> bool:
        return watch.until("Canary", NS, release.name, lambda obj: obj.get("status", {}).get("phase") in phases, PATIENCE)

    kube.apply(*(item for release in RELEASES for item in (release.target, release.canary)))
    wrong = [f"{release.name} is not initialised" for release in RELEASES if not reach(release, "Initialized")]
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:v2"}]}}}}
    for release in RELEASES:
        kube.patch("apps/v1", "Deployment", NS, release.name, change, content_type="application/strategic-merge-patch+json")
    for release in RELEASES:
        reach(release, "Succeeded", "Failed")
        status = watch.latest("Canary", NS, release.name).get("status", {})
        wrong += [f"{release.name} is not {release.end}: {json.dumps(status)[:1000]}"] if status.get("phase") != release.end else []
    if not wrong:
        promoted, failed = "flagger_canary_successes_total", "flagger_canary_failures_total"
        wait_until("the scrape of the end", lambda: prometheus.holds(f"sum({promoted}) + sum({failed}) >= {len(RELEASES)}"))
        wait_until("the alert", lambda: prometheus.holds('ALERTS{alertstate="firing"}'))
    return wrong


# --- what people see


@dataclass(frozen=True)
class Shown:
    """A query of a panel."""

    name: str
    text: str

    def about(self) -> list[Release]:
        """The releases that it must show something of."""
        meshes = {mesh for prefix, mesh in TELEMETRY.items() if re.search(rf"\b{prefix}", self.text)}
        return [release for release in RELEASES if not meshes or release.provider in meshes]


def substituted(text: str, variables: dict[str, str]) -> str:
    """A query as Grafana sends it; a variable that no list offers is a KeyError."""
    return re.sub(r"\$(\w+)", lambda found: variables[found[1]], text)


def judge_variables(prometheus: Prometheus, board: Object, release: Release) -> list[str]:
    """Whether the lists of a dashboard offer a release to its reader."""
    wrong, chosen = [], {"namespace": NS, "name": release.name}
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        match, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        offered = prometheus.ask(f"label/{label}/values", match=substituted(match, chosen))
        if chosen[variable["name"]] not in offered:
            wrong.append(f"the list ${variable['name']} offers {offered}, not {chosen[variable['name']]}")
    return wrong


def judge_query(prometheus: Prometheus, query: Shown) -> list[str]:
    """Whether a query shows something of each release that it is about."""
    wrong = []
    texts = {substituted(query.text, {"namespace": NS, "name": release.name}) for release in query.about()}
    for text in sorted(texts):
        lines = prometheus.shown(text)
        if not lines:
            wrong.append(f"{query.name} shows nothing: {text}")
        elif not any(any(numbers) for _, numbers in lines) and query.name not in ZERO:
            wrong.append(f"{query.name} shows nothing but zero: {text}")
    return wrong


def judge_board(prometheus: Prometheus, file: Path) -> tuple[int, list[str]]:
    """How many queries a dashboard has, and what is wrong with it."""
    board = json.loads(file.read_text())
    queries = [
        Shown(f"{file.stem}: {panel['title']} ({target['refId']})", target["expr"])
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    wrong = [text for release in RELEASES for text in judge_variables(prometheus, board, release)]
    return len(queries), wrong + [text for query in queries for text in judge_query(prometheus, query)]


def judge_alerts(prometheus: Prometheus) -> tuple[int, list[str]]:
    """How many alerts there are; which cannot be evaluated, look at series that are not there, or fire without cause."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    wrong = [f"{rule['name']} is {rule['health']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    wrong += [
        f"{rule['name']} looks at {selector}, and there is none"
        for rule in rules
        for selector in prometheus.selectors(rule["query"])
        if not prometheus.shown(selector)
    ]
    fired = {(line["alertname"], line.get("name", "")) for line, _ in prometheus.shown('ALERTS{alertstate="firing"}')}
    wrong += [f"{alert} fired for {release or 'all'}, without cause" for alert, release in sorted(fired - FIRING)]
    wrong += [f"{alert} did not fire for {release}" for alert, release in sorted(FIRING - fired)]
    return len(rules), wrong


def say(case: str, wrong: list[str]) -> bool:
    """Tells how a case ended."""
    print(f"{'FAIL' if wrong else 'ok  '} {case}")
    for text in wrong:
        print(f"       {text}")
    return not wrong


def judge(folder: Path, url: str, since: float) -> bool:
    """All of it, once Slipway and Prometheus run; a case a line."""
    prometheus = Prometheus(url, since)
    if not say(f"dashboards: {len(RELEASES)} releases", release_all(folder, prometheus)):
        return False
    good = True
    for file in sorted((PROJECT / "dashboards").glob("*.json")):
        count, wrong = judge_board(prometheus, file)
        good &= say(f"dashboards: {count} queries of {file.name}", wrong)
    count, wrong = judge_alerts(prometheus)
    return say(f"dashboards: {count} alerts", wrong) and good
