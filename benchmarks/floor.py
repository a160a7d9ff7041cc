"""The floor: what a job costs without a farm.

A shared clone at the commit, then a bare container that runs `true` without network or log driver, `starters` at a
time, as fast as a plain loop can. Nothing that does this work with a container per job can be much faster without
preparing containers ahead.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farmgate.clock import stopwatch


@dataclass(frozen=True, slots=True)
class Floor:
    """Jobs done, seconds taken, and each job's own seconds."""

    jobs: int
    seconds: float
    each: tuple[float, ...]

    @property
    def per_minute(self) -> float:
        return 60 * self.jobs / self.seconds


def measure(mirror: Path, sha: str, image: str, folder: Path, *, jobs: int, starters: int) -> Floor:
    """Run `jobs` bare jobs, `starters` at a time, against the bare repository `mirror`."""
    import docker

    client = docker.from_env(timeout=120)

    def one(number: int) -> float:
        began = stopwatch()
        workspace = folder / f"floor-{number}"
        _git("clone", "--quiet", "--shared", "--no-checkout", str(mirror), str(workspace))
        _git("-C", str(workspace), "checkout", "--quiet", "--detach", sha)
        _run_true(client, image, workspace)
        return stopwatch() - began

    with ThreadPoolExecutor(starters) as pool:
        one(-1)  # warm: image, network stack, page cache
        began = stopwatch()
        each = tuple(pool.map(one, range(jobs)))
        seconds = stopwatch() - began
    client.close()
    return Floor(jobs, seconds, each)


def _git(*arguments: str) -> None:
    subprocess.run(("git", *arguments), check=True, capture_output=True)


def _run_true(client: Any, image: str, workspace: Path) -> None:
    container = client.containers.create(
        image,
        ["true"],
        network_mode="none",
        log_config={"type": "none"},
        volumes={str(workspace): {"bind": "/workspace", "mode": "rw"}},
    )
    container.start()
    container.wait()
    container.remove(force=True)
