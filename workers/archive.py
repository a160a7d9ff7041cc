"""Files of a job, as one archive and back: a tar stream, compressed with gzip.

Rules:
1. Names in an archive begin with `workspace` or `home` and lie below one of the paths that the job names. Anything else
   (absolute names, `..`, devices, hard links, links that lead outside) makes the whole archive unusable (BadArchive).
2. Folders are opened step by step from their root, never through a link, for reading as for writing.
3. What is there already is not replaced: the commit's own files are the truth.
4. Links that lead outside are left out when an archive is made; what cannot be read as well. How many is told.
5. Files, bytes and headers have bounds; an archive that breaks one is unusable.
6. Unpacking that fails takes back all that it made.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import gzip
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Self

from farmgate.errors import FarmgateError, NoSpace, TooLarge
from workers.workspace import no_space_named

WORKSPACE: Final = "workspace"
HOME: Final = "home"
MOST_FILES: Final = 1_000_000
LONGEST_HEADER: Final = 1 << 20
LEVEL: Final = 1  # see docs/decisions/0024: higher levels cost more time than the network does
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE: Final = 256 * 1024
_ODD: Final = (ValueError, OverflowError, RecursionError, IndexError, KeyError)  # what tarfile makes of odd headers
_DEPTH: Final = 200

Parts = tuple[str, ...]


class BadArchive(FarmgateError):
    """An archive that is damaged, or that holds what no archive of ours holds."""


@dataclass(slots=True)
class Counted:
    """What went into an archive or came out of it."""

    files: int = 0
    size_bytes: int = 0
    left_out: int = 0


def where(path: str) -> Parts:
    """A path as the pipeline file names it, as the root and the names below it."""
    root, rest = (HOME, path[2:]) if path.startswith("~/") else (WORKSPACE, path)
    return (root, *(name for name in rest.split("/") if name not in ("", ".")))


# --- into an archive ------------------------------------------------------------------------------------------------


def pack(roots: Mapping[str, Path], paths: Sequence[str], into: IO[bytes], limit_bytes: int) -> Counted:
    """Write the files below the paths. Raises TooLarge, NoSpace."""
    counted = Counted()
    seen: set[Parts] = set()
    with (
        no_space_named(Path(getattr(into, "name", "."))),
        gzip.GzipFile(fileobj=into, mode="wb", compresslevel=LEVEL, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in paths:
            parts = where(path)
            root = os.open(roots[parts[0]], _FOLDER)
            try:
                for name, entry in _found(root, parts[:1], parts[1:], counted):
                    if name in seen:
                        continue
                    seen.add(name)
                    _add(archive, "/".join(name), entry, counted, limit_bytes)
            finally:
                os.close(root)
    return counted


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something below a folder that is held open."""

    folder: int
    name: str
    stat: os.stat_result


def _found(folder: int, at: Parts, pattern: Parts, counted: Counted) -> Iterator[tuple[Parts, _Entry]]:
    """What a path names, and all below it, folders before what they hold."""
    for name in _names(folder):
        if pattern and not fnmatch.fnmatchcase(name, pattern[0]):
            continue
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            counted.left_out += 1
            continue
        here = (*at, name)
        if len(pattern) <= 1:
            yield here, _Entry(folder, name, found)
        if stat.S_ISDIR(found.st_mode):
            if len(here) > _DEPTH:
                counted.left_out += 1
                continue
            try:
                below = os.open(name, _FOLDER, dir_fd=folder)
            except OSError:
                counted.left_out += 1
                continue
            try:
                yield from _found(below, here, pattern[1:], counted)
            finally:
                os.close(below)


def _names(folder: int) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _add(archive: tarfile.TarFile, name: str, entry: _Entry, counted: Counted, limit_bytes: int) -> None:
    header = tarfile.TarInfo(name)
    header.mode, header.mtime = stat.S_IMODE(entry.stat.st_mode) & 0o777, int(entry.stat.st_mtime)
    mode = entry.stat.st_mode
    if stat.S_ISDIR(mode):
        header.type = tarfile.DIRTYPE
        archive.addfile(header)
    elif stat.S_ISLNK(mode):
        header.type, header.linkname = tarfile.SYMTYPE, os.readlink(entry.name, dir_fd=entry.folder)
        if not _stays(tuple(name.split("/")), header.linkname):
            counted.left_out += 1
            return
        archive.addfile(header)
    elif stat.S_ISREG(mode):
        try:
            descriptor = os.open(entry.name, _READ, dir_fd=entry.folder)
        except OSError:
            counted.left_out += 1
            return
        with os.fdopen(descriptor, "rb") as file:
            header.size = os.fstat(descriptor).st_size
            _count(counted, header.size, limit_bytes)
            archive.addfile(header, file)
    else:
        counted.left_out += 1


def _count(counted: Counted, size: int, limit_bytes: int) -> None:
    counted.files += 1
    counted.size_bytes += size
    if counted.size_bytes > limit_bytes:
        raise TooLarge(f"its files have more than the {limit_bytes} bytes that are allowed")
    if counted.files > MOST_FILES:
        raise TooLarge(f"it has more than {MOST_FILES} files")


def _stays(name: Parts, target: str) -> bool:
    """True if a link of that name leads nowhere outside of its root, read as text."""
    if target.startswith("/") or not target or "\0" in target:
        return False
    depth = len(name) - 2  # folders below the root
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return False
        elif part not in ("", "."):
            depth += 1
    return True


# --- and back -------------------------------------------------------------------------------------------------------


def unpack(file: BinaryIO, roots: Mapping[str, Path], paths: Sequence[str], limit_bytes: int) -> Counted:
    """Write an archive's files below their roots. Raises BadArchive, TooLarge, NoSpace; then nothing of it is left."""
    counted = Counted()
    with _Writer(roots) as writer:
        try:
            bounded: Any = _Bounded(gzip.GzipFile(fileobj=file), limit_bytes)
            with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Header) as archive:
                for header in archive:
                    _take(archive, header, writer, [where(path) for path in paths], counted, limit_bytes)
            while bounded.read(_PIECE):  # to its end: the checksum stands there
                pass
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, *_ODD) as error:
            writer.take_back()
            raise BadArchive(f"the archive is damaged: {error}") from None
        except OSError as error:
            writer.take_back()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("no space left to unpack it") from None
            raise BadArchive(f"the archive cannot be unpacked: {error}") from None
        except BaseException:
            writer.take_back()
            raise
    return counted


def _take(
    archive: tarfile.TarFile,
    header: tarfile.TarInfo,
    writer: _Writer,
    paths: Sequence[Parts],
    counted: Counted,
    limit_bytes: int,
) -> None:
    name = tuple(header.name.split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in name) or len(name) > _DEPTH + 8:
        raise BadArchive(f"it holds {header.name[:100]!r}, which is no plain name")
    if not any(_below(name, path) for path in paths):
        raise BadArchive(f"it holds {header.name[:100]!r}, which is not below a path of this cache")
    if header.isdir():
        done = writer.folder(name, header.mode)
    elif header.issym():
        if not _stays(name, header.linkname):
            raise BadArchive(
                f"it holds the link {header.name[:100]!r}, which leads outside, to {header.linkname[:100]!r}"
            )
        done = writer.link(name, header.linkname)
    elif header.isreg() and not header.issparse():
        _count(counted, header.size, limit_bytes)
        content = archive.extractfile(header)
        assert content is not None
        done = writer.file(name, header, content)
    else:
        raise BadArchive(f"it holds {header.name[:100]!r}, which is neither a file nor a folder nor a plain link")
    counted.left_out += not done


def _below(name: Parts, path: Parts) -> bool:
    return len(name) >= len(path) and all(
        fnmatch.fnmatchcase(one, pattern) for one, pattern in zip(name, path, strict=False)
    )


class _Header(tarfile.TarInfo):
    """A header whose extensions are bounded before they are read into memory, and which is never sparse."""

    def _proc_member(self, archive: Any) -> Any:
        extension = self.type not in tarfile.SUPPORTED_TYPES or self.type in (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if extension and not 0 <= self.size <= LONGEST_HEADER:
            raise BadArchive("it holds a header that is too long")
        if self.type == tarfile.GNUTYPE_SPARSE or self.size < 0:
            raise BadArchive("it holds a sparse file, or one of a negative size")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Bounded:
    """A stream that ends in an error once it gave more than it may: packed zeros must not fill a disk."""

    def __init__(self, file: gzip.GzipFile, limit_bytes: int) -> None:
        self._file = file
        self._left = limit_bytes + 4096 * (MOST_FILES // 100) + LONGEST_HEADER

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, _PIECE) if size >= 0 else _PIECE)
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge("it unpacks to more bytes than are allowed")
        return data


@dataclass(slots=True)
class _Writer:
    """Writes below roots, through descriptors; knows what it made."""

    roots: Mapping[str, Path]
    _open: dict[str, int] = field(default_factory=dict)
    _made: list[tuple[Parts, bool]] = field(default_factory=list)  # and whether it is a folder
    _last: tuple[Parts, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()
        for descriptor in self._open.values():
            os.close(descriptor)

    def folder(self, name: Parts, mode: int) -> bool:
        with contextlib.suppress(NotADirectoryError, FileNotFoundError):
            made = len(self._made)
            descriptor = self._parent((*name, "."))
            if len(self._made) > made:
                os.fchmod(descriptor, mode & 0o777 | stat.S_IRWXU)
            return True
        return False

    def link(self, name: Parts, target: str) -> bool:
        try:
            os.symlink(target, name[-1], dir_fd=self._parent(name))
        except (FileExistsError, NotADirectoryError, FileNotFoundError):
            return False
        self._made.append((name, False))
        return True

    def file(self, name: Parts, header: tarfile.TarInfo, content: IO[bytes]) -> bool:
        try:
            descriptor = os.open(name[-1], _WRITE, 0o600, dir_fd=self._parent(name))
        except (FileExistsError, NotADirectoryError, FileNotFoundError):
            return False
        self._made.append((name, False))
        with os.fdopen(descriptor, "wb") as file:
            left = header.size
            while left and (data := content.read(min(left, _PIECE))):
                file.write(data)
                left -= len(data)
            if left:
                raise BadArchive(f"it ends within {'/'.join(name)[:100]!r}")
            file.flush()
            os.fchmod(descriptor, header.mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
            when = min(max(0, header.mtime), 2**33)
            os.utime(descriptor, (when, when))
        return True

    def take_back(self) -> None:
        """Remove what was made, the newest first; what others made stays."""
        for name, is_folder in reversed(self._made):
            with contextlib.suppress(OSError):
                parent = self._parent(name)
                if is_folder:
                    os.rmdir(name[-1], dir_fd=parent)
                else:
                    os.unlink(name[-1], dir_fd=parent)
        self._made.clear()

    def _parent(self, name: Parts) -> int:
        """The folder of that name, made as far as it is missing. NotADirectoryError where a link or a file stands."""
        folders = name[:-1]
        if self._last is not None and self._last[0] == folders:
            return self._last[1]
        root = folders[0]
        if root not in self._open:
            self._open[root] = os.open(self.roots[root], _FOLDER)
        here = os.dup(self._open[root])
        try:
            for depth, part in enumerate(folders[1:], 2):
                try:
                    below = os.open(part, _FOLDER, dir_fd=here)
                except FileNotFoundError:
                    os.mkdir(part, 0o755, dir_fd=here)
                    self._made.append((folders[:depth], True))
                    below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
        except BaseException as error:
            os.close(here)
            if isinstance(error, OSError) and error.errno == errno.ELOOP:  # a link
                raise NotADirectoryError(*error.args) from None
            raise
        self._let_go()
        self._last = (folders, here)
        return here

    def _let_go(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None
