"""Which lines were run, by file.

Rules:
1. A line or branch named several times counts once, with the best that was said of it.
2. Paths are relative to the workspace. What lies outside of it (a library, another checkout) is left out and counted.
3. A file's numbers are made of its lines, never of the sums that a producer wrote.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from farmgate.reports.errors import BadReport
from farmgate.reports.results import name_of

MOST_FILES: Final = 50_000
MOST_LINES: Final = 32 * 2**20  # of all files together: a byte each
LONGEST_FILE: Final = 2_000_000
MOST_BRANCHES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """Lines and branches of a file."""

    path: str
    covered: int
    lines: int
    branches_covered: int
    branches: int


@dataclass(slots=True)
class _File:
    lines: bytearray = field(default_factory=bytearray)  # by number: 0 no code, 1 not run, 2 run
    branches: dict[int | tuple[int, str], tuple[int, int]] = field(default_factory=dict)


@dataclass
class Coverage:
    """Gathers lines. `roots`: what the workspace is called where the report was written."""

    roots: Sequence[str] = ()
    outside: int = 0
    example: str = ""
    _files: dict[str, _File] = field(default_factory=dict)
    _lines: int = 0
    _branches: int = 0

    def file(self, written: str, sources: Sequence[str] = ()) -> _File | None:
        """The file to add lines to; None: it lies outside. Raises BadReport."""
        path = self._inside(written, sources)
        if path is None:
            self.outside += 1
            self.example = self.example or name_of(written, 200)
            return None
        found = self._files.get(path)
        if found is None:
            if len(self._files) >= MOST_FILES:
                raise BadReport(f"has more than {MOST_FILES} files")
            found = self._files[path] = _File()
        return found

    def line(self, of: _File, number: int, hits: int) -> None:
        """Raises BadReport for more lines than can be kept."""
        if not 0 < number <= LONGEST_FILE:
            return
        missing = number + 1 - len(of.lines)
        if missing > 0:
            missing += 256
            self._lines += missing
            if self._lines > MOST_LINES:
                raise BadReport(f"has more than {MOST_LINES} lines")
            of.lines.extend(bytes(missing))
        said = 2 if hits > 0 else 1
        if of.lines[number] < said:
            of.lines[number] = said

    def branch(self, of: _File, place: int | tuple[int, str], covered: int, of_all: int) -> None:
        """Branches at a place: `covered` of `of_all`. Raises BadReport."""
        known = of.branches.get(place)
        if known is None:
            self._branches += 1
            if self._branches > MOST_BRANCHES:
                raise BadReport(f"has more than {MOST_BRANCHES} branches")
            known = (0, 0)
        of.branches[place] = (max(known[0], min(covered, of_all)), max(known[1], of_all))

    def files(self) -> Iterator[FileCoverage]:
        """By path."""
        for path in sorted(self._files):
            one = self._files[path]
            run, not_run = one.lines.count(2), one.lines.count(1)
            yield FileCoverage(
                path,
                run,
                run + not_run,
                sum(covered for covered, _ in one.branches.values()),
                sum(of_all for _, of_all in one.branches.values()),
            )

    def _inside(self, written: str, sources: Sequence[str]) -> str | None:
        """Rule 2."""
        plain = written.replace("\\", "/")
        if not plain.startswith("/") and plain[1:3] != ":/":
            for source in sources:  # the first folder inside of the workspace that it may be relative to
                below = self._below(source.replace("\\", "/"))
                if below is not None:
                    plain = posixpath.join(below, plain)
                    break
        below = self._below(plain)
        return name_of(below, 1000) if below else None

    def _below(self, path: str) -> str | None:
        if path[1:3] == ":/":
            return None
        if path.startswith("/"):
            path = posixpath.normpath(path)
            for root in self.roots:
                if path == root or path.startswith(root.rstrip("/") + "/"):
                    return path[len(root.rstrip("/")) :].strip("/")
            return None
        path = posixpath.normpath(path) if path else ""
        return None if path == ".." or path.startswith("../") else path.removeprefix("./") if path != "." else ""
