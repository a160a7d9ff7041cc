"""What the plan may decide, as values. `apply` acts on them; nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from farmgate.lanes import Culprit, Cut

# --- of a lane -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutBatch:
    """Begin a rollout: the next batch, or a half of a sealed one."""

    cut: Cut


@dataclass(frozen=True, slots=True)
class CutRollback:
    """Begin the rollback that a person ordered."""

    release_id: int
    asked_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Stop the lane; without `until`, until a person lifts it."""

    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class BanCulprit:
    """Ban what a search or a batch of one found."""

    culprit: Culprit
    reason: str


@dataclass(frozen=True, slots=True)
class OpenSearch:
    """Seal the batch that went sick and look for its culprit."""

    since: int
    until: int
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NarrowSearch:
    """The culprit is at or before `until`."""

    search_id: int
    until: int


@dataclass(frozen=True, slots=True)
class ProlongSearch:
    """The lane is closed past the search's deadline: it has until then."""

    search_id: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class AbandonSearch:
    """The search ends without a culprit; `suspects`: everything that is still suspected, to be banned as one."""

    search_id: int
    reason: str
    suspects: Culprit | None = None


LaneDecision = CutBatch | CutRollback | PlaceHold | BanCulprit | AbandonSearch | ProlongSearch
Consequence = PlaceHold | BanCulprit | OpenSearch | NarrowSearch | AbandonSearch

# --- of a rollout ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the rollout."""

    deadline: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """End it before anything was done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Prolong:
    """Every lane is stopped: the rollout stays where it is, and its time does not run out meanwhile."""

    deadline: datetime


@dataclass(frozen=True, slots=True)
class BeginStep:
    """Do a step at the target, for the `tries`-th time. `told`: what it said last, where it goes on."""

    key: str
    tries: int
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AskChecks:
    """Ask these checks of the wave under way."""

    wave: int
    checks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Advance:
    """The wave is good: go on to the next one."""

    wave: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class BeginFinish:
    """The last wave is good: the old release may go."""

    deadline: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """Nobody can tell but a person. `check`: the wave's check that asks one; None: no check could tell."""

    words: str
    deadline: datetime
    check: int | None = None


@dataclass(frozen=True, slots=True)
class AskStart:
    """Something stands against it, and nothing is touched yet: a person says whether it starts."""

    against: tuple[str, ...]
    deadline: datetime


@dataclass(frozen=True, slots=True)
class EndUnready:
    """It ends before anything was touched, without blame; the lane holds itself."""

    reason: str
    hold: PlaceHold


@dataclass(frozen=True, slots=True)
class AskBack:
    """It should be taken back, and its way back is closed: a person decides. `detail`: verdict, words, go_on, and the
    evidence as in Restore."""

    key: str
    words: str
    deadline: datetime
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nobody answered: page again, and wait on."""

    words: str
    deadline: datetime


@dataclass(frozen=True, slots=True)
class GoOn:
    """A person wants it to go on: the step that failed is begun again; empty: it has more time."""

    step: str
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Restore:
    """Go back. `verdict`: sick, cannot tell, aborted; `detail`: the evidence (words, check, wave, by)."""

    verdict: str
    words: str
    deadline: datetime
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finish:
    """Good: live and verified. `words`: what was odd at the end."""

    words: str


@dataclass(frozen=True, slots=True)
class EndSick:
    """It was taken back; what follows from it."""

    words: str
    consequences: tuple[Consequence, ...]


@dataclass(frozen=True, slots=True)
class Stick:
    """It could not be taken back: stop, page, hold the lane."""

    words: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before `until`; None: until something happens."""

    until: datetime | None
    why: str = ""


RolloutDecision = (
    Start
    | Cancel
    | Prolong
    | BeginStep
    | AskChecks
    | Advance
    | BeginFinish
    | Ask
    | AskStart
    | EndUnready
    | AskBack
    | AskAgain
    | GoOn
    | Restore
    | Finish
    | EndSick
    | Stick
    | Rest
)
