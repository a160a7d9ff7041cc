"""`python -m tests.simulation --seeds 10000`: random stories of delivery, until one breaks or all end."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import structlog
import yaml

from farmgate.clock import stopwatch
from tests.simulation.farm import quick
from tests.simulation.stories import Told, shorten, tell

EVERY = 100
_OPEN = ExitStack()
"""What is open for as long as the process lives."""


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--seeds", type=int, default=1000, help="how many stories (1000)")
    asked.add_argument("--first", type=int, default=0, help="the first seed (0)")
    asked.add_argument("--processes", type=int, default=1, help="how many at once (1)")
    asked.add_argument("--go-on", action="store_true", help="do not stop at the first that breaks")
    asked.add_argument("--into", type=Path, default=Path(), help="where the scenario of a broken seed is written")
    options = asked.parse_args()
    began, broken, done, looks, rollouts = stopwatch(), 0, 0, 0, 0
    with multiprocessing.Pool(options.processes, _ready) as pool:
        seeds = range(options.first, options.first + options.seeds)
        for seed, told in pool.imap_unordered(_tell, seeds, chunksize=5):
            done, looks, rollouts = done + 1, looks + told.looks, rollouts + told.rollouts
            if told.broken is not None:
                broken += 1
                _write(seed, told, options.into)
                if not options.go_on:
                    pool.terminate()
                    break
            if done % EVERY == 0 or done == options.seeds:
                pace = done / (stopwatch() - began)
                left = timedelta(seconds=round((options.seeds - done) / pace))
                said = f"{done} seeds, {broken} broken, {rollouts} rollouts, {looks} looks at everything"
                print(f"{said}; {pace:.1f} seeds/s, {left} left", flush=True)
    return 1 if broken else 0


def _ready() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _OPEN.enter_context(quick())


def _tell(seed: int) -> tuple[int, Told]:
    told = tell(seed)
    return seed, shorten(told) if told.broken is not None else told


def _write(seed: int, told: Told, folder: Path) -> None:
    path = folder / f"seed-{seed}.yml"
    story = {"says": f"Seed {seed}.", "farm": told.story.farm, "do": [dict(line) for line in told.story.lines]}
    text = yaml.safe_dump(story, sort_keys=False, width=120, default_flow_style=None)
    path.write_text(text)
    print(f"\nseed {seed} breaks; its shortest form is in {path}:\n\n{text}\n{told.broken}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
