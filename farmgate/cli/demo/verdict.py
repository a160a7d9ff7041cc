"""What the demo promised, whether it is true, and the figures. Pure.

The promises:
1. Every commit has exactly one run, and the right answer: the tests' breaker red, the others green.
2. The commit that broke production was found, it alone, and banned.
3. Both lanes end at the newest commit, and that is what a visitor is served.
4. Every commit was delivered to production in exactly one batch.
5. No visitor's request failed.
6. The farm's own invariants hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from farmgate.cli.demo.forge import Pushed
from farmgate.cli.demo.picture import LANES, LaneSeen, Picture, RolloutSeen
from farmgate.cli.demo.story import Part
from farmgate.cli.demo.visitors import Counted
from farmgate.cli.show import short


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence, and what speaks against it; nothing: it is true."""

    sentence: str
    against: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return not self.against


@dataclass(frozen=True, slots=True)
class Delay:
    """Spans of many commits: the middle one and the longest. None without any."""

    middle: timedelta | None
    longest: timedelta | None
    count: int


def promises(
    picture: Picture, pushed: Sequence[Pushed], counted: Counted, violations: Sequence[str]
) -> tuple[Promise, ...]:
    """All of them, in order."""
    head = pushed[-1].sha
    culprit = next(one.sha for one in pushed if one.change.part is Part.BREAKS_PRODUCTION)
    return (
        Promise("every commit has one run, with the right answer", tuple(_answers(picture, pushed))),
        Promise("the commit that broke production was found", tuple(_found(picture, culprit))),
        Promise("both lanes ended at the newest commit", tuple(_ended(picture, head, counted))),
        Promise("every commit reached production in exactly one batch", tuple(_batches(picture.production, pushed))),
        Promise("no visitor's request failed", tuple(f"{at:%H:%M:%S}: {what}" for at, what in counted.failures[:5])),
        Promise("the farm's invariants hold", tuple(violations)),
    )


def _answers(picture: Picture, pushed: Sequence[Pushed]) -> Iterator[str]:
    for one in pushed:
        count = picture.run_count.get(one.sha, 0)
        if count != 1:
            yield f"{short(one.sha)} {one.change.title!r} has {count} runs"
            continue
        wanted = "failed" if one.change.part is Part.BREAKS_TESTS else "passed"
        run = picture.runs[one.sha]
        if run.state != wanted:
            which = f"run {run.number} of {short(one.sha)} {one.change.title!r}"
            yield f"{which} is {run.state}, not {wanted}: {run.reason}"


def _found(picture: Picture, culprit: str) -> Iterator[str]:
    banned = picture.production.ever_banned
    if culprit not in banned:
        yield f"{short(culprit)} is not banned in production"
    for sha in sorted(banned - {culprit}):
        yield f"{short(sha)} is banned in production without guilt"
    for sha in sorted(picture.lanes["staging"].ever_banned):
        yield f"{short(sha)} is banned in staging without guilt"


def _ended(picture: Picture, head: str, counted: Counted) -> Iterator[str]:
    for name in LANES:
        live = picture.lanes[name].live
        if live != head:
            yield f"{name} has {short(live)}, not {short(head)}"
    if counted.version != head:
        yield f"visitors are served {counted.version[:10] or 'nothing'}, not {short(head)}"


def _batches(lane: LaneSeen, pushed: Sequence[Pushed]) -> Iterator[str]:
    for one in pushed:
        carriers = [rollout.number for rollout in delivered(lane) if one.sha in rollout.commits]
        if len(carriers) != 1:
            told = ", ".join(map(str, carriers)) or "none"
            yield f"{short(one.sha)} {one.change.title!r} went live in {told}, not in exactly one rollout"


def delivered(lane: LaneSeen) -> tuple[RolloutSeen, ...]:
    """The rollouts whose batch is live or was."""
    return tuple(one for one in lane.rollouts if one.state == "good" and one.kind != "rollback")


def answers(picture: Picture) -> Delay:
    """From push to answer."""
    return _delay((run.pushed_at, run.finished_at) for run in picture.runs.values())


def green_to_live(picture: Picture, lane: LaneSeen) -> Delay:
    """From a green answer to being live and verified."""
    ends = {sha: one.finished_at for one in delivered(lane) for sha in one.commits}
    green = [run for run in picture.runs.values() if run.state == "passed"]
    return _delay((run.finished_at, ends.get(run.sha)) for run in green)


def _delay(spans: Any) -> Delay:
    pairs: list[tuple[datetime | None, datetime | None]] = list(spans)
    lengths = [end - start for start, end in pairs if start is not None and end is not None]
    if not lengths:
        return Delay(None, None, 0)
    return Delay(timedelta(seconds=median(length.total_seconds() for length in lengths)), max(lengths), len(lengths))


def as_json(
    picture: Picture, pushed: Sequence[Pushed], counted: Counted, kept: Sequence[Promise], took: float
) -> dict[str, Any]:
    """The summary for a program. Spans are seconds."""

    def delay(one: Delay) -> dict[str, float | int | None]:
        seconds = [None if value is None else round(value.total_seconds(), 3) for value in (one.middle, one.longest)]
        return {"p50": seconds[0], "max": seconds[1], "commits": one.count}

    return {
        "kept": all(one.kept for one in kept),
        "promises": [{"promise": one.sentence, "kept": one.kept, "against": list(one.against)} for one in kept],
        "commits": len(pushed),
        "runs": len(picture.runs),
        "batches": {
            name: [
                {"rollout": one.number, "kind": one.kind, "state": one.state, "commits": list(one.commits)}
                for one in lane.rollouts
            ]
            for name, lane in picture.lanes.items()
        },
        "live": {name: lane.live for name, lane in picture.lanes.items()},
        "banned": sorted(picture.production.ever_banned),
        "push_to_answer": delay(answers(picture)),
        "green_to_live": {name: delay(green_to_live(picture, lane)) for name, lane in picture.lanes.items()},
        "requests": {"served": counted.served, "failed": counted.failed, "slowest": round(counted.slowest, 3)},
        "seconds": round(took, 1),
    }
