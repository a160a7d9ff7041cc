"""What a job leaves for others: the files that its artifact patterns name.

Rules:
1. Patterns are relative to the workspace: `*`, `?`, `[..]` within a name, `**` for any folders. A folder stands for all
   files below it. Wildcards do not enter folders by links, nor match a leading dot unless the pattern has one.
2. Nothing outside of the workspace is ever read: a path that is absolute, climbs, or arrives outside by a link is an
   error (`OutsideWorkspace`), however it came to be. Every file is opened step by step from the workspace's own
   descriptor without following a link, after its links were resolved.
3. A pattern that names nothing is a failure of the job (`NothingThere`): it did not make what it promised.
4. Only regular files are artifacts.
5. A set that no one could use is refused in words (`BadArtifacts`): more than `MOST_FILES` files, or a name that is no
   text of one line.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farmgate.errors import FarmgateError

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEPTH: Final = 64
MOST_FILES: Final = 10_000


class OutsideWorkspace(FarmgateError):
    """An artifact path that leads out of the workspace."""


class NothingThere(FarmgateError):
    """An artifact pattern that names no file."""


class BadArtifacts(FarmgateError):
    """Artifacts that no one could fetch: too many, or names that are no plain text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to upload: `path` as it is called, `real` where it lies, both relative to the workspace."""

    path: str
    real: str


class Workspace:
    """A workspace held open: whatever the job does to the path, this is the folder. Also a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, _OPEN_FOLDER)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def find(self, patterns: Sequence[str], most: int | None = None) -> tuple[Found, ...]:
        """The files of all patterns, each once, sorted by path. With `most`: so many, and only plain names.

        Raises OutsideWorkspace, NothingThere, BadArtifacts.
        """
        found: dict[str, Found] = {}
        for pattern in patterns:
            parts, some = _parts(pattern), False
            for path in self._match((), parts, 0):
                for file in self._files(path):
                    some = True
                    found[file.path] = file
                    if most is not None and len(_plain(found, file)) > most:
                        raise BadArtifacts(
                            f"with the artifact {pattern!r} there are more than {most} files: pack them into an archive"
                        )
            if not some:
                raise NothingThere(f"no file matches the artifact {pattern!r}")
        return tuple(found[path] for path in sorted(found))

    def open(self, found: Found) -> int:
        """A descriptor of the file, for reading. Raises OutsideWorkspace, NothingThere."""
        *folders, name = found.real.split("/")
        try:
            with self._folder(tuple(folders)) as folder:
                descriptor = os.open(name, _OPEN_FILE, dir_fd=folder)
        except OSError as error:
            raise NothingThere(f"the artifact {found.path!r} cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NothingThere(f"the artifact {found.path!r} is not a regular file")
        return descriptor

    def folder(self, path: str) -> Path:
        """Where a folder lies. Raises OutsideWorkspace, NothingThere."""
        real = self._real(tuple(path.split("/")))
        try:
            with self._folder(real):
                return self.path.joinpath(*real)
        except OSError as error:
            raise NothingThere(f"there is no folder {path!r} in the workspace: {error.strerror}") from None

    def read_text(self, path: str, limit_bytes: int) -> str:
        """A file's text. Raises OutsideWorkspace, NothingThere, and BadArtifacts for what is too long or no text."""
        found = self.find([path])
        if len(found) != 1:
            raise BadArtifacts(f"{path!r} is no file")
        with os.fdopen(self.open(found[0]), "rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise BadArtifacts(f"the file {path!r} has more than {limit_bytes} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise BadArtifacts(f"the file {path!r} is not UTF-8 text: {error.reason} at byte {error.start}") from None

    # --- how ---------------------------------

    def _match(self, at: tuple[str, ...], parts: tuple[str, ...], depth: int) -> Iterator[tuple[str, ...]]:
        if not parts:
            yield at
            return
        if depth > _DEPTH:
            return
        head, rest = parts[0], parts[1:]
        if head == "**":
            yield from self._match(at, rest, depth)
            for entry in self._entries(at):
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    yield from self._match((*at, entry.name), parts, depth + 1)
        elif any(character in head for character in "*?["):
            for entry in self._entries(at):
                hidden = entry.name.startswith(".") and not head.startswith(".")
                fits = not hidden and fnmatch.fnmatchcase(entry.name, head)
                if fits and (not rest or entry.is_dir(follow_symlinks=False)):
                    yield from self._match((*at, entry.name), rest, depth + 1)
        elif self._exists((*at, head)):
            yield from self._match((*at, head), rest, depth + 1)

    def _files(self, path: tuple[str, ...]) -> Iterator[Found]:
        """The path as files: itself, or all below it if it is a folder."""
        real = self._real(path)
        try:
            with self._folder(real):
                pass
        except OSError:
            yield Found("/".join(path), "/".join(real))
            return
        for entry in self._entries(real):
            if entry.is_dir(follow_symlinks=False):
                if len(path) < _DEPTH:
                    yield from self._files((*path, entry.name))
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                yield Found("/".join((*path, entry.name)), "/".join(self._real((*path, entry.name))))

    def _real(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Where the path lies once its links are followed. Raises OutsideWorkspace."""
        real, left, hops = list[str](), list(path), 0
        while left:
            name = left.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                if not real:
                    raise OutsideWorkspace(f"the artifact {'/'.join(path)!r} leads out of the workspace")
                real.pop()
                continue
            try:
                with self._folder(tuple(real)) as folder:
                    link = os.readlink(name, dir_fd=folder)
            except OSError:  # no link
                real.append(name)
                continue
            hops += 1
            if link.startswith("/") or hops > 40:
                raise OutsideWorkspace(f"the artifact {'/'.join(path)!r} leads out of the workspace, to {link!r}")
            left[:0] = link.split("/")
        return tuple(real)

    def _exists(self, path: tuple[str, ...]) -> bool:
        *folders, name = self._real(path) or (".",)
        try:
            with self._folder(tuple(folders)) as folder:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _entries(self, path: tuple[str, ...]) -> list[os.DirEntry[str]]:
        try:
            with self._folder(self._real(path)) as folder, os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError:
            return []

    @contextlib.contextmanager
    def _folder(self, path: tuple[str, ...]) -> Iterator[int]:
        """A folder, opened step by step without following a link."""
        here = os.dup(self._descriptor)
        try:
            for name in path:
                below = os.open(name, _OPEN_FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


def _parts(pattern: str) -> tuple[str, ...]:
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise OutsideWorkspace(f"the artifact {pattern!r} leads out of the workspace: write a path inside of it")
    parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
    if not parts:
        raise NothingThere(f"the artifact {pattern!r} names no file")
    return parts


def _plain(found: dict[str, Found], last: Found) -> dict[str, Found]:
    """Raises BadArtifacts for a name that is no text of one line."""
    if not last.path.isprintable():
        raise BadArtifacts(f"the artifact {last.path!a} has a name that is no plain text: rename it")
    return found
