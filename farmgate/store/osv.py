"""OSV documents as they were imported, and the farm's packages compared with them.

Rules:
1. An import is a dump of its own. It counts from the moment it is done: until then the one before does, and if it
   fails, nothing changed. Every package was compared with it before that moment.
2. It is written and removed in small transactions; one at a time is imported.
3. A package that comes later is compared with the dump that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from farmgate import states
from farmgate.errors import Conflict, NotFound
from farmgate.models import OsvAffected, OsvDump, OsvRecord, PackageRow
from farmgate.store.components import slices
from farmgate.store.database import insert_if_absent, many, move, newest, one
from farmgate.store.schema import osv_affected, osv_dumps, osv_records, package_checks, package_matches, packages
from farmgate.vulnerabilities.matching import packed
from farmgate.vulnerabilities.osv import Record

OPEN: Final = (states.OsvDump.WAITING, states.OsvDump.READING, states.OsvDump.MATCHING)
REMOVED_AT_ONCE: Final = 2000


def add(
    connection: Connection, sha256: str, size: int, who: str, now: datetime, deadline: datetime, *, without: bool
) -> OsvDump:
    """Raises Conflict while another import is under way."""
    if connection.execute(select(osv_dumps.c.id).where(osv_dumps.c.state.in_(OPEN))).first():
        raise Conflict("an import is under way: wait for its end (farmgate vulnerabilities status)")
    none: dict[str, Any] = dict.fromkeys(("read_bytes", "documents", "withdrawn", "bad", "affected", "matched"), 0)
    values = {"state": states.OsvDump.WAITING, "sha256": sha256, "size_bytes": size, "asked_by": who, **none}
    values |= {"without": without, "ecosystems": {}, "problems": [], "created_at": now, "deadline": deadline}
    made = connection.execute(insert(osv_dumps).values(**values).returning(osv_dumps.c.id))
    return by_id(connection, int(made.scalar_one()))


def by_id(connection: Connection, dump_id: int) -> OsvDump:
    """Raises NotFound."""
    found = one(connection, OsvDump, select(osv_dumps).where(osv_dumps.c.id == dump_id))
    if found is None:
        raise NotFound(f"there is no import {dump_id}")
    return found


def current(connection: Connection) -> OsvDump | None:
    """Rule 1: the one that counts."""
    return one(connection, OsvDump, newest(osv_dumps).where(osv_dumps.c.state == states.OsvDump.DONE).limit(1))


def under_way(connection: Connection) -> OsvDump | None:
    return one(connection, OsvDump, newest(osv_dumps).where(osv_dumps.c.state.in_(OPEN)).limit(1))


def latest(connection: Connection, limit: int) -> list[OsvDump]:
    """The newest first."""
    return many(connection, OsvDump, newest(osv_dumps).limit(limit))


def moved(connection: Connection, dump: OsvDump, before: states.OsvDump, after: states.OsvDump, **values: Any) -> None:
    """Raises LostRace."""
    move(connection, osv_dumps, {"id": dump.id}, before, after, **values)


def told(connection: Connection, dump_id: int, **values: Any) -> None:
    """How far it came."""
    connection.execute(update(osv_dumps).where(osv_dumps.c.id == dump_id).values(**values))


def put(connection: Connection, dump_id: int, records: Sequence[Record]) -> list[Record]:
    """Keep documents; those that are new. The same id again is the same document in another ecosystem's file."""
    ids = [record.id for record in records]
    known: set[str] = set()
    for part in slices(ids):
        statement = select(osv_records.c.osv_id).where(osv_records.c.dump_id == dump_id, osv_records.c.osv_id.in_(part))
        known |= set(connection.execute(statement).scalars())
    fresh = list({record.id: record for record in reversed(records) if record.id not in known}.values())
    if fresh:
        connection.execute(
            insert(osv_records),
            [
                {
                    "dump_id": dump_id,
                    "osv_id": record.id,
                    "aliases": list(record.aliases),
                    "summary": record.summary,
                    "severity": record.rated.severity,
                    "score": record.rated.score,
                    "vector": record.rated.vector,
                    "published": record.published,
                    "modified": record.modified,
                }
                for record in fresh
            ],
        )
    rows = [
        {
            "dump_id": dump_id,
            "ecosystem": each.ecosystem,
            "name": each.name,
            "osv_id": record.id,
            "spec": packed(each),
        }
        for record in fresh
        for each in record.affected
    ]
    if rows:
        connection.execute(insert(osv_affected), rows)
    return fresh


def records_of(connection: Connection, dump_id: int, osv_ids: Iterable[str]) -> list[OsvRecord]:
    found: list[OsvRecord] = []
    for part in slices(sorted(set(osv_ids))):
        statement = select(osv_records).where(osv_records.c.dump_id == dump_id, osv_records.c.osv_id.in_(part))
        found += many(connection, OsvRecord, statement)
    return found


def affected_by(connection: Connection, dump_id: int, ecosystem: str, name: str) -> list[OsvAffected]:
    """What documents say of a package."""
    column = osv_affected.c
    statement = select(osv_affected).where(
        column.dump_id == dump_id, column.ecosystem == ecosystem, column.name == name
    )
    return many(connection, OsvAffected, statement.order_by(column.id))


# --- the farm's packages, compared -----------------------------------------------------------------------------------


def unchecked(connection: Connection, dump_id: int, limit: int) -> list[PackageRow]:
    """Packages that were not compared with the dump."""
    seen = (package_checks.c.package_id == packages.c.id) & (package_checks.c.dump_id == dump_id)
    statement = select(packages).join(package_checks, seen, isouter=True).where(package_checks.c.package_id.is_(None))
    return many(connection, PackageRow, statement.order_by(packages.c.id).limit(limit))


def checked(
    connection: Connection, dump_id: int, package_id: int, found: Iterable[tuple[str, str | None]], problem: str | None
) -> None:
    """That a package was compared; `found`: documents that mean it, each with the version that fixes it."""
    values = {"dump_id": dump_id, "package_id": package_id, "problem": problem}
    if insert_if_absent(connection, package_checks, values, "dump_id", "package_id"):
        rows = [{"dump_id": dump_id, "package_id": package_id, "osv_id": osv_id, "fixed": f} for osv_id, f in found]
        if rows:
            connection.execute(insert(package_matches), rows)


def count_checked(connection: Connection, dump_id: int) -> int:
    statement = select(func.count()).select_from(package_checks).where(package_checks.c.dump_id == dump_id)
    return int(connection.execute(statement).scalar_one())


def untold(connection: Connection, dump_id: int, limit: int) -> tuple[list[tuple[PackageRow, str]], int]:
    """Packages of which not everything could be told, with the reason; and how many there are."""
    of = (package_checks.c.dump_id == dump_id) & package_checks.c.problem.is_not(None)
    count = connection.execute(select(func.count()).select_from(package_checks).where(of)).scalar_one()
    statement = (
        select(package_checks.c.problem, *packages.c)
        .join(packages, packages.c.id == package_checks.c.package_id)
        .where(of)
        .order_by(packages.c.ecosystem, packages.c.name, packages.c.id)
        .limit(limit)
    )
    return [(PackageRow(*values), problem) for problem, *values in connection.execute(statement)], int(count)


# --- what no longer counts -------------------------------------------------------------------------------------------

_PARTS: Final = (osv_affected, osv_records, package_matches, package_checks)


def stale(connection: Connection) -> list[int]:
    """Dumps that neither count nor are under way, and still have rows."""
    counts = current(connection)
    done = [states.OsvDump.DONE, states.OsvDump.FAILED]
    ended = select(osv_dumps.c.id).where(osv_dumps.c.state.in_(done))
    if counts is not None:
        ended = ended.where(osv_dumps.c.id != counts.id)
    newest_first = list(connection.execute(ended.order_by(osv_dumps.c.id.desc()).limit(10)).scalars())
    return [number for number in newest_first if any(_has(connection, table, number) for table in _PARTS)]


def _has(connection: Connection, table: Table, dump_id: int) -> bool:
    return connection.execute(select(table.c.dump_id).where(table.c.dump_id == dump_id).limit(1)).first() is not None


def remove_some(connection: Connection, dump_id: int) -> bool:
    """One step; False when nothing is left."""
    for table in _PARTS:
        key = list(table.primary_key.columns)[-1] if table in (osv_affected, osv_records) else table.c.package_id
        some = select(key).where(table.c.dump_id == dump_id).limit(REMOVED_AT_ONCE)
        found = list(connection.execute(some).scalars())
        if found:
            for part in slices(sorted(set(found))):
                connection.execute(delete(table).where(table.c.dump_id == dump_id, key.in_(part)))
            return True
    return False
