"""`./farm bench log`: what a job's long log costs, against a container that prints the same into a plain reader.

Told: the seconds of the steps and the ratio to the floor, measured in the same run; the peak memory of scheduler and
worker before and after; how long a page takes to open the last lines, the middle and a text at the log's end.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks import image
from benchmarks.farm import LOOK, BenchFarm, ended
from farmgate.cli import door
from farmgate.clock import stopwatch
from workers.engines.frames import read_frames

LINE = "a line of a log, as long as the lines of logs are wont to be: some eighty bytes."
NEEDLE = "the needle"


def main(mebibytes: int) -> int:
    lines = mebibytes * 2**20 // (len(LINE) + 1)
    prints = f"awk 'BEGIN {{ for (i = 0; i < {lines}; i++) print \"{LINE}\" }}'"
    with tempfile.TemporaryDirectory(prefix="farmgate-bench-log-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        picture = image.make()
        bare = statistics.median(_floor(picture, prints, lines) for _ in range(3))
        steps = [prints, f"echo '{NEEDLE}'"]
        bench = BenchFarm(folder, picture, 2)
        try:
            api = bench.start()
            ended(api, bench, *bench.push(1))
            before = _memory()
            bench.jobs = {"log": {"steps": steps, "timeout": "1h"}}
            ((run, began, took),) = [_told(one) for one in ended(api, bench, *bench.push(1), patience=1200)]
            job = run["jobs"][0]["id"]
            print(f"{mebibytes} MiB of log: {took:.1f} s, floor {bare:.1f} s, ratio {took / bare:.2f}")
            print(f"the first step began {began * 1000:.0f} ms after the push; {mebibytes / took:.0f} MiB/s")
            _packed(bench, job)
            for what, peak in _memory().items():
                print(f"{what}: peak memory {peak / 2**20:.0f} MiB, {before.get(what, 0) / 2**20:.0f} MiB before")
            _pages(bench, run, job, lines)
        finally:
            bench.stop()
    return 0


def _floor(picture: str, prints: str, lines: int) -> float:
    """Seconds of a container that prints, into a reader that counts."""
    import docker
    from docker.types import LogConfig

    client = docker.from_env(timeout=600)
    began = stopwatch()
    container = client.containers.create(
        picture, ["sh", "-c", prints], network_mode="none", log_config=LogConfig(type="none")
    )
    socket = client.api.attach_socket(str(container.id), params={"stdout": 1, "stderr": 1, "stream": 1})
    container.start()
    assert sum(len(data) for data in read_frames(socket)) == lines * (len(LINE) + 1)
    container.wait()
    seconds = stopwatch() - began
    container.remove(force=True)
    client.close()
    return seconds


def _told(one: dict[str, Any]) -> tuple[dict[str, Any], float, float]:
    return one["run"], one["first_step"], one["timings"]["steps"]


def _packed(bench: BenchFarm, job: int) -> None:
    """Wait until the log is one blob: a page reads that from now on."""
    asked = "SELECT count(*) FROM attempts WHERE job_id = ? AND log_blob IS NOT NULL"
    began = stopwatch()
    with contextlib.closing(sqlite3.connect(f"file:{bench.farm.data}/farmgate.db?mode=ro", uri=True)) as database:
        while not database.execute(asked, (job,)).fetchone()[0]:
            assert stopwatch() - began < 300, "the log was not packed"
            bench.clock.sleep(LOOK)
    print(f"packed after {stopwatch() - began:.1f} s more")


def _pages(bench: BenchFarm, run: dict[str, Any], job: int, lines: int) -> None:
    asked = {
        "its last lines": f"/runs/{run['id']}/jobs/{job}/log?attempt=1&lines=1500",
        "lines of its middle": f"/runs/{run['id']}/jobs/{job}/log?attempt=1&lines=1500&upto={lines // 2}",
    }
    with _client(bench) as client:
        for what, address in asked.items():
            began = stopwatch()
            client.get(address).raise_for_status()
            print(f"{what}: {(stopwatch() - began) * 1000:.0f} ms")
        began = stopwatch()
        where: dict[str, Any] = {"offset": 0, "line": 1}
        found = 0
        while where["offset"] is not None:
            answer = client.get(f"/api/jobs/{job}/log/search", params={"q": NEEDLE, **where}).raise_for_status().json()
            found += len(answer["matches"])
            where = {"offset": answer["next_offset"], "line": answer["next_line"]}
        assert found == 1
        print(f"a text at its end, searched through the whole: {stopwatch() - began:.1f} s")


def _memory() -> dict[str, int]:
    """The peak resident memory of our scheduler and worker, in bytes."""
    found: dict[str, int] = {}
    for pid in _below(os.getpid()):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for what in ("scheduler", "workers"):
            if f"-m {what}" in line or f"{what}." in line:
                status = dict(
                    row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in row
                )
                found[what] = max(found.get(what, 0), int(status["VmHWM"].split()[0]) * 1024)
    return found


def _below(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _below(int(child))


def _client(bench: BenchFarm) -> httpx.Client:
    token = door.admin_token(bench.farm.data)
    return httpx.Client(base_url=bench.farm.address, headers={"Authorization": f"Bearer {token}"}, timeout=600)
