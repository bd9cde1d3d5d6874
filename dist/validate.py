#!/usr/bin/env python3
"""Builds every manifest that is shipped and checks it against schemas (kubeconform); runs Argo CD's health script; renders the chart.

    dist/validate.py [--out FOLDER]     --out keeps what was built, a file each

The schemas are made here: Kubernetes' from the API server's own OpenAPI, Slipway's from dist/install/crds.yaml, those of meshes and
operators from the custom resources in their Go modules. Programs are $SLIPWAY_KUSTOMIZE, $SLIPWAY_HELM and $SLIPWAY_KUBECONFORM, or those
of the PATH; go is needed, and PyYAML and lupa. `./test` installs them.
"""

from __future__ import annotations

import argparse
import json
import os
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


def overlays() -> Iterator[tuple[str, str]]:
    """Every overlay over each distribution that it is for, built as Flux and Argo CD build it."""
    for overlay in sorted(path.name for path in (PROJECT / "dist/overlays").iterdir()):
        for distribution in ONLY.get(overlay, DISTRIBUTIONS):
            # Where git does not look: who is killed leaves it behind.
            place = PROJECT / "target"
            place.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place) as folder:
                kustomization: Object = {"kind": "Kustomization", "namespace": "app"}
                kustomization |= {"resources": [f"../../dist/{distribution}"], "components": [f"../../dist/overlays/{overlay}"]}
                (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
                yield f"{overlay} over {distribution}", run(program("kustomize"), "build", folder)


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


def conform(schemas: Path, built: list[Path]) -> None:
    """Every object has a schema and obeys it."""
    location = f"{schemas}/{{{{ .ResourceKind }}}}_{{{{ .Group }}}}_{{{{ .ResourceAPIVersion }}}}.json"
    words = ["-strict", "-summary", "-schema-location", location, "-skip", ",".join(UNKNOWN), "-n", "2"]
    print(run(program("kubeconform"), *words, *built).strip())


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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        schemas, out = Path(scratch) / "schemas", (args.out or Path(scratch) / "built").resolve()
        schemas.mkdir()
        out.mkdir(parents=True, exist_ok=True)
        write_schemas(schemas)
        built = []
        for name, text in [*kustomizations(), *overlays(), *charts(), *examples()]:
            built.append(out / f"{name.replace('/', '-').replace(' ', '-').removesuffix('.yaml')}.yaml")
            built[-1].write_text(text)
        conform(schemas, built)
    health()
    print("Argo CD's health script tells the truth")


if __name__ == "__main__":
    main()
