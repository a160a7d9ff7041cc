"""Without a culprit: when a lane asks for a commit that takes it back, when that goes, and when it is over.

Rules:
1. Where the policy says so (`on_culprit: revert`) and no other batch can be cut, the lane asks for the commit that it
   would take if culprits were not banned, with all that their bans cover taken back. Only bans of culprits count: what
   a person took back, or a followed lane, stays away.
2. While a commit of the branch fixes one of them, green or not, nothing is asked for: people are at it.
3. A commit that did not go is not tried again, a newer one is; for one culprit at most MOST are made. What a person
   cancelled is not asked for again.
4. It goes at the place of the commit that it is made from, as any batch does: windows, freezes, holds, the minimum
   interval, the budget, followed lanes and approvals keep it.
5. It is over, before it is delivered, when it would not be asked for as it is: a fix came, a ban was lifted, something
   else in it is banned, a forced push dropped what it is made from.
6. One that failed or went sick holds the lane, as `on_culprit: hold` does, unless nothing needs it any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from farmgate import states
from farmgate.lanes import hotfix
from farmgate.lanes.approving import people_asked
from farmgate.lanes.choosing import choose_among, most_commits, start
from farmgate.lanes.eligible import Blocked, Gate, is_eligible, own_gate, verified_at
from farmgate.lanes.made_view import OpenRevert, PastRevert
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.view import LaneView, QueuedCommit, StandingBan

MOST: Final = 10
"""So many commits without one culprit are made at most: then people must bring the fix or the revert."""
_FELL: Final = frozenset({states.Made.FAILED, states.Made.SICK})


@dataclass(frozen=True, slots=True)
class RevertWanted:
    """Make a commit of `onto` that takes `picks` back, newest first. `culprits`: whose bans make it needed."""

    onto: QueuedCommit
    picks: tuple[str, ...]
    culprits: tuple[StandingBan, ...]

    @property
    def words(self) -> str:
        """What it is for."""
        named = ", ".join(ban.sha[:9] for ban in self.culprits)
        return f"everything up to {self.onto.sha[:9]} but {named}: {self.culprits[0].reason}"


def wanted(view: LaneView, stands: Gate) -> RevertWanted | None:
    """Rules 1 to 3. `stands`: what stands against batches of the lane, of which none can be cut."""
    if not _asks(view) or view.revert is not None or view.live is None:
        return None
    spans = _culprits(stands)
    head = _head(view, stands, spans) if spans else None
    blocking = [span for span in spans if head is not None and span.blocks(head.position)]
    if head is None or not blocking or any(span.end is not None for span in blocking):
        return None
    bans = tuple(span.ban for span in blocking)
    tried = [each for each in view.reverts if any(ban.sha in each.picks for ban in bans)]
    if any(each.state is states.Made.CANCELLED for each in tried) or too_many(tried):
        return None
    if any(each.state in _FELL and each.onto == head.sha for each in tried):
        return None
    return RevertWanted(head, taken_back(view, bans, head.position), bans)


def too_many(tried: Iterable[PastRevert]) -> bool:
    """Rule 3, the bound. One that was not needed in the end does not count."""
    return sum(each.state is not states.Made.NEEDLESS for each in tried) >= MOST


def over(view: LaneView, revert: OpenRevert, stands: Gate) -> str | None:
    """Rule 5: why it is over, in words; None: it is needed as it is."""
    position = revert.position
    if not _asks(view):
        return "the lane's policy does not ask for it any more"
    if not revert.stands:
        return f"{revert.onto[:9]}, which it is made from, left the branch by a forced push"
    if position <= view.base:
        return "what is live is beyond it"
    blocking = [span for span in _culprits(stands) if span.blocks(position)]
    if not blocking:
        return "what it takes back is not banned any more"
    fixed = next((span for span in blocking if span.end is not None), None)
    if fixed is not None:
        fix = next((commit.sha[:9] for commit in view.commits if commit.position == fixed.end), "a commit")
        return f"{fix} fixes or reverts {fixed.ban.sha[:9]}: the branch goes on by itself"
    if set(taken_back(view, (span.ban for span in blocking), position)) != set(revert.picks):
        return "other commits up to there are banned than when it was asked for"
    other = next((span.ban for span in stands.bans if not span.ban.culprit and span.blocks(position)), None)
    if other is not None:
        return f"it holds {other.sha[:9]}, which is banned: {other.reason}"
    lost = hotfix.lost(stands.brought, position)
    return hotfix.words(lost[0]) if lost else None


def waits_for(view: LaneView, revert: OpenRevert) -> tuple[Reason, ...]:
    """Rule 4, without what closes the whole lane and what paces it: why it does not go yet."""
    found: list[Reason] = []
    match revert.state:
        case states.Made.ASKED:
            found.append(Reason(Why.REVERT, f"{name(revert)} is being made"))
        case states.Made.TESTING:
            found.append(Reason(Why.CHECKS, f"the checks of {name(revert)} are under way (run {revert.run_id})"))
        case _ if revert.candidate_id is None:
            found.append(Reason(Why.REVERT, f"{name(revert)} is no candidate"))
        case _:
            pass
    found.extend(
        Reason(Why.FOLLOWS, f"{revert.onto[:9]} is not verified in {lane} yet")
        for lane in view.policy.follows
        if verified_at(view, lane, revert.position) is None
    )
    found.extend(hotfix.refused(view, revert.candidate_id))
    rules = view.policy.approvals
    if rules is not None and revert.state is states.Made.READY and not revert.agreed:
        found.append(Reason(Why.APPROVAL, f"{name(revert)} needs {people_asked(rules.count, rules.by)}"))
    return tuple(found)


def told(view: LaneView, stands: Gate) -> Reason | None:
    """What becomes of the commits that a culprit keeps, for those who wait."""
    revert = view.revert
    if revert is not None:
        if over(view, revert, stands) is not None:
            return None
        waits = waits_for(view, revert)
        of = f"{name(revert)} takes {_named(revert.picks)} back and delivers the others"
        return Reason(Why.REVERT, f"{of}: {waits[0].words}" if waits else of)
    asks = wanted(view, stands)
    if asks is not None:
        return Reason(Why.REVERT, f"a commit is made that takes {_named(asks.picks)} back and delivers the others")
    spans = _culprits(stands) if _asks(view) else []
    for span in spans:
        if span.end is None and too_many(each for each in view.reverts if span.ban.sha in each.picks):
            said = f"{MOST} commits without {span.ban.sha[:9]} were made, and no more are"
            return Reason(Why.REVERT, f"{said}: bring its fix or revert to {view.policy.branch}")
    return None


def revert_over(view: LaneView) -> str | None:
    """The same for the one that is open, if any is."""
    return over(view, view.revert, own_gate(view)) if view.revert is not None else None


def revert_waits_for(view: LaneView) -> tuple[Reason, ...]:
    return waits_for(view, view.revert) if view.revert is not None else ()


def revert_fell(view: LaneView) -> str | None:
    """Rule 6: the reason of the hold for the newest one, if that failed or went sick; None: nobody needs it, or a
    person lifted that hold."""
    newest = next(iter(view.reverts), None)
    if not _asks(view) or view.revert is not None or newest is None or newest.state not in _FELL or newest.settled:
        return None
    needed = any(span.end is None and span.ban.sha in newest.picks for span in _culprits(own_gate(view)))
    return fell_words(newest) if needed else None


def fell_words(revert: PastRevert) -> str:
    """The reason of the hold, the same each time."""
    how = "did not come to be" if revert.state is states.Made.FAILED else "was taken back"
    said = f"revert {revert.id}, to go on without {_named(revert.picks)}, {how}: {revert.problem or 'nobody knows why'}"
    return f"{said}; lift this hold to let the lane go on"


def taken_back(view: LaneView, bans: Iterable[StandingBan], position: int) -> tuple[str, ...]:
    """What these bans cover of a batch that ends there, and what of it is taken back in what is live: newest first."""
    places = {commit.sha: commit.position for commit in view.commits}
    found: dict[str, int] = {}
    for ban in bans:
        found |= dict(ban.taken)
        found |= {sha: places[sha] for sha in (ban.sha, *ban.covers) if places.get(sha, position + 1) <= position}
    return tuple(sorted(found, key=lambda sha: -found[sha]))


def commit_of(revert: OpenRevert) -> QueuedCommit:
    """As what it is delivered: at the place of what it is made from."""
    assert revert.sha is not None
    return QueuedCommit(revert.position, revert.sha, candidate_id=revert.candidate_id)


def name(revert: OpenRevert) -> str:
    """revert 3 (1a2b3c4d5)."""
    return f"revert {revert.id}" + (f" ({revert.sha[:9]})" if revert.sha is not None else "")


def _asks(view: LaneView) -> bool:
    return view.policy.on_culprit == "revert" and view.together is None


def _culprits(stands: Gate) -> list[Blocked]:
    return [span for span in stands.bans if span.ban.culprit]


def _head(view: LaneView, stands: Gate, spans: Iterable[Blocked]) -> QueuedCommit | None:
    """The commit that the lane would take if culprits were not banned, and people had agreed; none that is covered."""
    others = replace(stands, bans=tuple(span for span in stands.bans if not span.ban.culprit), agreed=None)
    covered = {sha for span in spans for sha in (span.ban.sha, *span.ban.covers)}
    eligible = [commit for commit in view.commits if commit.sha not in covered and is_eligible(view, commit, others)]
    return choose_among(eligible, start(view), most_commits(view))


def _named(picks: tuple[str, ...]) -> str:
    more = f" and {len(picks) - 1} more" if len(picks) > 1 else ""
    return f"{picks[0][:9]}{more}"
