#!/usr/bin/env python3
"""The suites of the light tier, run in its space: `light.py FOLDER SLIPWAY [...]`. `e2e/run --tier light` calls this.

  traces   drives Slipway through the stories of Flagger's traces and compares (flagger/)
  fleet    measures a fleet at rest and in release, and a start with it (fleet.py): 50 canaries, 10 released; with --all 500, 50 released;
           FLEET_SIZE and FLEET_RELEASED say otherwise
  dist     has the API server try every distribution with every overlay, every install and the chart (a server-side dry run)
  dashboards  asks a real Prometheus, which scrapes Slipway during releases, what the dashboards and the alerts ask (dashboards.py)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dashboards

E2E = Path(__file__).resolve().parent
FLAGGER = E2E / "flagger"
SLIPWAY_PORT = 18080
PROMETHEUS = "http://127.0.0.1:19090"


@contextmanager
def running(log: Path, *command: str | Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process beside the suites; its output is in a log."""
    with log.open("w") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, env=env)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_ready(url: str, seconds: float = 30) -> None:
    """Until a server answers well."""
    end = time.time() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if time.time() > end:
                raise RuntimeError(f"{url} is not ready after {seconds:.0f} s") from error
            time.sleep(0.1)


@contextmanager
def slipway(folder: Path, program: Path) -> Iterator[int]:
    """The controller, as a process with its own user."""
    command: list[str | Path] = [
        program, "controller", "-mesh-provider=istio", f"-metrics-server={PROMETHEUS}", "--minimum-interval=1s", f"-port={SLIPWAY_PORT}",
        # As Flagger was measured: the measurement is of the controller, not of a limit in its client.
        "-kubeconfig-qps=2000", "-kubeconfig-burst=4000",
    ]
    env = {**os.environ, "KUBECONFIG": str(folder / "slipway.kubeconfig")}
    with running(folder / "logs" / "slipway.log", *command, env=env) as process:
        wait_ready(f"http://127.0.0.1:{SLIPWAY_PORT}/readyz")
        yield process.pid


def reconciled() -> int:
    """How many looks at Canaries the controller has finished."""
    with urllib.request.urlopen(f"http://127.0.0.1:{SLIPWAY_PORT}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    counts = (line.split()[1] for line in lines if line.startswith("slipway_reconcile_seconds_count"))
    return int(next(counts, 0))


def start(folder: Path, program: Path, size: int) -> dict[str, float]:
    """Seconds from the start of the controller until it has looked at every Canary of a fleet that is there already."""
    began = time.time()
    with slipway(folder, program) as pid:
        ready = time.time() - began
        while reconciled() < size:
            time.sleep(0.02)
        took = time.time() - began
        time.sleep(5)
        memory = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
        mebibytes = round(int(memory.split()[1]) / 1024)
        return {"start_ready_s": round(ready, 2), "start_reconciled_s": round(took, 2), "memory_start_mib": mebibytes}


def traces(folder: Path, program: Path, names: list[str]) -> bool:
    """Every story, or those that are named."""
    out = folder / "recorded"
    with running(folder / "logs" / "recorder.log", sys.executable, FLAGGER / "record.py", folder, out, *names) as recorder:
        wait_ready(f"{PROMETHEUS}/-/ready")
        with slipway(folder, program):
            code = recorder.wait(timeout=900)
    if code:
        print((folder / "logs" / "recorder.log").read_text()[-2000:])
        return False
    compared = subprocess.run([sys.executable, FLAGGER / "compare.py", FLAGGER / "traces", out, *names], check=False)
    return compared.returncode == 0


def fleet(folder: Path, program: Path, *, everything: bool) -> bool:
    """The measurement; it fails when a release does not succeed."""
    size, released, rest = (500, 50, 60) if everything else (50, 10, 20)
    size, released = int(os.environ.get("FLEET_SIZE", size)), int(os.environ.get("FLEET_RELEASED", released))
    env = {**os.environ, "FLEET_REST": str(rest)}
    with running(folder / "logs" / "fakeprom.log", sys.executable, E2E / "fakeprom.py"):
        wait_ready(f"{PROMETHEUS}/-/ready")
        with slipway(folder, program) as pid:
            command: list[str | Path] = [sys.executable, E2E / "fleet.py", folder, "slipway", str(pid), str(size), str(released)]
            measured = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
        measured |= start(folder, program, size)
    (folder / "fleet.json").write_text(json.dumps(measured, indent=1))
    print(json.dumps(measured, indent=1))
    good = measured.get("outcomes", {}) == ({"Succeeded": released} if released else {})
    print(f"{'ok  ' if good else 'FAIL'} fleet of {size}")
    return bool(good)


def kubectl(*words: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What kubectl says."""
    return subprocess.run(["kubectl", *map(str, words)], check=False, capture_output=True, text=True, input=given)


# Kinds of operators and meshes that are not here; their schemas are looked at by dist/validate.py.
UNSERVED = ("monitoring.coreos.com", "gateway.solo.io")


def built(folder: Path) -> list[Path]:
    """Every distribution, alone and with each overlay, every install and the chart, a file each; `./test` installs what builds them."""
    tools, out = folder.parents[1] / "tools" / "bin", folder / "manifests"
    programs = {f"SLIPWAY_{name.upper()}": str(tools / name) for name in ("kustomize", "helm")}
    words: list[str | Path] = [tools / "python", E2E.parent / "dist" / "validate.py", "--build", "--out", out]
    subprocess.run(words, check=True, env={**os.environ, **programs})
    # The docs' examples name namespaces and operators of their own.
    return [file for file in sorted(out.iterdir()) if not file.name.startswith(("docs-", "dist-base"))]


def dist(folder: Path) -> bool:
    """Everything that is shipped as the API server would take it."""
    good = True
    for namespace in ("app", "slipway-system", "shop", "payment"):
        kubectl("create", "namespace", namespace)
    for file in built(folder):
        documents = [part for part in re.split(r"^---$", file.read_text(), flags=re.MULTILINE) if re.search(r"^kind:", part, re.MULTILINE)]
        served = [part for part in documents if not re.search(rf"^apiVersion: ({'|'.join(UNSERVED)})/", part, re.MULTILINE)]
        tried = kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", given="\n---\n".join(served))
        left_out = f"without {len(documents) - len(served)} of operators that are not here" if served != documents else ""
        print(f"{'FAIL' if tried.returncode else 'ok  '} {file.stem}  {left_out} {tried.stderr.strip()}".rstrip())
        good &= not tried.returncode
    return good


def boards(folder: Path, program: Path) -> bool:
    """The dashboards and the alerts, while Slipway and a Prometheus run."""
    began, config = time.time(), dashboards.configuration(folder, f"127.0.0.1:{SLIPWAY_PORT}")
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn"]
    address = PROMETHEUS.removeprefix("http://")
    with dashboards.double(), running(folder / "logs" / "prometheus.log", "prometheus", *words, f"--web.listen-address={address}"):
        wait_ready(f"{PROMETHEUS}/-/ready")
        with slipway(folder, program):
            return dashboards.judge(folder, PROMETHEUS, began)


SUITES = ("traces", "dist", "dashboards", "fleet")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("--all", action="store_true", help="the large fleet")
    parser.add_argument("--only", nargs="*", default=[], help=f"{', '.join(SUITES)}, or names of stories")
    parser.add_argument("--keep", action="store_true", help="of no effect here: records stay in the folder")
    for name in ("--jobs", "--seed"):
        parser.add_argument(name, type=int, help="of no effect here: the stories are told side by side, and nothing is drawn at random")
    args = parser.parse_args()
    crds = subprocess.run([args.program, "crds"], check=True, capture_output=True).stdout
    subprocess.run(["kubectl", "apply", "--server-side", "-f", "-"], input=crds, check=True, stdout=subprocess.DEVNULL)
    wait = ["kubectl", "wait", "--for=condition=Established", "--timeout=30s", "crd/canaries.flagger.app"]
    subprocess.run(wait, check=True, stdout=subprocess.DEVNULL)
    stories = [name for name in args.only if name not in SUITES]
    good = True
    if not args.only or stories or "traces" in args.only:
        good &= traces(args.folder, args.program, stories)
    if not args.only or "dist" in args.only:
        good &= dist(args.folder)
    if not args.only or "dashboards" in args.only:
        good &= boards(args.folder, args.program)
    if not args.only or "fleet" in args.only:
        good &= fleet(args.folder, args.program, everything=args.all)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
