"""The story of the tester's commands: helm and kubectl, as hooks of a release call them, against the real API server."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from suites import objects
from suites.case import Case, story
from suites.objects import APP, Object

TESTER, CONFORMANCE = "tester", "conformance"
IMAGE = "tester:e2e"
# What `helm test` does: it reads the release, which is a Secret, runs the pods of its test hooks, and notes how they ended.
RIGHTS = [
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "update"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    # What kubectl is asked for here.
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
]


def serving(ns: str) -> list[Object]:
    """The tester with helm and kubectl, its rights, and its Service."""
    labels, meta = {"app": TESTER}, {"name": TESTER, "namespace": ns}
    arguments = ["tester", "-port=8080", "--allow-types=helmv3,kubectl"]
    pod = {"serviceAccountName": TESTER, "containers": [objects.container(IMAGE, arguments, readinessProbe=objects.probe("/readyz"))]}
    rbac = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": TESTER, "namespace": ns}
    role = {"apiGroup": rbac, "kind": "Role", "name": TESTER}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": RIGHTS},
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": meta, "subjects": [account], "roleRef": role},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": ports}},
    ]


def chart(ns: str) -> dict[str, Object]:
    """A vendor's chart, by its files: a conformance suite, and the test hook that carries it out against the canary."""
    check: Object = {"name": "v2 answers", "request": {"url": f"http://{APP}-canary.{ns}/"}, "expect": {"json": {"$.revision": "v2"}}}
    # The node knows of a Service's new pods a moment after the API server does.
    check["retry"] = {"for": "5s", "every": "500ms"}
    data = {"suite.yaml": json.dumps({"checks": [check]})}
    suite = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFORMANCE}, "data": data}
    container = objects.container("slipway:e2e", ["test", "/suites/suite.yaml"], volumeMounts=[{"name": "suites", "mountPath": "/suites"}])
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": CONFORMANCE, "annotations": {"helm.sh/hook": "test"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "suites", "configMap": {"name": CONFORMANCE}}],
        },
    }
    about = {"apiVersion": "v2", "name": CONFORMANCE, "version": "1.0.0"}
    # JSON is YAML.
    return {"Chart.yaml": about, "templates/suite.yaml": suite, "templates/test.yaml": pod}


def install(case: Case) -> None:
    """Installs the chart as a release, as the vendor's pipeline does."""
    folder = case.world.folder.resolve() / f"chart-{case.ns}"
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    for name, content in chart(case.ns).items():
        (folder / name).write_text(json.dumps(content, indent=1))
    words = ["helm", "install", CONFORMANCE, str(folder), "--namespace", case.ns]
    # Its caches are the cluster's, too.
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(Path(folder).parent)})


def task(ns: str, kind: str, command: str) -> Object:
    """A hook of the tester."""
    metadata = {"type": kind, "cmd": f"{command} --namespace {ns}"}
    return {"name": kind, "type": "pre-rollout", "url": f"http://{TESTER}.{ns}/", "timeout": "60s", "metadata": metadata}


def call(hook: Object, ns: str) -> tuple[int, str]:
    """Calls a hook as a release does; the status and the body of the answer."""
    payload = {"name": APP, "namespace": ns, "phase": "Progressing", "metadata": {**hook["metadata"], "returnOutput": "true"}}
    request = urllib.request.Request(hook["url"], json.dumps(payload).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@story(backends=("kubernetes",), core=("kubernetes",))
def helm_and_kubectl(case: Case) -> None:
    """The tester carries out `helm test` and kubectl under rights of its own; what fails is told in the words of the program."""
    conformance = task(case.ns, "helmv3", f"test {CONFORMANCE}")
    available = task(case.ns, "kubectl", f"wait deployment/{APP} --for=condition=Available --timeout=30s")
    case.world.apply(objects.namespace(case.ns), *serving(case.ns))
    case.world.wait_available(case.ns, TESTER)
    install(case)
    case.start(analysis={"webhooks": [conformance, available]})
    case.serve(rate=20)
    case.release("v2")
    case.ends("Succeeded")
    case.expect(case.primary_image() == "app:v2", f"the primary runs {case.primary_image()}")
    for hook in (conformance, available):
        case.expect_event(hook["name"], "passed")
    tested = case.world.kube.get("v1", "Pod", case.ns, CONFORMANCE)["status"]["phase"]
    case.expect(tested == "Succeeded", f"the pod of helm's test is {tested}")

    # At rest the canary has no pods, so the same test must fail now.
    case.expect_scaled_down()
    refused = [
        (conformance, f"pod {CONFORMANCE} failed"),
        (task(case.ns, "helmv3", "test none"), "release: not found"),
        (task(case.ns, "kubectl", "get deployment none"), "not found"),
        (task(case.ns, "kubectl", f"delete deployment {APP}"), "forbidden"),
    ]
    for hook, words in refused:
        status, answer = call(hook, case.ns)
        told = f"{hook['metadata']['cmd']} was answered {status}: {answer}"
        case.expect(status == 500 and words in answer.lower(), f"{told}, and not {words}")
