"""The stories: what is done, and what must come of it."""

from __future__ import annotations

import base64
import json
import random
import signal
import time
import urllib.request

from suites import objects
from suites.case import EVERY, INSIDE, Case, Under, identity_of, story
from suites.objects import APP
from suites.world import LEASE


def container_of(case: Case, pod: str) -> objects.Object:
    """The state of Slipway's container in a pod."""
    state: objects.Object = case.world.kube.get("v1", "Pod", case.ns, pod)["status"]["containerStatuses"][0]
    return state


def find(case: Case, item: objects.Object) -> objects.Object:
    """What a user sees of an object: labels, annotations, owners, spec."""
    found = case.world.kube.get(item["apiVersion"], item["kind"], case.ns, item["metadata"]["name"])
    fields = ("labels", "annotations", "ownerReferences")
    return {**{field: found["metadata"].get(field) for field in fields}, "spec": found["spec"]}


def condition(obj: objects.Object, wanted: str) -> str | None:
    """The status of a condition of an object."""
    found = (one["status"] for one in obj.get("status", {}).get("conditions", []) if one["type"] == wanted)
    return next(found, None)


@story(core=EVERY)
def healthy_release(case: Case) -> None:
    """A healthy release is promoted, step by step, and not one request of the users fails."""
    case.start()
    case.serve()
    case.release("v2")
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()
    if case.backend.route_kind is None:
        case.expect("canary" not in case.users()["by_side"], "users met the canary, which nothing had judged")


@story(backends=("kubernetes",), core=("kubernetes",))
def weights_of_pods(case: Case) -> None:
    """Annotations ask for weights without a mesh: so many pods have users, nobody notices, and the Service is as before at the end."""
    # A step of the spec alone is not heeded on plain Kubernetes.
    case.start(analysis={"iterations": 0, "stepWeight": 20})
    steps = {"metadata": {"annotations": {"slipway.dev/step-weights": "34,50"}}}
    case.world.kube.patch("flagger.app/v1beta1", "Canary", case.ns, APP, steps)
    case.serve()
    case.release("v2")
    case.ends("Succeeded", seconds=150)
    states = case.world.watch.states("Canary", case.ns, APP)
    asked = {state.obj.get("status", {}).get("canaryWeight") for state in states if not state.deleted}
    case.expect({34, 50} <= asked, f"the weights asked for were {sorted(weight or 0 for weight in asked)}")
    case.expect("canary" in case.users()["by_side"], "no user met the canary before it was promoted")
    case.expect(case.primary_image() == "app:v2", f"the primary runs {case.primary_image()}")
    selector = case.world.kube.get("v1", "Service", case.ns, APP)["spec"]["selector"]
    case.expect(selector == {"app": f"{APP}-primary"}, f"the Service selects {selector}")
    case.expect_scaled_down()
    case.expect_no_failed_request()
    case.expect_at_the_end("v2")


@story(core=EVERY)
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


@story(backends=("istio", "linkerd"), core=("istio",))
def newer_revision_held(case: Case) -> None:
    """A revision that is pushed while another has traffic gets no pod before that traffic has left; then it is released."""
    case.start()
    hold = {"metadata": {"annotations": {"slipway.dev/hold-new-revision": "true"}}}
    case.world.kube.patch("flagger.app/v1beta1", "Canary", case.ns, APP, hold)
    case.serve()
    case.release("v2")
    weighted = case.world.watch.until("Canary", case.ns, APP, lambda obj: obj.get("status", {}).get("canaryWeight", 0) >= 20, 60)
    case.expect(weighted, "the first revision got no traffic")
    paused = case.world.watch.until("Deployment", case.ns, APP, lambda obj: obj.get("spec", {}).get("paused"), 10)
    case.expect(paused, "the target is not paused while it has traffic")
    case.release("v3")
    case.ends("Succeeded", seconds=150)
    case.expect(case.primary_image() == "app:v3", f"the primary runs {case.primary_image()}")
    target = case.world.watch.latest("Deployment", case.ns, APP)
    case.expect(not target["spec"].get("paused"), "the target stays paused")
    case.expect_scaled_down()
    case.expect_no_failed_request()
    case.expect_at_the_end("v3")


@story(core=EVERY)
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


@story(core=EVERY)
def conformance_fails(case: Case) -> None:
    """A conformance hook that fails stops the release before any traffic."""
    case.start(analysis={"webhooks": [objects.hook("pre-rollout", "/fail")]})
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


@story(core=("kubernetes", "istio"))
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


@story(backends=("kubernetes",))
def secret_change(case: Case) -> None:
    """A change of a Secret alone starts a release; the primary gets its copy when it is promoted."""
    case.world.apply(objects.namespace(case.ns), objects.secret(case.ns, "old"))
    case.start(container={"envFrom": [{"secretRef": {"name": APP}}]})
    case.serve()
    case.changed_at = time.time()
    case.world.apply(objects.secret(case.ns, "new"))
    case.ends("Succeeded")
    copy = case.world.kube.get("v1", "Secret", case.ns, f"{APP}-primary")
    case.expect(base64.b64decode(copy["data"]["PASSWORD"]) == b"new", "the primary's Secret is not the promoted one")
    case.expect_scaled_down()
    case.expect_no_failed_request()


@story(backends=("kubernetes",))
def copies_made_anew(case: Case) -> None:
    """The primary's copies that no write can change, an immutable ConfigMap and a Secret whose type is another now, are made anew."""
    kube, kind = case.world.kube, "example.com/password"
    case.world.apply(objects.namespace(case.ns), objects.secret(case.ns, "old"))
    case.start(container={"envFrom": [{"secretRef": {"name": APP}}]})
    kube.patch("v1", "ConfigMap", case.ns, f"{APP}-primary", {"immutable": True})
    case.serve()
    kube.delete("v1", "Secret", case.ns, APP)
    case.world.apply(objects.secret(case.ns, "new", kind))
    case.reconfigure("good day")
    case.ends("Succeeded")
    copy = kube.get("v1", "Secret", case.ns, f"{APP}-primary")
    is_new = copy["type"] == kind and base64.b64decode(copy["data"]["PASSWORD"]) == b"new"
    case.expect(is_new, f"the primary's Secret is of the type {copy['type']}")
    copy = kube.get("v1", "ConfigMap", case.ns, f"{APP}-primary")
    case.expect(copy["data"] == {"greeting": "good day"}, f"the primary's ConfigMap holds {copy['data']}")
    case.expect_scaled_down()
    case.expect_no_failed_request()


@story(backends=("kubernetes", "istio"))
def daemon_set(case: Case) -> None:
    """A DaemonSet is released as a Deployment is; at rest its target is on no node."""
    case.kind = "DaemonSet"
    case.start()
    case.serve()
    case.release("v2")
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()


@story(core=EVERY, under=Under.OWN)
def controller_killed(case: Case) -> None:
    """Slipway is killed (-9) at a random moment of a release; the kubelet starts it again, and the release ends right."""
    case.start_with_replicas(1)
    case.serve()
    case.release("v2")
    delay = random.Random(f"{case.seed} {case.ns}").uniform(0, 12)
    time.sleep(delay)
    case.notes.append(f"killed after {delay:.2f} s ({case.status().get('phase')}, weight {case.status().get('canaryWeight')})")
    pod = case.leader()
    case.world.signal_slipway(case.ns, pod, signal.SIGKILL)
    case.ends("Succeeded", seconds=150)
    case.expect_promoted_step_by_step()
    state = container_of(case, pod)
    case.expect(state["restartCount"] == 1, f"Slipway was restarted {state['restartCount']} times, not once")


@story(core=("kubernetes",), under=Under.OWN)
def leader_killed(case: Case) -> None:
    """Of two Slipways the one that leads is killed (-9) in the middle of a release; the other ends the release right."""
    case.start_with_replicas(2)
    case.serve()
    case.release("v2")
    case.reaches("Progressing", seconds=30)
    before = case.identity()
    case.world.signal_slipway(case.ns, case.leader(), signal.SIGKILL)
    case.expect_another_leads(before)
    case.ends("Succeeded", seconds=150)
    case.expect_promoted_step_by_step()


@story(core=("istio",), under=Under.OWN)
def leader_stopped(case: Case) -> None:
    """Of two Slipways the one that leads is asked to stop (SIGTERM): it gives the lease up, and the next leader goes on at once."""
    case.start_with_replicas(2)
    case.serve()
    case.release("v2")
    case.reaches("Progressing", seconds=30)
    before, pod = case.identity(), case.leader()
    case.world.signal_slipway(case.ns, pod, signal.SIGTERM)
    case.expect_another_leads(before)
    holders = [identity_of(state.obj) for state in case.world.watch.states("Lease", case.ns, LEASE)]
    case.expect("" in holders[holders.index(before) :], f"the lease was never given up: {sorted(set(holders))}")
    case.ends("Succeeded", seconds=150)
    case.expect_promoted_step_by_step()
    last = container_of(case, pod).get("lastState", {}).get("terminated", {})
    case.expect(last.get("exitCode") == 0, f"the stopped Slipway ended with {last}")


@story(under=Under.OWN)
def only_one_namespace(case: Case) -> None:
    """Slipway for one namespace works with Roles only: it asks for nothing outside of it, and nothing is refused to it."""
    case.start_with_replicas(1)
    case.serve()
    case.release("v2")
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()
    requests = case.world.requests_of(case.ns)
    outside = {request["requestURI"] for request in requests if request["objectRef"].get("namespace") != case.ns}
    case.expect(requests, "the audit log has no request of Slipway")
    case.expect(not outside, f"Slipway asked for {sorted(outside)}")
    refused = {request["requestURI"] for request in requests if request["responseStatus"]["code"] in (401, 403)}
    case.expect(not refused, f"Slipway was refused {sorted(refused)}")


@story(core=("istio",), under=Under.OWN)
def taken_over(case: Case) -> None:
    """What Flagger left at rest is taken over, and nothing moves; the next promotion removes from the primary what it should."""
    world, replicas = case.world, 3
    world.apply(objects.namespace(case.ns), objects.config(case.ns, "hello"))
    target = objects.with_env(objects.deployment(case.ns, "v1", 60), objects.OLD_ENV)
    del target["spec"]["replicas"]
    world.apply(target, objects.canary(case.ns, case.backend.provider, case.analysis(), 60, case.backend.parent))
    world.kube.patch("apps/v1", "Deployment", case.ns, APP, {"spec": {"replicas": 0}})
    canary = world.kube.get("flagger.app/v1beta1", "Canary", case.ns, APP)
    owner = {"apiVersion": canary["apiVersion"], "kind": "Canary", "name": APP, "uid": canary["metadata"]["uid"], "controller": True}
    world.create_as("flagger", *objects.made_by_flagger(case.ns, case.backend.provider, case.backend.parent, owner, replicas))
    world.write_status_as("flagger", canary, objects.status_of_flagger())
    world.wait_available(case.ns, f"{APP}-primary", replicas=replicas)
    case.serve()

    world.install(case.ns)
    taken = world.watch.until("Canary", case.ns, APP, lambda obj: obj.get("status", {}).get("slipway"), 30)
    case.expect(taken, f"not taken over after 30 s: {json.dumps(case.status())[:800]}")
    time.sleep(5)
    case.expect(case.status().get("phase") == "Initialized", f"taking over made {case.status().get('phase')} of Initialized")
    case.expect_weights(0)
    primary = world.watch.latest("Deployment", case.ns, f"{APP}-primary")
    case.expect(primary["metadata"]["generation"] == 1, "taking over changed the primary")

    case.release("v2", env=[{"name": name, "$patch": "delete"} for name in objects.OLD_ENV])
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()
    primary = world.watch.latest("Deployment", case.ns, f"{APP}-primary")
    env = primary["spec"]["template"]["spec"]["containers"][0].get("env")
    case.expect(not env, f"the primary still has {env}")
    sizes = {state.obj["spec"]["replicas"] for state in world.watch.states("Deployment", case.ns, f"{APP}-primary")}
    case.expect(sizes == {replicas}, f"the primary was asked for {sizes} pods, not only {replicas}")


@story(backends=("linkerd",), core=("linkerd",), under=Under.ALONE)
def smi_installed_later(case: Case) -> None:
    """Without SMI, Linkerd is routed by an HTTPRoute of the apex, and a condition says so; once SMI is there, it is routed by that."""
    world, crd = case.world, "trafficsplits.split.smi-spec.io"
    world.kube.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, crd)
    try:
        world.apply(objects.namespace(case.ns))
        world.install(case.ns)
        case.deploy()
        world.apply(objects.canary(case.ns, case.backend.provider, case.analysis(), 60))
        said = world.watch.until("Canary", case.ns, APP, lambda obj: condition(obj, "RoutedBy") == "True", 30)
        case.expect(said, f"no condition speaks of the missing mesh: {json.dumps(case.status())[:800]}")
        case.expect_event("trafficsplits", "HTTPRoute")
        case.is_initialised()
        case.expect(world.watch.latest("HTTPRoute", case.ns, APP), "there is no HTTPRoute")
    finally:
        world.install_crds()
    since = time.time()
    moved = world.watch.until("HTTPRoute", case.ns, APP, lambda obj: not obj, 60)
    case.expect(moved, f"the HTTPRoute is still there after 60 s: {json.dumps(case.status())[:800]}")
    case.notes.append(f"moved {time.time() - since:.1f} s after SMI was installed")
    case.expect(world.watch.until("TrafficSplit", case.ns, APP, bool, 10), "there is no TrafficSplit")
    unsaid = world.watch.until("Canary", case.ns, APP, lambda obj: condition(obj, "RoutedBy") != "True", 10)
    case.expect(unsaid, "the condition stays")
    case.serve()
    time.sleep(3)   # the double, whose watch ended with the custom resource, comes back a little later
    case.release("v2")
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()
    pod = case.leader()
    case.expect(container_of(case, pod)["restartCount"] == 0, "Slipway was restarted")


@story(backends=("kubernetes",), under=Under.ALONE)
def crd_left_in_place(case: Case) -> None:
    """Under a custom resource that drops what Slipway remembers, as Flagger's does, nothing is done; under its own the work begins."""
    world, name = case.world, "canaries.flagger.app"
    crd = world.kube.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, name)
    for version in crd["spec"]["versions"]:
        del version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["slipway"]
    try:
        world.kube.patch("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, name, {"spec": {"versions": crd["spec"]["versions"]}})
        time.sleep(5)   # the API server tells of it a little later
        world.apply(objects.namespace(case.ns))
        world.install(case.ns)
        case.deploy()
        world.apply(objects.canary(case.ns, case.backend.provider, case.analysis(), 60))
        time.sleep(15)
        case.expect(not case.status().get("phase"), f"the phase is {case.status().get('phase')}, although nothing can be remembered")
        case.expect(not world.watch.latest("Deployment", case.ns, f"{APP}-primary"), "a primary was made")
    finally:
        world.install_crds()
    case.is_initialised()


# Behind a gateway the route goes with its Canary, unless the user made it.
@story(backends=INSIDE, core=("kubernetes",))
def canary_deleted(case: Case) -> None:
    """Deleting the Canary gives the application back to its own Deployment, and not one request fails."""
    case.start()
    case.serve()
    kube = case.world.kube
    kube.delete("flagger.app/v1beta1", "Canary", case.ns, APP)
    gone = case.world.watch.until("Canary", case.ns, APP, lambda obj: not obj, 60)
    case.expect(gone, f"the Canary is still there after 60 s: {json.dumps(case.status())[:800]}")
    emptied = case.world.watch.until("Deployment", case.ns, f"{APP}-primary", lambda obj: not obj, 30)
    case.expect(emptied, "the primary is still there")
    time.sleep(3)
    case.clients["users"].stop()
    case.expect_no_failed_request()
    case.expect_at_the_end("v1")
    service = kube.get("v1", "Service", case.ns, APP)
    case.expect(service["spec"]["selector"] == {"app": APP}, f"the Service selects {service['spec']['selector']}")
    left = case.world.watch.latest(case.backend.route_kind, case.ns, APP) if case.backend.route_kind else {}
    case.expect(not left, f"the route is still there: {json.dumps(left)[:400]}")


@story(backends=INSIDE, core=("kubernetes",))
def opted_in(case: Case) -> None:
    """A Deployment that only carries an annotation gets a Canary; when it goes, the Canary goes and the Deployment serves again."""
    kube = case.world.kube

    def ask(strategy: str | None) -> None:
        kube.patch("apps/v1", "Deployment", case.ns, APP, {"metadata": {"annotations": {"slipway.dev/release": strategy}}})

    case.deploy()
    case.world.apply(objects.service(case.ns))
    ask("blue-green")
    case.is_initialised()
    case.serve()
    ask(None)
    gone = case.world.watch.until("Canary", case.ns, APP, lambda obj: not obj, 60)
    case.expect(gone, f"the Canary is still there after 60 s: {json.dumps(case.status())[:800]}")
    time.sleep(3)
    case.clients["users"].stop()
    case.expect_no_failed_request()
    case.expect_at_the_end("v1")


@story(backends=INSIDE)
def own_objects_given_back(case: Case) -> None:
    """A Service and a route that the user had before are used for the release, and are as they were once the Canary is deleted."""
    own = [objects.service(case.ns), *objects.own_routes(case.ns, case.backend_name)]
    case.world.apply(objects.namespace(case.ns), *own)
    before = [find(case, item) for item in own]
    case.start()
    case.serve()
    case.release("v2")
    case.reaches("Succeeded", "Failed")
    case.expect(case.status().get("phase") == "Succeeded", f"phase is {case.status().get('phase')}, not Succeeded")
    # At rest: while the target's last pods end, a deletion finds them ready (see Slipway's `terminate`), and users meet none for a moment.
    case.world.wait_empty(case.ns, f"app={APP}")
    case.world.kube.delete("flagger.app/v1beta1", "Canary", case.ns, APP)
    gone = case.world.watch.until("Canary", case.ns, APP, lambda obj: not obj, 60)
    case.expect(gone, f"the Canary is still there after 60 s: {json.dumps(case.status())[:800]}")
    time.sleep(3)
    case.clients["users"].stop()
    case.expect_no_failed_request()
    case.expect_at_the_end("v2")
    after = [find(case, item) for item in own]
    case.expect(after == before, f"the user had {json.dumps(before)} and has {json.dumps(after)}")


@story(backends=("kubernetes", "istio"))
def autoscaled(case: Case) -> None:
    """A target with a HorizontalPodAutoscaler: its primary gets one of its own, and the target's does not bring the empty target back."""
    case.world.apply(objects.namespace(case.ns), objects.autoscaler(case.ns))
    reference = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": APP}
    case.start(spec={"autoscalerRef": reference})
    # Load has brought the primary to more pods than its autoscaler would keep.
    case.world.kube.patch("apps/v1", "Deployment", case.ns, f"{APP}-primary", {"spec": {"replicas": 3}})
    case.world.wait_available(case.ns, f"{APP}-primary", replicas=3)
    case.serve()
    case.release("v2")
    case.expect(case.reaches("Progressing", seconds=30), "the change started no release")
    time.sleep(1)
    held = case.world.kube.find("autoscaling/v2", "HorizontalPodAutoscaler", case.ns, f"{APP}-primary")
    case.expect(held and held["spec"]["minReplicas"] == 3, f"the primary's autoscaler goes down to {held and held['spec']}")
    case.ends("Succeeded")
    case.expect_promoted_step_by_step()
    copy = case.world.kube.find("autoscaling/v2", "HorizontalPodAutoscaler", case.ns, f"{APP}-primary")
    limits = copy and (copy["spec"]["scaleTargetRef"]["name"], copy["spec"]["minReplicas"], copy["spec"]["maxReplicas"])
    case.expect(limits == (f"{APP}-primary", 2, 4), f"the primary's autoscaler is {limits}")


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
