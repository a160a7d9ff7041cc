"""`./farm bench`: the floor, the farm and Celery's own no-op, in one run, as ratios. Others: `delay`,
`fifty`, `log`, `planning`, `reports`, `reuse` and `wide`.

Needs a Docker engine, git, and busybox (`apt-get install busybox-static`). Absolute figures depend on the machine and
on what else it does; the ratios are what to compare.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import celery_noop, delay, farm, fifty, floor, image, log, planning, reports, reuse, wide
from benchmarks.repository import make
from farmgate.embedded import EmbeddedRedis


def main() -> int:
    parser = argparse.ArgumentParser(prog="./farm bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["floor", "delay", "fifty", "log", "planning", "reports", "reuse", "wide"],
        default="floor",
        help="default: floor",
    )
    parser.add_argument("--jobs", type=int, default=40, help="jobs of the throughput measurements (default 40)")
    parser.add_argument("--singles", type=int, default=20, help="jobs of the latency measurement (default 20)")
    parser.add_argument("--slots", type=int, default=2, help="jobs at a time, for the floor and the farm (default 2)")
    parser.add_argument("--mebibytes", type=int, default=100, help="size of the log of `log` (default 100)")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    wanted = parser.parse_args()
    match wanted.what:
        case "delay":
            return delay.main()
        case "planning":
            return planning.main()
        case "fifty":
            return fifty.main()
        case "log":
            return log.main(wanted.mebibytes)
        case "reports":
            return reports.main()
        case "reuse":
            return reuse.main()
        case "wide":
            return wide.main(1000, wanted.slots)
    out = Console(stderr=wanted.json)
    with tempfile.TemporaryDirectory(prefix="farmgate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        picture = image.make()
        mirror, sha = make(folder)
        out.print(f"the floor: {wanted.jobs} bare jobs, {wanted.slots} at a time ...")
        bare = floor.measure(mirror, sha, picture, folder, jobs=wanted.jobs, starters=wanted.slots)
        out.print("Celery's no-op ...")
        with EmbeddedRedis(folder / "redis") as redis:
            noop = celery_noop.measure(redis.url)
        out.print(f"the farm: {wanted.singles} jobs one by one, then {wanted.jobs} at once ...")
        full = farm.measure(folder, picture, jobs=wanted.jobs, singles=wanted.singles, slots=wanted.slots)
    one_bare = statistics.median(bare.each)
    if wanted.json:
        print(json.dumps({"floor": asdict(bare), "celery": asdict(noop), "farm": asdict(full)}, indent=2))
        return 0
    table = Table(title=f"one job: `true` in a container at an exact commit; {wanted.slots} slots")
    for column, side in (("what", "left"), ("floor", "right"), ("farm", "right"), ("ratio", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]  # rich names the sides in a Literal
    table.add_row(
        "jobs per minute",
        f"{bare.per_minute:.0f}",
        f"{full.per_minute:.0f}",
        f"{full.per_minute / bare.per_minute:.2f}",
    )
    table.add_row(
        f"one job to its end, {wanted.slots} at a time (floor) / from the push, alone (farm)",
        f"{one_bare * 1000:.0f} ms",
        f"{full.answer * 1000:.0f} ms",
        f"{full.answer / one_bare:.2f}",
    )
    table.add_row("push to the first step, median", "", f"{full.first_step * 1000:.0f} ms", "")
    table.add_row("push to the first step, p90", "", f"{full.first_step_p90 * 1000:.0f} ms", "")
    table.add_row("Celery no-op round trip, median", f"{noop.round_trip * 1000:.1f} ms", "", "")
    table.add_row("Celery no-ops per second", f"{noop.per_second:.0f}", "", "")
    out.print(table)
    out.print(f"the worker's phases, median ms: {farm.described(full)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
