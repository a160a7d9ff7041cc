"""What the plan may decide, as values. `apply` acts on them; nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from farmgate.lanes import Culprit, Cut, JointCulprit, JointCut, Point, RevertWanted

# --- of a lane -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutBatch:
    """Begin a rollout: the next batch, or a half of a sealed one."""

    cut: Cut


@dataclass(frozen=True, slots=True)
class AskRevert:
    """Ask the scheduler for a commit without a culprit."""

    wanted: RevertWanted


@dataclass(frozen=True, slots=True)
class CutRollback:
    """Begin the rollback that a person ordered."""

    release_id: int
    asked_by: str
    reason: str
    together: tuple[str, ...] = ()  # the lanes that go back with it


@dataclass(frozen=True, slots=True)
class CutTogether:
    """Begin a joint rollout of the lane's group."""

    cut: JointCut


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


@dataclass(frozen=True, slots=True)
class BanTogether:
    """Ban what a group's search, or a joint batch of one point, found. Without lanes: it is gone from its branch."""

    culprit: JointCulprit
    reason: str


@dataclass(frozen=True, slots=True)
class OpenJointSearch:
    """Seal the joint batch that went sick and look for its culprit."""

    joint_id: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class NarrowJointSearch:
    """The culprit is among the first `sick` points."""

    search_id: int
    sick: int


@dataclass(frozen=True, slots=True)
class ProlongJointSearch:
    """The group is closed past its search's deadline: it has until then."""

    search_id: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class AbandonJointSearch:
    """The group's search ends without a culprit; `suspects`: what is still suspected, to be banned."""

    search_id: int
    reason: str
    suspects: tuple[JointCulprit, ...] = ()


JointConsequence = BanTogether | OpenJointSearch | NarrowJointSearch
JointDecision = CutTogether | BanTogether | ProlongJointSearch | AbandonJointSearch
LaneDecision = (
    CutBatch | AskRevert | CutRollback | PlaceHold | BanCulprit | AbandonSearch | ProlongSearch | JointDecision
)
Consequence = PlaceHold | BanCulprit | OpenSearch | NarrowSearch | AbandonSearch | JointConsequence

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
class Withdraw:
    """What was cut may not go any more, and nothing was touched: it ends without blame, and the lane cuts again."""

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
class Arrive:
    """Every wave is good here: it waits for the others of its joint rollout, and its checks go on."""

    deadline: datetime


@dataclass(frozen=True, slots=True)
class FinishTogether:
    """Every lane of the joint rollout has arrived: all their old releases may go, at once."""

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
    | Withdraw
    | Prolong
    | BeginStep
    | AskChecks
    | Advance
    | BeginFinish
    | Arrive
    | FinishTogether
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
