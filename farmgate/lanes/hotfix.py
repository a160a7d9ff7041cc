"""Hotfixes: when one may go, and what must not be lost after it.

Rules:
1. A hotfix that is open goes before everything but a rollback: nothing else is cut until it is over.
2. It goes when it stands on what is live, its own checks passed, and people approved exactly it where the lane asks
   for that. Windows, freezes, the minimum interval, the budget and followed lanes do not keep it; holds, the stop, bans
   and what the lane asks of every candidate (provenance, vulnerabilities) do.
3. What a live made commit brought must be in the next batch: one that ends before the branch contains it is blocked.
"""

from __future__ import annotations

from collections.abc import Iterator

from farmgate import states
from farmgate.lanes.approving import people_asked
from farmgate.lanes.made_view import Brought, OpenHotfix
from farmgate.lanes.reasons import Reason, Why
from farmgate.lanes.view import LaneView
from farmgate.vulnerabilities.exposure import refusals


def waits_for(view: LaneView, hotfix: OpenHotfix) -> tuple[Reason, ...]:
    """Rule 2, without what closes the whole lane: why it does not go yet."""
    found = [Reason(Why.BAN, words) for words in hotfix.against]
    match hotfix.state:
        case states.Made.ASKED:
            found.append(Reason(Why.HOTFIX, f"{name(hotfix)} is being made"))
        case states.Made.TESTING:
            found.append(Reason(Why.CHECKS, f"the checks of {name(hotfix)} are under way (run {hotfix.run_id})"))
        case _ if not hotfix.on_live or hotfix.candidate_id is None:
            found.append(Reason(Why.HOTFIX, f"{name(hotfix)} is made anew on what is live now"))
        case _:
            pass
    found.extend(refused(view, hotfix.candidate_id))
    rules = view.policy.approvals
    if rules is not None and hotfix.state is states.Made.READY and len(hotfix.approved_by) < rules.count:
        found.append(Reason(Why.APPROVAL, f"{name(hotfix)} needs {people_asked(rules.count, rules.by)}"))
    return tuple(found)


def refused(view: LaneView, candidate_id: int | None) -> Iterator[Reason]:
    """What the lane asks of every candidate: provenance, and what it is made of."""
    if candidate_id is None:
        return
    if candidate_id in view.unproven:
        yield Reason(Why.PROVENANCE, view.unproven[candidate_id])
    rules, exposure = view.policy.vulnerabilities, view.exposure
    found = refusals(exposure, rules) if rules is not None and exposure is not None else {}
    if candidate_id in found:
        yield Reason(Why.VULNERABILITY, found[candidate_id])


def hotfix_waits_for(view: LaneView) -> tuple[Reason, ...]:
    """The same for the one that is open, if any is."""
    return waits_for(view, view.hotfix) if view.hotfix is not None else ()


def name(hotfix: OpenHotfix) -> str:
    """hotfix 3 (1a2b3c4d5)."""
    return f"hotfix {hotfix.id}" + (f" ({hotfix.sha[:9]})" if hotfix.sha is not None else "")


def lost(brought: tuple[Brought, ...], position: int) -> tuple[Brought, ...]:
    """Rule 3: what a batch that ends there would take away from what is live."""
    return tuple(each for each in brought if each.at is None or position < each.at)


def words(each: Brought) -> str:
    """Why a batch without it is blocked."""
    title = f" ({each.title[:60]})" if each.title else ""
    return f"would lose the hotfix {each.sha[:9]}{title}, which is live: waits until the branch contains it"


def contains_all(view: LaneView, position: int) -> bool:
    return not lost(view.brought, position)
