"""The contract of all targets, kept on Kubernetes: by an API server in memory, over its real wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.targets.contract import DeathContract, Rig, TargetContract
from tests.deploy.kube.clusters import Cluster, kubeconfig, running
from tests.deploy.kube.shop import DEPLOYMENT, ROUTE, Shop

REFUSED = DEPLOYMENT.replace("  replicas:", "  surprise: 1\n  replicas:")


def serving(cluster: Cluster) -> str:
    """The commit of all pods that the Service leads to; both, where there are two."""
    with cluster.lock:
        found = {
            pod["spec"]["containers"][0]["env"][0]["value"]
            for pod in cluster.find("Pod", app="shop")
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"]["conditions"])
        }
    return " ".join(sorted(found))


@contextmanager
def rigged(folder: Path, canary: str | None, replicas: int = 2) -> Iterator[Rig]:
    """A shop in a cluster of its own; afterwards nothing is left of it but its record."""
    with running("shop") as (cluster, server):
        shop = Shop(kubeconfig(folder, {"test": server}), (ROUTE,), {"canary": canary}, replicas)
        yield Rig(
            make=shop.make,
            package=shop.package,
            live=lambda: serving(cluster),
            broken=lambda number: shop.package(number, REFUSED),
            dying=shop.make,
        )
        shop.make().remove(1_000)
        assert cluster.find("Deployment") == []
        assert cluster.names("ConfigMap") == {"farmgate.shop.production"}


class TestKubernetes(TargetContract):
    """Without a canary, and with one of each kind."""

    @pytest.fixture(params=[None, "pods", "route"])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
        with rigged(tmp_path, request.param) as rig:
            yield rig


@pytest.mark.slow
class TestKubernetesDeaths(DeathContract):
    """With a canary: that has the effects of a rollout without one, and more."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[Rig]:
        with rigged(tmp_path, "pods", replicas=1) as rig:
            yield rig
