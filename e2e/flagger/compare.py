#!/usr/bin/env python3
"""Compares what two controllers did with the same stories.

usage: compare.py TRACES RECORDED [story...]       TRACES are Flagger's, RECORDED is what record.py wrote
Times differ by intent; compared are, a line each: the phases, the steps and the routes, in order; the hooks' payloads, the queries and
the events, each once; the generated objects and the status as they were at the end. A line that only one side has is a difference.
differences.toml lists those that are meant, each with its reason; any other fails, and so does an entry that matches nothing.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
ROUTES = ("virtualservices", "trafficsplits", "httproutes")
OBJECTS = (*ROUTES, "destinationrules", "services", "deployments", "configmaps", "secrets", "horizontalpodautoscalers")
# What says when, or is drawn at random.
VOLATILE = {
    "lastTransitionTime", "lastUpdateTime", "timestamp", "ready", "flagger-id", "deployment.kubernetes.io/revision", "creationTimestamp",
    "ts",
}
COOKIE = re.compile(r"(?<==)[A-Za-z]{10}(?=[;.\"]|$)|(?<=\.\*)[A-Za-z]{10}(?=\.\*)")


def plain(value: Any) -> Any:
    """A value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in VOLATILE and item not in (None, {}, [])}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return COOKIE.sub("RANDOM", value) if isinstance(value, str) else value


def text(value: Any) -> str:
    """A value on one line."""
    return json.dumps(plain(value), sort_keys=True)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Every value in an object with its path; conditions are told by their types."""
    if path == "conditions":
        value = {condition["type"]: text(condition) for condition in value}
    if isinstance(value, dict):
        for key, item in sorted(value.items()):
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield f"{path} = {json.dumps(value, sort_keys=True)}"


def in_order(lines: Iterator[str]) -> list[str]:
    """Lines without immediate repetition."""
    kept: list[str] = []
    for line in lines:
        if kept[-1:] != [line]:
            kept.append(line)
    return kept


def once(lines: Iterator[str]) -> list[str]:
    """Each line once, sorted."""
    return sorted(set(lines))


@dataclass
class Trace:
    """What one controller did with a story."""

    timeline: list[Entry]

    def of(self, *kinds: str) -> Iterator[Entry]:
        """The entries of some kinds."""
        return (entry for entry in self.timeline if entry["kind"] in kinds)

    def statuses(self) -> Iterator[Entry]:
        """The statuses of the Canary."""
        return (entry["status"] for entry in self.of("canaries") if entry.get("status"))

    def last_states(self) -> Iterator[tuple[str, Entry]]:
        """The last state of every object, none of one that was deleted."""
        last = {(entry["kind"], entry["name"]): entry for entry in self.of(*OBJECTS)}
        for (kind, name), entry in sorted(last.items()):
            state = {key: value for key, value in entry.items() if key not in ("t", "kind", "name")}
            yield f"{kind}/{name}", {"deleted": True} if entry.get("deleted") else state

    def aspects(self) -> dict[str, list[str]]:
        """Everything that is compared, as lines."""
        steps = (s for s in self.statuses() if s.get("phase") == "Progressing")
        states = [f"{name} {line}" for name, state in self.last_states() for line in leaves(plain(state))]
        end = list(self.statuses())[-1:]
        hooks = (text({"path": e["path"], "answer": e["answer"], "payload": e["payload"]}) for e in self.of("hook"))
        events = (f"{e['type']} {e['reason']} {e['message'].removeprefix('(combined from similar events): ')}" for e in self.of("event"))
        return {
            "phases": in_order(str(s.get("phase")) for s in self.statuses()),
            "steps": in_order(f"weight {s.get('canaryWeight', 0)} iteration {s.get('iterations', 0)}" for s in steps),
            "routes": in_order(f"{e['kind']}/{e['name']} {text(e.get('spec', 'deleted'))}" for e in self.of(*ROUTES)),
            "objects": states,
            "status": [line for status in end for line in leaves(plain({k: v for k, v in status.items() if k != "slipway"}))],
            "hooks": once(hooks),
            "queries": once(text(e["text"]) for e in self.of("query")),
            "events": once(events),
            "errors": [e["text"] for e in self.of("error")],
        }


def differences(theirs: Trace, ours: Trace) -> Iterator[str]:
    """The lines that only one side has: `-` Flagger, `+` the other; where order counts, both sequences when they differ."""
    left, right = theirs.aspects(), ours.aspects()
    for aspect, wanted in left.items():
        got = right[aspect]
        if aspect in ("phases", "steps"):
            if wanted != got:
                yield f"{aspect} - {' > '.join(wanted)}"
                yield f"{aspect} + {' > '.join(got)}"
            continue
        yield from (f"{aspect} - {line}" for line in wanted if line not in got)
        yield from (f"{aspect} + {line}" for line in got if line not in wanted)


@dataclass
class Meant:
    """A difference that is meant."""

    stories: list[str]
    lines: re.Pattern[str]
    reason: str
    matched: int = 0

    def covers(self, story: str, line: str) -> bool:
        """Whether it explains a line of a story."""
        covered = bool((story in self.stories or "*" in self.stories) and self.lines.search(line))
        self.matched += covered
        return covered


def meant(path: Path) -> list[Meant]:
    """The list of meant differences."""
    entries = tomllib.loads(path.read_text()).get("difference", [])
    return [Meant(entry["stories"], re.compile(entry["lines"]), entry["reason"]) for entry in entries]


def compare(traces: Path, recorded: Path, names: list[str]) -> int:
    """Prints what differs without being meant; returns how many stories failed."""
    listed, failed = meant(Path(__file__).parent / "differences.toml"), 0
    stories = names or sorted(path.stem for path in recorded.glob("*.json"))
    for story in stories:
        theirs, ours = (Trace(json.loads((folder / f"{story}.json").read_text())["timeline"]) for folder in (traces, recorded))
        found = list(differences(theirs, ours))
        unmeant = [line for line in found if not any([entry.covers(story, line) for entry in listed])]  # noqa: C419 (each entry counts)
        failed += bool(unmeant)
        print(f"{'FAIL' if unmeant else 'ok  '} trace/{story:32} {len(found) - len(unmeant)} meant differences, {len(unmeant)} others")
        for line in unmeant:
            print(f"       {line[:600]}")
    if not names:
        for entry in listed:
            if not entry.matched:
                failed += 1
                print(f"FAIL a meant difference is none any more: {entry.lines.pattern} ({entry.reason})")
        untold = sorted({path.stem for path in traces.glob("*.json")} - set(stories))
        print(f"not told: {', '.join(untold) or 'none'}")
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(1 if compare(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]) else 0)
