"""An attempt's folder on the node: made, given to the job's user, and removed whatever the job did to it.

Rules:
1. `steps` is ours and read by the job; `workspace`, `home` and `tmp` are the job's.
2. A root worker gives the job's folders to uid and gid 1000 where the engine isolates; any other worker keeps them.
3. The folder itself stays ours, so that a job cannot put a link in the place of its workspace.
4. Below a floor of free space no workspace is made: a full disk hurts every job of the node.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from farmgate.errors import NoSpace
from farmgate.node_folder import Key, NodeFolder

JOB_USER: Final = (1000, 1000)
_OURS: Final = ("steps",)
_THEIRS: Final = ("workspace", "home", "tmp")


def owner() -> tuple[int, int] | None:
    """Who owns what a job writes; None: ourselves."""
    return JOB_USER if os.geteuid() == 0 else None


def make_folder(node: NodeFolder, key: Key, floor_bytes: int) -> Path:
    """The attempt's folder, empty. Raises NoSpace."""
    free = node.free_bytes()
    if free < floor_bytes:
        raise NoSpace(
            f"the disk of {node.root} is full: {free / 2**20:.1f} MiB are free, {floor_bytes / 2**20:.1f} MiB are "
            "needed (FARMGATE_WORKSPACE_LIMIT_BYTES)"
        )
    folder = node.attempts / str(key)
    remove_folder(folder)
    with no_space_named(folder):
        folder.mkdir(mode=0o755)
        for name in (*_OURS, *_THEIRS):
            (folder / name).mkdir(mode=0o755)
    return folder


def give_away(folder: Path, to: tuple[int, int] | None) -> None:
    """Let the job's user own its folders and all that is in them; links are not followed."""
    if to is None:
        return
    for name in _THEIRS:
        os.chown(folder / name, *to, follow_symlinks=False)
        for _, folders, files, here in os.fwalk(folder / name, follow_symlinks=False):
            for entry in (*folders, *files):
                os.chown(entry, *to, dir_fd=here, follow_symlinks=False)


def remove_folder(folder: Path) -> None:
    """Remove it, also where the job took its own rights away. What cannot be removed stays for the next sweep."""

    def again(function: Callable[..., Any], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            parent = Path(path).parent
            parent.chmod(stat.S_IRWXU)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                Path(path).chmod(stat.S_IRWXU)
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink()

    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder, onerror=again)


def sweep_folders(node: NodeFolder, keep: Callable[[], frozenset[Key]]) -> frozenset[Key]:
    """Remove the folders of attempts that nobody holds; gives what was removed."""
    found = {key: entry for entry in node.attempts.iterdir() if (key := Key.read(entry.name)) is not None}
    kept = keep()
    for key, entry in found.items():
        if key not in kept:
            remove_folder(entry)
    return frozenset(set(found) - kept)


@contextlib.contextmanager
def no_space_named(folder: Path) -> Iterator[None]:
    """A full disk, as an error that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left for {folder}") from None
        raise
