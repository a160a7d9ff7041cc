"""OSV's files as one stream: JSON documents, one a line, compressed.

Rules:
1. A file is a zip as OSV publishes them (`all.zip`), a folder of such zips or of JSON documents, or one document.
2. Archives are strangers': an entry has at most ENTRY_BYTES, all of them MOST_BYTES; names of entries are never used.
3. Nothing is judged here but that an entry is one JSON value: what it says is the server's to read.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from farmgate.errors import BadPayload, NotFound

ENTRY_BYTES: Final = 32 * 2**20
MOST_BYTES: Final = 64 * 2**30
PIECE: Final = 1 << 20
_LEVEL: Final = 3


def compressed(paths: Sequence[Path], only: frozenset[str], told: Callable[[int], None]) -> Iterator[bytes]:
    """Every document of the files; `only`: of these ecosystems, in small letters. `told` hears how many.

    Raises NotFound, BadPayload.
    """
    packer = zlib.compressobj(_LEVEL, wbits=31)
    waiting, size = b"", 0
    for count, line in enumerate(_lines(paths, only), 1):
        size += len(line)
        if size > MOST_BYTES:
            raise BadPayload(f"these files unpack to more than {MOST_BYTES >> 30} GiB")
        waiting += packer.compress(line)
        if len(waiting) >= PIECE:
            yield waiting
            waiting = b""
        if count % 1000 == 0:
            told(count)
    yield waiting + packer.flush()


def _lines(paths: Sequence[Path], only: frozenset[str]) -> Iterator[bytes]:
    for path in paths:
        for where, data in _documents(path):
            try:
                value = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise BadPayload(f"{where}: this is not JSON: {str(error)[:100]}") from None
            if not only or not isinstance(value, dict) or only & _ecosystems(value):
                yield json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _ecosystems(value: dict[str, object]) -> set[str]:
    found: set[str] = set()
    affected = value.get("affected")
    for each in affected if isinstance(affected, list) else ():
        package = each.get("package") if isinstance(each, dict) else None
        name = package.get("ecosystem") if isinstance(package, dict) else None
        if isinstance(name, str):
            found |= {name.lower(), name.lower().partition(":")[0]}
    return found


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in (".zip", ".json") and each.is_file())
            if not inside:
                raise NotFound(f"{path} holds no .zip and no .json")
            for each in inside:
                yield from _documents(each)
        elif zipfile.is_zipfile(path):
            yield from _of_zip(path)
        else:
            with path.open("rb") as file:
                yield str(path), _whole(file, str(path))
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}") from None


def _of_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.is_dir() or not entry.filename.endswith(".json"):
                    continue
                with archive.open(entry) as file:
                    where = f"{path}: {entry.filename[:100]!r}"
                    yield where, _whole(file, where)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadPayload(f"{path} is a damaged archive: {error}") from None


def _whole(file: IO[bytes], where: str) -> bytes:
    data = file.read(ENTRY_BYTES + 1)
    if len(data) > ENTRY_BYTES:
        raise BadPayload(f"{where}: has more than {ENTRY_BYTES >> 20} MiB, which no document has")
    return data
