"""`python -m tests.simulation --seeds 10000`: random stories of delivery, until one breaks or all end.

`--small-worlds` goes every way that a world of few commits can go instead (`small_worlds`)."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog
import yaml

from farmgate.clock import stopwatch
from tests.simulation.memory import quick
from tests.simulation.small_worlds import MOST_COMMITS, search, worlds
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
    asked.add_argument(
        "--notes", type=Path, help="a file that keeps how far it came: the same command goes on from there"
    )
    asked.add_argument("--small-worlds", action="store_true", help="every way that small worlds can go, instead")
    asked.add_argument("--commits", type=int, default=MOST_COMMITS, help=f"of a small world, at most ({MOST_COMMITS})")
    asked.add_argument("--no-crash", action="store_true", help="small worlds in which nothing dies")
    asked.add_argument("--steps", type=int, help="give a small world up after so many steps, and say so")
    asked.add_argument("--into", type=Path, default=Path(), help="where the scenario of a broken seed is written")
    options = asked.parse_args()
    if options.small_worlds:
        return _small_worlds(options.commits, not options.no_crash, options.steps, options.into)
    first = _noted(options.notes, options.first)
    options.seeds -= first - options.first
    began, broken, done, looks, rollouts = stopwatch(), 0, 0, 0, 0
    with multiprocessing.Pool(options.processes, _ready) as pool:
        seeds = range(first, first + options.seeds)
        for seed, told in pool.imap(_tell, seeds, chunksize=5):
            done, looks, rollouts = done + 1, looks + told.looks, rollouts + told.rollouts
            if told.broken is not None:
                broken += 1
                _write(f"seed-{seed}", told, options.into)
                if not options.go_on:
                    pool.terminate()
                    break
            if options.notes is not None:
                options.notes.write_text(f"{seed + 1}\n")
            if done % EVERY == 0 or done == options.seeds:
                pace = done / (stopwatch() - began)
                left = timedelta(seconds=round((options.seeds - done) / pace))
                said = f"{done} seeds, {broken} broken, {rollouts} rollouts, {looks} looks at everything"
                print(f"{said}; {pace:.1f} seeds/s, {left} left", flush=True)
    return 1 if broken else 0


def _noted(notes: Path | None, first: int) -> int:
    """The seed to go on with."""
    return int(notes.read_text()) if notes is not None and notes.exists() else first


def _small_worlds(most: int, crash: bool, steps: int | None, folder: Path) -> int:
    _ready()
    for world in worlds(most):
        began = stopwatch()
        found = search(replace(world, crash=crash), steps)
        if found.broken is not None:
            _write(world.words.replace(", ", "-").replace(" ", "-"), shorten(found.broken), folder)
            return 1
        ways = f"{found.states} states, {found.steps} steps, {found.crashes} of them deaths, {found.ends} ends"
        whole = "" if found.whole else ", not all of it: given up"
        print(f"{world.words}: {ways}, {stopwatch() - began:.0f} s{whole}", flush=True)
    return 0


def _ready() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _OPEN.enter_context(quick())


def _tell(seed: int) -> tuple[int, Told]:
    told = tell(seed)
    return seed, shorten(told) if told.broken is not None else told


def _write(name: str, told: Told, folder: Path) -> None:
    path = folder / f"{name}.yml"
    story = {"says": f"{name}.", "farm": told.story.farm, "do": [dict(line) for line in told.story.lines]}
    text = yaml.safe_dump(story, sort_keys=False, width=120, default_flow_style=None)
    path.write_text(text)
    print(f"\n{name} breaks; its shortest form is in {path}:\n\n{text}\n{told.broken}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
