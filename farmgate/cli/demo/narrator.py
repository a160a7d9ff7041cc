"""What happened between two looks, in short lines. Pure.

Each line says what happened and, where it is not plain, why that is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from farmgate.cli.demo.picture import OPEN, RUN_OVER, LaneSeen, Picture, RolloutSeen
from farmgate.cli.show import short, span


def changes(before: Picture, after: Picture, titles: Mapping[str, str]) -> Iterator[str]:
    """The lines for what is new in `after`."""
    for sha, run in after.runs.items():
        known = before.runs.get(sha)
        if run.state in RUN_OVER and (known is None or known.state != run.state):
            took = span(run.finished_at - run.pushed_at) if run.finished_at and run.pushed_at else "?"
            why = f": {run.reason.splitlines()[0]}" if run.reason and run.state != "passed" else ""
            yield f"tests      {short(sha)} {titles.get(sha, '')!r} {run.state} {took} after its push{why}"
    for name, lane in after.lanes.items():
        yield from _lane(name, before.lanes[name], lane, titles)


def _lane(name: str, before: LaneSeen, after: LaneSeen, titles: Mapping[str, str]) -> Iterator[str]:
    known = {one.number: one for one in before.rollouts}
    for rollout in after.rollouts:
        old = known.get(rollout.number)
        if old is None:
            yield f"{name:10} {_begins(rollout, titles)}"
        if old is None or old.state != rollout.state:
            text = _ends(rollout, after)
            if text:
                yield f"{name:10} {text}"
    for sha, why in after.banned.items():
        if sha not in before.banned:
            culprit = f"{short(sha)} {titles.get(sha, '')!r}"
            yield f"{name:10} found it: {culprit} is banned until its fix or revert comes along"
            if why:
                yield f"{'':10} {why}"
    # What the lane says of its rollouts is told above; a hold stops it whatever they do.
    if after.problem.startswith("held") and after.problem != before.problem:
        yield f"{name:10} {after.problem}"


def _begins(rollout: RolloutSeen, titles: Mapping[str, str]) -> str:
    many = len(rollout.commits)
    head = f"{short(rollout.until)} {titles.get(rollout.until, '')!r}"
    match rollout.kind:
        case "search":
            return f"rollout {rollout.number} tries {many} of the suspects, up to {head}"
        case "rollback":
            return f"rollout {rollout.number} goes back to {head}"
        case _ if many == 1:
            return f"rollout {rollout.number} takes {head}"
        case _:
            return f"rollout {rollout.number} takes {many} commits at once, up to {head}"


def _ends(rollout: RolloutSeen, lane: LaneSeen) -> str:
    match rollout.state:
        case "good":
            took = span(rollout.finished_at - rollout.began) if rollout.finished_at and rollout.began else "?"
            return f"rollout {rollout.number} is live and verified after {took}"
        case "restoring":
            return f"rollout {rollout.number} is sick, its traffic goes back: {rollout.reason}"
        case "sick":
            many = len(rollout.commits)
            more = f"; one of its {many} commits did it, the older half is tried first" if many > 1 else ""
            return f"rollout {rollout.number} was taken back{more}"
        case "asking" | "stuck" | "cancelled":
            return f"rollout {rollout.number} {rollout.state}: {rollout.reason}"
        case state if state in OPEN:
            return ""
        case state:
            return f"rollout {rollout.number} {state} in {lane.environment}"
