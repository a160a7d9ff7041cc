"""A static site in a bucket: the contract against a real S3 server, and what visitors are served meanwhile."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from deploy.targets.bucket import Bucket, Headers, connect
from deploy.targets.contract import Death, DeathContract, Rig, TargetContract, done, sha
from deploy.targets.fence import Fence
from deploy.targets.place import RealTargets
from deploy.targets.protocol import Ended, Package
from deploy.targets.s3 import POINTER, S3SiteTarget, headers
from farmgate.blobs import MemoryBlobs
from farmgate.clock import SystemClock, random_token
from farmgate.errors import BadDocument, StaleEpoch, TargetError
from farmgate.policy import parse
from farmgate.policy.targets.s3 import S3Target

LANE = "shop/production"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def packed(files: dict[str, str], link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "index.html"
            tar.addfile(entry)
    return buffer.getvalue()


class Bay:
    """A bucket on the server, with everything that lies in it."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.client = connect(endpoint, "us-east-1", ("none", "none"))
        self.name = "b" + "".join(letter for letter in random_token().lower() if letter.isalnum())[:12]
        self.client.create_bucket(Bucket=self.name)
        self.blobs, self.folder = MemoryBlobs(), folder

    def target(self, bucket: Bucket | None = None) -> S3SiteTarget:
        return S3SiteTarget(bucket or self.bucket(), self.blobs, Fence(self.folder), LANE)

    def bucket(self) -> Bucket:
        return Bucket(self.client, self.name, "site")

    def package(self, number: int, files: dict[str, str] | None = None, link: str = "", **policy: Any) -> Package:
        name = sha(number)
        site = {"index.html": name, "about.html": name, f"assets/{name}.js": "x", "logo.svg": "same"}
        stored = self.blobs.put([packed(site if files is None else files, link)])
        target = S3Target(artifact="site.tgz", bucket=self.name, prefix="site", **policy)
        return Package(number, name, {"site.tgz": f"sha256:{stored.sha256}"}, target)

    def served(self, key: str) -> str:
        return str(self.client.get_object(Bucket=self.name, Key=f"site/{key}")["Body"].read().decode())

    def keys(self) -> set[str]:
        return set(self.bucket().keys(""))

    def live(self, switch: str) -> str:
        """What a visitor sees: a page that agrees with its other files."""
        below = json.loads(self.served(POINTER))["path"] if switch == "pointer" else ""
        index = self.served(f"{below}index.html")
        assert self.served(f"{below}about.html") == index
        assert self.served(f"{below}assets/{index}.js") == "x"
        assert self.served(f"{below}logo.svg") == "same"
        return index


class MemoryBucket(Bucket):
    """The same in memory, for a great many deaths. Its writes can be cut off."""

    def __init__(self, held: dict[str, tuple[bytes, Headers]], death: Death | None = None) -> None:
        self.held = held
        if death is not None:
            for name in ("put", "put_record", "copy", "delete"):
                setattr(self, name, death.wrap(getattr(self, name)))

    def put(self, key: str, content: BinaryIO, headers: Headers) -> None:
        self.held[key] = (content.read(), headers)

    def put_record(self, key: str, record: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
        self.held[key] = (json.dumps(record).encode(), Headers("application/json", "no-cache", notes or {}))

    def copy(self, source: str, key: str, headers: Headers) -> None:
        self.held[key] = (self.held[source][0], headers)

    def delete(self, key: str) -> None:
        self.held.pop(key, None)

    def record(self, key: str) -> dict[str, Any] | None:
        return dict(json.loads(self.held[key][0])) if key in self.held else None

    def notes(self, key: str) -> dict[str, str] | None:
        return dict(self.held[key][1].notes) if key in self.held else None

    def keys(self, below: str) -> dict[str, str]:
        found = {key: content for key, (content, _) in self.held.items() if key.startswith(below)}
        return {key: hashlib.sha256(content).hexdigest() for key, content in found.items()}


class MemoryBay(Bay):
    def __init__(self, folder: Path) -> None:
        self.held: dict[str, tuple[bytes, Headers]] = {}
        self.name, self.blobs, self.folder = "memory", MemoryBlobs(), folder

    def bucket(self) -> Bucket:
        return MemoryBucket(self.held)

    def served(self, key: str) -> str:
        return self.held[key][0].decode()


@pytest.fixture
def bay(endpoint: str, tmp_path: Path) -> Bay:
    return Bay(endpoint, tmp_path)


def site_rig(bay: Bay, switch: str) -> Rig:
    return Rig(
        make=bay.target,
        package=lambda number: bay.package(number, switch=switch, keep=1),
        live=lambda: bay.live(switch),
        broken=lambda number: bay.package(number, {"main.html": "x"}, switch=switch),
        evidence="has no index.html at its top; it has main.html",
    )


class TestSite(TargetContract):
    """Both ways to switch, in a bucket of a server."""

    @pytest.fixture(params=["index", "pointer"])
    def rig(self, request: pytest.FixtureRequest, bay: Bay) -> Rig:
        return site_rig(bay, request.param)


class TestSiteInMemory(TargetContract, DeathContract):
    """The same place without a server."""

    @pytest.fixture(params=["index", "pointer"])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
        bay = MemoryBay(tmp_path)
        made = site_rig(bay, request.param)
        made.dying = lambda death: bay.target(MemoryBucket(bay.held, death))
        return made


def rig(bay: Bay, package: Callable[[int], Package]) -> Rig:
    return Rig(make=bay.target, package=package, live=lambda: "")


def test_every_new_object_is_there_before_the_switch_which_is_one_put(bay: Bay) -> None:
    first = rig(bay, bay.package).bring_up(1, None)
    second, seen = bay.package(2), list[tuple[str, set[str]]]()
    watched = bay.bucket()
    target = bay.target(watched)
    copy = watched.copy

    def copying(source: str, key: str, *rest: Any) -> None:
        seen.append((key, bay.keys()))
        copy(source, key, *rest)

    watched.copy = copying  # type: ignore[method-assign, assignment]
    order = rig(bay, bay.package).order(second, first)
    done(target.prepare(order))
    assert bay.live("index") == first.sha
    done(target.shift(order, 100))
    assert [key for key, _ in seen] == [
        f"assets/{second.sha}.js",
        "about.html",
        "index.html",
    ]  # not the same logo again
    assert f"assets/{second.sha}.js" in seen[-1][1]


def test_pages_of_the_last_releases_still_find_their_files_and_older_ones_go(bay: Bay) -> None:
    live = None
    for number in (1, 2, 3, 4):
        live = rig(bay, lambda number: bay.package(number, keep=2)).bring_up(number, live)
    keys = bay.keys()
    assert {key for key in keys if key.startswith("assets/")} == {f"assets/{sha(number)}.js" for number in (2, 3, 4)}
    assert len([key for key in keys if key.endswith(".json")]) == 4  # three manifests and the pointer


def test_going_back_sends_nothing_again(bay: Bay) -> None:
    first = rig(bay, bay.package).bring_up(1, None)
    second = rig(bay, bay.package).bring_up(2, first)
    again = Package(3, first.sha, first.artifacts, first.target)
    outcome = bay.target().prepare(rig(bay, bay.package).order(again, second))
    assert outcome.figures == {"files": 4, "uploaded": 0}
    rig(bay, lambda number: again).bring_up(3, second)
    assert bay.live("index") == first.sha


def test_a_farm_that_lost_its_mark_is_refused_by_the_bucket(bay: Bay, tmp_path: Path) -> None:
    first = rig(bay, bay.package).bring_up(1, None, epoch=7)
    lost = S3SiteTarget(bay.bucket(), bay.blobs, Fence(tmp_path / "another"), LANE)
    with pytest.raises(StaleEpoch, match="epoch 7 has switched the site since"):
        lost.shift(rig(bay, bay.package).order(bay.package(2), first, epoch=6), 100)
    other = S3SiteTarget(bay.bucket(), bay.blobs, Fence(tmp_path / "another"), "shop/staging")
    with pytest.raises(TargetError, match="belongs to lane shop/production: give each lane a prefix"):
        other.prepare(rig(bay, bay.package).order(bay.package(2), None, epoch=8))


def test_headers_follow_the_policy_and_reach_files_that_did_not_change(bay: Bay) -> None:
    first = rig(bay, bay.package).bring_up(1, None)
    policy: dict[str, Any] = {
        "cache": {"assets/**": "public, max-age=31536000, immutable"},
        "content_types": {".svg": "image/x-logo"},
    }
    second = rig(bay, lambda number: bay.package(number, **policy)).bring_up(2, first)

    def of(key: str) -> tuple[str, str]:
        head = bay.client.head_object(Bucket=bay.name, Key=f"site/{key}")
        return head["ContentType"], head["CacheControl"]

    assert of("index.html") == ("text/html; charset=utf-8", "no-cache")
    assert of(f"assets/{second.sha}.js") == (
        "text/javascript; charset=utf-8",
        "public, max-age=31536000, immutable",
    )
    assert of("logo.svg") == ("image/x-logo", "public, max-age=300")
    assert headers(S3Target(artifact="a", bucket="abc"), "LICENSE").content_type == "application/octet-stream"


def test_what_cannot_be_served_is_the_changes_fault_and_a_server_that_is_gone_is_not(bay: Bay) -> None:
    order = rig(bay, bay.package).order(bay.package(1, {"index.html": "x"}, link="about.html"), None)
    outcome = bay.target().prepare(order)
    assert (outcome.ended, "is a link, and a bucket has none" in outcome.words) == (Ended.FAILED, True)
    order = rig(bay, bay.package).order(bay.package(1, {"index.html": "x", ".farmgate/current.json": "{}"}), None)
    assert "where Farmgate keeps its own" in bay.target().prepare(order).words
    nowhere = S3Target(artifact="site.tgz", bucket="no-such-bucket-here")
    gone = S3SiteTarget(Bucket(bay.client, nowhere.bucket, ""), bay.blobs, Fence(bay.folder), LANE)
    with pytest.raises(TargetError, match="NoSuchBucket"):
        gone.prepare(order)


def test_taking_it_down_leaves_no_object_of_ours(bay: Bay) -> None:
    bay.client.put_object(Bucket=bay.name, Key="site/robots.txt", Body=b"")
    rig(bay, bay.package).bring_up(1, None)
    bay.target().remove(2)
    assert bay.keys() == {"robots.txt"}


def test_its_keys_are_names_of_secrets(endpoint: str, tmp_path: Path) -> None:
    text = f"""\
application: shop
target: {{type: s3, bucket: www, artifact: site.tgz, endpoint: '{endpoint}', access_key: KEY, secret_key: WORD}}
lanes: {{production: {{}}}}
"""
    (policy,) = parse(text)
    assert "s3://www" in policy.target.words
    asked: list[str] = []

    def secret(policy: object, name: str) -> str:
        asked.append(name)
        return "value"

    RealTargets(tmp_path, MemoryBlobs(), SystemClock(), embedded=False, secret=secret).of(1, policy)
    assert asked == ["KEY", "WORD"]
    with pytest.raises(TargetError, match="there is no secret KEY for shop/production"):
        RealTargets(tmp_path, MemoryBlobs(), SystemClock(), embedded=False).of(1, policy)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("bucket: Www", "'Www' is not the name of a bucket"),
        ("bucket: www, prefix: a/../b", "is not a folder in a bucket"),
        ("bucket: www, access_key: KEY", "write both, or neither"),
        ("bucket: www, cache: {/a: no-cache}", "'/a' in 'cache' is no pattern"),
        ("bucket: www, content_types: {html: text/html}", "is not the ending of a file, such as .html"),
        ("bucket: www, keep: 0", "greater than or equal to 1"),
        ("prefix: www", "needs 'bucket'"),
    ],
)
def test_what_contradicts_itself_is_refused(keys: str, told: str) -> None:
    text = f"application: shop\ntarget: {{type: s3, artifact: site.tgz, {keys}}}\nlanes: {{production: {{}}}}\n"
    with pytest.raises(BadDocument) as refused:
        parse(text)
    assert told in str(refused.value.problems[0])
