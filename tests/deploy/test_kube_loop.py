"""The deploy loop itself takes a policy's manifests to a cluster, and says what differs afterwards."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest

from deploy import drift
from deploy.checks import RealProber
from deploy.context import AtOnce, Context
from deploy.loop import Deployer
from deploy.targets.place import RealTargets
from farmgate.broker import LocalSignals
from farmgate.clock import SystemClock, stopwatch
from farmgate.errors import NotFound
from farmgate.store import lanes, releases, rollouts
from tests.databases import prepared
from tests.deploy import rows
from tests.deploy.kube.clusters import kubeconfig, running
from tests.deploy.kube.shop import Shop
from tests.deploy.test_kube_contract import serving

POLICY = """
application: shop
target:
  type: kubernetes
  artifact: manifests.tgz
  namespace: shop
  kubeconfig: {kubeconfig}
  images: {{registry.example/shop: image.digest}}
lanes:
  production: {{branch: main}}
"""


def test_a_commit_becomes_live_in_a_cluster_and_what_differs_is_shown(tmp_path: Path) -> None:
    clock, store = SystemClock(), prepared(f"sqlite:///{tmp_path / 'farm.db'}")
    with running("shop") as (cluster, server):
        shop = Shop(kubeconfig(tmp_path, {"test": server}))
        (tmp_path / "deploy").mkdir()
        targets = RealTargets(tmp_path / "deploy", shop.blobs, clock, embedded=False)
        signals = LocalSignals(clock)
        context = Context(
            store, targets, RealProber(), clock, signals, AtOnce(), "here", timedelta(seconds=1), asks_scheduler=False
        )
        with store.writing() as connection:
            repository = rows.connect(connection, clock.now())
            rows.apply(connection, POLICY.format(kubeconfig=shop.kubeconfig), clock.now())
            lane = lanes.by_name(connection, "shop", "production")
        with pytest.raises(NotFound, match="nothing is live"):
            drift.show(context, "shop/production", io.StringIO())
        with store.writing() as connection:
            rows.push(connection, repository, [1], clock.now(), artifacts=shop.package(1).artifacts)
        deployer, deadline = Deployer(context), stopwatch() + 60
        live = None
        while live is None:
            assert stopwatch() < deadline
            deployer.tick()
            with store.reading() as connection:
                live = releases.live_of(connection, lane.id)
        assert serving(cluster) == rows.sha(1)
        with store.reading() as connection:
            journal = rollouts.entries(connection, live.rollout_id)
        assert next(each for each in journal if each.key == "prepare").detail["objects"] == 3
        said = io.StringIO()
        assert drift.show(context, "shop/production", said) == 0
        assert "nothing differs" in said.getvalue()
        cluster.edit("Deployment", "shop", lambda item: item["spec"].update(replicas=1))
        assert drift.show(context, "shop/production", said) == drift.DIFFERS
        assert "-  replicas: 1" in said.getvalue()
