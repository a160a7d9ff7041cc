"""What a release is made of in a cluster: its manifests, with its digests.

Rules:
1. A release is its artifacts by digest and its target's configuration, both kept in its row. So what was live yesterday
   is rendered again from the same bytes to the same objects: that is what a restore applies.
2. What the candidate brought and cannot be read is the change's fault (`Unfit`); bytes that cannot be had are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.targets import contents
from deploy.targets.kube import images, reading
from deploy.targets.kube.objects import Object, Unfit, ordered
from deploy.targets.kube.reading import Bounds
from deploy.targets.protocol import Package
from farmgate.blobs import Blobs
from farmgate.errors import BadDocument, TargetError
from farmgate.policy.targets.kubernetes import KubernetesTarget

_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects in the order in which they are applied. `loose`: images that no digest pins."""

    objects: tuple[Object, ...]
    loose: tuple[str, ...]
    digests: Mapping[str, str]

    @property
    def words(self) -> str:
        """How many, and what to know of them."""
        said = f"{len(self.objects)} objects"
        return f"{said}; not pinned by a digest: {', '.join(self.loose)}" if self.loose else said

    @property
    def figures(self) -> Mapping[str, Any]:
        """For the journal: the sha256 is the same whenever the same release is rendered."""
        text = json.dumps(self.objects, sort_keys=True).encode()
        found = hashlib.sha256(text).hexdigest()
        return {"objects": len(self.objects), "manifests": f"sha256:{found}", "images": dict(self.digests)}


def kubernetes(package: Package) -> KubernetesTarget:
    """The package's target. Raises TargetError for another kind's."""
    if not isinstance(package.target, KubernetesTarget):
        raise TargetError(f"release {package.sha[:12]} was made for a {package.target.type} target, not for clusters")
    return package.target


def rendered(package: Package, blobs: Blobs) -> Rendered:
    """Raises Unfit, TargetError."""
    target = kubernetes(package)
    digest = contents.digest_of(package)
    if digest is None:
        raise TargetError("a kubernetes target needs `artifact`: where its manifests are")
    bounds = Bounds(target.namespace, target.namespaces, target.cluster_objects)
    with contents.opened(blobs, digest) as stream:
        members = contents.files(blobs, digest, target.artifact or digest, stream)
        try:
            objects = reading.manifests(reading.texts(members, target.path), bounds)
        except BadDocument as bad:
            more = f"\n... and {len(bad.problems) - _PROBLEMS} more" if len(bad.problems) > _PROBLEMS else ""
            raise Unfit("\n".join(str(each) for each in bad.problems[:_PROBLEMS]) + more) from None
    digests = {name: _digest(package, artifact, blobs) for name, artifact in target.images.items()}
    pinned = images.pinned(objects, digests)
    return Rendered(tuple(ordered(pinned.objects)), pinned.loose, digests)


def _digest(package: Package, artifact: str, blobs: Blobs) -> str:
    """The image that an artifact of the candidate is, or that it names."""
    found = package.artifacts.get(artifact)
    if found is None:
        known = ", ".join(sorted(package.artifacts)[:10]) or "none at all"
        raise TargetError(f"commit {package.sha[:12]} has no artifact {artifact!r}; it has {known}")
    if "@" in found:
        return images.digest_in(found.encode(), artifact)
    digest = found.removeprefix("sha256:")
    with contents.opened(blobs, digest) as stream:
        return images.digest_in(stream.read(images.FILE_LIMIT), artifact)
