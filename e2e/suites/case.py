"""One case: a namespace, a release in it, and what is expected of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from suites import objects
from suites.objects import APP, Object
from suites.world import BACKENDS, LEASE, Users, World

DONE = ("Succeeded", "Failed")
Tell = Callable[["Case"], None]


def identity_of(lease: Object) -> str:
    """Who holds a lease; empty when nobody does."""
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def is_empty(workload: Object) -> bool:
    """Whether a workload is asked for no pods: a DaemonSet is, when no node has what it selects."""
    spec = workload.get("spec", {})
    selected = spec.get("template", {}).get("spec", {}).get("nodeSelector", {})
    return spec.get("replicas") == 0 or "flagger.app/scale-to-zero" in selected


class Under(Enum):
    """Whose eyes a case is under. The groups run in this order, one after the other."""

    # The Slipway of the whole cluster, and all these cases at the same time.
    SHARED = "the Slipway of the whole cluster"
    # One in the namespace of the case, which it may kill; when no other Slipway is there.
    OWN = "a Slipway of its own"
    # Likewise, and one case at a time: it changes what the whole cluster has.
    ALONE = "a Slipway of its own, alone"


@dataclass(frozen=True)
class Story:
    """What a case does, for each of its backends."""

    name: str
    tell: Tell
    backends: tuple[str, ...]
    # On these a plain `e2e/run` tells it; on the others only --all does.
    core: tuple[str, ...]
    under: Under
    # It measures, for many minutes: told only to who names it.
    measures: bool = False

    @property
    def about(self) -> str:
        """What the story says, in a sentence."""
        return (self.tell.__doc__ or "").strip().splitlines()[0]


STORIES: list[Story] = []
EVERY = tuple(BACKENDS)
# Those where users are inside of the cluster.
INSIDE = tuple(name for name in EVERY if name != "gateway")


def story(
    *, backends: tuple[str, ...] = EVERY, core: tuple[str, ...] = (), under: Under = Under.SHARED, measures: bool = False
) -> Callable[[Tell], Tell]:
    """Registers a function as a story, under its name."""
    def register(tell: Tell) -> Tell:
        STORIES.append(Story(tell.__name__.replace("_", "-"), tell, backends, core, under, measures))
        return tell

    return register


@dataclass
class Case:
    """A story on a backend."""

    world: World
    story: Story
    backend_name: str
    seed: int
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    clients: dict[str, Users] = field(default_factory=dict)
    changed_at: float = 0.0
    # The kind of the target.
    kind: str = "Deployment"
    # The tag of the revision that serves before the release.
    first: str = "v1"

    def __post_init__(self) -> None:
        self.backend = BACKENDS[self.backend_name]
        self.name = f"{self.backend_name}/{self.story.name}"
        self.ns = f"{self.backend_name}-{self.story.name}"[:50]

    def expect(self, holds: object, otherwise: str) -> None:
        """Notes a failure and goes on: one run tells everything that is wrong."""
        if not holds:
            self.failures.append(otherwise)

    # What a user does

    def analysis(self) -> Object:
        """How a release is judged on this backend."""
        return {"threshold": self.backend.threshold, **self.backend.steps}

    def deploy(self, *, deadline: int = 60, more: Object | None = None) -> None:
        """A namespace with the application at its first revision, its container with what else is said."""
        target = objects.deployment(self.ns, self.first, deadline)
        target["spec"]["template"]["spec"]["containers"][0] |= more or {}
        target = objects.as_daemon_set(target) if self.kind == "DaemonSet" else target
        self.world.apply(objects.namespace(self.ns), objects.config(self.ns, "hello"), target)
        self.world.wait_available(self.ns, APP, kind=self.kind)

    def start(
        self, *, deadline: int = 60, analysis: Object | None = None, spec: Object | None = None, container: Object | None = None
    ) -> None:
        """A namespace with the application at v1 and a Canary, initialised; with what else their parts hold."""
        self.deploy(deadline=deadline, more=container)
        canary = objects.canary(self.ns, self.backend.provider, self.analysis() | (analysis or {}), deadline, self.backend.parent)
        canary["spec"] |= spec or {}
        canary["spec"]["targetRef"]["kind"] = self.kind
        self.world.apply(canary)
        self.is_initialised()

    def is_initialised(self) -> None:
        """Waits until the release is at rest for the first time; without that there is nothing to tell."""
        if not self.reaches("Initialized", seconds=90):
            raise RuntimeError(f"not initialised after 90 s: {json.dumps(self.status())[:1500]}")

    def start_judged(self, analysis: Object, **settings: str) -> None:
        """Likewise, to be judged by evidence in small steps: its checks come once a minute, and may fail five times."""
        pace = {"interval": "1m", "threshold": 5, "stepWeight": 0, "stepWeights": [1, 5, 10, 25, 50]}
        self.start(analysis=pace | analysis)
        named = {"analysis-mode": "full", **{name.replace("_", "-"): value for name, value in settings.items()}}
        annotations = {f"slipway.dev/{name}": value for name, value in named.items()}
        self.world.kube.patch("flagger.app/v1beta1", "Canary", self.ns, APP, {"metadata": {"annotations": annotations}})

    def start_with_replicas(self, replicas: int) -> None:
        """Likewise, under so many Slipways of its own, of which one leads."""
        self.world.apply(objects.namespace(self.ns))
        self.world.install(self.ns, replicas=replicas)
        self.start()

    def serve(self, rate: int = 100) -> None:
        """Users begin to send requests; where no mesh brings some of them to the canary, so does a load test at its Service."""
        url = f"http://{APP}.{self.ns}/"
        self.world.wait_reachable(url, self.backend.proxy)
        self.clients["users"] = self.world.users(f"{self.ns}.users", url, self.backend.proxy, rate)
        if self.backend.route_kind is None:
            self.clients["load"] = self.world.users(f"{self.ns}.load", f"http://{APP}-canary.{self.ns}/", None, 50)
        time.sleep(2)

    def release(self, tag: str, **more: Any) -> None:
        """Changes the image, and what else of the container is said."""
        self.changed_at = time.time()
        change = {"spec": {"template": {"spec": {"containers": [{"name": APP, "image": f"app:{tag}", **more}]}}}}
        self.world.kube.patch("apps/v1", self.kind, self.ns, APP, change, content_type="application/strategic-merge-patch+json")

    def reconfigure(self, greeting: str) -> None:
        """Changes the ConfigMap, and nothing else."""
        self.changed_at = time.time()
        self.world.apply(objects.config(self.ns, greeting))

    # What there is to see

    def status(self) -> Object:
        """The newest status of the Canary."""
        status: Object = self.world.watch.latest("Canary", self.ns, APP).get("status", {})
        return status

    def reaches(self, *phases: str, seconds: float = 120) -> bool:
        """Waits for a phase."""
        return self.world.watch.until("Canary", self.ns, APP, lambda obj: obj.get("status", {}).get("phase") in phases, seconds)

    def ends(self, phase: str, seconds: float = 120) -> None:
        """Expects the release to begin and to end in a phase, then stops the users a little later."""
        begun = self.reaches("Progressing", "Waiting", "WaitingPromotion", "Promoting", "Finalising", "Failed", seconds=30)
        self.expect(begun, "the change started no release within 30 s")
        ended = begun and self.reaches(*DONE, seconds=seconds)
        self.expect(ended, f"the release has not ended after {seconds:.0f} s: {json.dumps(self.status())[:800]}")
        if ended:
            self.notes.append(f"{self.status()['phase']} after {time.time() - self.changed_at:.1f} s{self.first_steps()}")
            self.expect(self.status()["phase"] == phase, f"phase is {self.status()['phase']}, not {phase}")
        time.sleep(4)
        for client in self.clients.values():
            client.stop()
        summary = self.users()
        shares = ", ".join(f"{name} {count['share']:.0%}" for name, count in summary["by_revision"].items())
        self.notes.append(f"{summary['sent']} requests ({shares}), {summary['failed']} failed")

    def first_steps(self) -> str:
        """How long after the change the release began, and users met the canary for the first time."""
        states = self.world.watch.states("Canary", self.ns, APP)
        begun = [state.at for state in states if state.obj.get("status", {}).get("phase") == "Progressing"]
        told = f", begun after {begun[0] - self.changed_at:.2f} s" if begun else ""
        routes = self.world.watch.states(self.backend.route_kind, self.ns, APP) if self.backend.route_kind else []
        weighted = [state.at for state in routes if not state.deleted and self.backend.weight_of_canary(state.obj)[0] > 0]
        return told + (f", first weight after {weighted[0] - self.changed_at:.1f} s" if weighted else "")

    def primary_image(self) -> str:
        """The image of the primary."""
        primary = self.world.watch.latest(self.kind, self.ns, f"{APP}-primary")
        return str(primary["spec"]["template"]["spec"]["containers"][0]["image"]) if primary else "none"

    def expect_scaled_down(self) -> None:
        """Expects the canary's workload to be empty soon after the end."""
        empty = self.world.watch.until(self.kind, self.ns, APP, is_empty, 20)
        self.expect(empty, "the canary's workload is not scaled down")

    def identity(self) -> str:
        """Under which name the Slipway stands that leads here."""
        if not self.world.watch.until("Lease", self.ns, LEASE, identity_of, 30):
            raise RuntimeError("nobody leads after 30 s")
        return identity_of(self.world.watch.latest("Lease", self.ns, LEASE))

    def leader(self) -> str:
        """Its pod: an identity is slipway_POD_CHANCE."""
        return self.identity().split("_")[1]

    def expect_another_leads(self, before: str) -> None:
        """Expects that the lease gets another holder than that identity; notes how long it took."""
        since = time.time()
        taken = self.world.watch.until("Lease", self.ns, LEASE, lambda lease: identity_of(lease) not in ("", before), 60)
        self.expect(taken, "nobody else led within 60 s")
        self.notes.append(f"another led after {time.time() - since:.1f} s")

    def weights(self) -> list[int]:
        """Every weight that the canary had on its route, in order; each sum is expected to be 100."""
        if self.backend.route_kind is None:
            return []
        found: list[int] = []
        for state in self.world.watch.states(self.backend.route_kind, self.ns, APP):
            weight, total = self.backend.weight_of_canary(state.obj)
            self.expect(total == 100, f"the weights of the route sum to {total}")
            if found[-1:] != [weight]:
                found.append(weight)
        return found

    def expect_reason(self, *parts: str) -> None:
        """Expects the reason for the end to have all of these parts."""
        reason = str(self.status().get("slipway", {}).get("reason"))
        self.notes.append(reason)
        self.expect(all(part in reason for part in parts), f"the reason does not speak of {' and '.join(parts)}: {reason}")

    def expect_weights(self, *wanted: int) -> None:
        """Expects exactly these weights of the canary, one after the other."""
        if self.backend.route_kind is not None:
            weights = self.weights()
            self.expect(weights == list(wanted), f"the canary's weights were {weights}, not {list(wanted)}")

    def events(self) -> list[str]:
        """The texts of the events about the Canary."""
        with self.world.watch.changed:
            keys = [key for key in self.world.watch.history if key[0] == "Event" and key[1] == self.ns]
        latest = [self.world.watch.latest(*key) for key in keys]
        return [event["message"] for event in latest if event and event["involvedObject"]["kind"] == "Canary"]

    def expect_event(self, *parts: str) -> None:
        """Expects an event with all of these parts in its text, soon: events are written after the status."""
        end = time.time() + 10
        while not (found := any(all(part.lower() in text.lower() for part in parts) for text in self.events())) and time.time() < end:
            time.sleep(0.2)
        self.expect(found, f"no event speaks of {' and '.join(parts)}: {self.events()}")

    def users(self) -> dict[str, Any]:
        """The summary of what the users saw."""
        return self.clients["users"].stop()

    def expect_no_failed_request(self) -> None:
        """Expects that not one user saw an error."""
        told = self.users()
        self.expect(told["sent"] > 0, "no request was sent")
        self.expect(told["failed"] == 0, f"{told['failed']} of {told['sent']} requests failed: {told['errors']} {told['by_status']}")

    def expect_only(self, revision: str) -> None:
        """Expects that every user met this revision."""
        met = sorted(self.users()["by_revision"])
        self.expect(met == [revision], f"users met {met}, not only {revision}")

    def expect_at_the_end(self, revision: str, seconds: float = 2) -> None:
        """Expects that in the last seconds every request was answered well, by this revision."""
        responses = self.clients["users"].responses()
        end = max(response["at"] for response in responses)
        last = [response for response in responses if response["at"] > end - 1000 * seconds]
        wrong = [response for response in last if response.get("revision") != revision or response.get("status") != 200]
        self.expect(last and not wrong, f"{len(wrong)} of the last {len(last)} requests were not answered well by {revision}: {wrong[:3]}")

    def expect_promoted_step_by_step(self) -> None:
        """Expects that v2 was promoted with every step taken once, and that no user noticed."""
        self.expect(self.primary_image() == "app:v2", f"the primary runs {self.primary_image()}")
        self.expect_scaled_down()
        self.expect_weights(0, 20, 40, 60, 0)
        self.expect_no_failed_request()
        self.expect_at_the_end("v2")

    # The end

    def record(self) -> Object:
        """Everything that was seen, for a reader who was not there."""
        states = self.world.watch.states("Canary", self.ns, APP)
        return {
            "case": self.name,
            "about": self.story.about,
            "failures": self.failures,
            "notes": self.notes,
            "changed_at": self.changed_at,
            "statuses": [{"at": state.at, "status": state.obj.get("status")} for state in states],
            "weights": self.weights(),
            "events": self.events(),
            "clients": {name: client.summary for name, client in self.clients.items()},
        }

    def close(self, *, keep: bool) -> None:
        """Stops the users, writes the record and removes the namespace."""
        for client in self.clients.values():
            client.stop()
        path = self.world.results / f"{self.ns}.json"
        path.write_text(json.dumps(self.record(), indent=1))
        if not keep:
            self.world.kube.delete("flagger.app/v1beta1", "Canary", self.ns, APP)
            self.world.kube.delete("v1", "Namespace", None, self.ns)
