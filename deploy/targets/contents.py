"""A package's artifact, opened from the blob store by digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from deploy.targets import archive
from deploy.targets.protocol import Order, Package
from farmgate.blobs import Blobs
from farmgate.errors import BlobsUnreachable, DamagedBlob, NotFound, TargetError


def digest_of(package: Package) -> str | None:
    """The sha256 of the artifact that the target names; None if it names none. Raises TargetError."""
    name = package.target.artifact
    if name is None:
        return None
    found = package.artifacts.get(name)
    if found is None:
        known = ", ".join(sorted(package.artifacts)[:10]) or "none at all"
        raise TargetError(f"commit {package.sha[:12]} has no artifact {name!r}; it has {known}")
    return found.removeprefix("sha256:")


@contextmanager
def opened(blobs: Blobs, digest: str) -> Iterator[BinaryIO]:
    """The artifact's bytes. Raises TargetError when they cannot be had."""
    try:
        stream = blobs.open(digest)
    except NotFound:
        raise TargetError(f"the artifact {digest} is gone from the blob store") from None
    except (DamagedBlob, BlobsUnreachable) as error:
        raise TargetError(str(error)) from error
    with stream:
        yield stream


def files(blobs: Blobs, digest: str, name: str, stream: BinaryIO) -> Iterator[archive.Member]:
    """The artifact's files: an archive's members, or the one file it is."""
    with opened(blobs, digest) as probe:
        packed = archive.is_archive(probe)
    return archive.members(stream, name) if packed else archive.single(stream, name, blobs.size(digest))


def lacking(blobs: Blobs, package: Package) -> tuple[str, ...]:
    """In words: what of a package's artifact is not there any more. Raises BlobsUnreachable."""
    try:
        digest = digest_of(package)
    except TargetError as error:
        return (str(error),)
    if digest is None or blobs.exists(digest):
        return ()
    return (f"{package.target.artifact} of {package.sha[:12]} (sha256:{digest}) is gone from the blob store",)


def strangers(shares: Mapping[int, int], order: Order) -> tuple[str, ...]:
    """In words: who serves and is neither what is live nor what comes. A place that was left half applied."""
    known = {package.rollout_id for package in (order.new, order.old) if package is not None}
    return tuple(
        f"a release that is not live serves {share} %: the place was left half applied"
        for rollout, share in sorted(shares.items())
        if share and rollout not in known
    )
