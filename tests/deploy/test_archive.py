"""Artifacts from strangers: nothing leaves the folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from deploy.targets import archive
from farmgate.errors import TargetError


def tar(*entries: tuple[str, str, str], mode: str = "w:gz") -> io.BytesIO:
    """Entries of (name, kind, content or target)."""
    kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE, "pipe": tarfile.FIFOTYPE}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:  # type: ignore[call-overload]
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            if kind == "file":
                info.size, info.mode = len(content), 0o4755
                made.addfile(info, io.BytesIO(content.encode()))
            else:
                info.type, info.linkname = kinds[kind], content
                made.addfile(info)
    return io.BytesIO(buffer.getvalue())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_is_unpacked_without_owners_and_special_modes(mode: str, tmp_path: Path) -> None:
    made = tar(
        ("./a/run.sh", "file", "hello"), ("a/b", "link", "../c"), ("c", "file", "c"), ("d", "hard", "c"), mode=mode
    )
    archive.unpack(archive.members(made, "x"), tmp_path / "app")
    assert (tmp_path / "app" / "a" / "run.sh").read_text() == "hello"
    assert (tmp_path / "app" / "a" / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "app" / "a" / "b").read_text() == (tmp_path / "app" / "d").read_text() == "c"


@pytest.mark.parametrize(
    "entries",
    [
        [("/etc/x", "file", "x")],
        [("../x", "file", "x")],
        [("a/../../x", "file", "x")],
        [("a", "link", "/etc")],
        [("a", "link", "../..")],
        [("a", "link", "."), ("b", "link", "a/../..")],
        [("a", "link", "."), ("b", "link", "a/..")],
        [("a", "link", "b"), ("a/x", "file", "x")],
        [("a", "link", "b"), ("a", "file", "x")],
        [("a", "hard", "/etc/passwd")],
        [("a", "hard", "../x")],
        [("a", "pipe", "")],
        [("a/b", "file", "x"), ("a", "link", "c")],
    ],
)
def test_what_would_leave_the_folder_is_refused(entries: list[tuple[str, str, str]], tmp_path: Path) -> None:
    with pytest.raises(TargetError):
        archive.unpack(archive.members(tar(*entries), "x"), tmp_path / "app")
    assert [path.name for path in tmp_path.iterdir()] == ["app"]


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    whole = tar(("a", "file", "x" * 100_000)).getvalue()
    with pytest.raises(TargetError):
        archive.unpack(archive.members(io.BytesIO(whole[: len(whole) // 2]), "x"), tmp_path / "app")


def test_what_is_no_archive_is_one_file(tmp_path: Path) -> None:
    assert not archive.is_archive(io.BytesIO(b"#!/bin/sh\n"))
    archive.unpack(archive.single(io.BytesIO(b"#!/bin/sh\n"), "bin/tool", 10), tmp_path / "app")
    assert (tmp_path / "app" / "tool").read_bytes() == b"#!/bin/sh\n"
