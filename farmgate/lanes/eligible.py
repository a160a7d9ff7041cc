"""Which commits may be delivered, and what stands against those that may not.

Rules:
1. Its checks are green: there is a candidate. Where the lane asks people, they approved it (`approving`).
2. Each followed lane had it, or a later commit that contains it, in a good release.
3. A ban blocks every batch that holds a covered commit, until a fix comes after the banned one and is in the batch
   too. A fix names a covered commit as reverted or fixed; a fix that is reverted itself fixes nothing. Bans of followed
   lanes count: what staging took back is not verified, whatever it once said.
   What a made commit took back in what is live comes back with any batch after it: the ban blocks these too.
4. What is live already is no longer in any batch, so a ban of it blocks nothing.
5. A lane may refuse what has vulnerabilities, or what it cannot judge (`farmgate.vulnerabilities.exposure`), and what
   brings no provenance by somebody it trusts.
6. What made commits brought to what is live is in the batch too (`hotfix`).
7. Where lanes of one line go together, all of this must hold in each lane that does not have the commit yet; and what
   a commit needs of another line goes before it or with it (`together`).
7. The functions that decide are those that explain.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from farmgate.lanes import hotfix
from farmgate.lanes.approving import Agreed, agreed
from farmgate.lanes.made_view import Brought
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.view import Checks, LaneView, Need, QueuedCommit, StandingBan
from farmgate.vulnerabilities.exposure import refusals


@dataclass(frozen=True, slots=True)
class Blocked:
    """Batches that end in [start, end) are blocked by the ban; no end: no fix is in sight."""

    start: int
    end: int | None
    ban: StandingBan

    def blocks(self, position: int) -> bool:
        return self.start <= position and (self.end is None or position < self.end)


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands against batches of a lane, found once for all of them: bans, approvals that are missing, candidates
    that are refused for what they are made of, and what must not be lost. `mates`: the other lanes of its line, with
    what stands there; `lacks`: what is needed of other lines and is not there."""

    bans: tuple[Blocked, ...] = ()
    agreed: Agreed | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    unproven: Mapping[int, str] = field(default_factory=dict)
    brought: tuple[Brought, ...] = ()
    mates: tuple[tuple[LaneView, Gate], ...] = ()
    lacks: tuple[Need, ...] = ()

    def blocks(self, position: int) -> bool:
        if self.brought and hotfix.lost(self.brought, position):
            return True
        if self.agreed is not None and self.agreed.blocks(position):
            return True
        if any(need.position <= position for need in self.lacks):
            return True
        return any(span.blocks(position) for span in self.bans)


def own_gate(view: LaneView) -> Gate:
    """What stands in the lane itself."""
    rules, exposure = view.policy.vulnerabilities, view.exposure
    refused = refusals(exposure, rules) if rules is not None and exposure is not None else {}
    return Gate(blocked(view), agreed(view), refused, view.unproven, view.brought)


def blocked(view: LaneView) -> tuple[Blocked, ...]:
    """What each ban blocks, from the commits of the queue."""
    if not view.bans:
        return ()
    places = {commit.sha: commit.position for commit in view.commits}
    fixing = [commit for commit in view.commits if commit.fixes]
    return tuple(span for ban in view.bans for span in _spans(ban, places, fixing, view.base))


def _spans(ban: StandingBan, places: dict[str, int], fixing: Iterable[QueuedCommit], base: int) -> Iterator[Blocked]:
    covered = set(ban.covers) | {ban.sha}
    found = [places[sha] for sha in covered if sha in places]
    if not found and not ban.taken:
        return  # all of it is live, or was dropped by a forced push
    # Where it stands now: after a forced push, or on another branch, that is not where it was banned.
    start: int | None = base + 1 if ban.taken else min(found)
    last = max(found, default=base)
    fixers: set[str] = set()
    for commit in fixing:
        if commit.position <= last:
            continue
        if _names(commit, covered):
            fixers.add(commit.sha)
        else:
            fixers -= {sha for sha in fixers if _names(commit, (sha,))}
        if fixers and start is not None:
            yield Blocked(start, commit.position, ban)
            start = None
        elif not fixers and start is None:
            start = commit.position
    if start is not None:
        yield Blocked(start, None, ban)


def _names(commit: QueuedCommit, shas: Iterable[str]) -> bool:
    return any(sha.startswith(prefix) for sha in shas for prefix in commit.fixes)


def obstacles(view: LaneView, commit: QueuedCommit, gate: Gate) -> tuple[Reason, ...]:
    """Everything that stands against delivering up to this commit; empty: it is eligible."""
    found: list[Reason] = []
    if commit.candidate_id is None:
        found.append(Reason(Why.CHECKS, _checks(commit)))
    found.extend(
        Reason(Why.FOLLOWS, f"not verified in {lane} yet")
        for lane in view.policy.follows
        if verified_at(view, lane, commit.position) is None
    )
    found.extend(Reason(Why.HOTFIX, hotfix.words(each)) for each in hotfix.lost(gate.brought, commit.position))
    found.extend(Reason(Why.BAN, _banned(span.ban, commit)) for span in gate.bans if span.blocks(commit.position))
    if gate.agreed is not None and gate.agreed.blocks(commit.position) and commit.candidate_id is not None:
        found.append(Reason(Why.APPROVAL, gate.agreed.words))
    if commit.candidate_id is not None and commit.candidate_id in gate.unproven:
        found.append(Reason(Why.PROVENANCE, gate.unproven[commit.candidate_id]))
    if commit.candidate_id is not None and commit.candidate_id in gate.refused:
        found.append(Reason(Why.VULNERABILITY, gate.refused[commit.candidate_id]))
    found.extend(
        Reason(Why.NEEDS, f"{need.sha[:9]} of {need.line[0]} goes before it or with it, and cannot go yet")
        for need in gate.lacks
        if need.position <= commit.position
    )
    for mate, stands in gate.mates:
        if mate.base < commit.position:
            theirs = (each for each in obstacles(mate, commit, stands) if each.kind is not Why.CHECKS)
            found.extend(Reason(each.kind, f"in {mate.policy.name}: {each.words}", each.until) for each in theirs)
    return tuple(found)


def is_eligible(view: LaneView, commit: QueuedCommit, gate: Gate) -> bool:
    """True if nothing stands against it. The quick way to ask `obstacles`."""
    if commit.candidate_id is None or commit.candidate_id in gate.refused or commit.candidate_id in gate.unproven:
        return False
    if view.policy.follows and any(verified_at(view, lane, commit.position) is None for lane in view.policy.follows):
        return False
    if gate.blocks(commit.position):
        return False
    return all(mate.base >= commit.position or is_eligible(mate, commit, stands) for mate, stands in gate.mates)


def verified_at(view: LaneView, lane: str, position: int) -> datetime | None:
    """When a followed lane first had a good release that contains the position."""
    releases = view.verified.get(lane, ())
    first = bisect_left(releases, position, key=lambda release: release.position)
    return releases[first].at if first < len(releases) else None


def ready_at(view: LaneView, commit: QueuedCommit) -> datetime | None:
    """Since when an eligible commit is so: its checks and the followed lanes, whichever came last."""
    if commit.green_at is None:
        return None
    times = [verified_at(view, lane, commit.position) for lane in view.policy.follows]
    return max([commit.green_at, *(time for time in times if time is not None)])


def _checks(commit: QueuedCommit) -> str:
    match commit.checks:
        case Checks.RED:
            more = f": {commit.checks_reason}" if commit.checks_reason else ""
            return f"its checks failed{more}; it rides along with a later green commit"
        case Checks.RUNNING:
            return "its checks are under way"
        case Checks.UNSEEN:
            return "no run of its checks; it rides along with a later green commit"
        case Checks.GREEN:
            return "its checks passed, but no candidate came of them"


def _banned(ban: StandingBan, commit: QueuedCommit) -> str:
    where = f" in {ban.lane}" if ban.lane else ""
    if commit.sha in ban.covers or commit.sha == ban.sha:
        return f"banned{where}: {ban.reason}"
    if ban.taken:
        return f"would bring back {ban.sha[:9]}, which what is live is without: waits for a fix or revert: {ban.reason}"
    return f"waits for a fix or revert of {ban.sha[:9]}, which is banned{where}: {ban.reason}"
