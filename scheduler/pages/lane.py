"""A lane: what is live, the rollout under way, what waits and why, the next batch, the search, bans, history.

The reasons and estimates are those of `farmgate.lanes`: what decides, explains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from farmgate import states
from farmgate.lanes import Explained, LaneView, Preview, explain, falls_behind, most_rollouts, preview
from farmgate.models import Ban, Commit, HoldKind, JournalEntry, Lane, MadeKind, Release, Rollout, SearchRow
from farmgate.policy import LanePolicy
from farmgate.store import (
    approvals,
    bans,
    handovers,
    holds,
    lane_ahead,
    lane_views,
    lanes,
    made,
    releases,
    repositories,
    rollouts,
    searches,
)
from scheduler import asking, back, lane_reading, made_reading
from scheduler.pages import alarms, home, vulnerabilities, words

SHOWN_COMMITS = 200
HISTORY = 30
TOLD = 10
_WAVE = re.compile(r"^wave-(\d+)/(.+)$")
_SAID = (
    "asked",
    "healthy",
    "sick_in_a_row",
    "untold_in_a_row",
    "last",
    "last_at",
    "words",
    "reason",
    "tries",
    "by",
    "wave",
    "unknown",
    "unknown_in_a_row",
    "tellings",
    "link",
    "go_on",
    "verdict",
)
_STEPS = {
    "ready": "Look for the way back",
    "start": "Asks before the start",
    "start/decision": "The answer before the start",
    "prepare": "Prepare the new release",
    "verdict": "Verdict",
    "finish": "Drain and remove the old release",
    "restore": "Go back to the last good release",
    "control": "Repeat the failed check against what was live before",
}


def read(connection: Connection, application: str, environment: str, now: datetime) -> dict[str, Any]:
    """The values of lane.html. Raises NotFound."""
    lane = lanes.by_name(connection, application, environment)
    view = lane_ahead.view(connection, lane, now, full=True)
    coming = preview(view, now)
    active = rollouts.active_of(connection, lane.id)
    past = rollouts.latest(connection, lane.id, HISTORY + 1)
    standing = holds.standing(connection, lane.id, now)
    search = next(iter(searches.latest(connection, lane.id, 1)), None)
    policy = view.policy
    live = lane_views.live_of(connection, lane, policy)
    name = f"{application} / {environment}"
    last = past[0] if past else None
    waiting = list(reversed(explain(view, now)))
    common = _common(waiting)
    asks = asking.asked(connection, active)
    found = list(alarms.of_lane(name, home.href(lane), active, last, standing, search, now, asks))
    found.extend(home.red_alarms(connection, lane, now))
    found.extend(alarms.of_stops([hold for hold in standing if hold.kind is HoldKind.STOP], now))
    ended = holds.ended(connection, lane.id, now - lane_reading.TOLD_ENDED, now)
    found.extend(alarms.of_ended(name, home.href(lane), ended, now))
    if lane.rollback:
        told = f"{lane.rollback.get('asked_by', 'somebody')}: {lane.rollback.get('reason', '')}"
        found.append(alarms.Alarm("busy", "back", "A rollback is asked for", told, "It begins within seconds."))
    return {
        "here": "/",
        "alarm_list": found,
        "lane": {
            "application": application,
            "environment": environment,
            "href": home.href(lane),
            "repository": repositories.by_id(connection, lane.repository_id).name,
            "branch": policy.branch,
            "follows": policy.follows,
            "target": _target(policy),
            "policy_version": lane.policy_version,
            "live": home.live(connection, lane),
            "held": home.held([hold for hold in standing if hold.kind is not HoldKind.STOP]),
            "advice": falls_behind(view, now),
            "group": view.together.name if view.together is not None else None,
            "asks": policy.approvals is not None,
            "approvals": approvals.standing(connection, lane, policy, live.base if live is not None else 0, now),
            "planned": [hold for hold in holds.ahead(connection, lane.id, now) if hold.begins > now],
            "rollout": _active(connection, lane, active, now) if active else None,
            "search": _search(connection, lane, search, active) if search and _worth_showing(search, past) else None,
            "hotfix": _hotfix(connection, lane, view),
            "brought": made_reading.brought(connection, lane),
            "waiting_count": len(waiting),
            "common_reasons": [_reason(told) for told in common],
            "waiting": [_waiting(told, view, policy, common) for told in waiting[:SHOWN_COMMITS]],
            "preview": _preview(coming),
            "after": coming.after,
            "next_reasons": [_reason(reason.words) for reason in coming.reasons],
            "bans": _bans(connection, lane),
            "vulnerabilities": vulnerabilities.of_lane(connection, f"{application}/{environment}", now),
            "history": _history(connection, lane, [row for row in past if row != active][:HISTORY]),
        },
    }


def taken_back(connection: Connection, lane: Lane, to: int | None) -> dict[str, Any]:
    """What a rollback would take back. `to`: a rollout's number; None: the release before. Raises NotFound."""
    live = releases.live_of(connection, lane.id)
    mates = back.mates_of(connection, lane)
    if live is None:
        return {"live": None, "target": None, "commits": [], "choices": [], "mates": mates}
    below = {row.onto for row in made.chain(connection, lane.repository_id, live.sha)}
    earlier = [r for r in releases.latest(connection, lane.id) if _is_earlier(r.sha, r.position, live, below)]
    numbers = {r.id: rollouts.by_id(connection, r.rollout_id).number for r in [live, *earlier]}
    before = releases.before(connection, live) if to is None else releases.by_rollout_number(connection, lane.id, to)
    branch = lanes.policy_of(lane).branch
    covered: list[str] = []
    if before is not None:
        between = bans.between(connection, lane.repository_id, branch, before.position, live.position)
        covered = [each.sha for each in between]
        covered += made.over(connection, lane.repository_id, live.sha, before.sha)
    described = repositories.commits_of(connection, lane.repository_id, covered + [r.sha for r in earlier])
    return {
        "live": {"number": numbers[live.id], "sha": live.sha},
        "target": {"number": numbers.get(before.id, to), "sha": before.sha, "since": before.live_from}
        if before
        else None,
        "commits": [commit_line(sha, described) for sha in reversed(covered)],
        "choices": [{"number": numbers[r.id], **commit_line(r.sha, described)} for r in _once(earlier)],
        "mates": mates,
    }


def _is_earlier(sha: str, position: int, live: Release, below: Set[str]) -> bool:
    """`below`: what made commits that are live stand on."""
    return sha != live.sha and (position < live.position or sha in below)


def _once(found: Iterable[Any]) -> list[Any]:
    """The newest release of each commit, at most a handful."""
    seen: dict[str, Any] = {}
    for release in found:
        seen.setdefault(release.sha, release)
    return list(seen.values())[:8]


def commit_line(sha: str, described: Mapping[str, Commit]) -> dict[str, Any]:
    """A commit as lists show it."""
    commit = described.get(sha)
    return {"sha": sha, "title": commit.title if commit else "", "author": commit.author_name if commit else ""}


def _target(policy: LanePolicy) -> str:
    return policy.target.words + (f", at {policy.listen}" if policy.listen else "")


def _common(waiting: Sequence[Explained]) -> list[str]:
    """What all of several waiting commits wait for: it is said once."""
    if len(waiting) < 2:
        return []
    shared = {reason.words for reason in waiting[0].reasons}
    for told in waiting[1:]:
        shared &= {reason.words for reason in told.reasons}
    return [reason.words for reason in waiting[0].reasons if reason.words in shared]


def _waiting(told: Explained, view: LaneView, policy: LanePolicy, common: Sequence[str]) -> dict[str, Any]:
    commit = told.commit
    banned = any(commit.sha == ban.sha or commit.sha in ban.covers for ban in view.bans)
    gone = any(commit.sha == other.sha for other in view.gone)
    checks = {"green": "green", "red": "red", "running": "running"}.get(str(commit.checks), "waiting")
    return {
        "sha": commit.sha,
        "title": commit.title,
        "author": commit.author,
        "look": "gone" if gone else "banned" if banned else checks,
        "href": f"/runs/{commit.run_id}" if commit.run_id else f"/commits/{policy.repository}/{commit.sha}",
        "reasons": [_reason(reason.words) for reason in told.reasons if reason.words not in common],
        "estimate": told.live_at,
    }


def _reason(told: str) -> str:
    return told[:1].upper() + told[1:]


def _preview(found: Preview) -> dict[str, Any] | None:
    if found.candidate is None:
        return None
    until, title = found.candidate.sha, found.candidate.title
    return {"until": until, "title": title, "count": len(found.commits), "at": found.at}


def _hotfix(connection: Connection, lane: Lane, view: LaneView) -> dict[str, Any] | None:
    """The open one; else the last, as long as nobody was told that it failed."""
    row = next(iter(made.latest(connection, lane.id, 1)), None)
    if row is None or (states.is_final(row.state) and row.state is not states.Made.FAILED):
        return None
    body = made_reading.body(connection, row, view)
    on = "without the culprit" if row.kind is MadeKind.REVERT else "which is live"
    told = {
        states.Made.ASKED: f"It is being made on {words.short(row.onto)}, {on}.",
        states.Made.TESTING: f"It is {words.short(row.sha)}, on {words.short(row.onto)}; its checks are under way.",
        states.Made.READY: f"It is {words.short(row.sha)}, on {words.short(row.onto)}, and tested.",
        states.Made.DELIVERING: f"It is {words.short(row.sha)}, and its rollout #{body.rollout} is under way.",
    }.get(row.state, row.problem or "")
    return {
        **body.model_dump(),
        "reasons": body.reasons if row.state is states.Made.READY else [],
        "name": f"{_reason(str(row.kind))} {row.id}",
        "look": row.state,
        "words": told,
        "may_cancel": row.state in made.BEFORE_DELIVERY,
    }


def _active(connection: Connection, lane: Lane, row: Rollout, now: datetime) -> dict[str, Any]:
    entries = rollouts.entries(connection, row.id)
    steps = [_step(entry, row) for entry in entries]
    handed = handovers.of_rollout(connection, row.id)
    return {**home.rollout(connection, lane, row), "steps": steps, "handed": handed[-1:]}


def _step(entry: JournalEntry, row: Rollout) -> dict[str, Any]:
    failing = entry.detail.get("sick_in_a_row", 0) > 0
    return {
        "words": step_words(entry.key, row.policy.get("waves", []), entry.detail),
        "detail": detail_words(entry.detail),
        "outcome": entry.outcome or ("sick" if failing else "begun"),
        "started_at": entry.started_at,
        "finished_at": entry.finished_at,
    }


def step_words(key: str, waves: Sequence[Mapping[str, Any]], detail: Mapping[str, Any]) -> str:
    """A journal key as people say it."""
    match = _WAVE.match(key)
    if match is None and key.startswith("back-"):
        return "Asks whether to take it back" if "/" not in key else f"{detail.get('by', 'somebody')} answered"
    if match is None:
        return _STEPS.get(key) or _reason(key.replace("/", ": ").replace("-", " "))
    number, what = int(match[1]), match[2]
    if what == "shift":
        share = f" to {waves[number]['share']} %" if number < len(waves) else ""
        return f"Wave {number + 1}: shift{share}"
    if what == "decision":
        return f"Wave {number + 1}: {detail.get('by', 'somebody')} decided"
    told = detail.get("check") if isinstance(detail.get("check"), str) else what.replace("-", " ")
    return f"Wave {number + 1}: {told}"


def detail_words(detail: Mapping[str, Any]) -> str:
    """What a journal entry says, with its figures, in one line."""
    told = []
    if "asked" in detail:
        told.append(f"{detail.get('healthy', 0)} of {words.plural(int(detail['asked']), 'answer')} healthy")
    if detail.get("tries", 1) > 1:
        told.append(f"try {detail['tries']}")
    told += [str(detail[name]) for name in ("words", "reason") if detail.get(name)]
    figures = {**detail, **(detail["figures"] if isinstance(detail.get("figures"), dict) else {})}
    for name, value in figures.items():
        if name not in (*_SAID, "check") and isinstance(value, str | int | float) and value != "":
            told.append(f"{name.replace('_', ' ')} {value}")
    return "; ".join(told)[:600]


def _worth_showing(search: SearchRow, past: list[Rollout]) -> bool:
    """An open search; one that is over as long as its rollouts are the newest that the lane saw."""
    return search.state is states.Search.OPEN or any(row.search_id == search.id for row in past[:3])


def _search(connection: Connection, lane: Lane, search: SearchRow, active: Rollout | None) -> dict[str, Any]:
    described = repositories.commits_of(connection, lane.repository_id, search.points)
    branch = lanes.policy_of(lane).branch
    found = bans.between(connection, lane.repository_id, branch, search.since_position - 1, search.until_position)
    suspected = {place.sha for place in found if place.position > search.since_position}
    trying = active.until_sha if active is not None and active.search_id == search.id else None
    first = rollouts.by_id(connection, search.rollout_id)
    points, good = [], True
    for sha in search.points:
        good = good and sha not in suspected
        word, look = ("good", "good") if good else ("not blamed", "skipped")
        if sha == search.culprit:
            word, look = "the culprit", "sick"
        elif sha == trying:
            word, look = "being tried", "running"
        elif sha in suspected and search.state is states.Search.OPEN:
            word, look = "may be to blame", "asking"
        shown = words.look(look)
        points.append({**commit_line(sha, described), "word": word, "tone": shown.tone, "icon": shown.icon})
    steps = [
        {
            "state": "sick",
            "words": f"Rollout #{first.number}, up to {words.short(first.until_sha)}, went sick: {first.reason or ''}",
            "at": first.finished_at or first.created_at,
        }
    ]
    tries = [row for row in rollouts.latest(connection, lane.id, 60) if row.search_id == search.id]
    for row in reversed(tries):
        what = {"good": "is good and stays live", "sick": "went sick as well"}.get(str(row.state), f"is {row.state}")
        told = f"Rollout #{row.number}, up to {words.short(row.until_sha)}, {what}"
        look = "running" if not states.is_final(row.state) else str(row.state)
        steps.append({"state": look, "words": told, "at": row.finished_at or row.created_at})
    left = len([sha for sha in search.points if sha in suspected])
    most = most_rollouts(len(search.points)) if search.points else 0
    sealed = f"{words.plural(len(search.points), 'candidate')} sealed"
    match search.state:
        case states.Search.OPEN:
            told = f"{sealed}; {search.rollouts} of at most {most} further rollouts; {left} may still be to blame"
        case states.Search.FOUND:
            told = f"{sealed}; {words.short(search.culprit)} is the culprit and is banned here"
            steps.append({"state": "found", "words": f"Culprit: {words.short(search.culprit)}", "at": search.closed_at})
        case _:
            told = f"{sealed}; abandoned"
    return {"state": search.state, "words": told, "points": points[:200], "steps": steps}


def _bans(connection: Connection, lane: Lane) -> list[dict[str, Any]]:
    found = bans.standing(connection, lane.id)
    described = repositories.commits_of(connection, lane.repository_id, [ban.sha for ban in found])
    return [
        {
            **commit_line(ban.sha, described),
            "reason": ban.reason,
            "covers": ban.covers,
            "rollout": _number(connection, ban),
            "created_by": ban.created_by,
            "created_at": ban.created_at,
        }
        for ban in found
    ]


def _number(connection: Connection, ban: Ban) -> int | None:
    return rollouts.by_id(connection, ban.rollout_id).number if ban.rollout_id is not None else None


def _history(connection: Connection, lane: Lane, rows: list[Rollout]) -> list[dict[str, Any]]:
    carried: dict[int, list[str]] = {row.id: [] for row in rows}
    for entry in rollouts.commits_of(connection, carried):
        carried[entry.rollout_id].append(entry.sha)
    everything = {sha for shas in carried.values() for sha in shas} | {row.until_sha for row in rows}
    described = repositories.commits_of(connection, lane.repository_id, sorted(everything))
    live = releases.live_of(connection, lane.id)
    below = {row.onto for row in made.chain(connection, lane.repository_id, live.sha)} if live is not None else set()
    told = {row.id: rollouts.entries(connection, row.id) for row in rows[:TOLD]}
    return [
        {
            "number": row.number,
            "steps": [_step(entry, row) for entry in told.get(row.id, [])],
            "kind": row.kind,
            "state": row.state,
            "until_sha": row.until_sha,
            "title": described[row.until_sha].title if row.until_sha in described else "",
            "commits": len(carried[row.id]),
            "commit_list": [commit_line(sha, described) for sha in reversed(carried[row.id][-100:])],
            "reason": row.reason,
            "asked_by": row.asked_by,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "may_go_back": row.state is states.Rollout.GOOD
            and live is not None
            and _is_earlier(row.until_sha, row.until_position, live, below),
        }
        for row in rows
    ]
