"""What is decided about manifests and workloads before and without any cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.targets.kube import canary, images, judging, reading
from deploy.targets.kube.differences import difference
from deploy.targets.kube.judging import Scene
from deploy.targets.kube.objects import Ref, Unfit, backwards, lane_label, ordered, ref
from deploy.targets.kube.reading import Bounds
from deploy.targets.kube.watching import selector_of
from farmgate.errors import BadDocument
from tests.deploy.kube.shop import DEPLOYMENT, ROUTE, SERVICE

BOUNDS = Bounds("shop")
DIGEST = "sha256:" + "a" * 64


def read(text: str, bounds: Bounds = BOUNDS) -> list[dict[str, Any]]:
    return reading.manifests([("all.yaml", text.encode())], bounds)


def shop(*more: str) -> list[dict[str, Any]]:
    return read("---\n".join((DEPLOYMENT.format(replicas=4, version="1"), SERVICE, *more)))


def problem(text: str) -> str:
    with pytest.raises(BadDocument) as caught:
        read(text)
    return str(caught.value)


# --- reading -------------------------------------------------------------------------------------------------------


def test_documents_and_lists_are_read_and_put_into_the_lanes_namespace() -> None:
    found = read(
        "# first\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n"
        "---\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b, uid: x, resourceVersion: '7'}\nstatus: {}\n"
    )
    assert [str(ref(each)) for each in found] == ["ConfigMap shop/a", "Secret shop/b"]
    assert found[1]["metadata"] == {"name": "b", "namespace": "shop"}
    assert "status" not in found[1]


def test_numbers_mean_what_kubectl_takes_them_for() -> None:
    (found,) = read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nmode: 0644\nplain: 644\nword: '0644'\non: on\n"
    )
    assert (found["mode"], found["plain"], found["word"], found["on"]) == (0o644, 644, "0644", "on")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: A\nmetadata: {name: a}", "all.yaml:1:1: an object needs 'apiVersion'"),
        ("a: 1\n---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}", "all.yaml:5:1: this Pod needs a name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: kube-system}", "is for the namespace kube-system"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}", "Namespace a belongs to the whole cluster"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {farmgate/lane: b}}", "is Farmgate's own"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}",
            "twice",
        ),
        ("kind: Kustomization\napiVersion: x/v1", "kustomize's input"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\na: 1\na: 2", "all.yaml:6:1: "),
    ],
)
def test_what_cannot_be_delivered_is_told_with_its_place(text: str, words: str) -> None:
    assert words in problem(text)


def test_every_problem_is_told_at_once() -> None:
    assert len(problem("a: 1\n---\nb: 2\n---\nc: 3").splitlines()) == 3


def test_other_namespaces_and_cluster_wide_objects_need_the_policys_word() -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: other}\n---\napiVersion: v1\nkind: Namespace\n"
    found = read(text + "metadata: {name: new}\n", Bounds("shop", ("other",), cluster_wide=True))
    assert [str(ref(each)) for each in found] == ["Pod other/a", "Namespace new"]


def test_an_empty_set_of_manifests_takes_nothing_away() -> None:
    with pytest.raises(Unfit, match="hold no object"):
        read("# nothing\n")


def test_kinds_are_applied_in_the_order_of_need_and_taken_away_in_the_other() -> None:
    found = shop(ROUTE, "apiVersion: acme/v1\nkind: Boat\nmetadata: {name: b}\n")
    assert [each["kind"] for each in ordered(found)] == ["Service", "Boat", "Deployment", "HTTPRoute"]
    assert [each.kind for each in backwards(map(ref, found))] == ["HTTPRoute", "Deployment", "Boat", "Service"]


def test_a_lanes_label_is_readable_and_never_that_of_another() -> None:
    assert lane_label("shop/production") == "shop.production"
    long = {lane_label(f"{'a' * 60}/{name}") for name in ("one", "two")}
    assert len(long) == 2
    assert all(len(each) <= 63 for each in long)


# --- images --------------------------------------------------------------------------------------------------------


def test_every_container_gets_its_digest_also_in_kinds_that_nobody_knows() -> None:
    boat = {"kind": "Boat", "spec": {"deep": [{"initContainers": [{"image": "reg:5000/a/shop:v1"}]}]}}
    pod = {"kind": "Pod", "spec": {"containers": [{"image": "reg:5000/a/shop"}, {"image": "sidecar:2"}]}}
    made = images.pinned([boat, pod], {"reg:5000/a/shop": DIGEST})
    assert made.objects[0]["spec"]["deep"][0]["initContainers"][0]["image"] == f"reg:5000/a/shop@{DIGEST}"
    assert made.objects[1]["spec"]["containers"][0]["image"] == f"reg:5000/a/shop@{DIGEST}"
    assert made.loose == ("sidecar:2",)
    assert pod["spec"]["containers"][0]["image"] == "reg:5000/a/shop"  # type: ignore[index]


def test_an_image_of_the_policy_that_no_manifest_uses_is_refused() -> None:
    with pytest.raises(Unfit, match="names b, which no manifest uses; they use a"):
        images.pinned([{"spec": {"containers": [{"image": "a:1"}]}}], {"b": DIGEST})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{DIGEST}\n", DIGEST),
        (f"reg/shop:v1@{DIGEST}", f"reg/shop@{DIGEST}"),
        (f'{{"containerimage.digest": "{DIGEST}", "image.name": "x"}}', DIGEST),
    ],
)
def test_a_digest_is_read_as_builders_write_it(text: str, found: str) -> None:
    assert images.digest_in(text.encode(), "image.digest") == found


@pytest.mark.parametrize("text", ["", "latest", "sha256:abc", "a b@" + DIGEST, "{}", "\xff\xfe"])
def test_what_names_no_image_by_digest_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="names no image by digest"):
        images.digest_in(text.encode("latin-1"), "image.digest")


# --- canaries ------------------------------------------------------------------------------------------------------


def test_a_canary_by_pods_is_found_by_the_same_service_and_by_no_other_deployment() -> None:
    all_ = shop()
    (made,) = canary.objects(all_, all_[0], 1, "pods")
    assert made["metadata"]["name"] == "shop-canary"
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "shop", "farmgate/track": "canary"}
    assert made["spec"]["selector"]["matchLabels"] == {"app": "shop", "farmgate/track": "canary"}
    assert made["spec"]["replicas"] == 1


def test_a_canary_by_route_has_a_service_of_its_own_and_the_route_is_divided_exactly() -> None:
    all_ = shop(ROUTE)
    deployment, service = canary.objects(all_, all_[0], 1, "route")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["app"] == "shop-canary"
    assert service["spec"]["selector"].items() <= labels.items()
    (route,) = canary.divided(all_, all_[0], 20)
    backends = route["spec"]["rules"][0]["backendRefs"]
    assert [(each["name"], each["weight"]) for each in backends] == [("shop", 80), ("shop-canary", 20)]
    assert "weight" not in all_[2]["spec"]["rules"][0]["backendRefs"][0]


@pytest.mark.parametrize(
    ("stable", "share", "by", "count"),
    [(4, 20, "pods", 1), (4, 50, "pods", 4), (1, 5, "pods", 1), (10, 35, "route", 4)],
)
def test_a_share_becomes_a_number_of_pods(stable: int, share: int, by: str, count: int) -> None:
    assert canary.replicas(stable, share, by) == count


def test_a_canary_that_nothing_would_lead_to_is_refused() -> None:
    alone = shop()[:1]
    with pytest.raises(Unfit, match="no Service of the manifests selects"):
        canary.objects(alone, alone[0], 1, "pods")
    with pytest.raises(Unfit, match="no HTTPRoute or GRPCRoute"):
        canary.objects(shop(), shop()[0], 1, "route")


def test_which_deployment_gets_the_canary_is_never_guessed() -> None:
    two = [*shop(), {"kind": "Deployment", "metadata": {"name": "worker"}}]
    with pytest.raises(Unfit, match="the manifests hold shop, worker: name it"):
        canary.deployment_of(two, None)
    assert canary.deployment_of(two, "shop") is two[0]


# --- what is wrong with a workload ---------------------------------------------------------------------------------


def workload(kind: str = "Deployment", conditions: tuple[dict[str, str], ...] = (), **status: Any) -> dict[str, Any]:
    meta = {"name": "shop", "namespace": "shop", "uid": "u1", "generation": 2}
    api = "batch/v1" if kind == "Job" else "apps/v1"
    spec = {"replicas": 2}
    known = {"observedGeneration": 2, "conditions": list(conditions), **status}
    return {"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec, "status": known}


def pod(state: dict[str, Any] | None = None, restarts: int = 0, last: Any = None, **status: Any) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": "i",
        "ready": False,
        "restartCount": restarts,
        "state": state or {"running": {}},
    }
    if last:
        container["lastState"] = {"terminated": last}
    meta = {"name": "shop-1", "namespace": "shop", "uid": "p1"}
    return {"metadata": meta, "status": {"phase": "Running", "containerStatuses": [container], **status}}


def event(reason: str, message: str, uid: str = "p1") -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"uid": uid}}


def ended_at_once(scene: Scene, lasted: timedelta = timedelta(0), restarts: int = 0) -> str:
    judged = judging.judge(scene, restarts)
    found = judging.stuck(judged, {each.key: lasted for each in judged.findings})
    return found.words if found is not None else ""


WAIT = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
GONE = event("Failed", 'Failed to pull image "i": manifest unknown')
DOWN = event("Failed", 'Failed to pull image "i": dial tcp: i/o timeout')
LIVENESS = event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500")


@pytest.mark.parametrize(
    ("kind", "status", "done"),
    [
        ("Deployment", {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, True),
        ("Deployment", {"updatedReplicas": 2, "replicas": 3, "availableReplicas": 2}, False),
        ("Deployment", {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, False),
        ("Deployment", {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2, "observedGeneration": 1}, False),
        (
            "StatefulSet",
            {"readyReplicas": 2, "availableReplicas": 2, "currentRevision": "a", "updateRevision": "a"},
            True,
        ),
        (
            "StatefulSet",
            {"readyReplicas": 2, "availableReplicas": 2, "currentRevision": "a", "updateRevision": "b"},
            False,
        ),
        ("DaemonSet", {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}, True),
        ("DaemonSet", {"desiredNumberScheduled": 3, "updatedNumberScheduled": 2, "numberAvailable": 3}, False),
        ("Job", {"conditions": [{"type": "Complete", "status": "True"}]}, True),
        ("Job", {"active": 1}, False),
    ],
)
def test_done_is_when_the_newest_spec_is_everywhere_and_available(
    kind: str, status: dict[str, Any], done: bool
) -> None:
    assert judging.judge(Scene(workload(kind, **status))).done is done


@pytest.mark.parametrize(
    ("one", "events", "words"),
    [
        (pod(WAIT), (GONE,), "ImagePullBackOff: Failed to pull image"),
        (pod({"waiting": {"reason": "InvalidImageName", "message": "x"}}), (), "InvalidImageName"),
        (pod({"waiting": {"reason": "CrashLoopBackOff"}}, 1, {"exitCode": 3}), (), "exit code 3"),
        (pod(None, 1, {"exitCode": 137, "reason": "OOMKilled"}), (), "(OOMKilled)"),
        (pod(None, 1, {"exitCode": 143}), (LIVENESS,), "Liveness probe failed"),
    ],
)
def test_what_cannot_heal_is_told_at_once(one: dict[str, Any], events: tuple[Any, ...], words: str) -> None:
    assert words in ended_at_once(Scene(workload(), (one,), events))


@pytest.mark.parametrize(
    ("one", "events", "words", "after"),
    [
        (pod(WAIT), (DOWN,), "i/o timeout", 30),
        (pod({"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}), (), "no secret", 10),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]),
            (),
            "no node takes pod shop-1: 0/3",
            60,
        ),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), (), "Evicted: low on memory", 30),
        (pod({"waiting": {"reason": "ContainerCreating"}}), (event("FailedMount", "no volume"),), "no volume", 30),
    ],
)
def test_what_may_heal_is_told_when_it_lasted(
    one: dict[str, Any], events: tuple[Any, ...], words: str, after: int
) -> None:
    scene = Scene(workload(), (one,), events)
    assert ended_at_once(scene, timedelta(seconds=after - 1)) == ""
    assert words in ended_at_once(scene, timedelta(seconds=after))


def test_a_node_on_its_way_is_waited_for_and_a_probe_is_left_to_the_time_limit() -> None:
    scheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]
    coming = Scene(workload(), (pod(conditions=scheduled),), (event("TriggeredScaleUp", "1->2"),))
    assert ended_at_once(coming, timedelta(hours=1)) == ""
    unready = Scene(workload(), (pod(),), (event("Unhealthy", "Readiness probe failed: 503"),))
    assert ended_at_once(unready, timedelta(hours=1)) == ""
    found = judging.reason(judging.judge(unready))
    assert found is not None
    assert "Readiness probe failed: 503" in found.words


def test_restarts_that_the_policy_tolerates_do_not_count() -> None:
    scene = Scene(workload(), (pod(None, 2, {"exitCode": 1}),))
    assert ended_at_once(scene, restarts=2) == ""
    assert "started again 2 times" in ended_at_once(scene, restarts=1)


@pytest.mark.parametrize(
    ("item", "words", "after"),
    [
        (
            workload(
                conditions=(
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"},
                )
            ),
            "within its own deadline",
            0,
        ),
        (
            workload(
                conditions=({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"},)
            ),
            "FailedCreate: quota",
            10,
        ),
        (
            workload("Job", ({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"},)),
            "gave up (BackoffLimitExceeded: m)",
            0,
        ),
    ],
)
def test_what_the_controller_itself_says_counts(item: dict[str, Any], words: str, after: int) -> None:
    assert words in ended_at_once(Scene(item), timedelta(seconds=after))
    assert after == 0 or ended_at_once(Scene(item), timedelta(seconds=after - 1)) == ""


def test_a_pod_of_an_older_spec_is_not_blamed_on_the_newer_one() -> None:
    crashed = pod({"waiting": {"reason": "CrashLoopBackOff"}}, 1, {"exitCode": 3})
    assert ended_at_once(Scene(workload(observedGeneration=1), (crashed,))) == ""
    assert "exit code 3" in ended_at_once(Scene(workload(observedGeneration=2), (crashed,)))


def test_events_of_an_older_release_say_nothing() -> None:
    start = datetime(2026, 11, 25, 9, 0, 0, tzinfo=UTC)
    old = {**event("Failed", "old"), "lastTimestamp": "2026-11-25T08:59:59Z"}
    new = {**event("Failed", "new"), "lastTimestamp": "2026-11-25T09:00:00Z"}
    assert [each["message"] for each in judging.since((new, old), start)] == ["new"]


def test_only_pods_of_the_newest_replica_set_are_new() -> None:
    def owned(uid: str, owner: str, revision: str = "0") -> dict[str, Any]:
        notes = {"deployment.kubernetes.io/revision": revision}
        owners = [{"uid": owner, "controller": True}]
        return {"metadata": {"uid": uid, "name": uid, "ownerReferences": owners, "annotations": notes}}

    sets = [owned("r1", "u1", "9"), owned("r2", "u1", "10"), owned("r3", "other", "11")]
    pods = [owned("a", "r1"), owned("b", "r2"), owned("c", "r3")]
    item = workload()
    assert [each["metadata"]["uid"] for each in judging.newest_of(item, pods, sets)] == ["b"]
    assert [each["metadata"]["uid"] for each in judging.older_of(item, pods, sets)] == ["a"]


def test_restarts_from_before_the_apply_are_not_its_doing() -> None:
    one = pod(restarts=5)
    one["metadata"]["creationTimestamp"] = "2026-11-25T08:00:00Z"
    assert judging.instance(0, one, None, datetime(2026, 11, 25, 9, tzinfo=UTC)).restarts == 0
    assert judging.instance(0, one, None, datetime(2026, 11, 25, 7, tzinfo=UTC)).restarts == 5


# --- differences and selectors -------------------------------------------------------------------------------------


def test_a_difference_leaves_out_what_the_cluster_writes_itself() -> None:
    known = Ref("", "v1", "ConfigMap", "shop", "a")
    live = {
        "kind": "ConfigMap",
        "metadata": {"name": "a", "resourceVersion": "9", "uid": "u"},
        "data": {"k": "changed"},
    }
    wanted = {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1"}, "data": {"k": "v"}}
    text = difference(known, live, wanted, "salt")
    assert "-  k: changed" in text
    assert "+  k: v" in text
    assert "resourceVersion" not in text
    assert difference(known, {**live, "data": {"k": "v"}}, wanted, "salt") == ""


def test_a_secrets_values_are_in_no_difference() -> None:
    known = Ref("", "v1", "Secret", "shop", "a")
    last = {"kubectl.kubernetes.io/last-applied-configuration": '{"data": {"k": "aHVudGVyMg=="}}'}
    live = {"kind": "Secret", "metadata": {"name": "a", "annotations": last}, "data": {"k": "aHVudGVyMg=="}}
    text = difference(known, live, {**live, "data": {"k": "b3RoZXI="}}, "salt")
    assert "(secret, " in text
    assert "aHVudGVyMg" not in text
    assert "b3RoZXI" not in text


def test_a_selector_is_written_as_the_api_takes_it() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "x", "operator": "NotIn", "values": ["c"]},
        {"key": "y", "operator": "Exists"},
    ]
    item = {"spec": {"selector": {"matchLabels": {"app": "shop"}, "matchExpressions": expressions}}}
    assert selector_of(item) == "app=shop,tier in (a,b),!old,x notin (c),y"
