"""The farm doing the floor's job: `true` in a container at an exact commit, from a signed webhook to the answer.

A whole farm of real processes, started as `farmgate up` does, in a temporary folder.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from farmgate.cli.demo.forge import Forge
from farmgate.cli.demo.story import Change, Part
from farmgate.cli.own_farm import OwnFarm, Wanted
from farmgate.client.api import Api
from farmgate.clock import SystemClock, stopwatch

LOOK = timedelta(milliseconds=50)
LOOK_AT_MANY = timedelta(milliseconds=500)  # looking costs the farm time; the rows tell when each run ended
AUTHOR = ("Ada Byron", "ada@example.org")
OPEN = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Figures:
    """`first_step` and `answer`: seconds from the push, one commit at a time on an idle farm, medians.

    `phases`: the worker's own accounting of the same jobs, seconds, medians. `per_minute`: jobs, many commits at once.
    """

    jobs: int
    per_minute: float
    first_step: float
    first_step_p90: float
    answer: float
    phases: dict[str, float]


class BenchFarm:
    """A farm, a repository, and someone who pushes."""

    def __init__(self, folder: Path, image: str, slots: int) -> None:
        self.clock = SystemClock()
        self.farm = OwnFarm(
            Wanted(data=folder / "data", slots=slots, engine="docker", default_image=image, any_port=True), print
        )
        self.forge = Forge(folder / "forge", "bench", self.clock)
        self.image = image
        self.jobs: dict[str, Any] = {"noop": {"steps": ["true"]}}
        self._count = 0

    def start(self) -> Api:
        self.farm.start()
        self.farm.wait_for_node()
        api = self.farm.api()
        added = api.add_repository("bench", str(self.forge.bare), forge="github", branch="main")
        self.forge.connect(str(added["webhook_url"]), str(added["secret"]))
        return api

    def push(self, count: int) -> tuple[list[str], datetime]:
        """The commits, and the moment before their webhook was sent."""
        changes = []
        for _ in range(count):
            self._count += 1
            pipeline = json.dumps({"image": self.image, "jobs": self.jobs})
            files = {".farmgate.yml": pipeline, "number": str(self._count)}
            changes.append(Change(part=Part.GOOD, title=f"change {self._count}", author=AUTHOR, files=files))
        pushed = self.forge.push(changes)
        return [one.sha for one in pushed], pushed[0].at

    def stop(self) -> None:
        self.forge.close()
        self.farm.stop(retire=True)


def measure(folder: Path, image: str, *, jobs: int, singles: int, slots: int) -> Figures:
    """Start a farm, measure, stop it. Raises AssertionError when a job did not pass."""
    bench = BenchFarm(folder, image, slots)
    try:
        api = bench.start()
        for _ in range(2):  # warm: mirror, image, network
            ended(api, bench, *bench.push(1))
        lonely = [ended(api, bench, *bench.push(1))[0] for _ in range(singles)]
        shas, pushed_at = bench.push(jobs)
        runs = ended(api, bench, shas, pushed_at)
        last = max(_time(run["run"]["finished_at"]) for run in runs)
        begins = [one["first_step"] for one in lonely]
        phases = {name: statistics.median(one["timings"].get(name, 0.0) for one in lonely) for name in _names(lonely)}
        return Figures(
            jobs=jobs,
            per_minute=60 * jobs / (last - pushed_at).total_seconds(),
            first_step=statistics.median(begins),
            first_step_p90=sorted(begins)[int(0.9 * (len(begins) - 1))],
            answer=statistics.median(one["answer"] for one in lonely),
            phases=phases,
        )
    finally:
        bench.stop()


def ended(
    api: Api, bench: BenchFarm, shas: list[str], pushed_at: datetime, patience: float = 60
) -> list[dict[str, Any]]:
    """Wait until each commit has its answer; what each run looked like. Raises AssertionError: one did not pass."""
    wanted, pause = set(shas), LOOK if len(shas) == 1 else LOOK_AT_MANY
    deadline = stopwatch() + patience + 5 * len(shas)
    while True:
        rows = [row for row in api.runs(repository="bench", limit=500) if row["sha"] in wanted]
        if len(rows) == len(wanted) and all(row["state"] not in OPEN for row in rows):
            break
        if stopwatch() > deadline:
            raise AssertionError(f"after {deadline:.0f} s: {[row['state'] for row in rows]}")
        bench.clock.sleep(pause)
    return [_of_run(api.run(row["id"]), pushed_at) for row in rows]


def _of_run(run: dict[str, Any], pushed_at: datetime) -> dict[str, Any]:
    assert run["state"] == "passed", run
    attempt = run["jobs"][0]["attempts"][-1]
    return {
        "run": run,
        "first_step": (_time(attempt["steps"][0]["started_at"]) - pushed_at).total_seconds(),
        "answer": (_time(run["finished_at"]) - pushed_at).total_seconds(),
        "timings": attempt["timings"],
    }


def _names(rows: list[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row["timings"]))
    return list(names)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def described(figures: Figures) -> str:
    """The phases in one line, in milliseconds."""
    return ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in figures.phases.items())
