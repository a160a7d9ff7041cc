"""`./farm bench reuse`: the answer to a commit that touches nothing its pipeline depends on, over that to one that
does.

Both from the push on an idle farm, one commit at a time, in turn. Fails when a result was reused that should not be, or
the other way round.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import image
from benchmarks.farm import AUTHOR, LOOK, OPEN, BenchFarm
from farmgate.cli.demo.story import Change, Part
from farmgate.client.api import Api
from farmgate.clock import stopwatch


def main(rounds: int = 8) -> int:
    with tempfile.TemporaryDirectory(prefix="farmgate-reuse-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        picture = image.make()
        job = {"steps": ["sleep 0.1"], "inputs": ["source*"]}
        bench = BenchFarm(folder, picture, 2)
        pipeline = json.dumps({"image": picture, "jobs": {"unit": job, "more": {**job, "needs": ["unit"]}}})
        try:
            api = bench.start()
            _answer(api, bench, {".farmgate.yml": pipeline, "source": "0"}, reused=False)
            taken, run = list[float](), list[float]()
            for number in range(rounds):
                run.append(_answer(api, bench, {"source": f"changed {number}"}, reused=False))
                taken.append(_answer(api, bench, {"README": f"changed {number}"}, reused=True))
        finally:
            bench.stop()
    ran, took = statistics.median(run), statistics.median(taken)
    print(f"two jobs of 0.1 s, run: median {ran * 1000:.0f} ms from the push")
    print(f"both reused: median {took * 1000:.0f} ms, slowest {max(taken) * 1000:.0f} ms; ratio {took / ran:.2f}")
    return 0


def _answer(api: Api, bench: BenchFarm, files: dict[str, str], *, reused: bool) -> float:
    """Push one commit; the seconds until its run was over."""
    (pushed,) = bench.forge.push([Change(part=Part.GOOD, title="a change", author=AUTHOR, files=files)])
    deadline = stopwatch() + 60
    while True:
        rows = [row for row in api.runs(repository="bench", limit=20) if row["sha"] == pushed.sha]
        if rows and rows[0]["state"] not in OPEN:
            break
        assert stopwatch() < deadline, rows
        bench.clock.sleep(LOOK)
    run: dict[str, Any] = api.run(rows[0]["id"])
    assert run["state"] == "passed", run
    assert all((job["reused_from"] is not None) is reused for job in run["jobs"]), run["jobs"]
    return (datetime.fromisoformat(run["finished_at"]) - pushed.at).total_seconds()
