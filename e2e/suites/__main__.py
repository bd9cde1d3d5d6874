"""Runs the stories, inside the space of a node: `python3 -m suites FOLDER PROGRAM [...]`. `e2e/run` calls this."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import suites.distribution
import suites.evidence
import suites.published
import suites.stories
import suites.tester  # noqa: F401, to register them
from suites import objects, rights
from suites.case import STORIES, Case, Story, Under
from suites.world import World

printing = threading.Lock()


def say(text: str) -> None:
    """A line at a time, whichever case speaks."""
    with printing:
        print(text, flush=True)


def run(world: World, story: Story, backend: str, seed: int, *, keep: bool) -> Case:
    """Runs a case; whatever goes wrong in it is its failure, and no other's."""
    case, started = Case(world, story, backend, seed), time.time()
    try:
        story.tell(case)
    except Exception as error:
        case.failures.append(f"{type(error).__name__}: {error}")
        (world.results / f"{case.ns}.traceback").write_text(traceback.format_exc())
    try:
        case.close(keep=keep)
    except Exception as error:
        case.failures.append(f"at the end: {type(error).__name__}: {error}")
    say(f"{'FAIL' if case.failures else 'ok  '} {case.name:38} {time.time() - started:5.1f} s  {'; '.join(case.notes)}")
    for failure in case.failures:
        say(f"       {failure}")
    return case


def chosen(names: list[str], *, everything: bool) -> list[tuple[Story, str]]:
    """The cases of these names: `story`, `backend` or `backend/story`; without names the core, or everything."""
    cases = [(story, backend) for story in STORIES for backend in story.backends]
    if not names:
        return [(story, backend) for story, backend in cases if backend in story.core or (everything and not story.measures)]
    found = [(story, backend) for story, backend in cases if {story.name, backend, f"{backend}/{story.name}"} & set(names)]
    if not found:
        sys.exit(f"no case is called {' or '.join(names)}; there are {', '.join(f'{b}/{s.name}' for s, b in cases)}")
    return found


def prepare(world: World) -> None:
    """What every case needs in the cluster."""
    world.install_crds()
    world.follow()
    world.apply(*objects.hooks(), *objects.gateway())
    world.wait_available("e2e", "hooks")


def run_group(world: World, under: Under, group: list[tuple[Story, str]], args: argparse.Namespace) -> list[Case]:
    """Runs the cases that go together."""
    if not group:
        return []
    if under is Under.SHARED:
        world.install()
    with ThreadPoolExecutor(1 if under is Under.ALONE else args.jobs) as pool:
        done = list(pool.map(lambda pair: run(world, pair[0], pair[1], args.seed, keep=args.keep), group))
    if under is Under.SHARED:
        world.uninstall()
    return done


def judge_rights(world: World, *, everything: bool) -> int:
    """Whether Slipway's rights were enough for these cases, and after all of them whether it has any in vain; 1 if not."""
    wrong = [f"refused: {text}" for text in rights.refused(world)]
    wrong += rights.in_vain(world) if everything else []
    say(f"{'FAIL' if wrong else 'ok  '} rights")
    for text in wrong:
        say(f"       {text}")
    return int(bool(wrong))


def main() -> int:
    """Runs what is asked for; a line a case, the exit code tells whether all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the cluster")
    parser.add_argument("program", type=Path, help="slipway-e2e-live")
    parser.add_argument("--all", action="store_true", help="every case, not only the core")
    parser.add_argument("--only", nargs="*", default=[], help="story, backend or backend/story")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="cases at the same time; two a processor")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments at which Slipway is killed")
    parser.add_argument("--keep", action="store_true", help="leave the namespaces of the cases")
    args = parser.parse_args()
    world, started = World(args.folder, args.program), time.time()
    cases = chosen(args.only, everything=args.all)
    prepare(world)
    say(f"{len(cases)} cases, {args.jobs} at a time, seed {args.seed}")
    done: list[Case] = []
    with world.linkerd_traffic_double():
        for under in Under:
            group = [(story, backend) for story, backend in cases if story.under == under]
            done += run_group(world, under, group, args)
    failed = sum(1 for case in done if case.failures) + judge_rights(world, everything=args.all and not args.only)
    results = [{"case": case.name, "failures": case.failures, "notes": case.notes} for case in done]
    (world.results / "summary.json").write_text(json.dumps(results, indent=1))
    say(f"{len(done)} cases in {time.time() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
