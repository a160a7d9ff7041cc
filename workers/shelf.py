"""Archives of caches that a node keeps beside it, so that its next job does not fetch them again.

Rules:
1. A file is called by the sha256 of its bytes, written aside and renamed; it is hashed again before each use: what does
   not fit its name is removed.
2. All of them together have a bound; what was not used for the longest time goes first. A bound of 0 keeps none.
3. What a killed worker left aside is swept after a while.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from farmgate.clock import Clock
from farmgate.errors import FarmgateError
from workers.workspace import no_space_named

_PIECE: Final = 1 << 20
_ASIDE: Final = ".aside-"
_ASIDE_SECONDS: Final = 6 * 3600.0


class Damaged(FarmgateError):
    """Bytes that are not what their hash says."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The archives in a folder."""

    folder: Path
    limit_bytes: int
    clock: Clock

    def find(self, sha256: str) -> Path | None:
        """The archive, if it is here and whole."""
        path = self.folder / sha256
        try:
            with path.open("rb") as file:
                if hash_of(file) != sha256:
                    path.unlink(missing_ok=True)
                    return None
            os.utime(path)
        except OSError:
            return None
        return path

    @contextlib.contextmanager
    def aside(self) -> Iterator[IO[bytes]]:
        """A file to write; it is gone afterwards unless it was kept."""
        with no_space_named(self.folder):
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=_ASIDE)
        os.close(handle)
        try:
            with Path(name).open("w+b") as file:
                yield file
        finally:
            Path(name).unlink(missing_ok=True)

    def fill(self, file: IO[bytes], pieces: Iterable[bytes], sha256: str, size_bytes: int) -> None:
        """Write what arrives. Raises Damaged, NoSpace, and what `pieces` raises."""
        digest, size = hashlib.sha256(), 0
        with no_space_named(self.folder):
            for piece in pieces:
                size += len(piece)
                if size > size_bytes:
                    break
                digest.update(piece)
                file.write(piece)
            file.flush()
        if size != size_bytes or digest.hexdigest() != sha256:
            raise Damaged(f"it arrived damaged: {size} bytes of {size_bytes}")

    def keep(self, file: IO[bytes], sha256: str) -> None:
        """Put a file that was written aside under its name, and let others go (rule 2)."""
        file.flush()
        size = os.fstat(file.fileno()).st_size
        if size > self.limit_bytes:
            return
        self.sweep(room_bytes=size)
        with contextlib.suppress(OSError):
            os.link(file.name, self.folder / sha256)

    def sweep(self, room_bytes: int = 0) -> None:
        """Let go of what there is no room for, and of what was left aside."""
        known: list[tuple[float, int, Path]] = []
        now = self.clock.now().timestamp()
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                found = path.stat()
                if not path.name.startswith(_ASIDE):
                    known.append((found.st_mtime, found.st_size, path))
                elif found.st_mtime < now - _ASIDE_SECONDS:
                    path.unlink()
        total = room_bytes
        for _, size, path in sorted(known, reverse=True):
            total += size
            if total > self.limit_bytes:
                path.unlink(missing_ok=True)


def hash_of(file: IO[bytes]) -> str:
    """The sha256 of a file from its beginning."""
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
