"""How the farm stands, as far as the demo shows it: read over the API, then judged by pure functions.

Rules:
1. `read` asks the same API as everyone; nothing is known from inside.
2. What a commit is in a lane follows from the lane's rollouts alone: the latest one that carried it tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from farmgate import states
from farmgate.cli.demo.forge import Pushed
from farmgate.cli.demo.story import NAME
from farmgate.cli.show import parsed
from farmgate.client.api import Api
from farmgate.errors import NotFound

LANES = ("staging", "production")
OPEN = frozenset(str(state) for state in states.open_states(states.Rollout))
RUN_OVER = frozenset(str(state) for state in states.Run if states.is_final(state))


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A commit's answer."""

    number: int
    sha: str
    state: str
    pushed_at: datetime | None
    finished_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """A batch on its way or through."""

    number: int
    kind: str
    state: str
    wave: int
    reason: str
    until: str
    commits: tuple[str, ...]  # oldest first
    began: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class LaneSeen:
    """One environment of the shop."""

    environment: str
    live: str | None
    rollouts: tuple[RolloutSeen, ...]  # oldest first
    banned: Mapping[str, str] = field(default_factory=dict)  # sha -> why, as long as it stands
    ever_banned: frozenset[str] = frozenset()
    problem: str = ""
    waiting: Mapping[str, str] = field(default_factory=dict)  # sha -> why

    @property
    def active(self) -> RolloutSeen | None:
        """The one under way."""
        return next((one for one in reversed(self.rollouts) if one.state in OPEN), None)

    def word(self, sha: str) -> str:
        """What a commit is here, in a word or three; empty before it can be anything."""
        carried = [one for one in self.rollouts if sha in one.commits]
        if sha == self.live:
            return f"live in {carried[-1].number}" if carried else "live"
        if sha in self.banned:
            return "banned"
        if not carried:
            return ""
        latest = carried[-1]
        match latest.state:
            case "good":
                return f"batch {latest.number}"
            case "sick" | "cancelled":
                return "taken back"
            case "restoring":
                return f"going back {latest.number}"
            case state if state in OPEN:
                return f"rolling {latest.number}"
            case state:
                return f"{state} {latest.number}"


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one look."""

    runs: Mapping[str, RunSeen]  # sha -> its latest run
    run_count: Mapping[str, int]  # sha -> how many runs
    lanes: Mapping[str, LaneSeen]

    @property
    def production(self) -> LaneSeen:
        return self.lanes["production"]

    def answered(self, sha: str) -> bool:
        """Whether the commit has its answer."""
        return sha in self.runs and self.runs[sha].state in RUN_OVER


def nothing() -> Picture:
    """Before anything was pushed."""
    return Picture({}, {}, {name: LaneSeen(name, None, ()) for name in LANES})


def read(api: Api, pushed: Sequence[Pushed]) -> Picture:
    """One look at the farm."""
    rows = api.runs(repository=NAME, limit=500) if pushed else []
    runs: dict[str, RunSeen] = {}
    counts: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: int(row["id"])):
        runs[row["sha"]] = _run(row)
        counts[row["sha"]] = counts.get(row["sha"], 0) + 1
    return Picture(runs, counts, {name: _lane(api, name) for name in LANES})


def _run(row: Mapping[str, Any]) -> RunSeen:
    return RunSeen(
        number=int(row["id"]),
        sha=row["sha"],
        state=row["state"],
        pushed_at=parsed(row.get("created_at")),
        finished_at=parsed(row.get("finished_at")),
        reason=str(row.get("reason") or ""),
    )


def _lane(api: Api, environment: str) -> LaneSeen:
    try:
        row = api.lane(NAME, environment)
    except NotFound:
        return LaneSeen(environment, None, ())
    live = row.get("live") or {}
    history = list(row.get("history") or ())
    active = row.get("active")
    if active and all(one["id"] != active["id"] for one in history):
        history.append(active)
    bans = row.get("bans") or ()
    return LaneSeen(
        environment=environment,
        live=live.get("sha"),
        rollouts=tuple(sorted((_rollout(one) for one in history), key=lambda one: one.number)),
        banned={ban["sha"]: str(ban.get("reason") or "") for ban in bans if not ban.get("lifted_at")},
        ever_banned=frozenset(ban["sha"] for ban in bans),
        problem=str(row.get("problem") or ""),
        waiting={one["sha"]: "; ".join(map(str, one.get("reasons") or ())) for one in row.get("waiting") or ()},
    )


def _rollout(row: Mapping[str, Any]) -> RolloutSeen:
    commits = sorted(row.get("commits") or (), key=lambda one: int(one.get("position") or 0))
    return RolloutSeen(
        number=int(row["number"]),
        kind=str(row.get("kind") or "forward"),
        state=str(row["state"]),
        wave=int(row.get("wave") or 0),
        reason=str(row.get("reason") or ""),
        until=str(row.get("until_sha") or ""),
        commits=tuple(one["sha"] for one in commits),
        began=parsed(row.get("created_at")),
        finished_at=parsed(row.get("finished_at")),
    )
