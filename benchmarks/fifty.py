"""`./farm bench fifty`: fifty commits pushed at once, through containers and two lanes, on a farm of real processes.

The figures are seconds from the push; jobs a minute are told as a share of the floor, measured in the same run. Fails
when a commit is not in exactly one batch per lane, a job needed a second attempt, or an invariant is broken.
"""

from __future__ import annotations

import statistics
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path

from benchmarks import floor, image
from benchmarks.repository import make
from tests.faults.real_farm import LANES, RealFarm

COMMITS = 50
STEPS = ('echo "$FARMGATE_SHA" > VERSION', "tar -cf service.tar service.py VERSION")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="farmgate-fifty-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        picture = image.make()
        mirror, sha = make(folder)
        bare = floor.measure(mirror, sha, picture, folder, jobs=40, starters=2)
        farm = RealFarm(folder, engine="docker", image=picture, steps=STEPS, artifact="service.tar")
        try:
            farm.start()
            farm.connect()
            tell(farm, bare)
        finally:
            farm.stop()
    return 0


def tell(farm: RealFarm, bare: floor.Floor) -> None:
    """Warm up with one commit, push the fifty, print what became of them."""
    first = farm.push(1)
    for lane in LANES:
        farm.wait_for(f"the first commit live in {lane}", partial(farm.live_and_quiet, lane, first[0]))
    shas = farm.push(COMMITS)
    pushed_at = farm.forge.pushed[-1].at
    farm.wait_for("an answer for each commit", lambda: farm.answered(shas), 300)
    runs = [run for run in farm.runs() if run["sha"] in set(shas)]
    assert [run["state"] for run in runs] == ["passed"] * COMMITS
    ends = sorted(since(pushed_at, run["finished_at"]) for run in runs)
    rate = 60 * COMMITS / ends[-1]
    print(f"answers: first {ends[0]:.1f} s, median {statistics.median(ends):.1f} s, last {ends[-1]:.1f} s")
    print(f"jobs a minute: {rate:.0f}, the floor {bare.per_minute:.0f}, ratio {rate / bare.per_minute:.2f}")
    for lane in LANES:
        farm.wait_for(f"the last commit live in {lane}", partial(farm.live_and_quiet, lane, shas[-1]), 300)
        batches = farm.batches(lane)
        assert [sha for batch in batches for sha in batch] == first + shas, f"{lane}: {batches}"
        live = since(pushed_at, farm.api.lane("web", lane)["live"]["since"])
        sizes = [len(batch) for batch in batches[1:]]
        print(f"{lane}: all live after {live:.1f} s in {len(sizes)} batches of {sizes}")
    attempts = {len(job["attempts"]) for run in runs for job in farm.api.run(run["id"])["jobs"]}
    assert attempts == {1}, "a job needed a second attempt"
    assert farm.violations() == []


def since(start: datetime, text: str) -> float:
    return (datetime.fromisoformat(text) - start).total_seconds()
