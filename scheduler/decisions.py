"""What the loop can decide. Each decision is a value with its reason; `apply` alone acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from farmgate import states


@dataclass(frozen=True, slots=True)
class Ring:
    """A slot is (or soon will be) free for it: READY -> QUEUED, and ring the bell."""

    job_id: int
    attempt: int
    pool: str
    reason: str
    node_id: int | None = None  # ring its own bell instead of the pool's


@dataclass(frozen=True, slots=True)
class RingAgain:
    """The bell went unanswered."""

    job_id: int
    attempt: int
    pool: str
    rings: int
    reason: str
    node_id: int | None = None


@dataclass(frozen=True, slots=True)
class MakeReady:
    """All that it needs has passed."""

    job_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """All that it needs is over: a person is asked."""

    job_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that it needs did not end as it asks. `forgiven`: nothing is wrong with that."""

    job_id: int
    reason: str
    forgiven: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt is lost, the job gets another. `lease_until`: what ran out; a renewal since then saves it."""

    job_id: int
    attempt: int
    attempt_id: int
    reason: str
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The attempt is lost, and the job with it: lost more often than the retries bear, or past its deadline."""

    job_id: int
    attempt: int
    attempt_id: int
    state: states.Job  # LOST, or CANCELLED where that was asked
    reason: str
    lease_until: datetime | None = None  # None: whatever its lease, its time is over


@dataclass(frozen=True, slots=True)
class End:
    """A job that no worker holds is over: cancelled, or past its deadline."""

    job_id: int
    before: states.Job
    after: states.Job
    reason: str


@dataclass(frozen=True, slots=True)
class Supersede:
    """A newer run of the same ref made a run needless: ask these jobs of it to end."""

    run_id: int
    by: int
    job_ids: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class EndOlder:
    """A newer job of its concurrency group does not wait for it."""

    job_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Begin:
    """The first job of a run is under way or over."""

    run_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class CancelRun:
    """A run past its deadline: ask its jobs to end."""

    run_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """All jobs of a run are over."""

    run_id: int
    state: states.Run
    reason: str | None


@dataclass(frozen=True, slots=True)
class MarkSilent:
    """No heartbeat for too long."""

    node_id: int
    before: states.Node
    seen_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReadIntakes:
    """Fetch a repository and read what was reported, in the background."""

    repository_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class RejectIntake:
    """A change that could not be read until its deadline."""

    intake_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask a repository for what webhooks missed, in the background."""

    repository_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class PackLog:
    """Compress an ended attempt's log into one blob, in the background."""

    attempt_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Settle:
    """A candidate from outside is one, or is none. `reason`: None where it becomes one now."""

    submission_id: int
    after: states.Submission
    reason: str | None


@dataclass(frozen=True, slots=True)
class MakeCommit:
    """Make a hotfix or a revert, in the background."""

    made_id: int
    repository_id: int


@dataclass(frozen=True, slots=True)
class MakeReadyMade:
    """A made commit is tested: the deploy loop may deliver it."""

    made_id: int


@dataclass(frozen=True, slots=True)
class MakeAnew:
    """What a made commit stands on is not live any more; this is."""

    made_id: int
    onto: str
    position: int


@dataclass(frozen=True, slots=True)
class EndMade:
    """A made commit is over before it was delivered."""

    made_id: int
    after: states.Made
    reason: str


@dataclass(frozen=True, slots=True)
class LookAtBatch:
    """Say what a rollout's batch carries, in the background."""

    rollout_id: int
    reason: str


Decision = (
    Ring
    | RingAgain
    | MakeReady
    | Ask
    | Skip
    | Retry
    | GiveUp
    | End
    | Supersede
    | EndOlder
    | Begin
    | CancelRun
    | Finish
    | MarkSilent
    | ReadIntakes
    | RejectIntake
    | Poll
    | PackLog
    | Settle
    | MakeCommit
    | MakeReadyMade
    | MakeAnew
    | EndMade
    | LookAtBatch
)


def repository_key(repository_id: int) -> str:
    """Background work on a repository's mirror: one at a time."""
    return f"repository/{repository_id}"


_LOG: Final = "log/"


def log_key(attempt_id: int) -> str:
    """Background work on an attempt's log."""
    return f"{_LOG}{attempt_id}"


def is_log(key: str) -> bool:
    """True of background work on a log."""
    return key.startswith(_LOG)


def look_key(rollout_id: int) -> str:
    """Background work on what a batch carries."""
    return f"look/{rollout_id}"


def key_of(decision: Decision) -> str:
    """What a decision is about, for telling the same decision twice."""
    match decision:
        case Ring() | RingAgain() | MakeReady() | Ask() | Skip() | Retry() | GiveUp() | End() | EndOlder():
            subject = f"job/{decision.job_id}"
        case Begin() | Supersede() | CancelRun() | Finish():
            subject = f"run/{decision.run_id}"
        case MarkSilent():
            subject = f"node/{decision.node_id}"
        case ReadIntakes() | Poll():
            subject = repository_key(decision.repository_id)
        case RejectIntake():
            subject = f"intake/{decision.intake_id}"
        case PackLog():
            subject = log_key(decision.attempt_id)
        case MakeCommit() | MakeReadyMade() | MakeAnew() | EndMade():
            subject = f"made/{decision.made_id}"
        case Settle():
            subject = f"submission/{decision.submission_id}"
        case LookAtBatch():
            subject = look_key(decision.rollout_id)
    return f"{type(decision).__name__} {subject}"
