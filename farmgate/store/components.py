"""What candidates are made of: CycloneDX documents by digest, and the packages that they name.

Rules:
1. A candidate's documents are the component reports of its run's last attempts that passed, and artifacts that are
   called as CycloneDX asks for (`bom.json`, `*.cdx.json`): so a candidate from outside brings its own.
2. A document is read once. The same packages are one set, however many documents list them.
3. A document stays as long as its row: what is live can be looked at again when more is known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from farmgate import states
from farmgate.models import Bom, Candidate, CandidateBom, PackageRow, ReportKind
from farmgate.store.database import insert_if_absent, many, move, one
from farmgate.store.schema import (
    attempts,
    boms,
    candidate_boms,
    candidate_lists,
    candidates,
    jobs,
    package_set_members,
    package_sets,
    packages,
    report_files,
    reports,
)
from farmgate.vulnerabilities.ecosystems import Package

AT_ONCE: Final = 400
PATIENCE: Final = timedelta(hours=1)
RECENT: Final = 500
"""So many candidates before the newest one that was looked at are looked for each time: they may have come later."""
_CALLED: Final = re.compile(r"(?:.*/)?(?:bom\.json|.+\.cdx\.json)")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


def key_of(package: Package) -> str:
    """The same package is the same row; where OSV has no name for it, its package URL tells it."""
    named = package.ecosystem or package.purl
    return hashlib.sha256(f"{named}\0{package.name}\0{package.version}".encode()).hexdigest()


def unlooked(connection: Connection, limit: int, *, all_of_them: bool) -> list[Candidate]:
    """Candidates whose documents were not looked for, the newest first."""
    statement = (
        select(candidates)
        .join(candidate_lists, candidate_lists.c.candidate_id == candidates.c.id, isouter=True)
        .where(candidate_lists.c.candidate_id.is_(None))
        .order_by(candidates.c.id.desc())
        .limit(limit)
    )
    if not all_of_them:
        last = connection.execute(select(func.max(candidate_lists.c.candidate_id))).scalar()
        statement = statement.where(candidates.c.id > (last or 0) - RECENT)
    return many(connection, Candidate, statement)


def documents_of(connection: Connection, candidate: Candidate) -> dict[str, str]:
    """Rule 1: name -> sha256."""
    found: dict[str, str] = {}
    if candidate.run_id is not None:
        rows = connection.execute(
            select(report_files.c.path, report_files.c.sha256)
            .join(reports, reports.c.id == report_files.c.report_id)
            .join(attempts, attempts.c.id == reports.c.attempt_id)
            .join(jobs, jobs.c.id == reports.c.job_id)
            .where(
                reports.c.run_id == candidate.run_id,
                reports.c.kind == ReportKind.COMPONENTS,
                reports.c.counts.is_(True),
                report_files.c.sha256.is_not(None),
                attempts.c.number == jobs.c.attempt,
            )
            .order_by(reports.c.id, report_files.c.number)
        )
        found = {row.path: row.sha256 for row in rows}
    for name, value in candidate.artifacts.items():
        digest = _DIGEST.fullmatch(value)
        if digest is not None and _CALLED.fullmatch(name):
            found[name] = digest[1]
    return found


def note(connection: Connection, candidate: Candidate, documents: Mapping[str, str], now: datetime) -> bool:
    """That these are the candidate's documents; False if somebody was first."""
    values = {"candidate_id": candidate.id, "boms": len(documents), "looked_at": now}
    if not insert_if_absent(connection, candidate_lists, values, "candidate_id"):
        return False
    for name, sha256 in documents.items():
        row = {"sha256": sha256, "state": states.Bom.WAITING, "unnamed": 0}
        insert_if_absent(connection, boms, {**row, "created_at": now, "deadline": now + PATIENCE}, "sha256")
        number = connection.execute(select(boms.c.id).where(boms.c.sha256 == sha256)).scalar_one()
        link = {"candidate_id": candidate.id, "bom_id": number, "name": name[:500]}
        insert_if_absent(connection, candidate_boms, link, "candidate_id", "bom_id")
    return True


def waiting(connection: Connection, limit: int) -> list[Bom]:
    """Documents that are to be read, oldest first."""
    statement = select(boms).where(boms.c.state == states.Bom.WAITING).order_by(boms.c.id).limit(limit)
    return many(connection, Bom, statement)


def refuse(connection: Connection, bom: Bom, reason: str) -> None:
    """Raises LostRace."""
    move(connection, boms, {"id": bom.id}, states.Bom.WAITING, states.Bom.REFUSED, reason=reason)


def keep(connection: Connection, bom: Bom, found: Iterable[Package], unnamed: int) -> None:
    """What a document lists. Raises LostRace."""
    by_key = {key_of(each): each for each in found}
    known = _numbers(connection, list(by_key))
    for key in sorted(by_key.keys() - known.keys()):  # in one order, so that two writers do not wait for each other
        each = by_key[key]
        values = {"key": key, "ecosystem": each.ecosystem, "name": each.name, "version": each.version}
        insert_if_absent(connection, packages, {**values, "purl": each.purl}, "key")
    known |= _numbers(connection, sorted(by_key.keys() - known.keys()))
    digest = hashlib.sha256("\n".join(sorted(by_key)).encode()).hexdigest()
    made = insert_if_absent(connection, package_sets, {"digest": digest, "size": len(by_key)}, "digest")
    number = connection.execute(select(package_sets.c.id).where(package_sets.c.digest == digest)).scalar_one()
    if made and known:
        rows = [{"set_id": number, "package_id": package} for package in sorted(known.values())]
        connection.execute(insert(package_set_members), rows)
    move(connection, boms, {"id": bom.id}, states.Bom.WAITING, states.Bom.READ, set_id=number, unnamed=unnamed)


def _numbers(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in slices(keys):
        rows = connection.execute(select(packages.c.key, packages.c.id).where(packages.c.key.in_(part)))
        found.update((row.key, row.id) for row in rows)
    return found


def boms_of(connection: Connection, candidate_ids: Sequence[int]) -> dict[int, list[tuple[CandidateBom, Bom]]]:
    """The documents of candidates that were looked for; who is not among them was not looked at yet."""
    found: dict[int, list[tuple[CandidateBom, Bom]]] = {}
    for part in slices(candidate_ids):
        looked = select(candidate_lists.c.candidate_id).where(candidate_lists.c.candidate_id.in_(part))
        found.update((number, []) for number in connection.execute(looked).scalars())
        statement = (
            select(candidate_boms.c.name, candidate_boms.c.candidate_id, *boms.c)
            .join(boms, boms.c.id == candidate_boms.c.bom_id)
            .where(candidate_boms.c.candidate_id.in_(part))
            .order_by(candidate_boms.c.candidate_id, boms.c.id)
        )
        for name, candidate_id, *values in connection.execute(statement):
            bom = Bom(*values)
            found[candidate_id].append((CandidateBom(candidate_id, bom.id, name), bom))
    return found


def by_ids(connection: Connection, package_ids: Iterable[int]) -> dict[int, PackageRow]:
    """Packages by their ids."""
    found: dict[int, PackageRow] = {}
    for part in slices(sorted(set(package_ids))):
        found.update(
            (row.id, row) for row in many(connection, PackageRow, select(packages).where(packages.c.id.in_(part)))
        )
    return found


def called(
    connection: Connection, name: str, version: str | None, ecosystem: str | None, limit: int
) -> list[PackageRow]:
    """Packages of a name, as they are written or in small letters."""
    statement = select(packages).where(packages.c.name.in_({name, name.lower(), name.lower().replace("_", "-")}))
    if version is not None:
        statement = statement.where(packages.c.version == version)
    if ecosystem:
        statement = statement.where(
            (func.lower(packages.c.ecosystem) == ecosystem.lower())
            | func.lower(packages.c.ecosystem).startswith(f"{ecosystem.lower()}:", autoescape=True)
        )
    return many(connection, PackageRow, statement.order_by(packages.c.id).limit(limit))


def sets_with(connection: Connection, package_ids: Sequence[int]) -> dict[int, set[int]]:
    """The sets that hold packages: set -> which of them."""
    found: dict[int, set[int]] = {}
    member = package_set_members.c
    for part in slices(package_ids):
        for row in connection.execute(select(member.set_id, member.package_id).where(member.package_id.in_(part))):
            found.setdefault(row.set_id, set()).add(row.package_id)
    return found


def sizes(connection: Connection, set_ids: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for part in slices(set_ids):
        rows = connection.execute(select(package_sets.c.id, package_sets.c.size).where(package_sets.c.id.in_(part)))
        found.update((row.id, row.size) for row in rows)
    return found


def bom_by_digest(connection: Connection, sha256: str) -> Bom | None:
    return one(connection, Bom, select(boms).where(boms.c.sha256 == sha256))


def slices(values: Sequence[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(values), AT_ONCE):
        yield list(values[at : at + AT_ONCE])
