"""An artifact's bytes as files, taken from strangers.

Rules:
1. A tar archive (plain, gzip, bzip2 or xz) is unpacked; anything else is one file under the artifact's own name.
2. Nothing leaves the folder: absolute names, `..`, links that lead outside, anything below a link, devices and pipes
   are refused, not skipped. tarfile's own filters are not relied on.
3. Owners are dropped; modes keep only read, write and execute, and everything is readable.
4. Size and number are bounded, so that a bomb is refused half way.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final

from farmgate.errors import TargetError

BYTES_LIMIT: Final = 8 * 2**30
MEMBER_LIMIT: Final = 200_000
_DAMAGED: Final = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
Member = tuple[tarfile.TarInfo, IO[bytes] | None]


def members(artifact: BinaryIO, name: str) -> Iterator[Member]:
    """The clean members, in order. Raises TargetError for what rule 2 or 4 refuses."""
    head = artifact.read(512)
    stream = io.BufferedReader(_Rest(head, artifact))
    try:
        archive = tarfile.open(fileobj=stream, mode="r|*")  # noqa: SIM115 - closed below
    except tarfile.TarError:
        raise TargetError(f"{name} begins like an archive but cannot be read as one") from None
    with archive:
        yield from _cleaned(archive, name)


def is_archive(artifact: BinaryIO) -> bool:
    """True if the bytes are a tar archive. Reads from a copy of the stream that the caller does not need any more."""
    try:
        with tarfile.open(fileobj=artifact, mode="r|*") as archive:
            archive.next()
    except _DAMAGED:
        return False
    return True


def unpack(source: Iterator[Member], into: Path) -> None:
    """Write the members below a new folder. Raises TargetError."""
    into.mkdir(mode=0o755, parents=True)
    try:
        _write(source, into)
    except _DAMAGED as error:
        raise TargetError(f"the artifact could not be unpacked into {into}: {error}") from error


def _write(source: Iterator[Member], into: Path) -> None:
    for info, data in source:
        place = into / info.name
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if info.isdir():
            place.mkdir(mode=0o755, exist_ok=True)
        elif info.issym():
            place.unlink(missing_ok=True)
            place.symlink_to(info.linkname)
        elif info.islnk():
            place.unlink(missing_ok=True)
            place.hardlink_to(into / info.linkname)
        elif data is not None:
            place.unlink(missing_ok=True)
            with place.open("xb") as file:
                shutil.copyfileobj(data, file)
            place.chmod(info.mode)


def repacked(source: Iterator[Member], into: BinaryIO, below: str, owner: int) -> None:
    """Write the members as a new, clean tar below a folder, owned by `owner`. Raises TargetError."""
    try:
        _repack(source, into, below, owner)
    except _DAMAGED as error:
        raise TargetError(f"the artifact could not be packed anew: {error}") from error


def _repack(source: Iterator[Member], into: BinaryIO, below: str, owner: int) -> None:
    with tarfile.open(fileobj=into, mode="w|") as archive:
        top = tarfile.TarInfo(below)
        top.type, top.mode, top.uid, top.gid = tarfile.DIRTYPE, 0o755, owner, owner
        archive.addfile(top)
        for info, data in source:
            info.name = f"{below}/{info.name}"
            if info.islnk():
                info.linkname = f"{below}/{info.linkname}"
            info.uid = info.gid = owner
            archive.addfile(info, data)


def single(artifact: BinaryIO, name: str, size: int) -> Iterator[Member]:
    """One file that is no archive."""
    info = tarfile.TarInfo(posixpath.basename(name))
    info.size, info.mode = size, 0o755
    yield info, artifact


def _cleaned(archive: tarfile.TarFile, artifact: str) -> Iterator[Member]:
    links: set[str] = set()
    folders: set[str] = set()
    files: set[str] = set()
    count = total = 0
    while True:
        try:
            info = archive.next()
        except _DAMAGED as error:
            raise TargetError(f"{artifact} is damaged: {error}") from None
        if info is None:
            return
        count, total = count + 1, total + max(info.size, 0)
        if count > MEMBER_LIMIT or total > BYTES_LIMIT:
            raise TargetError(f"{artifact} unpacks to more than {BYTES_LIMIT:,} bytes or {MEMBER_LIMIT:,} files")
        name = posixpath.normpath(info.name)
        if name == ".":
            continue
        _inside(artifact, name, info.name)
        if any(parent in links for parent in _parents(name)) or (name in links and not info.issym()):
            raise TargetError(f"{artifact}: {info.name!r} lies behind a link")
        folders.update(_parents(name))
        if name in folders and not info.isdir():
            raise TargetError(f"{artifact}: {info.name!r} is a folder and something else")
        clean = tarfile.TarInfo(name)
        clean.mtime = info.mtime
        clean.mode = (info.mode & 0o777) | 0o444
        if info.isdir():
            clean.type, clean.mode = tarfile.DIRTYPE, 0o755
            folders.add(name)
            yield clean, None
        elif info.isreg():
            clean.size = info.size
            files.add(name)
            yield clean, archive.extractfile(info)
        elif info.issym():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), info.linkname))
            if info.linkname.startswith("/") or target == ".." or target.startswith("../") or _winds(info.linkname):
                raise TargetError(f"{artifact}: the link {info.name!r} leads outside, to {info.linkname!r}")
            clean.type, clean.linkname = tarfile.SYMTYPE, info.linkname
            links.add(name)
            yield clean, None
        elif info.islnk():
            target = posixpath.normpath(info.linkname)
            if target not in files:
                raise TargetError(f"{artifact}: the link {info.name!r} leads to no file of the archive")
            clean.type, clean.linkname = tarfile.LNKTYPE, target
            files.add(name)
            yield clean, None
        else:
            raise TargetError(f"{artifact}: {info.name!r} is a device or pipe")


def _inside(artifact: str, name: str, written: str) -> None:
    if name.startswith(("/", "../")) or name == ".." or "\0" in name:
        raise TargetError(f"{artifact}: {written!r} leaves the folder")


def _winds(link: str) -> bool:
    """True if a `..` follows a name: where that leads depends on what the name is (another link, perhaps)."""
    parts = [part for part in link.split("/") if part not in ("", ".")]
    return ".." in parts[next((at for at, part in enumerate(parts) if part != ".."), len(parts)) :]


def _parents(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


class _Rest(io.RawIOBase):
    """A stream whose beginning was read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._head or self._rest.read(len(buffer))
        part, self._head = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
