"""Archives of caches: what goes in comes out, and nothing else does."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from farmgate.clock import VirtualClock
from farmgate.errors import TooLarge
from workers import archive
from workers.archive import BadArchive, Counted
from workers.shelf import Shelf, hash_of

PLENTY = 1 << 30
PATHS = ("deps", "~/.cache/tool")
NOISE = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(200))


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    return make_roots(tmp_path / "a")


def make_roots(at: Path) -> dict[str, Path]:
    found = {name: at / name for name in ("workspace", "home")}
    for folder in found.values():
        folder.mkdir(parents=True)
    return found


def packed(roots: dict[str, Path], *paths: str) -> tuple[bytes, Counted]:
    buffer = io.BytesIO()
    counted = archive.pack(roots, paths or PATHS, buffer, PLENTY)
    return buffer.getvalue(), counted


def written(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive that somebody else made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for header, content in members:
            header.size = len(content) if header.isreg() else 0
            made.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def a_file(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def a_link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def a_device(name: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.devmajor, made.devminor = tarfile.CHRTYPE, 1, 3
    return made


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_folders_and_links_come_back_as_they_were(roots: dict[str, Path], tmp_path: Path) -> None:
    deps = roots["workspace"] / "deps"
    (deps / "pkg" / "empty").mkdir(parents=True)
    (deps / "pkg" / "run").write_bytes(b"#!/bin/sh\n")
    (deps / "pkg" / "run").chmod(0o755)
    (deps / ("n" * 200 + "é")).write_text("long name")
    (deps / "link").symlink_to("pkg/run")
    (roots["home"] / ".cache" / "tool").mkdir(parents=True)
    (roots["home"] / ".cache" / "tool" / "x").write_text("x")
    (roots["home"] / ".cache" / "other").write_text("not named")
    os.utime(deps / "pkg" / "run", (1e9, 1e9))
    data, counted = packed(roots)
    back = make_roots(tmp_path / "b")
    unpacked = archive.unpack(io.BytesIO(data), back, PATHS, PLENTY)
    assert counted.files == unpacked.files == 3
    assert everything_below(back["workspace"]) == everything_below(roots["workspace"])
    assert (back["workspace"] / "deps" / "link").readlink() == Path("pkg/run")
    found = (back["workspace"] / "deps" / "pkg" / "run").stat()
    assert (found.st_mode & 0o777, found.st_mtime) == (0o755, 1e9)
    assert everything_below(back["home"]) == [".cache", ".cache/tool", ".cache/tool/x"]


def test_a_path_may_have_wildcards(roots: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (roots["workspace"] / "packages" / name / "node_modules").mkdir(parents=True)
        (roots["workspace"] / "packages" / name / "node_modules" / "m.js").write_text(name)
        (roots["workspace"] / "packages" / name / "source.js").write_text(name)
    data, counted = packed(roots, "packages/*/node_modules")
    back = make_roots(tmp_path / "b")
    archive.unpack(io.BytesIO(data), back, ["packages/*/node_modules"], PLENTY)
    assert counted.files == 2
    assert not (back["workspace"] / "packages" / "a" / "source.js").exists()
    assert (back["workspace"] / "packages" / "b" / "node_modules" / "m.js").read_text() == "b"


def test_links_that_lead_outside_are_left_out_and_counted(roots: dict[str, Path]) -> None:
    deps = roots["workspace"] / "deps"
    deps.mkdir()
    (deps / "absolute").symlink_to("/etc/passwd")
    (deps / "climbing").symlink_to("../../secret")
    (deps / "inside").symlink_to("../readme")
    os.mkfifo(deps / "pipe")
    data, counted = packed(roots)
    with tarfile.open(fileobj=io.BytesIO(data)) as made:
        assert made.getnames() == ["workspace/deps", "workspace/deps/inside"]
    assert counted.left_out == 3


def test_a_cache_path_that_is_a_link_is_not_followed(roots: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("key")
    (roots["workspace"] / "deps").symlink_to(tmp_path / "secret")
    data, counted = packed(roots)
    assert (counted.files, counted.left_out) == (0, 1)
    assert b"key" not in gzip.decompress(data)


def test_the_commits_own_files_are_not_replaced(roots: dict[str, Path]) -> None:
    (roots["workspace"] / "deps").mkdir()
    (roots["workspace"] / "deps" / "tracked").write_text("of the commit")
    data = written((a_file("workspace/deps/tracked"), b"of the cache"), (a_file("workspace/deps/new"), b"new"))
    counted = archive.unpack(io.BytesIO(data), roots, PATHS, PLENTY)
    assert (roots["workspace"] / "deps" / "tracked").read_text() == "of the commit"
    assert (roots["workspace"] / "deps" / "new").read_text() == "new"
    assert counted.left_out == 1


def test_nothing_is_written_through_a_link_of_the_repository(roots: dict[str, Path], tmp_path: Path) -> None:
    """A fork may commit a link in the place of a folder that is restored."""
    (tmp_path / "outside").mkdir()
    (roots["workspace"] / "deps").symlink_to(tmp_path / "outside")
    data = written((a_file("workspace/deps/evil"), b"evil"), (a_file("workspace/deps/a/evil"), b"evil"))
    counted = archive.unpack(io.BytesIO(data), roots, PATHS, PLENTY)
    assert everything_below(tmp_path / "outside") == []
    assert counted.left_out == 2


BAD: dict[str, Callable[[], bytes]] = {
    "an absolute name": lambda: written((a_file("/etc/cron.d/evil"), b"x")),
    "a name that climbs": lambda: written((a_file("workspace/deps/../../evil"), b"x")),
    "a name outside of the cache's paths": lambda: written((a_file("workspace/.git/config"), b"x")),
    "an unknown root": lambda: written((a_file("steps/job.sh"), b"x")),
    "an absolute link": lambda: written((a_link("workspace/deps/l", "/etc"), b"")),
    "a link that climbs": lambda: written((a_link("workspace/deps/l", "../../x"), b"")),
    "a hard link": lambda: written((a_link("workspace/deps/l", "workspace/deps/a", tarfile.LNKTYPE), b"")),
    "a device": lambda: written((a_device("workspace/deps/null"), b"")),
    "nothing at all": lambda: b"",
    "no gzip": lambda: b"hello" * 1000,
    "a gzip of no tar": lambda: gzip.compress(NOISE[:4096]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_and_leaves_nothing(name: str, roots: dict[str, Path]) -> None:
    good = (a_file("workspace/deps/good/first"), b"first")
    before = BAD[name]()
    data = before
    if before[:2] == b"\x1f\x8b" and name != "a gzip of no tar":
        with tarfile.open(fileobj=io.BytesIO(before)) as made:
            bad = made.getmembers()[0]
            content = made.extractfile(bad).read() if bad.isreg() else b""  # type: ignore[union-attr]
        data = written(good, (bad, content))
    with pytest.raises(BadArchive):
        archive.unpack(io.BytesIO(data), roots, PATHS, PLENTY)
    assert everything_below(roots["workspace"]) == [] == everything_below(roots["home"])


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_truncated_archive_leaves_nothing(share: float, roots: dict[str, Path]) -> None:
    data = written(*((a_file(f"workspace/deps/{n}"), NOISE[n:]) for n in range(20)))
    with pytest.raises(BadArchive):
        archive.unpack(io.BytesIO(data[: int(len(data) * share)]), roots, PATHS, PLENTY)
    assert everything_below(roots["workspace"]) == []


def test_a_bomb_is_refused_before_it_fills_the_disk(roots: dict[str, Path]) -> None:
    data = written((a_file("workspace/deps/zeros"), bytes(50 << 20)))
    assert len(data) < 1 << 20
    with pytest.raises(TooLarge):
        archive.unpack(io.BytesIO(data), roots, PATHS, 1 << 20)
    assert everything_below(roots["workspace"]) == []


def test_a_header_that_unpacks_to_gigabytes_is_refused(roots: dict[str, Path]) -> None:
    header = tarfile.TarInfo("./PaxHeaders/x")
    header.type, header.size = tarfile.XHDTYPE, 4 << 30
    raw = header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)
    with pytest.raises(BadArchive):
        archive.unpack(io.BytesIO(gzip.compress(raw)), roots, PATHS, PLENTY)


def test_too_many_bytes_are_not_packed(roots: dict[str, Path]) -> None:
    (roots["workspace"] / "deps").mkdir()
    (roots["workspace"] / "deps" / "big").write_bytes(bytes(2000))
    with pytest.raises(TooLarge):
        archive.pack(roots, PATHS, io.BytesIO(), 1000)


def test_a_shelf_keeps_what_was_used_last_within_its_bound(tmp_path: Path) -> None:
    clock = VirtualClock()
    shelf = Shelf(tmp_path, 250, clock)

    def put(data: bytes) -> str:
        with shelf.aside() as aside:
            aside.write(data)
            aside.flush()
            aside.seek(0)
            name = hash_of(aside)
            shelf.keep(aside, name)
        return name

    first, second = put(b"a" * 100), put(b"b" * 100)
    os.utime(tmp_path / first, (2e9, 2e9))  # used again
    third = put(b"c" * 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first, third])
    assert shelf.find(second) is None
    (tmp_path / third).write_bytes(b"d" * 100)
    assert shelf.find(third) is None
    assert not (tmp_path / third).exists()
