"""`./farm bench delay`: from green to live, as commits come faster; writes docs/delay.md and docs/delay.svg.

Rollouts take ten minutes. Commits come at random moments, on average every so often, for HOURS. Farmgate's batches are
those of `farmgate.lanes.replay`, so of the functions that cut them in earnest; a pipeline of one rollout per commit is
the plain queue beside it. No clock is read: the same figures on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from farmgate.lanes import QueuedCommit
from farmgate.lanes.replay import Past, replay
from farmgate.policy import CommandTarget, LanePolicy

ROLLOUT = timedelta(minutes=10)
HOURS = 8
EVERY = (1800, 900, 600, 300, 120, 60, 30, 10, 5, 2)
"""Seconds between two commits, on average."""
DOCS = Path(__file__).resolve().parent.parent / "docs"
_BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One rate: the delays in minutes, and how many rollouts there were."""

    every: int
    commits: int
    rollouts: int
    p50: float
    p99: float
    single_p50: float
    single_p99: float


def main(write: bool = True) -> int:
    rows = [measure(every) for every in EVERY]
    text, picture = page(rows), drawing(rows)
    if write:
        (DOCS / "delay.md").write_text(text, encoding="utf-8")
        (DOCS / "delay.svg").write_text(picture, encoding="utf-8")
    print(text)
    return 0


def measure(every: int) -> Row:
    dice, at, green = Random(every), _BEGIN, []
    until = _BEGIN + timedelta(hours=HOURS)
    while (at := at + timedelta(seconds=dice.expovariate(1 / every))) < until:
        green.append(at)
    commits = tuple(
        QueuedCommit(position, f"{position:040x}", candidate_id=position, green_at=when)
        for position, when in enumerate(green, 1)
    )
    past = Past(_BEGIN, until + 10 * ROLLOUT, 0, commits, work=(ROLLOUT,))
    found = replay(past, _policy())
    assert found.left == 0
    singles = one_by_one(green)
    return Row(
        every,
        len(commits),
        len(found.batches),
        *(_minutes(found.delays, percent) for percent in (50, 99)),
        *(_minutes(singles, percent) for percent in (50, 99)),
    )


def one_by_one(green: Sequence[datetime]) -> list[timedelta]:
    """One rollout per commit, in order: a commit waits for all that came before it."""
    free, delays = _BEGIN, []
    for when in green:
        free = max(free, when) + ROLLOUT
        delays.append(free - when)
    return sorted(delays)


def page(rows: Sequence[Row]) -> str:
    lines = [
        "# The delay does not grow with the commit rate",
        "",
        "From green to live, in minutes, where a rollout takes ten: commits come at random moments for eight hours, on",
        "average as often as the first column says. A batch carries every commit that is green when it is cut, so a",
        "commit waits at most for the rollout under way and then for its own: two rollouts at most, at any rate.",
        "With one rollout per commit the queue grows as soon as commits come faster than rollouts end.",
        "",
        "| a commit every | commits | rollouts | batches: p50 | p99 | one rollout per commit: p50 | p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {_span(row.every)} | {row.commits} | {row.rollouts} | {row.p50:.1f} | {row.p99:.1f} "
        f"| {row.single_p50:,.1f} | {row.single_p99:,.1f} |"
        for row in rows
    ]
    worst = max(row.p99 for row in rows)
    lines += [
        "",
        f"The worst p99 of the batches is {worst:.1f} minutes; a rollout takes {ROLLOUT / timedelta(minutes=1):.0f}.",
        "",
        "![p50 and p99 of the delay against the rate](delay.svg)",
        "",
        "Written by `./farm bench delay` (benchmarks/delay.py), which cuts the batches by the same functions as the",
        "deploy loop. [How a batch is cut](delivery.md).",
    ]
    return "\n".join(lines) + "\n"


def drawing(rows: Sequence[Row]) -> str:
    """Both axes are logarithmic: minutes upwards, commits an hour to the right."""
    left, top, width, height = 60, 20, 560, 300
    wide, high = left + width + 20, top + height + 60
    least, most = 5.0, max(row.single_p99 for row in rows)
    slow, fast = 3600 / rows[0].every, 3600 / rows[-1].every

    def x(row: Row) -> float:
        return left + width * math.log(3600 / row.every / slow) / math.log(fast / slow)

    def y(minutes: float) -> float:
        return top + height * (1 - math.log(minutes / least) / math.log(most / least))

    series = (
        ("batches, p50", "#1a7f37", "", [row.p50 for row in rows]),
        ("batches, p99", "#1a7f37", "6 4", [row.p99 for row in rows]),
        ("one rollout per commit, p50", "#cf222e", "", [row.single_p50 for row in rows]),
        ("one rollout per commit, p99", "#cf222e", "6 4", [row.single_p99 for row in rows]),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-size="12">',
        "<title>Delay from green to live against the commit rate</title>",
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
    ]
    for minutes, words in ((10, "10 min"), (20, "20 min"), (60, "1 h"), (600, "10 h"), (6000, "100 h")):
        if least <= minutes <= most:
            at = y(minutes)
            parts.append(f'<line x1="{left}" y1="{at:.1f}" x2="{left + width}" y2="{at:.1f}" stroke="#d0d7de"/>')
            parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#57606a">{words}</text>')
    grey = 'text-anchor="middle" fill="#57606a"'
    parts += [f'<text x="{x(row):.1f}" y="{top + height + 18}" {grey}>{_span(row.every)}</text>' for row in rows]
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle">a commit every ...; '
        "rollouts of ten minutes</text>"
    )
    for number, (name, colour, dash, values) in enumerate(series):
        points = " ".join(f"{x(row):.1f},{y(value):.1f}" for row, value in zip(rows, values, strict=True))
        style = f'stroke="{colour}" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")
        parts.append(f'<polyline fill="none" {style} points="{points}"/>')
        at = top + 16 + 18 * number
        parts.append(f'<line x1="{left + 12}" y1="{at}" x2="{left + 42}" y2="{at}" {style}/>')
        parts.append(f'<text x="{left + 50}" y="{at + 4}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _policy() -> LanePolicy:
    target = CommandTarget(shift=("shift",), restore=("restore",))
    return LanePolicy(application="shop", environment="production", repository="shop", branch="main", target=target)


def _minutes(delays: Sequence[timedelta], percent: int) -> float:
    return delays[min(len(delays) - 1, len(delays) * percent // 100)] / timedelta(minutes=1)


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
