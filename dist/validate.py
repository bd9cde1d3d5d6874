#!/usr/bin/env python3
"""Builds every manifest that is shipped and checks it against schemas (kubeconform); runs Argo CD's health script; renders the chart,
and compares what is written about its values; puts two distributions side by side.

    dist/validate.py [--out FOLDER]            --out keeps what was built, a file each
    dist/validate.py --build --out FOLDER      no more than that

The schemas are made here: Kubernetes' from the API server's own OpenAPI, Slipway's from dist/install/crds.yaml, those of meshes and
operators from the custom resources in their Go modules. Programs are $SLIPWAY_KUSTOMIZE, $SLIPWAY_HELM and $SLIPWAY_KUBECONFORM, or those
of the PATH; go is needed, and PyYAML and lupa. `./test` installs them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lupa
import yaml

Object = dict[str, Any]
PROJECT = Path(__file__).resolve().parents[1]
KUBERNETES = "k8s.io/kubernetes@v1.36.3"
# Where custom resources of others are, in their modules.
OTHERS = {
    "sigs.k8s.io/gateway-api@v1.6.0": "config/crd/standard/*.yaml",
    "istio.io/api@v1.31.0-rc.0.0.20260824154656-b943409680a7": "kubernetes/customresourcedefinitions.gen.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd/*.yaml",
    "github.com/fluxcd/source-controller@v1.9.6": "config/crd/bases/*.yaml",
    "github.com/fluxcd/kustomize-controller@v1.9.6": "config/crd/bases/*.yaml",
    "github.com/argoproj/argo-cd/v3@v3.5.7": "manifests/crds/application-crd.yaml",
}
# Kinds whose schema no module has.
UNKNOWN = ["gateway.solo.io/v1/VirtualService"]
DISTRIBUTIONS = ["app-kubernetes", "app-istio", "app-linkerd", "app-gateway"]
# Overlays that are not for every distribution.
ONLY = {"istio-gateway": ["app-istio"], "gloo": ["app-linkerd"], "smi": ["app-linkerd"]}
# What keeps those who prune from taking the custom resources away with a distribution: every Canary of the cluster would go with them.
MARKS = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "helm.sh/resource-policy": "keep",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
# Values of the chart that must be possible.
CHART = {
    "defaults": [],
    "kubernetes": ["meshProvider=kubernetes", "serviceMonitor.enabled=true", "podMonitor.enabled=true", "prometheusRule.enabled=true"],
    "linkerd": ["meshProvider=linkerd", "rbac.backends={keda}", "networkPolicy.enabled=true", "secretName=chats"],
    "gateway": ["meshProvider=gatewayapi:v1", "leaderElection.enabled=false", "slack.url=https://example.com", "slack.channel=releases"],
    "namespaces": ["namespace=shop\\,payment", "crd.create=false", "extraArgs={--settle=2s}", "image.pullSecret=registry"],
}


class Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """YAML as Kubernetes reads it."""


# A lone = is a text in YAML 1.2.
Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def documents(text: str) -> list[Any]:
    """The documents of a YAML text."""
    return [each for each in yaml.load_all(text, Loader) if each]


def run(*command: str | Path) -> str:
    """What a program writes; its failure is the end."""
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True, cwd=PROJECT)
    if done.returncode:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def program(name: str) -> str:
    """A program, by its variable or from the PATH."""
    return os.environ.get(f"SLIPWAY_{name.upper()}", name)


def module(name: str) -> Path:
    """The folder of a Go module, which is fetched if it is not there."""
    with tempfile.TemporaryDirectory() as outside:
        told = subprocess.run(["go", "mod", "download", "-json", name], check=False, capture_output=True, text=True, cwd=outside)
    found: Object = json.loads(told.stdout or "{}")
    if "Dir" not in found:
        sys.exit(f"go mod download {name}: {found.get('Error', told.stderr)}")
    return Path(found["Dir"])


# --- schemas


def strict(schema: Any) -> Any:
    """A schema of OpenAPI as one of JSON that refuses fields it does not know."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    made = {key: value for key, value in schema.items() if not key.startswith("x-") and key not in ("format", "nullable")}
    made |= {key: strict(made[key]) for key in ("items", "additionalProperties", "not") if key in made}
    made |= {key: [strict(part) for part in made[key]] for key in ("allOf", "anyOf", "oneOf") if key in made}
    if "properties" in made:
        made["properties"] = {name: strict(part) for name, part in made["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def kubernetes_schemas() -> Iterator[tuple[str, str, str, Object]]:
    """Group, version, kind and schema of what the API server knows."""
    definitions = json.loads((module(KUBERNETES) / "api/openapi-spec/swagger.json").read_text())["definitions"]
    # A quantity may be written as a number.
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
    for name, definition in definitions.items():
        for known in definition.get("x-kubernetes-group-version-kind", []):
            parts: Object = {}
            collect(definitions, name, parts)
            yield known["group"], known["version"], known["kind"], {"$ref": f"#/definitions/{name}", "definitions": parts}


def collect(definitions: Object, name: str, into: Object) -> None:
    """A definition and all that it refers to."""
    if name in into:
        return
    into[name] = strict(definitions[name])
    for reference in references(definitions[name]):
        collect(definitions, reference, into)


def references(schema: Any) -> Iterator[str]:
    """The definitions that a schema names."""
    if isinstance(schema, list):
        for part in schema:
            yield from references(part)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/definitions/")
        for part in schema.values():
            yield from references(part)


def custom_schemas(file: Path) -> Iterator[tuple[str, str, str, Object]]:
    """Group, version, kind and schema of custom resources."""
    for crd in documents(file.read_text()):
        if crd.get("kind") != "CustomResourceDefinition":
            continue
        for version in crd["spec"]["versions"]:
            schema = strict(version.get("schema", {}).get("openAPIV3Schema", {}))
            # The API server adds these three.
            schema.setdefault("properties", {}).update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"})
            yield crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"], schema


def write_schemas(folder: Path) -> None:
    """Every schema, as a file each by the name that kubeconform is told."""
    files = [PROJECT / "dist/install/crds.yaml", PROJECT / "e2e/cluster/smi-crd.yaml"]
    for name, pattern in OTHERS.items():
        found = sorted(module(name).glob(pattern))
        if not found:
            sys.exit(f"{name} has no {pattern}")
        files += found
    for group, version, kind, schema in [*kubernetes_schemas(), *(each for file in files for each in custom_schemas(file))]:
        # kubeconform has the version for the group of the core.
        (folder / f"{kind}_{group or version}_{version}.json".lower()).write_text(json.dumps(schema))


# --- manifests


def kustomizations() -> Iterator[tuple[str, str]]:
    """Every kustomization of dist/ that stands alone, built."""
    for file in sorted((PROJECT / "dist").rglob("kustomization.yaml")):
        if documents(file.read_text())[0]["kind"] == "Kustomization":
            folder = file.parent.relative_to(PROJECT)
            yield str(folder), run(program("kustomize"), "build", folder)


def placed(distribution: str, namespace: str, *components: str) -> str:
    """A distribution, or another folder of dist/, in a namespace with what is laid over it, built as Flux and Argo CD build it."""
    # Where git does not look: who is killed leaves it behind.
    place = PROJECT / "target"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        kustomization: Object = {"kind": "Kustomization", "namespace": namespace, "resources": [f"../../dist/{distribution}"]}
        kustomization |= {"components": [f"../../dist/{component}" for component in components]}
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return run(program("kustomize"), "build", folder)


def overlays() -> Iterator[tuple[str, str]]:
    """Every overlay over each distribution that it is for."""
    for overlay in sorted(path.name for path in (PROJECT / "dist/overlays").iterdir()):
        for distribution in ONLY.get(overlay, DISTRIBUTIONS):
            yield f"{overlay} over {distribution}", placed(distribution, "app", f"overlays/{overlay}")


def operated() -> Iterator[tuple[str, str]]:
    """Slipway where there is a Prometheus operator."""
    yield "install with monitoring", placed("install", "slipway-system", "install/monitoring")


def charts() -> Iterator[tuple[str, str]]:
    """The chart, rendered with each set of values."""
    run(program("helm"), "lint", "--strict", "dist/chart")
    template = (program("helm"), "template", "slipway", "dist/chart", "--kube-version", "1.36", "--namespace", "slipway-system")
    for name, values in CHART.items():
        words = [word for value in values for word in ("--set", value)]
        yield f"chart with {name}", run(*template, *words)
    refused = [*template, "--set", "meshprovider=istio"]
    if subprocess.run(refused, check=False, capture_output=True, cwd=PROJECT).returncode == 0:
        sys.exit("the chart accepts a value that it does not know: meshprovider")


def examples() -> Iterator[tuple[str, str]]:
    """The objects in the docs' own files."""
    for file in sorted((PROJECT / "docs").rglob("*.yaml")):
        yield str(file.relative_to(PROJECT)), file.read_text()


def build(out: Path) -> list[Path]:
    """Everything that is shipped, and the examples of the docs, a file each."""
    out.mkdir(parents=True, exist_ok=True)
    built = []
    for name, text in [*kustomizations(), *overlays(), *operated(), *charts(), *examples()]:
        built.append(out.resolve() / f"{name.replace('/', '-').replace(' ', '-').removesuffix('.yaml')}.yaml")
        built[-1].write_text(text)
    return built


def conform(schemas: Path, built: list[Path]) -> None:
    """Every object has a schema and obeys it."""
    location = f"{schemas}/{{{{ .ResourceKind }}}}_{{{{ .Group }}}}_{{{{ .ResourceAPIVersion }}}}.json"
    words = ["-strict", "-summary", "-schema-location", location, "-skip", ",".join(UNKNOWN), "-n", "2"]
    print(run(program("kubeconform"), *words, *built).strip())


# --- what is shared, and by whom


def custom_resources_stay(built: list[Path]) -> int:
    """How many custom resources are shipped; each bears every mark, wherever it is shipped."""
    count = 0
    for file in built:
        for crd in documents(file.read_text()):
            if crd["kind"] != "CustomResourceDefinition":
                continue
            count += 1
            name, found = crd["metadata"]["name"], crd["metadata"].get("annotations", {})
            for mark, value in MARKS.items():
                if found.get(mark) != value:
                    sys.exit(f"{file.name}: {name} has {mark}: {found.get(mark)}, not {value}: a distribution that goes would take it away")
    return count


def place_of(item: Object) -> tuple[str, str, str, str]:
    """What an object is to the API server: two of one place are one."""
    meta = item["metadata"]
    return item["apiVersion"].split("/")[0], item["kind"], meta.get("namespace", ""), meta["name"]


def distributions_do_not_meet() -> None:
    """Two distributions in two namespaces have no object in common, and nothing of the one names the namespace of the other: what they
    share are the custom resources, which an administrator installs."""
    shop = {name: {place_of(item) for item in documents(placed(name, "shop"))} for name in DISTRIBUTIONS}
    for other in DISTRIBUTIONS:
        text = placed(other, "payment")
        for one, places in shop.items():
            common = places & {place_of(item) for item in documents(text)}
            if common:
                sys.exit(f"{one} in shop and {other} in payment are both {sorted(common)}")
        # `app` is what the distributions are built with: who names it has not followed the provider's namespace.
        strays = re.findall(r"\S+\.app(?:\.svc\S*|[:/]\d*)|namespace: app\b", text.replace("flagger.app/", ""))
        if strays:
            sys.exit(f"{other} in payment names the namespace app: {sorted(set(strays))}")


# --- the chart's values


def leaves(values: Object, whole: set[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its path; those of `whole` are one value, whatever is in them."""
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict) and here not in whole:
            yield from leaves(value, whole, here)
        else:
            yield here, value


def described(schema: Object, path: str = "") -> Iterator[str]:
    """Every value that the schema knows, by its path; `global` is Helm's own."""
    for name, part in schema["properties"].items():
        here = f"{path}.{name}" if path else name
        if part.get("properties"):
            yield from described(part, here)
        elif here != "global":
            yield here


def values_are_documented() -> int:
    """How many values the chart has: the same in the schema, values.yaml and the README, with the same defaults; each is used."""
    chart = PROJECT / "dist/chart"
    known = set(described(json.loads((chart / "values.schema.json").read_text())))
    given = dict(leaves(yaml.load((chart / "values.yaml").read_text(), Loader), known))
    rows = re.findall(r"^\| `([\w.]+)` \| `(.+?)` \|", (chart / "README.md").read_text(), re.MULTILINE)
    told = {name: yaml.load(default, Loader) for name, default in rows}
    templates = "".join(file.read_text() for file in sorted((chart / "templates").iterdir()))
    for names, where in ((set(given), "values.yaml"), (set(told), "the README")):
        if names != known:
            sys.exit(f"the chart's schema and {where} differ in {sorted(names ^ known)}")
    for name, default in given.items():
        if told[name] != default:
            sys.exit(f"the chart's README says that {name} is {told[name]!r}; it is {default!r}")
        if not re.search(rf"[vV]alues\.{re.escape(name)}\b", templates):
            sys.exit(f"the chart does nothing with {name}")
    return len(given)


def monitors_keep_labels(built: list[Path]) -> None:
    """Whoever scrapes Slipway leaves the namespace of a release in its series: the operator's would be that of Slipway's pod."""
    monitors = [(file.name, item) for file in built for item in documents(file.read_text()) if item["kind"].endswith("Monitor")]
    for name, monitor in monitors:
        endpoints = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
        if not all(endpoint.get("honorLabels") is True for endpoint in endpoints):
            sys.exit(f"{name}: the {monitor['kind']} hides the namespaces of releases: honorLabels is missing")
    if not monitors:
        sys.exit("nothing that is shipped scrapes Slipway")


# --- Argo CD


def health() -> None:
    """Argo CD's health script tells of every condition of a Canary what it should."""
    example = documents((PROJECT / "docs/gitops/argocd.yaml").read_text())
    config = next(each for each in example if each["kind"] == "ConfigMap")
    script = config["data"]["resource.customizations.health.flagger.app_Canary"]
    stalled = [{"type": "Ready", "status": "False", "message": "no"}, {"type": "Stalled", "status": "True", "message": "no mesh"}]
    rows: list[tuple[Object, str]] = [
        ({"spec": {}}, "Progressing"),
        ({"spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True", "message": "it serves"}]}}, "Healthy"),
        ({"spec": {}, "status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "it runs"}]}}, "Progressing"),
        ({"spec": {"suspend": True}, "status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": ""}]}}, "Suspended"),
        ({"spec": {}, "status": {"conditions": [{"type": "Ready", "status": "False", "message": "rolled back"}]}}, "Degraded"),
        ({"spec": {}, "status": {"conditions": stalled}}, "Degraded"),
    ]
    for canary, expected in rows:
        lua = lupa.LuaRuntime(unpack_returned_tuples=True)
        lua.globals().obj = lua.table_from(canary, recursive=True)
        found = lua.execute(script)
        if found.status != expected or found.message is None:
            sys.exit(f"Argo CD would take {json.dumps(canary)} for {found.status}, not {expected}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="keep what was built")
    parser.add_argument("--build", action="store_true", help="build, and check nothing")
    args = parser.parse_args()
    if args.build:
        build(args.out or parser.error("--build needs --out"))
        return
    with tempfile.TemporaryDirectory() as scratch:
        schemas = Path(scratch) / "schemas"
        schemas.mkdir()
        write_schemas(schemas)
        built = build(args.out or Path(scratch) / "built")
        conform(schemas, built)
        monitors_keep_labels(built)
        print(f"{custom_resources_stay(built)} custom resources stay when a distribution goes")
    distributions_do_not_meet()
    print("two distributions in two namespaces share nothing but the custom resources")
    print(f"{values_are_documented()} values of the chart are as its README says")
    health()
    print("Argo CD's health script tells the truth")


if __name__ == "__main__":
    main()
