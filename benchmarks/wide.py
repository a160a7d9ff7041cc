"""`./farm bench wide`: a thousand jobs in one run, from the push to the last one's end.

Told: how long until its first step began, and the jobs a minute as a share of the floor, measured in the same run.
Fails when a job needed a second attempt.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks import floor, image
from benchmarks.farm import BenchFarm, ended
from benchmarks.repository import make


def main(jobs: int, slots: int) -> int:
    shards = 200
    wide = {"test": {"matrix": {"part": list(range(jobs // shards))}, "parallel": shards, "steps": ["true"]}}
    with tempfile.TemporaryDirectory(prefix="farmgate-bench-wide-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        picture = image.make()
        mirror, sha = make(folder)
        bare = floor.measure(mirror, sha, picture, folder, jobs=60, starters=slots)
        bench = BenchFarm(folder, picture, slots)
        try:
            api = bench.start()
            ended(api, bench, *bench.push(1))
            bench.jobs = wide
            ((run, began),) = [
                (one["run"], one["first_step"]) for one in ended(api, bench, *bench.push(1), patience=1200)
            ]
        finally:
            bench.stop()
    made = run["jobs"]
    assert len(made) == jobs
    assert {len(job["attempts"]) for job in made} == {1}, "a job needed a second attempt"
    took = (datetime.fromisoformat(run["finished_at"]) - datetime.fromisoformat(run["created_at"])).total_seconds()
    rate = 60 * jobs / took
    print(
        f"{jobs} jobs in one run: the first step began {began:.2f} s after the push, the last ended after {took:.1f} s"
    )
    print(f"jobs a minute: {rate:.0f}, the floor {bare.per_minute:.0f}, ratio {rate / bare.per_minute:.2f}")
    return 0
