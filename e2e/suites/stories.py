"""The stories: what is done, and what must come of it."""

from __future__ import annotations

import json
import random
import signal
import time
import urllib.request

from suites import objects
from suites.case import Case, Under, story
from suites.objects import APP, SLIPWAY

SELECTOR = f"app.kubernetes.io/name={SLIPWAY}"


@story(core=True)
def healthy_release(case: Case) -> None:
    """A healthy release is promoted, step by step, and not one request of the users fails."""
    case.start()
    case.serve()
    case.release("v2")
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()
    if case.backend.route_kind is None:
        case.expect("canary" not in case.users()["by_side"], "users met the canary, which nothing had judged")


@story(core=True)
def twenty_percent_errors(case: Case) -> None:
    """A release with 20% errors is rolled back; the users' failed requests are counted."""
    case.start()
    case.serve()
    case.release("bad")
    case.ends("Failed")
    case.expect(case.primary_image() == "app:v1", f"the primary runs {case.primary_image()}")
    case.expect_scaled_down()
    case.expect_event("halt", "success rate")
    case.expect(max(case.weights(), default=0) < 60, f"the canary's weights were {case.weights()}")
    case.expect(case.weights()[-1:] in ([0], []), f"the canary keeps its weight: {case.weights()}")
    case.expect_at_the_end("v1")
    if case.backend.route_kind is None:
        case.expect_no_failed_request()


@story()
def pods_never_start(case: Case) -> None:
    """A release whose pods never get ready is rolled back at the progress deadline, before any traffic."""
    case.start(deadline=10)
    case.serve(rate=20)
    case.release("never-ready")
    case.ends("Failed", seconds=60)
    case.expect(time.time() - case.changed_at > 10, "rolled back before the deadline")
    case.expect(case.primary_image() == "app:v1", f"the primary runs {case.primary_image()}")
    case.expect_scaled_down()
    case.expect_weights(0)
    case.expect_only("v1")
    case.expect_no_failed_request()


@story()
def conformance_fails(case: Case) -> None:
    """A conformance hook that fails stops the release before any traffic."""
    case.start(webhooks=[objects.hook("pre-rollout", "/fail")])
    case.serve(rate=20)
    case.release("v2")
    case.ends("Failed")
    case.expect(case.primary_image() == "app:v1", f"the primary runs {case.primary_image()}")
    case.expect_scaled_down()
    case.expect_weights(0)
    case.expect_only("v1")
    case.expect_no_failed_request()
    calls = case.world.hook_calls(case.ns)
    case.expect(calls and all(call["path"] == "/fail" for call in calls), f"the hook got {calls[:2]}")
    if calls:
        payload = calls[0]["payload"]
        told = (payload.get("name"), payload.get("namespace"), payload.get("phase"))
        case.expect(told == (APP, case.ns, "Progressing"), f"the hook was told {json.dumps(payload)}")


@story()
def config_change(case: Case) -> None:
    """A change of a ConfigMap alone starts a release; the primary gets it when it is promoted."""
    case.start()
    case.serve()
    case.reconfigure("good day")
    case.ends("Succeeded")
    copy = case.world.kube.get("v1", "ConfigMap", case.ns, f"{APP}-primary")
    case.expect(copy["data"] == {"greeting": "good day"}, f"the primary's ConfigMap holds {copy['data']}")
    with urllib.request.urlopen(f"http://{APP}-primary.{case.ns}/", timeout=10) as response:
        served = json.load(response)["config"]
    case.expect(served == {"greeting": "good day"}, f"the primary serves with {served}")
    case.expect_scaled_down()
    case.expect_weights(0, 20, 40, 60, 0)
    case.expect_no_failed_request()


@story(under=Under.OWN)
def controller_killed(case: Case) -> None:
    """Slipway is killed (-9) at a random moment of a release; the kubelet starts it again, and the release ends right."""
    world = case.world
    world.apply(objects.namespace(case.ns))
    world.install(case.ns)
    case.start()
    case.serve()
    case.release("v2")
    delay = random.Random(f"{case.seed} {case.ns}").uniform(0, 12)
    time.sleep(delay)
    phase = case.status().get("phase")
    pod = world.kube.list("v1", "Pod", case.ns, SELECTOR)[0]["metadata"]["name"]
    world.signal_slipway(case.ns, pod, signal.SIGKILL)
    case.notes.append(f"killed after {delay:.2f} s ({phase}, weight {case.status().get('canaryWeight')})")
    case.ends("Succeeded", seconds=150)
    case.expect_promoted_step_by_step()
    state = world.kube.get("v1", "Pod", case.ns, pod)["status"]["containerStatuses"][0]
    case.expect(state["restartCount"] == 1, f"Slipway was restarted {state['restartCount']} times, not once")


@story()
def slow_release(case: Case) -> None:
    """A release that is too slow is rolled back by its latency."""
    case.start()
    case.serve()
    case.release("slow")
    case.ends("Failed")
    case.expect(case.primary_image() == "app:v1", f"the primary runs {case.primary_image()}")
    case.expect_event("halt", "request duration")
    case.expect_scaled_down()
    case.expect_at_the_end("v1")
    case.expect_no_failed_request()


@story(backends=("istio", "linkerd"))
def pods_crash_under_traffic(case: Case) -> None:
    """A release whose pods crash once they get traffic is rolled back."""
    case.start(deadline=20)
    case.serve()
    case.release("crash")
    case.ends("Failed")
    case.expect(case.primary_image() == "app:v1", f"the primary runs {case.primary_image()}")
    case.expect_scaled_down()
    case.expect_at_the_end("v1")
