"""The stories of releases that are judged by evidence, and what they cost users."""

from __future__ import annotations

import time

from suites.case import Case, Under, story

# Where requests are counted by the mesh, and where by the application.
JUDGED = ("istio", "linkerd", "gateway-api")


@story(backends=JUDGED, core=("istio",))
def broken_release_judged(case: Case) -> None:
    """A release that always fails is taken back by its first requests, long before its first check is due."""
    case.start_judged({})
    case.serve()
    case.release("broken")
    case.ends("Failed", seconds=60)
    case.expect_reason("Rolled back at weight 1: ", "canary fails 100% of ", " user requests failed in ")
    failed = case.users()["failed"]
    case.expect(0 < failed <= 60, f"{failed} requests failed")
    case.expect_scaled_down()
    case.expect_at_the_end("v1")


@story(backends=JUDGED, core=("istio",))
def healthy_release_judged(case: Case) -> None:
    """A healthy release earns each step, has all users while the primary stands by, and is promoted; checks alone take longer."""
    case.start_judged({}, tick="5s", min_step="5s", max_impact="10%", soak="10s")
    case.serve()
    case.release("v2")
    case.ends("Succeeded", seconds=200)
    case.expect(case.primary_image() == "app:v2", f"the primary runs {case.primary_image()}")
    case.expect_weights(0, 1, 5, 10, 25, 50, 100, 0)
    case.expect_scaled_down()
    case.expect_no_failed_request()
    case.expect_at_the_end("v2")


def measure(case: Case, tag: str, phase: str) -> None:
    """What a release costs at the defaults, without the soak, where one request of a thousand usually fails."""
    case.first = "usual"
    case.start_judged({}, soak="0s")
    case.serve()
    # What latencies are usual must be known.
    time.sleep(60)
    before = len([it for it in case.clients["users"].responses() if it.get("status") != 200])
    case.release(tag)
    case.ends(phase, seconds=1200)
    responses = case.clients["users"].responses()
    ours = [it for it in responses if it.get("revision") == tag]
    failed = sum(1 for it in ours if it.get("status") != 200)
    seconds = (ours[-1]["at"] - ours[0]["at"]) / 1000 if ours else 0
    # Of a promoted release the primary serves the same revision in the end.
    case.notes.append(f"MEASURED {tag}: {failed} of {len(ours)} requests failed in {seconds:.0f} s; before it {before} failed")


def measured(tag: str, phase: str) -> None:
    """Registers the measurement of a revision."""
    def tell(case: Case) -> None:
        measure(case, tag, phase)

    tell.__name__ = f"measured_{tag}".replace("-", "_")
    tell.__doc__ = f"What the revision {tag} costs users."
    story(backends=("istio", "linkerd"), under=Under.SHARED, measures=True)(tell)


for _tag, _phase in {
    "fails-100": "Failed",
    "fails-20": "Failed",
    "fails-5": "Failed",
    "fails-1": "Failed",
    "twice-as-slow": "Failed",
    "usual-2": "Succeeded",
}.items():
    measured(_tag, _phase)
