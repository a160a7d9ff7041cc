"""Several artifacts as one tar archive that is made while it is read.

Rules:
1. Nothing is held but the list of files: a header is made, then a blob is passed on, a piece at a time.
2. The archive's length is known before its first byte, so whoever reads it sees when it is not whole.
3. A file whose bytes are not what its hash says ends the archive: what is read to its end is right.
4. The same files give the same bytes. Each job has a folder of its own, if there are several.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from farmgate.artifact_folders import folder_of
from farmgate.blobs import Blobs
from farmgate.errors import DamagedBlob
from farmgate.models import Artifact
from farmgate.store.kept import Kept
from scheduler.blob_streams import pieces_of

_BLOCK = tarfile.BLOCKSIZE
_END = b"\0" * (2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive."""

    name: str
    artifact: Artifact


def entries(found: Sequence[Kept], *, one_job: bool) -> list[Entry]:
    """Rule 4."""
    called = folders({kept.job_id: kept.job for kept in found})
    return [
        Entry(kept.artifact.path if one_job else f"{called[kept.job_id]}/{kept.artifact.path}", kept.artifact)
        for kept in found
    ]


def folders(names: dict[int, str]) -> dict[int, str]:
    """A folder for each job."""
    found: dict[int, str] = {}
    for number, name in names.items():
        found[number] = folder_of(name, found.values())
    return found


def length(files: Sequence[Entry]) -> int:
    """In bytes (rule 2)."""
    return sum(len(_header(file)) + _padded(file.artifact.size_bytes) for file in files) + len(_END)


def stream(blobs: Blobs, files: Sequence[Entry]) -> Iterator[bytes]:
    """The archive's bytes. Raises NotFound, DamagedBlob, BlobsUnreachable, at the latest where a file is wrong."""
    for file in files:
        yield _header(file)
        yield from _whole(blobs, file.artifact)
        yield b"\0" * (_padded(file.artifact.size_bytes) - file.artifact.size_bytes)
    yield _END


def _whole(blobs: Blobs, artifact: Artifact) -> Iterator[bytes]:
    """Rule 3. What is too long is never passed on as the next header."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces_of(blobs, artifact.sha256):
        digest.update(piece)
        size += len(piece)
        if size > artifact.size_bytes:
            break
        yield piece
    if size != artifact.size_bytes or digest.hexdigest() != artifact.sha256:
        raise DamagedBlob(f"blob {artifact.sha256} of {artifact.path!r} is damaged: its bytes hash to something else")


def _header(file: Entry) -> bytes:
    info = tarfile.TarInfo(file.name)
    info.size = file.artifact.size_bytes
    info.mode = 0o755 if file.artifact.executable else 0o644
    info.mtime = int(file.artifact.created_at.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
