"""A shop in clusters: its manifests, releases of it by number, and a target in front of it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from deploy.targets.contract import Death, sha
from deploy.targets.kube import wire
from deploy.targets.kube.target import KubernetesRun
from deploy.targets.protocol import Order, Outcome, Package
from farmgate.blobs import MemoryBlobs
from farmgate.clock import Clock, SystemClock
from farmgate.policy.targets.kubernetes import KubernetesTarget

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop, labels: {{app: shop}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec:
      containers:
        - name: app
          image: registry.example/shop:latest
          env: [{{name: VERSION, value: "{version}"}}]
          ports: [{{containerPort: 8080}}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: shop-settings}}
data: {{version: "{version}"}}
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec: {rules: [{backendRefs: [{name: shop, port: 80}]}]}
"""
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {{name: migrate}}
spec:
  template:
    metadata: {{labels: {{app: migrate}}}}
    spec:
      restartPolicy: Never
      containers: [{{name: migrate, image: registry.example/shop:latest, args: ["{version}"]}}]
"""
STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: store}}
spec:
  replicas: 2
  serviceName: store
  selector: {{matchLabels: {{app: store}}}}
  template:
    metadata: {{labels: {{app: store}}}}
    spec: {{containers: [{{name: store, image: registry.example/shop:latest, args: ["{version}"]}}]}}
"""
DAEMON = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: agent}}
spec:
  selector: {{matchLabels: {{app: agent}}}}
  template:
    metadata: {{labels: {{app: agent}}}}
    spec: {{containers: [{{name: agent, image: registry.example/shop:latest, args: ["{version}"]}}]}}
"""


def digest(number: int) -> str:
    """The image's digest of a release."""
    return f"sha256:{number:064x}"


def tarball(**files: str) -> bytes:
    """A gzipped tar; `__` in a name is a slash, `_` a dot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            entry.size = len(content.encode())
            tar.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


@dataclass
class Shop:
    """`target`: what the policy says of it, but for the cluster. `more`: further manifests of every release."""

    kubeconfig: str
    more: tuple[str, ...] = ()
    target: dict[str, Any] = field(default_factory=dict)
    replicas: int = 2
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    clock: Clock = field(default_factory=SystemClock)

    @property
    def policy(self) -> KubernetesTarget:
        given: dict[str, Any] = {
            "artifact": "manifests.tgz",
            "namespace": "shop",
            "kubeconfig": self.kubeconfig,
            "images": {"registry.example/shop": "image.digest"},
            "start_within": timedelta(seconds=20),
        }
        return KubernetesTarget(**{**given, **self.target})

    def package(self, number: int, *texts: str) -> Package:
        """A release; other manifests than the usual ones where `texts` are given."""
        parts = texts or (DEPLOYMENT, SERVICE, SETTINGS, *self.more)
        known = {"version": sha(number), "replicas": self.replicas}
        text = "\n---\n".join(part.format(**known) if "{{" in part else part for part in parts)
        artifacts = {
            "manifests.tgz": f"sha256:{self.blobs.put([tarball(k8s__all_yaml=text)]).sha256}",
            "image.digest": f"sha256:{self.blobs.put([digest(number).encode()]).sha256}",
        }
        return Package(number, sha(number), artifacts, self.policy)

    def make(self, death: Death | None = None) -> KubernetesRun:
        """One more controller's handle."""

        def connect(kubeconfig: str | None, context: str | None, clock: Clock) -> wire.Cluster:
            cluster = wire.connect(kubeconfig, context, clock)
            if death is not None:
                cluster.change = death.wrap(cluster.change)  # type: ignore[method-assign]
            return cluster

        return KubernetesRun("shop/production", "farm1", self.policy, self.blobs, self.clock, connect)

    def order(self, new: Package, old: Package | None, epoch: int = 1) -> Order:
        return Order("shop/production", epoch, new, old)

    def roll(self, new: Package, old: Package | None, epoch: int = 1) -> Package:
        """A whole rollout in one wave."""
        order, target = self.order(new, old, epoch), self.make()
        steps: tuple[Callable[[], Outcome], ...] = (
            lambda: target.prepare(order),
            lambda: target.shift(order, 100),
            lambda: target.finish(order),
        )
        for step in steps:
            outcome = step()
            assert outcome.ended == "done", outcome
        return new


def written(folder: Path, text: str) -> Path:
    """A file with a text."""
    file = folder / "text"
    file.write_text(text)
    return file
