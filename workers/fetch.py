"""What needed jobs left, on its way into the workspace.

Rules:
1. What a needed job left is put where it had it, over what the checkout has there; the later job wins a path.
2. A file is written aside and moved into place once its hash was checked, so nothing half is ever seen.
3. Nothing is written through a link: every folder is opened step by step, and a name that is a link is replaced, not
   followed. What cannot be put in its place is an error that names it (`Blocked`).
4. An executable stays one; nothing else of a mode is taken over.
5. A few files at a time, piece by piece: memory does not grow with what is fetched.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from farmgate.client.node import NodeClient
from farmgate.clock import random_token
from farmgate.errors import FarmgateError, ServerUnreachable
from farmgate.messages import Claimed, Needed, NeededArtifact
from farmgate.pipeline.models import FetchSpec
from workers.logs import while_it_may_speak
from workers.stop import Stop

AT_ONCE: Final = 4
PATIENCE: Final = timedelta(minutes=3)
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Blocked(FarmgateError):
    """A needed file that cannot be put where it belongs."""


def fetch(
    client: NodeClient, claimed: Claimed, wanted: Sequence[FetchSpec], workspace: Path, stop: Stop
) -> tuple[NeededArtifact, ...]:
    """Put what the jobs left into the workspace; gives what was. Raises Blocked, OSError, what the client raises."""
    needed = while_it_may_speak(stop, partial(client.needed, claimed), PATIENCE)
    chosen = choose(needed, wanted)
    root = os.open(workspace, _OPEN_FOLDER)
    try:

        def take(artifact: NeededArtifact) -> None:
            while_it_may_speak(stop, partial(_take, client, claimed, artifact, root), PATIENCE)

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
            taking = [pool.submit(take, artifact) for artifact in chosen]
            try:
                for future in taking:
                    future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    finally:
        os.close(root)
    return chosen


def choose(needed: Needed, wanted: Sequence[FetchSpec]) -> tuple[NeededArtifact, ...]:
    """Those that the patterns name, each path once."""
    patterns = {fetch.job: fetch.patterns for fetch in wanted}
    chosen: dict[str, NeededArtifact] = {}
    for artifact in needed.artifacts:
        if artifact.job in patterns:
            named = patterns[artifact.job]
            if named is None or any(fits(pattern, artifact.path) for pattern in named):
                chosen[artifact.path] = artifact
    return tuple(chosen.values())


def fits(pattern: str, path: str) -> bool:
    """As in the patterns of artifacts: `*`, `?`, `[..]` within a name, `**` any folders; a folder is all below it."""
    parts = []
    for part in pattern.strip("/").split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
        elif part not in ("", "."):
            parts.append(_name(part) + "/")
    return re.match("".join(parts), path + "/") is not None if parts else True


def _name(part: str) -> str:
    expression = re.sub(r"\\\[(!?)([^\]]+)\\\]", _set, re.escape(part))
    return expression.replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _set(found: re.Match[str]) -> str:
    return f"[{'^' if found[1] else ''}{found[2].replace(chr(92) + '-', '-')}]"


def _take(client: NodeClient, claimed: Claimed, artifact: NeededArtifact, root: int) -> None:
    pure = PurePosixPath(artifact.path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or ".git" in pure.parts:
        raise Blocked(f"the artifact {artifact.path!r} of {artifact.job} is no path inside the workspace")
    try:
        with _folder(root, pure.parts[:-1]) as folder:
            _write(client, claimed, artifact, folder, pure.name)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise Blocked(
                f"the artifact {artifact.path!r} of {artifact.job} cannot be put into the workspace: something else "
                f"stands in its way ({error.strerror})"
            ) from None
        raise


def _write(client: NodeClient, claimed: Claimed, artifact: NeededArtifact, folder: int, name: str) -> None:
    aside = f".farmgate-{random_token()[:16]}"
    descriptor = os.open(aside, _NEW_FILE, 0o755 if artifact.executable else 0o644, dir_fd=folder)
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file, client.needed_bytes(claimed, artifact.sha256) as pieces:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != artifact.sha256:
            raise ServerUnreachable(f"the artifact {artifact.path!r} of {artifact.job} arrived damaged")
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside, dir_fd=folder)
        raise


@contextlib.contextmanager
def _folder(root: int, parts: Sequence[str]) -> Iterator[int]:
    """A folder below the root, made where it is missing, no link followed."""
    here = os.dup(root)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=here)
            below = os.open(part, _OPEN_FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)
