"""A lane's manifests in clusters, over the real wire of an API server in memory: what goes wrong, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.targets.contract import sha
from deploy.targets.protocol import Ended
from farmgate.errors import BadDocument, StaleEpoch, TargetError
from farmgate.policy import parse
from tests.deploy.kube.clusters import Cluster, Fault, Server, Status, kubeconfig, running
from tests.deploy.kube.shop import (
    DAEMON,
    DEPLOYMENT,
    JOB,
    ROUTE,
    SERVICE,
    SETTINGS,
    STATEFUL,
    Shop,
    digest,
)
from tests.deploy.test_kube_contract import serving

NOT_LISTED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: somebody-elses}\n"


@dataclass
class World:
    cluster: Cluster
    server: Server
    shop: Shop

    def breaks(self, number: int, how: str) -> None:
        """The image of that release behaves so."""
        self.cluster.controllers.behaviour[digest(number)] = how


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running("shop") as (cluster, server):
        yield World(cluster, server, Shop(kubeconfig(tmp_path, {"test": server})))


# --- stuck, in words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "ImagePullBackOff: Failed to pull image"),
        ("crash", "ended with exit code 3 and was started again 1 times (CrashLoopBackOff); its last lines: Traceback"),
        ("oom", "ended with exit code 137 (OOMKilled)"),
    ],
)
def test_a_stuck_rollout_is_told_as_soon_as_it_is_known_and_taken_back(world: World, how: str, words: str) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    world.breaks(2, how)
    order, target = shop.order(shop.package(2), first), shop.make()
    assert target.prepare(order).ended is Ended.DONE
    outcome = target.shift(order, 100)
    assert outcome.ended is Ended.FAILED
    assert words in outcome.words
    assert outcome.figures["seconds"] < shop.policy.start_within.total_seconds() / 2
    assert target.restore(order).ended is Ended.DONE
    assert serving(world.cluster) == sha(1)


def test_what_only_the_time_limit_can_tell_is_told_with_the_probes_words(world: World) -> None:
    shop = world.shop
    shop.target["start_within"] = timedelta(seconds=1)
    world.breaks(1, "unready")
    outcome = shop.make().shift(shop.order(shop.package(1), None), 100)
    assert outcome.ended is Ended.FAILED
    assert "0 available after 1 s" in outcome.words
    assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in outcome.words
    assert "waiting for the moon" in outcome.words


def test_a_job_that_gives_up_is_told_with_its_last_lines(world: World) -> None:
    shop = world.shop
    world.breaks(1, "job-fails")
    outcome = shop.make().shift(shop.order(shop.package(1, JOB), None), 100)
    assert outcome.ended is Ended.FAILED
    assert "Job shop/migrate gave up (BackoffLimitExceeded" in outcome.words
    assert "migration 7: column exists" in outcome.words


def test_what_runs_is_waited_for_whatever_kind_it_is(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1, STATEFUL, DAEMON, JOB), None)
    shop.roll(shop.package(2, STATEFUL, DAEMON, JOB), first)
    args = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["args"] for pod in world.cluster.find("Pod")}
    assert len(args) == 4
    assert all(each == [sha(2)] for each in args.values())


def test_a_stateful_set_gets_out_of_a_pod_that_never_comes_up(world: World) -> None:
    """Its controller waits for the broken pod even after it was told to go back."""
    shop = world.shop
    first = shop.roll(shop.package(1, STATEFUL), None)
    world.breaks(2, "crash")
    order, target = shop.order(shop.package(2, STATEFUL), first), shop.make()
    assert target.shift(order, 100).ended is Ended.FAILED
    assert target.restore(order).ended is Ended.DONE
    assert {pod["spec"]["containers"][0]["args"][0] for pod in world.cluster.find("Pod")} == {sha(1)}


# --- whose fields, whose objects -----------------------------------------------------------------------------------


def scaled_by_hand(item: dict[str, Any]) -> None:
    item["spec"]["replicas"] = 1


def test_a_field_that_someone_else_took_is_told_and_left_to_them(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    world.cluster.edit("Deployment", "shop", scaled_by_hand)
    target, order = shop.make(), shop.order(shop.package(2), first)
    with pytest.raises(TargetError, match=r"Deployment shop/shop: \.spec\.replicas is managed by kubectl-edit"):
        target.prepare(order)
    with pytest.raises(TargetError, match="managed by kubectl-edit"):
        target.shift(order, 100)
    found = world.cluster.one("Deployment", "shop")
    assert found is not None
    assert found["spec"]["replicas"] == 1


def test_fields_are_taken_only_from_the_managers_that_the_policy_names(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    world.cluster.edit("Deployment", "shop", scaled_by_hand)
    shop.target["take_over"] = ("kubectl-edit",)
    shop.roll(shop.package(2), first)
    found = world.cluster.one("Deployment", "shop")
    assert found is not None
    assert found["spec"]["replicas"] == 2


def test_drift_is_shown_as_a_diff_and_never_corrected(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    assert shop.make().drift(first) == ""
    world.cluster.edit("Deployment", "shop", scaled_by_hand)
    world.cluster.drop(world.cluster.one("ConfigMap", "shop-settings") or {})
    world.cluster.requests.clear()
    shop.make().tend(first, 1)
    text = shop.make().drift(first)
    assert "-  replicas: 1" in text
    assert "+  replicas: 2" in text
    assert "+++ released ConfigMap shop/shop-settings" in text
    changes = [each for each in world.cluster.requests if not each.startswith("GET")]
    assert all("dryRun=All" in each for each in changes)


def test_a_prune_sees_only_what_carries_the_lanes_label(world: World) -> None:
    shop = world.shop
    extra = SETTINGS.replace("shop-settings", "old-settings")
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "shop"}})
    first = shop.roll(shop.package(1, DEPLOYMENT, SERVICE, extra), None)
    assert "old-settings" in world.cluster.names("ConfigMap")
    shop.roll(shop.package(2), first)
    assert world.cluster.names("ConfigMap") == {"farmgate.shop.production", "foreign", "shop-settings"}


def test_volumes_and_what_asks_to_stay_are_never_pruned_but_told(world: World) -> None:
    shop = world.shop
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n"
    stays = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stays, annotations: {farmgate/prune: never}}\n"
    first = shop.roll(shop.package(1, DEPLOYMENT, SERVICE, claim, stays), None)
    second = shop.package(2)
    order, target = shop.order(second, first), shop.make()
    target.shift(order, 100)
    words = target.finish(order).words
    assert "PersistentVolumeClaim shop/data is not in the manifests any more and was left" in words
    assert world.cluster.names("PersistentVolumeClaim") == {"data"}
    assert "stays" in world.cluster.names("ConfigMap")


def test_an_object_of_another_lane_is_not_touched(world: World) -> None:
    labels = {"farmgate/lane": "other.production"}
    meta = {"name": "shop-settings", "namespace": "shop", "labels": labels}
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    with pytest.raises(TargetError, match=r"belongs to the lane other\.production already"):
        world.shop.make().prepare(world.shop.order(world.shop.package(1), None))


def test_another_farm_with_a_lane_of_the_same_name_is_refused(world: World) -> None:
    world.shop.roll(world.shop.package(1), None)
    record = world.cluster.one("ConfigMap", "farmgate.shop.production")
    assert record is not None
    record["metadata"]["annotations"]["farmgate/farm"] = "farm2"
    with pytest.raises(TargetError, match=r"another farm \(farm2\) delivers this lane"):
        world.shop.make().prepare(world.shop.order(world.shop.package(2), None))


# --- refused, half applied -----------------------------------------------------------------------------------------


def test_what_the_cluster_refuses_is_known_before_anything_is_changed(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    before = world.cluster.now_version
    bad = DEPLOYMENT.replace("matchLabels: {{app: shop}}", "matchLabels: {{app: other}}")
    outcome = shop.make().prepare(
        shop.order(shop.package(2, bad, SERVICE, "kind: Boat\napiVersion: a/v1\nmetadata: {name: b}"), first)
    )
    assert outcome.ended is Ended.FAILED
    assert "Deployment shop/shop:" in outcome.words
    assert "`selector` does not match template `labels`" in outcome.words
    assert "the cluster knows no Boat of a/v1" in outcome.words
    assert world.cluster.now_version == before


def test_half_applied_is_told_and_taken_back_whole(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    quota = 'deployments.apps "shop" is forbidden: exceeded quota: count/deployments.apps'
    order, target = shop.order(shop.package(2), first), shop.make()
    world.cluster.refuses["Deployment", "shop"] = Status(403, "Forbidden", quota)
    outcome = target.shift(order, 100)
    assert outcome.ended is Ended.FAILED
    assert "exceeded quota" in outcome.words
    assert "2 of 3 objects were applied before it" in outcome.words
    world.cluster.refuses.clear()
    assert target.restore(order).ended is Ended.DONE
    settings = world.cluster.one("ConfigMap", "shop-settings")
    assert settings is not None
    assert settings["data"]["version"] == sha(1)


def test_rights_that_are_missing_blame_no_change(world: World) -> None:
    words = 'deployments.apps "shop" is forbidden: User "farmgate" cannot patch resource "deployments"'
    world.cluster.refuses["Deployment", "shop"] = Status(403, "Forbidden", words)
    with pytest.raises(TargetError, match="does not let Farmgate do that"):
        world.shop.make().prepare(world.shop.order(world.shop.package(1), None))


def test_a_job_that_ended_is_made_anew_and_an_old_one_is_not_run_again(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1, DEPLOYMENT, SERVICE, JOB), None)
    order, target = shop.order(shop.package(2, DEPLOYMENT, SERVICE, JOB), first), shop.make()
    assert target.shift(order, 100).ended is Ended.DONE
    ran = world.cluster.one("Job", "migrate")
    assert ran is not None
    assert ran["spec"]["template"]["spec"]["containers"][0]["args"] == [sha(2)]
    assert target.restore(order).ended is Ended.DONE
    assert world.cluster.one("Job", "migrate") is ran


# --- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(("PATCH",), 2, 429, {"Retry-After": "0.01"}),
        Fault(("GET", "PATCH", "DELETE"), 2, 503),
        Fault(("PATCH",), 1, after=False),
        Fault(("PATCH",), 1, after=True),
        Fault(("PUT", "POST"), 1, after=True),
        Fault(("GET",), 3),
    ],
    ids=lambda fault: f"{fault.methods[0]}-{fault.status or ('after' if fault.after else 'cut')}",
)
def test_a_server_that_is_busy_or_cuts_a_connection_costs_time_and_nothing_else(world: World, fault: Fault) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    world.cluster.faults.append(fault)
    shop.roll(shop.package(2), first, epoch=2)
    assert fault.times == 0
    assert serving(world.cluster) == sha(2)


def test_an_expired_watch_only_leads_to_another_look(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    world.cluster.forget_history()
    world.cluster.oldest = 10**9
    shop.target["start_within"] = timedelta(seconds=60)
    shop.roll(shop.package(2), first)
    assert serving(world.cluster) == sha(2)


def test_a_server_that_is_gone_is_infrastructure_and_the_next_try_goes_on(world: World) -> None:
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    order = shop.order(shop.package(2), first)
    assert shop.make().prepare(order).ended is Ended.DONE
    world.server.stop()
    with pytest.raises(TargetError, match="cluster current context does not answer"):
        shop.make().shift(order, 100)
    world.server.start()
    assert shop.make().shift(order, 100).ended is Ended.DONE
    assert shop.make().finish(order).ended is Ended.DONE
    assert serving(world.cluster) == sha(2)


def test_a_credential_that_is_not_accepted_is_infrastructure(world: World) -> None:
    world.server.token = "another"
    with pytest.raises(TargetError, match="does not accept our credential"):
        world.shop.make().prepare(world.shop.order(world.shop.package(1), None))


def test_an_older_controller_is_stopped_in_the_middle_of_its_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked, it asked the fence, it fell asleep: a newer one acts; what the older one sends then is refused."""
    shop = world.shop
    first = shop.roll(shop.package(1), None)
    new = shop.package(2)
    older, newer = shop.make(), shop.make()
    connected = older._connect(shop.kubeconfig, None, shop.clock)
    send, slept = connected.change, list[str]()

    def sleepy(method: str, path: str, *rest: Any) -> Any:
        if method == "PATCH" and path.endswith("/deployments/shop") and not slept:
            slept.append(path)
            assert newer.restore(shop.order(new, first, 3)).ended is Ended.DONE
            world.cluster.edit(
                "Deployment", "shop", lambda item: item["metadata"].setdefault("labels", {}).update(touched="1")
            )
        return send(method, path, *rest)

    monkeypatch.setattr(connected, "change", sleepy)
    monkeypatch.setattr(older, "_connect", lambda *_: connected)
    with pytest.raises(StaleEpoch):
        older.shift(shop.order(new, first, 2), 100)
    assert slept
    assert serving(world.cluster) == sha(1)


# --- canaries and clusters -----------------------------------------------------------------------------------------


def test_a_canary_that_crashes_never_touches_what_runs(world: World) -> None:
    shop = world.shop
    shop.target["canary"] = "pods"
    first = shop.roll(shop.package(1), None)
    stable = world.cluster.one("Deployment", "shop")
    assert stable is not None
    before = stable["metadata"]["generation"]
    world.breaks(2, "crash")
    order, target = shop.order(shop.package(2), first), shop.make()
    assert target.prepare(order).ended is Ended.DONE
    outcome = target.shift(order, 20)
    assert outcome.ended is Ended.FAILED
    assert "the canary: container app of pod shop-canary" in outcome.words
    assert serving(world.cluster) == sha(1)
    assert target.restore(order).ended is Ended.DONE
    assert world.cluster.names("Deployment") == {"shop"}
    now = world.cluster.one("Deployment", "shop")
    assert now is not None
    assert now["metadata"]["generation"] == before


def test_a_route_gives_the_canary_its_share_and_takes_it_back_first(world: World) -> None:
    shop = world.shop
    shop.more, shop.target["canary"] = (ROUTE,), "route"
    first = shop.roll(shop.package(1), None)
    order, target = shop.order(shop.package(2), first), shop.make()
    target.prepare(order)
    outcome = target.shift(order, 30)
    assert outcome.figures["share"] == 30
    route = world.cluster.one("HTTPRoute", "shop")
    assert route is not None
    weights = {each["name"]: each["weight"] for each in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"shop": 70, "shop-canary": 30}
    observed = target.observe(order)
    assert {rollout: len(pods) for rollout, pods in observed.instances.items()} == {1: 2, 2: 1}
    world.cluster.requests.clear()
    target.restore(order)
    changes = [each.partition("?")[0] for each in world.cluster.requests if each.startswith(("PATCH", "DELETE"))]
    assert changes[0].endswith("/httproutes/shop")
    assert changes[1].endswith("/deployments/shop-canary")
    back = world.cluster.one("HTTPRoute", "shop")
    assert back is not None
    assert back["spec"]["rules"][0]["backendRefs"] == [{"name": "shop", "port": 80}]


def test_several_clusters_are_waves_and_all_of_them_go_back(tmp_path: Path) -> None:
    with running("shop") as (eu, eu_server), running("shop") as (us, us_server):
        shop = Shop(kubeconfig(tmp_path, {"eu": eu_server, "us": us_server}), target={"contexts": ("eu", "us")})
        first = shop.roll(shop.package(1), None)
        order, target = shop.order(shop.package(2), first), shop.make()
        target.prepare(order)
        outcome = target.shift(order, 50)
        assert "1 of 2 clusters (eu)" in outcome.words
        assert (serving(eu), serving(us)) == (sha(2), sha(1))
        us.controllers.behaviour[digest(2)] = "crash"
        outcome = target.shift(order, 100)
        assert outcome.ended is Ended.FAILED
        assert outcome.words.startswith("cluster us: container app")
        assert target.restore(order).ended is Ended.DONE
        assert (serving(eu), serving(us)) == (sha(1), sha(1))


# --- the policy ----------------------------------------------------------------------------------------------------

POLICY = """
application: shop
target: {type: kubernetes, artifact: m.tgz, namespace: shop, kubeconfig: /k, %s}
lanes:
  production:
    waves: %s
"""


@pytest.mark.parametrize(
    ("target", "waves", "words"),
    [
        ("canary: pods", "[{share: 60}, {share: 100}]", "takes at most half, not 60 %"),
        ("restarts: 1", "[{share: 20}, {share: 100}]", "one cluster without a canary has everything or nothing"),
        ("contexts: [a, a]", "[{share: 100}]", "a context stands here twice"),
        ("namespace: Shop", "[{share: 100}]", "namespace"),
        ("canary: blue", "[{share: 100}]", "canary"),
        ("restarts: 0", "[{share: 100}]\n    checks: [{http: /healthz}]", "no pod can be asked without `port`"),
        ("restarts: 0", "[{share: 100}]\n    listen: ':80'", "has no switch that could listen"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(target: str, waves: str, words: str) -> None:
    with pytest.raises(BadDocument) as caught:
        parse(
            (POLICY % (target, waves)).replace(
                "namespace: shop, ", "" if "namespace" in target else "namespace: shop, "
            )
        )
    assert words in str(caught.value)


def test_a_policy_of_every_key_is_kept_as_it_was_written() -> None:
    keys = (
        "path: k8s, namespaces: [jobs], cluster_objects: true, contexts: [eu, us], images: {reg/shop: i.digest}, "
        "canary: route, deployment: shop, take_over: [kubectl], start_within: 5m, restarts: 1, port: 80"
    )
    (policy,) = parse(POLICY % (keys, "[{share: 10}, {share: 100}]"))
    assert policy.target.words == "kubernetes, namespace shop of 2 clusters, canary by route"
    assert policy.target.allowed == timedelta(minutes=10)
    assert type(policy).model_validate(policy.model_dump(mode="json")) == policy
