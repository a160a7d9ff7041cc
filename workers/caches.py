"""Caches around a job's steps: restored before them, saved after a job that passed.

Rules:
1. A cache saves time and is never the truth: whatever is wrong with one (damaged, poisoned, too large, gone, a server
   that does not answer) is told in the job's log, and the job goes on without it.
2. Its key is what the file says, and a hash of the files of the commit that belong to it, taken before the steps.
3. An archive is hashed before it is unpacked, from wherever it came.
4. Only a job that passed saves, only under a key that was not there, and only in a trusted run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from farmgate.clock import stopwatch
from farmgate.errors import FarmgateError, ServerUnreachable, StaleAttempt
from farmgate.messages import CacheFound, Result
from farmgate.pipeline.models import CacheSpec
from workers import archive
from workers.artifacts import NothingThere, OutsideWorkspace, Workspace
from workers.logs import while_it_may_speak
from workers.shelf import Shelf, hash_of

if TYPE_CHECKING:
    from workers.around import Around

PATIENCE: Final = timedelta(seconds=20)
LONGEST_KEY: Final = 512
_PIECE: Final = 256 * 1024
_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cache of the job, with its whole key. `exact`: it is there under just this key."""

    spec: CacheSpec
    key: str
    exact: bool


def restore(around: Around) -> None:
    """Bring back what earlier jobs left; `around.caches` says then what is to be saved. Raises StaleAttempt."""
    for spec in around.spec.caches:
        with around.timings.phase("caches"):
            key = whole_key(spec, around.folder / archive.WORKSPACE)
            exact = False
            try:
                exact = _restore_one(around, spec, key)
            except StaleAttempt:
                raise
            except (FarmgateError, OSError) as error:
                around.say(f"farmgate: cache {key}: not restored: {_words(error)}")
            around.caches.append(Wanted(spec, key, exact))


def save(around: Around, result: Result) -> None:
    """Keep what a job that passed left. Raises StaleAttempt."""
    if result.outcome != "passed" or around.stop.ending is not None:
        return
    for wanted in around.caches:
        if wanted.exact:
            continue
        if around.claimed.trust != "trusted":
            around.say(f"farmgate: cache {wanted.key}: not saved: this run comes from a fork")
            continue
        with around.timings.phase("save_caches"):
            try:
                _save_one(around, wanted)
            except StaleAttempt:
                raise
            except (FarmgateError, OSError) as error:
                around.say(f"farmgate: cache {wanted.key}: not saved: {_words(error)}")


def whole_key(spec: CacheSpec, workspace: Path) -> str:
    """Rule 2. A key that is too long becomes shorter and stays its own."""
    key = spec.key
    if spec.files:
        key = f"{key}-{_hash_of_files(spec.files, workspace)}"
    key = "".join(character if character.isprintable() else "_" for character in key)
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY - _DIGITS - 1]}-{hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]}"


def _hash_of_files(patterns: tuple[str, ...], folder: Path) -> str:
    """Of the names and contents of what the patterns name; what is not there counts as such."""
    total = hashlib.sha256()
    with Workspace(folder) as workspace:
        for pattern in patterns:
            try:
                found = workspace.find([pattern])
            except (NothingThere, OutsideWorkspace):
                found = ()
            for one in found:
                total.update(one.path.encode(errors="surrogateescape") + b"\0")
                try:
                    with os.fdopen(workspace.open(one), "rb") as file:
                        total.update(hash_of(file).encode())
                except (NothingThere, OutsideWorkspace):
                    total.update(b"-")
    return total.hexdigest()[:_DIGITS]


# --- one cache ------------------------------------------------------------------------------------------------------


def _shelf(around: Around) -> Shelf:
    return Shelf(around.bench.folder.caches, around.bench.settings.cache_bytes, around.bench.clock)


def _roots(around: Around) -> dict[str, Path]:
    return {archive.WORKSPACE: around.folder / "workspace", archive.HOME: around.folder / "home"}


def _restore_one(around: Around, spec: CacheSpec, key: str) -> bool:
    since = stopwatch()
    ask = partial(around.bench.client.cache, around.claimed, key, spec.fallback)
    found = while_it_may_speak(around.stop, ask, PATIENCE).found
    if found is None:
        around.say(f"farmgate: cache {key}: there is none yet")
        return False
    shelf = _shelf(around)
    here = shelf.find(found.sha256)
    if here is not None:
        with here.open("rb") as file:
            counted = _unpack(around, spec, file)
    else:
        with shelf.aside() as aside:
            fetch = partial(_fetch, around, shelf, aside, found)
            while_it_may_speak(around.stop, fetch, PATIENCE)
            aside.seek(0)
            counted = _unpack(around, spec, aside)
            shelf.keep(aside, found.sha256)
    named = "" if found.key == key else f", from {found.key}"
    place = "this node" if here is not None else "the server"
    around.say(
        f"farmgate: cache {key}: {counted.files} files, {_size(counted.size_bytes)} from {place} "
        f"in {stopwatch() - since:.1f} s{named}{_left_out(counted, 'were there already')}"
    )
    return found.key == key


def _fetch(around: Around, shelf: Shelf, aside: IO[bytes], found: CacheFound) -> None:
    aside.seek(0)
    aside.truncate()
    pieces = around.bench.client.cache_bytes(around.claimed, found.sha256)
    shelf.fill(aside, pieces, found.sha256, found.size_bytes)


def _unpack(around: Around, spec: CacheSpec, file: IO[bytes]) -> archive.Counted:
    limit = around.bench.settings.cache_files_bytes
    return archive.unpack(file, _roots(around), spec.paths, limit)  # type: ignore[arg-type]


def _save_one(around: Around, wanted: Wanted) -> None:
    since = stopwatch()
    ask = partial(around.bench.client.cache, around.claimed, wanted.key, ())
    if while_it_may_speak(around.stop, ask, PATIENCE).found is not None:
        around.say(f"farmgate: cache {wanted.key}: another job saved it meanwhile")
        return
    shelf = _shelf(around)
    with shelf.aside() as aside:
        limit = around.bench.settings.cache_files_bytes
        counted = archive.pack(_roots(around), wanted.spec.paths, aside, limit)
        if not counted.files:
            around.say(f"farmgate: cache {wanted.key}: not saved: no file is at {', '.join(wanted.spec.paths)[:200]}")
            return
        aside.flush()
        aside.seek(0)
        sha256, size = hash_of(aside), os.fstat(aside.fileno()).st_size
        send = partial(_send, around, wanted.key, aside.fileno(), size, sha256)
        kept = while_it_may_speak(around.stop, send, PATIENCE)
        if kept:
            shelf.keep(aside, sha256)
    packed = f"{counted.files} files, {_size(counted.size_bytes)}, {_size(size)} packed"
    around.say(
        f"farmgate: cache {wanted.key}: {'saved' if kept else 'another job saved it meanwhile'}: {packed} "
        f"in {stopwatch() - since:.1f} s{_left_out(counted, 'lead outside or cannot be read')}"
    )


def _send(around: Around, key: str, descriptor: int, size: int, sha256: str) -> bool:
    taken = around.bench.client.keep_cache(around.claimed, key, size, _pieces(descriptor, size))
    if taken.kept and taken.sha256 != sha256:
        raise ServerUnreachable("it arrived damaged")
    return taken.kept


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size and (data := os.pread(descriptor, min(_PIECE, size - at), at)):
        at += len(data)
        yield data


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:.1f} KiB"


def _left_out(counted: archive.Counted, why: str) -> str:
    return f"; {counted.left_out} {why}" if counted.left_out else ""


def _words(error: FarmgateError | OSError) -> str:
    return str(error) or type(error).__name__
