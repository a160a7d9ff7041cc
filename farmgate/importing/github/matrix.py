"""A job's matrix: the combinations that GitHub makes, without those on other systems than Linux.

Rules:
1. `include` adds to the combinations that it fits, or is one of its own; `exclude` takes away.
2. What all combinations share is no matrix: it is put in where it is used.
3. A mapping as a value is flattened: `matrix.python.version` is python_version.

Follows "Running variations of jobs in a workflow" of the documentation of GitHub Actions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing import cells
from farmgate.importing.account import Kind, Part
from farmgate.importing.github import expressions
from farmgate.importing.github.expressions import has
from farmgate.importing.shell import summary

ELSEWHERE: Final = "runs on another system"  # why a step was not converted

if TYPE_CHECKING:
    from farmgate.importing.github.jobs import JobReader


def matrix(job: JobReader) -> None:
    """Read `strategy`: the draft's matrix, and what expressions may name of it."""
    strategy = job.part.part("strategy")
    if strategy is None:
        return
    at_once = strategy.text("max-parallel")
    strategy.needless("fail-fast", "each combination is a job of its own, and tells for itself")
    value = strategy.take("matrix")
    strategy.close("strategy")
    if value is None:
        return
    if not isinstance(value, dict):
        job.scope.whole = False
        at = (*strategy.at, "matrix")
        job.part.say(Kind.LEFT, at, "a matrix that is computed", "write its values, or let a job emit jobs")
        return
    below = strategy.below("matrix", value)
    before = len(job.account.remarks)
    found = _combinations(below)
    job.scope.whole = len(job.account.remarks) == before
    kept = _here(job, below, found)
    if not kept:
        job.scope.whole = False
        return
    names = list(dict.fromkeys(key for cell in kept for key in cell))
    whole = [{name: cell.get(name, "") for name in names} for cell in kept]
    constant = {name: whole[0][name] for name in names if len({cell[name] for cell in whole}) == 1}
    used = [{key: text for key, text in cell.items() if key not in constant} for cell in whole]
    good = [cell for cell in used if not any(len(text) > 1000 or "\0" in text for text in cell.values())]
    if len(good) < len(used):
        below.say(Kind.LEFT, below.at, "combinations with a value that is too long", "write them by hand", key=True)
    used = good
    written = {one: here for here in (used[0] if used else ()) for one in _spellings(here, below)}
    constants = {one: text for here, text in constant.items() for one in _spellings(here, below)}
    job.scope.plain = all(expressions.PLAIN.fullmatch(text) for cell in used for text in cell.values())
    job.draft.matrix = cells.fold(used)
    if not job.draft.matrix:  # rule 2: one combination is left
        constants.update({one: used[0][here] for one, here in written.items()})
        written = {}
    elif at_once and at_once.isdigit() and int(at_once) > 0:
        job.draft.matrix["at_once"] = int(at_once)
    job.scope.constants, job.scope.matrix = constants, written


def _combinations(matrix: Part) -> list[dict[str, str]]:
    """Rule 1."""
    axes = {key: _axis(matrix, key) for key in matrix.names() if key not in ("include", "exclude")}
    include, exclude = (
        [_entry(matrix, at, one, "") for at, one in matrix.listed(key) if isinstance(one, dict)]
        for key in ("include", "exclude")
    )
    return _unfold(axes, include, exclude)


def _here(job: JobReader, matrix: Part, found: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those that run on Linux; the others are left."""
    kept = [cell for cell in found if not _elsewhere(cell, job.part.value.get("runs-on"))]
    gone = len(found) - len(kept)
    if gone:
        message = f"{gone} combinations on other systems than Linux"
        matrix.say(Kind.LEFT, matrix.at, message, "nodes run Linux containers: keep those where they are", key=True)
        job.elsewhere = not kept
    return kept


def _axis(matrix: Part, key: str) -> list[dict[str, str]]:
    value = matrix.value[key]
    if isinstance(value, str) and has(value):
        matrix.left(key, f"axis {key} is computed", "write its values, or let a job emit jobs")
        return []
    return [_entry(matrix, at, {key: one}, "") for at, one in matrix.listed(key)]


def _entry(matrix: Part, at: Location, value: Mapping[str, Any], above: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, one in value.items():
        name = expressions.matrix_name(f"{above}{key}")
        if isinstance(one, dict):
            found.update(_entry(matrix, at, one, f"{above}{key}."))
        elif isinstance(one, list):
            found[name] = " ".join(as_written(word) or "" for word in one)
        else:
            text = as_written(one) or ""
            if has(text):
                matrix.say(
                    Kind.LEFT, at, f"a value of the matrix that is computed: {summary(text)}", "write it by hand"
                )
                continue
            found[name] = text
    return found


def _unfold(
    axes: Mapping[str, list[dict[str, str]]], include: Sequence[dict[str, str]], exclude: Sequence[dict[str, str]]
) -> list[dict[str, str]]:
    """All combinations, as GitHub makes them."""
    found: list[dict[str, str]] = [{}] if any(axes.values()) else []
    for values in axes.values():
        if values and len(found) * len(values) <= 1000:
            found = [{**cell, **value} for cell in found for value in values]
    found = [
        cell
        for cell in found
        if not any(entry and all(cell.get(key) == value for key, value in entry.items()) for entry in exclude)
    ]
    original = {key for values in axes.values() for value in values for key in value}
    made = [dict(cell) for cell in found]
    for entry in include:
        shared = {key: value for key, value in entry.items() if key in original}
        fitting = [at for at, cell in enumerate(found) if all(cell.get(key) == value for key, value in shared.items())]
        if fitting and len(shared) < len(entry):
            for at in fitting:
                made[at].update(entry)
        elif not fitting:
            made.append(dict(entry))
    return made


def _elsewhere(cell: Mapping[str, str], runs_on: object) -> bool:
    """True if the combination runs on something else than Linux."""
    text = str(runs_on)
    named = re.findall(r"matrix\.([\w.-]+)", text)
    words = [cell.get(expressions.matrix_name(name), "") for name in named]
    return any(word.lower().startswith(("macos", "windows", "macos-", "osx")) for word in words)


def _spellings(here: str, matrix: Part) -> list[str]:
    """How the source writes the axis that is called `here`."""
    found = {here}

    def walk(value: object, above: str) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                name = f"{above}{key}"
                if expressions.matrix_name(name) == here:
                    found.add(name)
                walk(below, f"{name}.")
        elif isinstance(value, list):
            for below in value:
                walk(below, above)

    walk(matrix.value, "")
    for key in ("include", "exclude"):
        walk(matrix.value.get(key), "")
    return list(found)
