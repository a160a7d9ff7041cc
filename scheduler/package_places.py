"""Where a package is live, was live, is on its way, or waits: by the component lists of candidates.

Rules:
1. A package is asked for by its name, with or without a version, or by its package URL; of every ecosystem unless one
   is named.
2. Releases in a row that have the same versions of it are one place, from the first one's beginning to the last one's
   end.
3. What has no component list cannot be asked: the answer says which lanes that concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from farmgate.errors import NotFound
from farmgate.models import Bom, CandidateBom, Lane, PackageRow, Release
from farmgate.store import candidates, components, lane_views, lanes, rollouts
from farmgate.store.database import many, newest
from farmgate.store.schema import releases as releases_table
from farmgate.vulnerabilities.ecosystems import BadPurl, package_of
from scheduler.ledger_bodies import PlaceBody, WhereBody

MOST_PAST: Final = 200
MOST_PACKAGES: Final = 1000
MOST_WAITING: Final = 300
Documents = Mapping[int, Sequence[tuple[CandidateBom, Bom]]]


def where(connection: Connection, asked: str, ecosystem: str | None, now: datetime) -> WhereBody:
    """Raises NotFound."""
    found = _packages(connection, asked, ecosystem)
    if not found:
        raise NotFound(f"no component list that was read names a package {asked[:200]!r}")
    by_set = components.sets_with(connection, sorted(found))
    places: list[PlaceBody] = []
    blind: list[str] = []
    for lane in lanes.every(connection):
        mine, listed = _of_lane(connection, lane, by_set, found, now)
        places += mine
        if not listed:
            blind.append(_name(lane))
    return WhereBody(asked=asked, kind="package", places=places, blind=blind)


def _packages(connection: Connection, asked: str, ecosystem: str | None) -> dict[int, PackageRow]:
    """Rule 1."""
    name, version = asked, None
    if asked.startswith("pkg:"):
        whole = "@" in asked.rpartition("/")[2]
        try:
            package = package_of(asked if whole else f"{asked.partition('?')[0]}@0")
        except BadPurl as error:
            raise NotFound(str(error)) from None
        name, version, ecosystem = package.name, package.version if whole else None, package.ecosystem or ecosystem
    elif "@" in asked[1:]:  # the first character may be that of an npm scope
        name, _, version = asked.rpartition("@")
    rows = components.called(connection, name, version, ecosystem, MOST_PACKAGES)
    return {row.id: row for row in rows}


def _of_lane(
    connection: Connection, lane: Lane, by_set: Mapping[int, set[int]], found: Mapping[int, PackageRow], now: datetime
) -> tuple[list[PlaceBody], bool]:
    """The places, and whether what is live has a list at all."""
    statement = newest(releases_table).where(releases_table.c.lane_id == lane.id).limit(MOST_PAST)
    past = many(connection, Release, statement)
    active = rollouts.active_of(connection, lane.id)
    view = lane_views.view(connection, lane, now)
    waiting = [(each.sha, each.candidate_id) for each in view.commits if each.candidate_id is not None][-MOST_WAITING:]
    wanted = [release.candidate_id for release in past] + [candidate for _, candidate in waiting]
    documents = components.boms_of(connection, [*wanted, *([active.candidate_id] if active is not None else [])])
    numbers = rollouts.numbers(connection, [release.rollout_id for release in past])

    def has(candidate: int) -> tuple[str, ...]:
        sets = {bom.set_id for _, bom in documents.get(candidate, ()) if bom.set_id is not None}
        ids: set[int] = set().union(*(by_set.get(number, ()) for number in sets))
        return tuple(sorted(_words(found[number]) for number in ids))

    places = list(_releases(lane, past, numbers, has))
    if (
        active is not None
        and candidates.by_id(connection, active.candidate_id) is not None
        and has(active.candidate_id)
    ):
        what = ", ".join(has(active.candidate_id))
        places.insert(0, _place(lane, "delivering", active.number, active.started_at, None, what))
    elif waiting:
        sha, last = waiting[-1]
        if has(last):
            places.append(_place(lane, "waiting", None, None, None, f"{', '.join(has(last))} in {sha[:12]}"))
    is_live = [release for release in past if release.live_until is None]
    return places, not is_live or bool(documents.get(is_live[0].candidate_id))


def _releases(
    lane: Lane, past: Sequence[Release], numbers: Mapping[int, int], has: Callable[[int], tuple[str, ...]]
) -> Iterator[PlaceBody]:
    """Rule 2, the newest first."""
    for what, together in groupby(past, key=lambda release: has(release.candidate_id)):
        if not what:
            continue
        row = list(together)
        last, first = row[0], row[-1]
        state = "live" if last.live_until is None else "was live"
        yield _place(lane, state, numbers.get(first.rollout_id), first.live_from, last.live_until, ", ".join(what))


def _place(
    lane: Lane, state: str, rollout: int | None, since: datetime | None, until: datetime | None, what: str
) -> PlaceBody:
    share = 100 if state == "live" else 0
    return PlaceBody(lane=_name(lane), state=state, share=share, rollout=rollout, since=since, until=until, what=what)


def _words(row: PackageRow) -> str:
    return f"{row.name} {row.version}" + (f" ({row.ecosystem})" if row.ecosystem else "")


def _name(lane: Lane) -> str:
    return f"{lane.application}/{lane.environment}"
