"""The reports of a job, read on its node and sent as rows.

Rules:
1. Reports are read however the job ended: a failed one is when they matter. They never change how it ended: a file that
   is missing, too large or cannot be read is told in the log and with the report.
2. Files are strangers' bytes: opened as artifacts are, read in pieces, up to READ_BYTES each and KIND_BYTES together.
3. Rows go in pages of bounded size; of tests, what failed goes last (workers.tries).
4. Of a job with secrets a masked copy is read and sent, never the file itself; and what its rows say is masked again.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final, Literal

from farmgate.errors import ServerUnreachable
from farmgate.masks import Masking, Masks
from farmgate.messages import CaseRow, CoveredFile, FindingRow, ReportEnd, ReportFile, ReportPage, Result
from farmgate.reports import BadReport, Case, Coverage, cobertura, cyclonedx, junit, lcov, sarif
from farmgate.reports.results import name_of
from workers.artifacts import Found, NothingThere, OutsideWorkspace, Workspace
from workers.logs import while_it_may_speak
from workers.tries import Cases

if TYPE_CHECKING:
    from workers.around import Around

Kind = Literal["tests", "coverage", "findings", "components"]
READ_BYTES: Final = 64 * 2**20
KIND_BYTES: Final = 512 * 2**20
MOST_FILES: Final = 1000
MOST_FINDINGS: Final = 20_000
PAGE_ROWS: Final = 2_000
PAGE_BYTES: Final = 1 * 2**20
_PIECE: Final = 256 * 1024


def read(around: Around, workspace: Workspace, result: Result) -> None:
    """Read and send what the job's `reports` name. Raises what the client raises."""
    wanted = around.spec.reports
    if around.stop.ending is not None or not any(dict(wanted).values()):
        return
    with around.timings.phase("reports"):
        if wanted.junit:
            _Reading(around, workspace, "tests").tests(wanted.junit, passed=result.outcome == "passed")
        if wanted.cobertura or wanted.lcov:
            _Reading(around, workspace, "coverage").coverage(wanted.cobertura, wanted.lcov)
        if wanted.sarif:
            _Reading(around, workspace, "findings").findings(wanted.sarif)
        if wanted.cyclonedx:
            _Reading(around, workspace, "components").components(wanted.cyclonedx)


@dataclass(slots=True)
class _Open:
    """A file under way."""

    found: Found
    size: int
    modified_at: datetime
    descriptor: int


class _Reading:
    """The files of one kind."""

    def __init__(self, around: Around, workspace: Workspace, kind: Kind) -> None:
        self._around, self._workspace, self._kind = around, workspace, kind
        self._files: list[ReportFile] = []
        self._complete = True
        self._bytes = 0
        self._number = 0
        self._page: list[CaseRow] | list[CoveredFile] | list[FindingRow] = []
        self._page_bytes = 0

    # --- kinds ---------------------------------

    def tests(self, patterns: Sequence[str], *, passed: bool) -> None:
        gathered = Cases(self._case)
        for file in self._each("junit", patterns):
            self._read(file, lambda chunks: gathered.take(junit.read(chunks)))
        figures = gathered.finish(passed=passed)
        self._end(figures)
        self._say(
            f"{figures['passed']:.0f} passed, {figures['failed'] + figures['errors']:.0f} failed, "
            f"{figures['skipped']:.0f} skipped"
            + (f", {figures['flaky']:.0f} passed only after a try that failed" if figures["flaky"] else "")
        )

    def coverage(self, as_cobertura: Sequence[str], as_lcov: Sequence[str]) -> None:
        gathered = Coverage(roots=(self._around.places.workspace, str(self._around.folder / "workspace")))
        for name, patterns, reader in (("cobertura", as_cobertura, cobertura.read), ("lcov", as_lcov, lcov.read)):
            for file in self._each(name, patterns):
                self._read(file, lambda chunks, reader=reader: reader(chunks, gathered))  # type: ignore[misc]
        sums: Counter[str] = Counter()
        for one in gathered.files():
            sums.update(covered=one.covered, lines=one.lines, branches_covered=one.branches_covered)
            sums.update(branches=one.branches, files=1)
            self._add(
                CoveredFile(
                    path=one.path,
                    covered=one.covered,
                    lines=one.lines,
                    branches_covered=one.branches_covered,
                    branches=one.branches,
                ),
                len(one.path),
            )
        names = ("covered", "lines", "branches_covered", "branches", "files")
        self._end({**{name: float(sums[name]) for name in names}, "outside": float(gathered.outside)})
        share = f"{100 * sums['covered'] / sums['lines']:.1f} %" if sums["lines"] else "nothing"
        self._say(f"{share} of {sums['lines']} lines in {sums['files']} files")
        if gathered.outside:
            self._say(f"{gathered.outside} files outside of the workspace are left out, such as {gathered.example!r}")

    def findings(self, patterns: Sequence[str]) -> None:
        sums: Counter[str] = Counter()

        def take(chunks: Iterator[bytes]) -> None:
            for one in sarif.read(chunks):
                sums.update(all=1)
                sums.update({one.level: 1})
                if sums["all"] <= MOST_FINDINGS:
                    row = FindingRow(
                        rule=one.rule,
                        level=one.level,
                        path=one.path,
                        line=one.line,
                        message=self._around.masks.text(one.message),
                        print=one.print,
                    )
                    self._add(row, len(one.path) + len(one.message))

        for file in self._each("sarif", patterns):
            self._read(file, take)
        if sums["all"] > MOST_FINDINGS:
            self._complete = False
            self._say(f"{sums['all']} findings, of which the first {MOST_FINDINGS} are kept")
        self._end({name: float(sums[name]) for name in ("all", "error", "warning", "note", "none")})
        self._say(f"{sums['error']} errors, {sums['warning']} warnings, {sums['note'] + sums['none']} notes")

    def components(self, patterns: Sequence[str]) -> None:
        sums: Counter[str] = Counter(all=0)
        for file in self._each("cyclonedx", patterns):
            self._read(file, lambda chunks: cyclonedx.read(chunks, sums))
        self._end({name: float(count) for name, count in sums.items()})
        self._say(f"{sums['all']} components")

    # --- files ---------------------------------

    def _each(self, key: str, patterns: Sequence[str]) -> Iterator[_Open]:
        """Every file once, open while it is looked at."""
        found: dict[str, Found] = {}
        for pattern in patterns:
            try:
                found.update((file.path, file) for file in self._workspace.find([pattern]))
            except (NothingThere, OutsideWorkspace) as error:
                self._complete = False
                self._say(f"reports.{key}: {error}".replace("the artifact ", ""))
        for number, path in enumerate(sorted(found)):
            if number >= MOST_FILES:
                self._complete = False
                self._say(f"reports.{key}: {len(found)} files, of which the first {MOST_FILES} are read")
                return
            try:
                descriptor = self._workspace.open(found[path])
            except (NothingThere, OutsideWorkspace) as error:
                self._complete = False
                self._say(f"reports.{key}: {error}".replace("the artifact ", ""))
                continue
            try:
                state = os.fstat(descriptor)
                if self._around.masks:
                    with TemporaryFile(dir=self._around.folder) as copy:
                        size = _masked(self._around.masks, descriptor, state.st_size, copy)
                        yield _Open(found[path], size, _time(state.st_mtime), copy.fileno())
                else:
                    yield _Open(found[path], state.st_size, _time(state.st_mtime), descriptor)
            finally:
                os.close(descriptor)

    def _read(self, file: _Open, take: Callable[[Iterator[bytes]], None]) -> None:
        limit = min(READ_BYTES, KIND_BYTES - self._bytes)
        problem = None
        try:
            take(_pieces(file.descriptor, limit))
        except BadReport as error:
            problem = str(error)
        if file.size > limit:
            problem = f"has {file.size / 2**20:.0f} MiB, of which {limit / 2**20:.0f} MiB were read"
        self._bytes += min(file.size, limit)
        if problem is not None:
            self._complete = False
            self._say(f"{file.found.path}: {problem}")
        sha256 = None
        if file.size <= READ_BYTES:
            around = self._around
            sha256 = while_it_may_speak(around.stop, partial(_keep, around, file.found.path, file.descriptor))
        self._files.append(
            ReportFile(
                path=name_of(file.found.path, 1000),
                size_bytes=file.size,
                sha256=sha256,
                problem=problem,
                modified_at=file.modified_at,
            )
        )

    # --- rows ---------------------------------

    def _case(self, case: Case, ordinal: int) -> None:
        hide = self._around.masks.text  # again: what was written with entities is plain only now
        row = CaseRow(
            suite=hide(case.suite),
            class_name=hide(case.class_name),
            name=hide(case.name),
            file=case.file,
            outcome=case.outcome,
            seconds=case.seconds,
            failed_tries=case.failed_tries,
            ordinal=ordinal,
            message=hide(case.message),
            text=hide(case.text),
        )
        self._add(row, len(case.name) + len(case.class_name) + len(case.suite) + len(case.message) + len(case.text))

    def _add(self, row: CaseRow | CoveredFile | FindingRow, size: int) -> None:
        self._page.append(row)  # type: ignore[arg-type]
        self._page_bytes += 2 * size + 200
        if len(self._page) >= PAGE_ROWS or self._page_bytes >= PAGE_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._page:
            return
        page: ReportPage
        match self._kind:
            case "tests":
                page = ReportPage(kind="tests", number=self._number, cases=tuple(self._page))
            case "coverage":
                page = ReportPage(kind="coverage", number=self._number, covered=tuple(self._page))
            case _:
                page = ReportPage(kind="findings", number=self._number, findings=tuple(self._page))
        around = self._around
        while_it_may_speak(around.stop, lambda: around.bench.client.report_page(around.claimed, page))
        self._page, self._page_bytes = [], 0
        self._number += 1

    def _end(self, figures: dict[str, float]) -> None:
        self._flush()
        around = self._around
        end = ReportEnd(
            kind=self._kind,
            pages=self._number,
            complete=self._complete and bool(self._files),
            files=tuple(self._files[:MOST_FILES]),
            figures=figures,
        )
        while_it_may_speak(around.stop, lambda: around.bench.client.report_end(around.claimed, end))

    def _say(self, text: str) -> None:
        self._around.say(f"farmgate: {self._kind}: {text}")


def _pieces(descriptor: int, limit: int) -> Iterator[bytes]:
    at = 0
    while at < limit:
        data = os.pread(descriptor, min(_PIECE, limit - at), at)
        if not data:
            return
        at += len(data)
        yield data


def _keep(around: Around, path: str, descriptor: int) -> str:
    """Send the bytes; their sha256."""
    size = os.fstat(descriptor).st_size
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        sent = 0
        for data in _pieces(descriptor, size):
            digest.update(data)
            sent += len(data)
            yield data
        if sent < size:
            raise ServerUnreachable(f"the report {path!r} became shorter while it was sent")

    taken = around.bench.client.report_file(around.claimed, size, chunks())
    if taken.sha256 != digest.hexdigest():
        raise ServerUnreachable(f"the report {path!r} arrived damaged")
    return taken.sha256


def _masked(masks: Masks, descriptor: int, size: int, copy: IO[bytes]) -> int:
    """Rule 4: write it masked, as far as it is read at all; the size to go by."""
    masking = Masking(masks)
    for data in _pieces(descriptor, min(size, READ_BYTES)):
        copy.write(masking.feed(data))
    copy.write(masking.flush())
    copy.flush()
    return size if size > READ_BYTES else copy.tell()


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a job may set any time
        return datetime.fromtimestamp(0, UTC)
