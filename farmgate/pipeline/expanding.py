"""What a file becomes: its template's jobs, and its matrices, written out as a file that says the same.

Rules:
1. What is written reads as the same pipeline: whoever expands or ejects checks that, and refuses otherwise.
2. `expanded` is a new file. `ejected` changes the file as it stands: what the template brought is written under `jobs`,
   the lines of `use`, `parameters` and `tier` go, all others stay as they are, with their comments.
3. Where a file cannot be changed in place (it is one line, or `jobs` is an alias), it is written anew, without
   comments; the caller is told.
4. A matrix is written out as a job for each cell, under a name of its own. One that says `at_once` stays: nothing else
   says that. Shards stay too: their variables are Farmgate's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farmgate.documents import write
from farmgate.errors import BadDocument
from farmgate.pipeline.builtin import BUILT_IN
from farmgate.pipeline.models import Pipeline
from farmgate.pipeline.parsing import FILE_NAME, Opened, open_file, parse
from farmgate.pipeline.standing import Checked, checked, refuse
from farmgate.pipeline.substitution import Room, escaped, fill
from farmgate.pipeline.templates import Templates

_OF_TEMPLATES = ("use", "parameters", "tier")


@dataclass(frozen=True, slots=True)
class Ejected:
    """The new text. `anew`: its comments are lost (rule 3)."""

    text: str
    anew: bool


def expanded(
    text: str | bytes, source: str = FILE_NAME, templates: Templates = BUILT_IN, *, matrices: bool = False
) -> str:
    """The file without templates; with `matrices` also without these. Raises BadDocument."""
    wanted = parse(text, source, templates)
    opened = open_file(text, source, templates)
    data = _data(opened)
    if matrices:
        data["jobs"] = _cells_written_out(opened)
        made = write(data)
        parse(made, source, templates)
        return made
    made = write(data)
    if not same(parse(made, source, templates), wanted):
        raise AssertionError("an expanded file says something else than the file")
    return made


def ejected(text: str, source: str = FILE_NAME, templates: Templates = BUILT_IN) -> Ejected:
    """The file with its template's jobs written into it. Raises BadDocument."""
    wanted = parse(text, source, templates)
    opened = open_file(text, source, templates)
    if opened.head.use is None:
        return Ejected(text, anew=False)
    made = _changed_in_place(text, opened)
    try:
        if made is not None and same(parse(made, source, templates), wanted):
            return Ejected(made, anew=False)
    except BadDocument:
        pass  # an anchor that stood in what went, say
    return Ejected(expanded(text, source, templates), anew=True)


def same(one: Pipeline, other: Pipeline) -> bool:
    """True if they run the same jobs, wherever they came from and in whatever order they stand."""
    return one.jobs == other.jobs and one.cancel_superseded == other.cancel_superseded


def _data(opened: Opened) -> dict[str, Any]:
    rest = {key: value for key, value in opened.document.data.items() if key not in (*_OF_TEMPLATES, "jobs")}
    return {**rest, "jobs": {job.name: job.raw for job in opened.jobs}}


# --- ejecting --------------------------------------------------------------------------------------------------------


def _changed_in_place(text: str, opened: Opened) -> str | None:
    """Rule 2; None where it cannot be done."""
    lines = text.splitlines(keepends=True)
    root = opened.document.root
    starts = sorted((line, name) for name, (line, column) in root.keys.items() if column == 1)
    if len(starts) != len(root.keys) or text.lstrip().startswith("{") or any("\r" in line for line in lines):
        return None
    ends = [line for line, _ in starts[1:]] + [len(lines) + 1]
    gone: set[int] = set()
    for (start, name), end in zip(starts, ends, strict=True):
        if name in _OF_TEMPLATES:
            last = end - 1
            while last > start and _is_between(lines[last - 1]):
                last -= 1  # what stands before the next key belongs to it
            gone.update(range(start, last + 1))
    brought = {job.name: job.raw for job in opened.jobs if job.used}
    indent, at = 2, None
    if "jobs" in root.keys:
        line, _ = root.keys["jobs"]
        below = root.below["jobs"]
        first = min(below.keys.values())
        if below.mark[0] <= line or below.mark != first or lines[line - 1].split("#")[0].strip() != "jobs:":
            return None
        indent, at = first[1] - 1, line
    written = _with_blank_lines(brought, indent, str(opened.head.use), opened.head.tier)
    kept = ["" if number in gone else line for number, line in enumerate(lines, 1)]
    if at is None:
        whole = "".join(kept).rstrip("\n")
        return f"{whole}\n\njobs:\n{written}" if whole.strip() else f"jobs:\n{written}"
    own = "".join(kept[at:])
    return "".join(kept[:at]) + written + ("\n" if own.strip() else "") + own


def _is_between(line: str) -> bool:
    return not line.strip() or line.startswith("#")


def _with_blank_lines(jobs: Mapping[str, Any], indent: int, use: str, tier: str | None) -> str:
    note = f"{' ' * indent}# from template {use}" + (f", tier {tier}" if tier else "") + "\n"
    return note + "\n".join(write({name: raw}, indent=indent) for name, raw in jobs.items())


# --- matrices --------------------------------------------------------------------------------------------------------


def _cells_written_out(opened: Opened) -> dict[str, Any]:
    """Rule 4."""
    jobs, wrong = checked(opened.jobs)
    refuse(wrong)
    taken = {one.job.name for one in jobs}
    names = {one.job.name: _names(one, taken) for one in jobs}
    found: dict[str, Any] = {}
    for one in jobs:
        cells = one.cells if len(names[one.job.name]) == len(one.cells) else ()
        for name, cell in zip(names[one.job.name], cells or ({},), strict=True):
            raw = dict(one.job.raw)
            if cells:
                raw = {key: value for key, value in raw.items() if key != "matrix"}
                raw = escaped(fill(raw, {"matrix": cell}, lambda *_: None, room=Room(2**25)))
                if "approve" not in raw:
                    own = {f"MATRIX_{axis.upper()}": escaped(value) for axis, value in cell.items()}
                    raw["environment"] = {**(raw.get("environment") or {}), **own}
            if one.first.needs:
                raw["needs"] = _all_of(raw["needs"], names)
            found[name] = raw
    return found


def _names(one: Checked, taken: set[str]) -> tuple[str, ...]:
    if not one.cells or (one.first.matrix is not None and one.first.matrix.at_once is not None):
        return (one.job.name,)
    found = []
    for cell in one.cells:
        plain = re.sub(r"[^a-z0-9_]+", "-", "-".join((one.job.name, *cell.values())).lower()).strip("-")[:55]
        name, again = plain, 1
        while name in taken:
            again += 1
            name = f"{plain}-{again}"
        taken.add(name)
        found.append(name)
    return tuple(found)


def _all_of(needs: Any, names: Mapping[str, tuple[str, ...]]) -> list[Any]:
    found: list[Any] = []
    for need in needs if isinstance(needs, list) else [needs]:
        if isinstance(need, dict):
            found += [{**need, "job": name} for name in names[need["job"]]]
        else:
            found += names[need]
    return found
