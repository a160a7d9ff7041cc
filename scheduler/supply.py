"""What candidates are made of, and the import of vulnerabilities, in the background, in bounded steps.

Rules:
1. The leader looks every few seconds: candidates whose documents were not looked for, documents that were not read,
   packages that were not compared, an import that waits or was interrupted, rows that no longer count.
2. A document is a stranger's: read in pieces, bounded in bytes and in components; one that cannot be read is refused,
   with its reason, and says so wherever its candidate is judged.
3. An import goes in small transactions, so that others write between; it counts when it is whole and every package was
   compared with it, in one update. One that is interrupted begins again; one that fails leaves everything as it was.
4. An import fails if more than one document in BAD_SHARE cannot be read, if it holds none, or if it lacks ecosystems
   that the one before had (unless its sender says so): an administrator hears of it at once, not when nothing is found.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import BinaryIO, Final, cast

import structlog
from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import FarmgateError, LostRace, NotFound
from farmgate.models import Bom, OsvDump, PackageRow
from farmgate.reports import BadReport, cyclonedx
from farmgate.store import components, events, osv
from farmgate.store.intakes import storable
from farmgate.vulnerabilities.ecosystems import BadPurl, Package, base_of, is_compared, package_of
from farmgate.vulnerabilities.matching import cannot_tell, judge, unpacked
from farmgate.vulnerabilities.osv import BadDocument, Record, parse
from scheduler import provenance
from scheduler.blob_streams import named, pieces_of
from scheduler.context import Context

log = structlog.get_logger("farmgate.supply")
ACTOR: Final = "scheduler"
EVERY: Final = timedelta(seconds=3)
CANDIDATES: Final = 100
DOCUMENTS: Final = 20
AT_ONCE: Final = 200
ROUND: Final = 20
MOST_COMPONENTS: Final = 200_000
BOM_BYTES: Final = 256 * 2**20
LINE_BYTES: Final = 32 * 2**20
MOST_BYTES: Final = 64 * 2**30
MOST_DOCUMENTS: Final = 5_000_000
BAD_SHARE: Final = 100
BAD_ALWAYS: Final = 10
"""So many bad documents are borne whatever their share."""
PROBLEMS_KEPT: Final = 20
PATIENCE: Final = timedelta(hours=12)
BREATH: Final = timedelta(milliseconds=5)
"""Between two writes of an import: on SQLite others wait for the lock by looking now and then."""


class Supply:
    """One scheduler's work, a round at a time: True if there may be more to do."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._fresh = self._unsigned = True

    def look(self) -> bool:
        """Rule 1."""
        context = self._context
        candidates = look_for_documents(context, all_of_them=self._fresh)
        self._fresh = self._fresh and candidates == CANDIDATES
        read = read_documents(context)
        compared = compare_new(context)
        signed = provenance.sign_new(context, all_of_them=self._unsigned)
        self._unsigned = self._unsigned and signed > 0
        if candidates or read or compared or signed:
            context.acted_on_lanes()
        return bool(candidates or read or compared or signed)

    def import_(self) -> bool:
        """An import, and what no longer counts: it may take long, so that documents are read beside it."""
        context = self._context
        imported = go_on_importing(context)
        if imported:
            context.acted_on_lanes()
        return remove_stale(context) or imported


# --- what candidates are made of ---


def look_for_documents(context: Context, *, all_of_them: bool) -> int:
    """How many candidates were looked at."""
    with context.store.reading() as connection:
        found = components.unlooked(connection, CANDIDATES, all_of_them=all_of_them)
    for candidate in found:
        now = context.clock.now()
        with context.store.writing() as connection:
            documents = components.documents_of(connection, candidate)
            there = {name: sha256 for name, sha256 in documents.items() if context.blobs.exists(sha256)}
            named(context, connection, *there.values())
            components.note(connection, candidate, there, now)
    return len(found)


def read_documents(context: Context) -> int:
    """How many documents were read or refused."""
    with context.store.reading() as connection:
        found = components.waiting(connection, DOCUMENTS)
    for bom in found:
        try:
            _read(context, bom)
        except LostRace:
            continue
    return len(found)


def _read(context: Context, bom: Bom) -> None:
    """Rule 2."""
    try:
        listed, unnamed = _listed(context, bom.sha256)
    except (BadReport, NotFound) as error:
        with context.store.writing() as connection:
            components.refuse(connection, bom, storable(str(error))[:500])
        return
    except FarmgateError as error:
        if context.clock.now() < bom.deadline:
            raise
        with context.store.writing() as connection:
            components.refuse(connection, bom, f"its bytes were not to be had: {error}"[:500])
        return
    with context.store.writing() as connection:
        components.keep(connection, bom, listed, unnamed)


def _listed(context: Context, sha256: str) -> tuple[list[Package], int]:
    """Raises BadReport, and what the store of bytes raises."""
    found: dict[tuple[str, str, str], Package] = {}
    unnamed = 0
    size = context.blobs.size(sha256)
    if size > BOM_BYTES:
        raise BadReport(f"it has {size} bytes, more than {BOM_BYTES}")
    for count, purl in enumerate(cyclonedx.purls(pieces_of(context.blobs, sha256)), 1):
        if count > MOST_COMPONENTS:
            raise BadReport(f"it lists more than {MOST_COMPONENTS} components")
        try:
            package = package_of(purl or "")
        except BadPurl:
            unnamed += 1
            continue
        if storable(purl or "") != purl:
            unnamed += 1
            continue
        found[(package.ecosystem or package.purl, package.name, package.version)] = package
    return list(found.values()), unnamed


# --- packages, compared ---


def compare_new(context: Context) -> int:
    """Compare packages that came since; how many."""
    with context.store.reading() as connection:
        dump = osv.current(connection)
    return 0 if dump is None else _compare(context, dump, ROUND)


def _compare(context: Context, dump: OsvDump, rounds: int | None) -> int:
    """In steps; how many packages."""
    count = 0
    while rounds is None or rounds > 0:
        with context.store.reading() as connection:
            found = osv.unchecked(connection, dump.id, AT_ONCE)
            judged = [(package.id, *_judged(connection, dump, package)) for package in found]
        if not found:
            break
        with context.store.writing() as connection:
            for package_id, hits, problem in judged:
                osv.checked(connection, dump.id, package_id, hits, problem)
        count += len(found)
        rounds = None if rounds is None else rounds - 1
        context.clock.sleep(BREATH)
    return count


def _judged(
    connection: Connection, dump: OsvDump, package: PackageRow
) -> tuple[list[tuple[str, str | None]], str | None]:
    """Documents that mean the package, and why not everything could be told."""
    if not package.ecosystem:
        kind = package.purl.partition("/")[0].removeprefix("pkg:")
        return [], f"OSV has no name for packages such as {kind}: nothing is known of it"
    base = base_of(package.ecosystem)
    if not any(base_of(known) == base for known in dump.ecosystems):
        return [], f"the import holds nothing of {base}"
    hits: dict[str, str | None] = {}
    untold: list[str] = []
    for row in osv.affected_by(connection, dump.id, package.ecosystem, package.name):
        found = judge(unpacked(row.ecosystem, row.name, row.spec), package.version)
        if found.affected:
            hits[row.osv_id] = found.fixed
        elif found.affected is None:
            untold.append(f"{row.osv_id}: {found.why}")
    if not is_compared(package.ecosystem):
        untold.append(f"versions of {base} are only looked up, not compared")
    return list(hits.items()), storable(cannot_tell(untold))[:500] or None


# --- the import ---


def go_on_importing(context: Context) -> bool:
    """Rule 3; True if something was done."""
    with context.store.reading() as connection:
        dump = osv.under_way(connection)
    if dump is None:
        return False
    try:
        _import(context, dump)
    except LostRace:
        return True
    except _Failed as error:
        _fail(context, dump, str(error))
    return True


class _Failed(Exception):
    """The import cannot be used; the text says why."""


def _import(context: Context, dump: OsvDump) -> None:
    if dump.deadline <= context.clock.now():
        raise _Failed("it was not done by its deadline")
    with context.store.writing() as connection:
        if dump.state is states.OsvDump.WAITING:
            osv.moved(connection, dump, dump.state, states.OsvDump.READING)
    if dump.state is not states.OsvDump.MATCHING:
        _documents(context, dump)
    with context.store.reading() as connection:
        dump = osv.by_id(connection, dump.id)
    _finish(context, dump)


def _documents(context: Context, dump: OsvDump) -> None:
    """Read all of it. Raises _Failed."""
    while True:  # what an interrupted try left
        with context.store.writing() as connection:
            if not osv.remove_some(connection, dump.id):
                break
    sums: Counter[str] = Counter()
    of: Counter[str] = Counter()
    problems: list[str] = []
    some: list[Record] = []

    def put() -> None:
        with context.store.writing() as connection:
            for record in osv.put(connection, dump.id, some):
                sums.update(documents=1, affected=len(record.affected))
                of.update({each.ecosystem for each in record.affected})
            told = {name: sums[name] for name in ("documents", "withdrawn", "bad", "affected", "read_bytes")}
            osv.told(connection, dump.id, **told, ecosystems=dict(of), problems=problems)
        some.clear()
        context.changes.touch()
        context.clock.sleep(BREATH)

    try:
        stream = context.blobs.open(dump.sha256)
    except FarmgateError as error:
        raise _Failed(f"its bytes were not to be had: {error}") from error
    with stream:
        for at, line in enumerate(_lines(stream, sums), 1):
            if at > MOST_DOCUMENTS:
                raise _Failed(f"it holds more than {MOST_DOCUMENTS} documents")
            if line is None:
                _bad(sums, problems, f"line {at}: longer than {LINE_BYTES} bytes")
                continue
            try:
                record = parse(line)
            except BadDocument as error:
                _bad(sums, problems, f"line {at}: {error}")
                continue
            if record.withdrawn:
                sums.update(withdrawn=1)
                continue
            some.append(record)
            if len(some) >= AT_ONCE:
                put()
    put()
    _believable(context, dump, sums, of, problems)
    with context.store.writing() as connection:
        osv.moved(connection, dump, states.OsvDump.READING, states.OsvDump.MATCHING)


def _bad(sums: Counter[str], problems: list[str], said: str) -> None:
    sums.update(bad=1)
    if len(problems) < PROBLEMS_KEPT:
        problems.append(storable(said)[:300])


def _lines(stream: BinaryIO, sums: Counter[str]) -> Iterator[bytes | None]:
    """Each document; None for one that is too long. Raises _Failed."""
    given = 0
    counted = _Counted(stream, sums)
    try:
        with gzip.GzipFile(fileobj=cast(BinaryIO, counted)) as lines:
            while line := lines.readline(LINE_BYTES):
                given += len(line)
                if given > MOST_BYTES:
                    raise _Failed(f"it unpacks to more than {MOST_BYTES} bytes")
                if not line.endswith(b"\n") and len(line) >= LINE_BYTES:
                    while (rest := lines.readline(LINE_BYTES)) and not rest.endswith(b"\n"):
                        given += len(rest)
                        if given > MOST_BYTES:
                            raise _Failed(f"it unpacks to more than {MOST_BYTES} bytes")
                    yield None
                elif line.strip():
                    yield line
    except (OSError, EOFError, zlib.error) as error:
        raise _Failed(f"after {sums['documents']} documents it cannot be unpacked: {error}") from None


class _Counted:
    """A stream that says how far it was read."""

    def __init__(self, stream: BinaryIO, sums: Counter[str]) -> None:
        self._stream, self._sums = stream, sums

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._sums.update(read_bytes=len(data))
        return data


def _believable(context: Context, dump: OsvDump, sums: Counter[str], of: Counter[str], problems: list[str]) -> None:
    """Rule 4. Raises _Failed."""
    whole = sums["documents"] + sums["withdrawn"] + sums["bad"]
    if sums["bad"] > max(BAD_ALWAYS, whole // BAD_SHARE) or (sums["bad"] and not sums["documents"]):
        raise _Failed(f"{sums['bad']} of {whole} documents cannot be read, the first: {problems[0]}")
    if not sums["documents"]:
        raise _Failed("it holds no document")
    with context.store.reading() as connection:
        before = osv.current(connection)
    lost = sorted({base_of(each) for each in before.ecosystems} - {base_of(each) for each in of}) if before else []
    if lost and not dump.without:
        raise _Failed(
            f"it has nothing of {', '.join(lost[:20])}, and the one before had: say --without if that is meant"
        )


def _finish(context: Context, dump: OsvDump) -> None:
    """Compare every package, then let it count."""
    while True:
        _compare(context, dump, None)
        now = context.clock.now()
        with context.store.writing() as connection:
            if osv.unchecked(connection, dump.id, 1):
                continue  # a document was read meanwhile
            count = osv.count_checked(connection, dump.id)
            osv.moved(connection, dump, states.OsvDump.MATCHING, states.OsvDump.DONE, matched=count, finished_at=now)
            text = f"{dump.documents} documents of {len({base_of(each) for each in dump.ecosystems})} ecosystems"
            text += f"; {count} packages compared; {dump.bad} documents could not be read" if dump.bad else ""
            events.record(connection, now, "vulnerabilities.imported", "farm", dump.asked_by, text)
        log.info("vulnerabilities imported", documents=dump.documents, packages=count)
        return


def _fail(context: Context, dump: OsvDump, reason: str) -> None:
    now = context.clock.now()
    with context.store.writing() as connection:
        standing = osv.by_id(connection, dump.id).state
        values = {"reason": storable(reason)[:1000], "finished_at": now}
        osv.moved(connection, dump, standing, states.OsvDump.FAILED, **values)
        text = f"the import failed, what was known before still counts: {reason}"[:1000]
        events.record(connection, now, "vulnerabilities.refused", "farm", dump.asked_by, storable(text))


def remove_stale(context: Context) -> bool:
    """Rows of dumps that no longer count, a few steps a round."""
    with context.store.reading() as connection:
        found = osv.stale(connection)
    for number in found:
        for _ in range(ROUND):
            with context.store.writing() as connection:
                if not osv.remove_some(connection, number):
                    break
            context.clock.sleep(BREATH)
        else:
            return True
    return bool(found)
