"""A static site in a bucket. Below the target's prefix stand

    .farmgate/releases/<digest>/...       the files of a release, by the digest of its artifact
    .farmgate/releases/<digest>.json      its manifest, written when all of them are there
    .farmgate/current.json                the pointer: which release is live (`switch: pointer` serves what it names)
    index.html, assets/...                copies of the live release's files (`switch: index`)

Rules:
1. New objects first, the switch last, and the switch is one put of one object, which S3 shows whole or not at all: the
   pointer, or the index document. Both say which rollout they are of, and of which epoch; an older one is refused.
2. With `switch: index`, files of new names are copied beside the old ones before the switch, and files whose content
   changed under an old name right before it: give what the index names a name by content.
3. The last `keep` releases stay, with the copies that their pages may still ask for. To go back is one switch.
4. The artifact is a stranger's: links and names that no URL can have are refused.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, BinaryIO, Final, cast

from deploy.targets import contents
from deploy.targets.archive import Member
from deploy.targets.bucket import Bucket, Headers, connect
from deploy.targets.fence import Fence
from deploy.targets.protocol import Ended, Instance, Observed, Order, Outcome, Package, Target
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.errors import StaleEpoch, TargetError
from farmgate.pipeline.globs import fits_one
from farmgate.policy.targets.s3 import S3Target

OURS: Final = ".farmgate/"
POINTER: Final = f"{OURS}current.json"
_RELEASES: Final = f"{OURS}releases/"
_PAGE: Final = "no-cache"
_OTHER: Final = "public, max-age=300"
_SPOOLED_BYTES: Final = 8 * 2**20
_NAME_BYTES: Final = 700
_TYPES: Final = mimetypes.MimeTypes(filenames=())
for _ending, _type in {
    ".avif": "image/avif",
    ".js": "text/javascript",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}.items():
    _TYPES.add_type(_type, _ending)
Manifest = Mapping[str, Any]


class _Refused(Exception):
    """The artifact cannot be served; the words say why."""


class S3SiteTarget:
    """The site in `bucket`."""

    def __init__(self, bucket: Bucket, blobs: Blobs, fence: Fence, lane: str) -> None:
        self._bucket = bucket
        self._blobs = blobs
        self._fence = fence
        self._lane = lane

    def ready(self, order: Order) -> Sequence[str]:
        if order.old is None:
            return ()
        current, digest = self._current(_site(order.old)), contents.digest_of(order.old) or ""
        manifest = self._bucket.record(f"{_RELEASES}{digest}.json")
        kept = manifest is not None and manifest.get("whole")
        shares = {int(current["rollout"]): 100} if current is not None else {}
        return (*(() if kept else contents.lacking(self._blobs, order.old)), *contents.strangers(shares, order))

    def prepare(self, order: Order) -> Outcome:
        self._enter(order)
        try:
            manifest, put = self._upload(order.new, order.epoch)
        except _Refused as refused:
            return Outcome(Ended.FAILED, str(refused))
        return Outcome(
            words=f"{len(manifest['files'])} files are there",
            figures={"files": len(manifest["files"]), "uploaded": put},
        )

    def shift(self, order: Order, share: int) -> Outcome:
        self._enter(order)
        if share < 100 and order.old is not None:
            return Outcome(Ended.FAILED, "a static site has everything or nothing: one wave, of 100")
        self._switch(order.new, order.epoch)
        return Outcome(words="switched", figures={"share": 100})

    def observe(self, order: Order) -> Observed:
        current = self._current(_site(order.new))
        if current is None:
            return Observed()
        rollout = int(current["rollout"])
        return Observed({rollout: (Instance(0, "", True),)}, {rollout: 100}, f"{current['sha'][:12]} is live")

    def finish(self, order: Order) -> Outcome:
        self._enter(order)
        self._switch(order.new, order.epoch)
        removed = self._clear(order.new, _site(order.new).keep, order.epoch)
        return Outcome(figures={"removed": removed})

    def restore(self, order: Order) -> Outcome:
        self._enter(order)
        if order.old is None:
            self._take_down(order.new, order.epoch)
            return Outcome(words="taken down: nothing was live before")
        self._switch(order.old, order.epoch, again=True)
        return Outcome(words="switched back")

    def tend(self, live: Package, epoch: int) -> None:
        self._fence.enter(epoch)
        current = self._current(_site(live))
        self._refuse_older(current, epoch)
        self._switch(live, epoch)

    def watch(self, epoch: int) -> bool:
        return False

    def remove(self, epoch: int) -> None:
        self._fence.enter(epoch)
        pointer = self._bucket.record(POINTER)
        self._refuse_older(pointer, epoch)
        for manifest in self._manifests().values():
            for name in manifest["files"]:
                self._delete(name, epoch)
        for key in self._bucket.keys(OURS):
            self._delete(key, epoch)

    # --- the releases ------------------------------------------------------------------------------------------------

    def _upload(self, package: Package, epoch: int) -> tuple[Manifest, int]:
        """The release's manifest, after all of its files are there; how many had to be sent."""
        site, digest = _site(package), contents.digest_of(package) or ""
        served = _fingerprint(site)
        manifest = self._bucket.record(f"{_RELEASES}{digest}.json")
        if manifest is not None and manifest.get("whole") and manifest.get("served") == served:
            if manifest["rollout"] < package.rollout_id:
                manifest = {**manifest, "rollout": package.rollout_id}
                self._put_manifest(digest, manifest, epoch)
            return manifest, 0
        there = self._bucket.keys(f"{_RELEASES}{digest}/") if manifest is None else {}
        files: dict[str, str] = {}
        put = 0
        with contents.opened(self._blobs, digest) as stream:
            for info, data in contents.files(self._blobs, digest, site.artifact, stream):
                name = _served_name((info, data), site)
                if name is None or data is None:
                    continue
                with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spool:
                    files[name] = _copied(data, cast("IO[bytes]", spool))
                    if (key := f"{_RELEASES}{digest}/{name}") not in there:
                        spool.seek(0)
                        self._fence.check(epoch)
                        self._bucket.put(key, cast("BinaryIO", spool), headers(site, name))
                        put += 1
        if site.index not in files:
            raise _Refused(f"{site.artifact} has no {site.index} at its top; it has {', '.join(sorted(files)[:5])}")
        manifest = {"whole": True, "rollout": package.rollout_id, "served": served, "files": files}
        self._put_manifest(digest, manifest, epoch)
        return manifest, put

    def _put_manifest(self, digest: str, manifest: Manifest, epoch: int) -> None:
        self._fence.check(epoch)
        self._bucket.put_record(f"{_RELEASES}{digest}.json", manifest)

    def _manifests(self) -> dict[str, Manifest]:
        """By digest."""
        found: dict[str, Manifest] = {}
        for key in self._bucket.keys(_RELEASES):
            digest, _, ending = key.removeprefix(_RELEASES).partition(".")
            if "/" not in key.removeprefix(_RELEASES) and ending == "json":
                manifest = self._bucket.record(key)
                if manifest is not None:
                    found[digest] = manifest
        return found

    def _clear(self, live: Package, keep: int, epoch: int) -> int:
        """Remove what no kept release has: the last `keep` before the live one, and it. How many objects went."""
        ours, found = contents.digest_of(live) or "", self._manifests()
        order = sorted((digest for digest in found if digest != ours), key=lambda each: -int(found[each]["rollout"]))
        kept = {ours, *order[:keep]}
        needed = {name for digest in kept if digest in found for name in found[digest]["files"]}
        removed = 0
        for digest in order[keep:]:
            # Not whole from here on: a release of the same digest is sent anew if we die in between.
            self._put_manifest(digest, {**found[digest], "whole": False}, epoch)
            own = self._bucket.keys(f"{_RELEASES}{digest}/")
            copies = [name for name in found[digest]["files"] if name not in needed]
            for key in (*own, *copies, f"{_RELEASES}{digest}.json"):
                self._delete(key, epoch)
                removed += 1
        return removed

    def _delete(self, key: str, epoch: int) -> None:
        self._fence.check(epoch)
        self._bucket.delete(key)

    # --- the switch --------------------------------------------------------------------------------------------------

    def _switch(self, package: Package, epoch: int, *, again: bool = False) -> None:
        """Make the release live; it is sent anew if it is gone. `again`: also if it is, since a part may not be."""
        site, digest = _site(package), contents.digest_of(package) or ""
        current, pointer = self._current(site), self._bucket.record(POINTER) or {}
        self._refuse_older(current, epoch)
        notes = {"rollout": str(package.rollout_id), "sha": package.sha, "digest": digest, "lane": self._lane}
        is_live = current is not None and current["rollout"] == notes["rollout"]
        if is_live and pointer.get("rollout") == notes["rollout"] and not again:
            return
        try:
            manifest, _ = self._upload(package, epoch)
        except _Refused as refused:
            raise TargetError(f"release {package.sha[:12]} cannot be sent again: {refused}") from None
        notes["epoch"] = str(epoch)
        if site.switch == "index" and (not is_live or again):
            self._copy(site, digest, manifest, pointer, epoch)
            self._fence.check(epoch)
            self._bucket.copy(f"{_RELEASES}{digest}/{site.index}", site.index, headers(site, site.index, notes))
        self._fence.check(epoch)
        self._bucket.put_record(POINTER, {**notes, "path": f"{_RELEASES}{digest}/", "served": manifest["served"]})

    def _copy(self, site: S3Target, digest: str, manifest: Manifest, pointer: Mapping[str, Any], epoch: int) -> None:
        """Rule 2: all but the index, the new names first."""
        same_headers = pointer.get("served") == manifest["served"]
        if pointer and not same_headers:  # if we die in between, whoever comes next must copy everything
            self._fence.check(epoch)
            self._bucket.put_record(POINTER, {**pointer, "served": ""})
        below = f"{_RELEASES}{digest}/"
        sources, there = self._bucket.keys(below), self._bucket.keys("")
        names = [name for name in manifest["files"] if name != site.index]
        new = [name for name in names if name not in there]
        changed = [name for name in names if name in there]
        if same_headers:
            changed = [name for name in changed if there[name] != sources.get(below + name)]
        for name in (*new, *changed):
            self._fence.check(epoch)
            self._bucket.copy(below + name, name, headers(site, name))

    def _current(self, site: S3Target) -> dict[str, Any] | None:
        """What the switch says is live; None if nothing is."""
        found: Mapping[str, Any] | None
        found = self._bucket.notes(site.index) if site.switch == "index" else self._bucket.record(POINTER)
        if found is None or not {"rollout", "sha", "epoch", "lane"} <= set(found):
            return None
        if found["lane"] != self._lane:
            raise TargetError(f"this place in the bucket belongs to lane {found['lane']}: give each lane a prefix")
        return dict(found)

    def _take_down(self, package: Package, epoch: int) -> None:
        site, digest = _site(package), contents.digest_of(package) or ""
        manifest = self._bucket.record(f"{_RELEASES}{digest}.json") or {}
        if site.switch == "index":
            for name in (site.index, *manifest.get("files", ())):
                self._delete(name, epoch)
        self._delete(POINTER, epoch)

    def _enter(self, order: Order) -> None:
        self._fence.enter(order.epoch)
        self._refuse_older(self._current(_site(order.new)), order.epoch)

    def _refuse_older(self, current: Mapping[str, Any] | None, epoch: int) -> None:
        """The bucket itself knows: also a farm whose own mark was lost is refused."""
        seen = int(current["epoch"]) if current is not None and str(current.get("epoch", "")).isdigit() else 0
        if epoch < seen:
            raise StaleEpoch(f"a controller of epoch {epoch} asked, but epoch {seen} has switched the site since")


def headers(site: S3Target, name: str, notes: Mapping[str, str] | None = None) -> Headers:
    """What a file is served with: the first pattern of `cache` that fits; else a page is asked for anew each time."""
    ending = name[name.rfind(".") :].lower() if "." in name.rpartition("/")[2] else ""
    kind = site.content_types.get(ending) or _TYPES.guess_type(f"x{ending}")[0] or "application/octet-stream"
    if kind.startswith("text/") and "charset" not in kind:
        kind += "; charset=utf-8"
    cache = next((value for pattern, value in site.cache.items() if fits_one(pattern, name)), None)
    return Headers(kind, cache or (_PAGE if kind.startswith("text/html") else _OTHER), notes or {})


def _served_name(member: Member, site: S3Target) -> str | None:
    """The name that a file is served under; None for a folder. Raises _Refused."""
    info, _ = member
    name = info.name
    if info.isdir():
        return None
    if not info.isreg():
        raise _Refused(f"{site.artifact}: {name!r} is a link, and a bucket has none: put a copy there")
    if len(name.encode()) > _NAME_BYTES or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise _Refused(f"{site.artifact}: {name[:80]!r} is no name that a URL can have")
    if name.startswith(OURS):
        raise _Refused(f"{site.artifact}: {name[:80]!r} is where Farmgate keeps its own")
    return name


def _copied(data: IO[bytes], spool: IO[bytes]) -> str:
    """The sha256 of what was copied."""
    hashed = hashlib.sha256()
    while part := data.read(2**20):
        hashed.update(part)
        spool.write(part)
    return hashed.hexdigest()


def _fingerprint(site: S3Target) -> str:
    """Of all in the policy that changes what is stored."""
    text = json.dumps([dict(site.cache), dict(site.content_types), site.index], sort_keys=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _site(package: Package) -> S3Target:
    if not isinstance(package.target, S3Target):
        raise TargetError(f"release {package.sha[:12]} was made for a {package.target.type} target, not for a bucket")
    return package.target


def make(site: Site) -> Target:
    """The target of a lane. Raises TargetError."""
    target = site.policy.target
    if not isinstance(target, S3Target):
        raise TargetError(f"a {target.type} target is no bucket")
    keys = None
    if target.access_key is not None and target.secret_key is not None:
        keys = site.secret(target.access_key), site.secret(target.secret_key)
    client = connect(target.endpoint, target.region, keys)
    return S3SiteTarget(Bucket(client, target.bucket, target.prefix), site.blobs, site.fence, site.policy.name)
