"""What candidates are made of and which vulnerabilities that means, as the rules of `farmgate.vulnerabilities` see it.

Rules:
1. It is read for many candidates at once: those of the same packages share one answer.
2. Who is not looked at yet is being read; documents that cannot be read make a candidate unreadable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from farmgate import states
from farmgate.errors import Conflict, NotFound
from farmgate.lanes.view import QueuedCommit
from farmgate.models import Bom, Lane, OsvDump, OsvRecord, VulnerabilityDecision
from farmgate.policy import LanePolicy
from farmgate.store import components, osv, releases
from farmgate.store.components import slices
from farmgate.store.database import many, newest, one
from farmgate.store.schema import package_checks, package_matches, package_set_members, packages
from farmgate.store.schema import vulnerability_decisions as decisions_table
from farmgate.vulnerabilities.exposure import Exposure, Hit, Listing, MadeOf
from farmgate.vulnerabilities.grouping import Decision, Told, Vulnerability, grouped
from farmgate.vulnerabilities.ratings import Severity

MOST_DECISIONS = 5000


def of_lane(
    connection: Connection, lane: Lane, policy: LanePolicy, queue: Sequence[QueuedCommit], now: datetime
) -> Exposure:
    """For the lane's rule."""
    waiting = [each.candidate_id for each in queue if each.candidate_id is not None]
    live = releases.live_of(connection, lane.id)
    wanted = [*waiting, *([live.candidate_id] if live is not None else [])]
    dump = osv.current(connection)
    made = made_of(connection, dump, wanted)
    return Exposure(
        lane=policy.name,
        at=now,
        imported=dump is not None,
        made_of={number: made[number] for number in waiting},
        live=made[live.candidate_id] if live is not None else None,
        known=known(connection, dump, made.values()),
        decisions=standing(connection, now),
    )


def made_of(connection: Connection, dump: OsvDump | None, candidate_ids: Sequence[int]) -> dict[int, MadeOf]:
    """Of each candidate."""
    wanted = list(dict.fromkeys(candidate_ids))
    documents = components.boms_of(connection, wanted)
    shapes: dict[tuple[Any, ...], MadeOf] = {}
    keys: dict[int, tuple[Any, ...]] = {}
    for number in wanted:
        boms = [bom for _, bom in documents[number]] if number in documents else None
        keys[number] = _shape(boms)
    sets = sorted({number for key in keys.values() if key[0] is Listing.LISTED for number in key[1]})
    hits, untold = _hits(connection, dump, sets)
    sizes = components.sizes(connection, sets)
    for key in set(keys.values()):
        listing, *more = key
        if listing is not Listing.LISTED:
            shapes[key] = MadeOf(listing, reason=more[0])
            continue
        mine, unnamed = more
        found = tuple(dict.fromkeys(hit for number in mine for hit in hits.get(number, ())))
        size, odd = sum(sizes.get(number, 0) for number in mine), sum(untold.get(number, 0) for number in mine)
        shapes[key] = MadeOf(listing, packages=size, hits=found, untold=odd, unnamed=unnamed)
    return {number: shapes[key] for number, key in keys.items()}


def _shape(boms: Sequence[Bom] | None) -> tuple[Any, ...]:
    """Candidates of one shape are made of the same (rule 1)."""
    if boms is None or any(bom.state is states.Bom.WAITING for bom in boms):
        return (Listing.READING, "")
    bad = next((bom for bom in boms if bom.state is states.Bom.REFUSED), None)
    if bad is not None:
        return (Listing.UNREADABLE, bad.reason or "")
    if not boms:
        return (Listing.UNLISTED, "")
    sets = tuple(sorted({bom.set_id for bom in boms if bom.set_id is not None}))
    return (Listing.LISTED, sets, sum(bom.unnamed for bom in boms))


def _hits(
    connection: Connection, dump: OsvDump | None, sets: Sequence[int]
) -> tuple[dict[int, list[Hit]], dict[int, int]]:
    """By set: what documents mean, and how many packages could not be told."""
    hits: dict[int, list[Hit]] = {}
    untold: dict[int, int] = {}
    if dump is None:
        return hits, untold
    member, match, check, package = package_set_members.c, package_matches.c, package_checks.c, packages.c
    for part in slices(sets):
        rows = connection.execute(
            select(member.set_id, match.osv_id, package.ecosystem, package.name, package.version, match.fixed)
            .join_from(package_set_members, package_matches, match.package_id == member.package_id)
            .join(packages, package.id == member.package_id)
            .where(member.set_id.in_(part), match.dump_id == dump.id)
            .order_by(member.set_id, package.name, package.id, match.osv_id)
        )
        for row in rows:
            hits.setdefault(row.set_id, []).append(Hit(row.osv_id, row.ecosystem, row.name, row.version, row.fixed))
        odd = (
            select(member.set_id, func.count())
            .join_from(package_set_members, package_checks, check.package_id == member.package_id)
            .where(member.set_id.in_(part), check.dump_id == dump.id, check.problem.is_not(None))
            .group_by(member.set_id)
        )
        untold.update({row[0]: row[1] for row in connection.execute(odd)})
    return hits, untold


def known(connection: Connection, dump: OsvDump | None, made: Iterable[MadeOf]) -> dict[str, Vulnerability]:
    """The vulnerabilities that they have, by the ids of the documents."""
    if dump is None:
        return {}
    wanted = {hit.osv_id for each in made for hit in each.hits}
    return grouped(told(row) for row in osv.records_of(connection, dump.id, wanted))


def told(row: OsvRecord) -> Told:
    return Told(row.osv_id, tuple(row.aliases), row.summary, Severity(row.severity), row.score, row.published)


# --- what administrators decided ---


def standing(connection: Connection, now: datetime) -> tuple[Decision, ...]:
    """Decisions that hold."""
    columns = decisions_table.c
    statement = newest(decisions_table).where(columns.withdrawn_at.is_(None), columns.until > now)
    rows = many(connection, VulnerabilityDecision, statement.limit(MOST_DECISIONS))
    return tuple(
        Decision(
            row.id, row.vulnerability, row.scope, row.verdict, row.reason, row.until, row.decided_by, row.decided_at
        )
        for row in rows
    )


def decisions(connection: Connection, vulnerabilities: Sequence[str], limit: int) -> list[VulnerabilityDecision]:
    """About any of these ids, the newest first, those that ended too."""
    statement = newest(decisions_table).where(decisions_table.c.vulnerability.in_(list(vulnerabilities)))
    return many(connection, VulnerabilityDecision, statement.limit(limit))


def decide(
    connection: Connection,
    vulnerability: str,
    scope: str,
    verdict: str,
    reason: str,
    until: datetime,
    who: str,
    now: datetime,
) -> int:
    """Keep a decision; its id."""
    values = {"vulnerability": vulnerability, "scope": scope, "verdict": verdict, "reason": reason, "until": until}
    statement = insert(decisions_table).values(**values, decided_by=who, decided_at=now)
    return int(connection.execute(statement.returning(decisions_table.c.id)).scalar_one())


def withdraw(connection: Connection, decision_id: int, who: str, now: datetime) -> VulnerabilityDecision:
    """Raises NotFound, Conflict."""
    found = one(connection, VulnerabilityDecision, select(decisions_table).where(decisions_table.c.id == decision_id))
    if found is None:
        raise NotFound(f"there is no decision {decision_id}")
    stands = (decisions_table.c.id == decision_id) & decisions_table.c.withdrawn_at.is_(None)
    done = connection.execute(update(decisions_table).where(stands).values(withdrawn_at=now, withdrawn_by=who))
    if not done.rowcount:
        raise Conflict(f"decision {decision_id} was withdrawn before")
    return found
