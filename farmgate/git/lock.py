"""One writer per folder, among threads and processes.

Rules:
1. The lock belongs to an open file, so the kernel frees it when its holder dies: there are no stale locks.
2. It stands beside the folder, not in it, and is never removed: removing it would give two holders two files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of `folder`, waiting for it; gives its file descriptor, for a child to keep it open."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder.with_name(folder.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
