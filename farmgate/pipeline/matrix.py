"""A job for every combination of its axes, and in shards.

Rules:
1. The cells are all combinations of the axes, in the order of the file, the last axis fastest, without those that an
   entry of `exclude` fits.
2. An entry of `include` that contradicts no cell's axes on the keys it shares adds its further variables to the cells
   that it fits; one that fits none is a cell of its own.
3. A cell's values are put in where `${{ matrix.NAME }}` stands, and are variables MATRIX_NAME of the job.
4. Cells are counted before they are made: a matrix of a million cells costs nothing.
5. A job is called by its cell, `test (3.12, linux)`, and its shard, `test (3.12, linux) 2/4`. Who needs `test` needs
   all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from farmgate.pipeline.models import ShardSpec
from farmgate.pipeline.parts import MatrixFile

CELL_LIMIT: Final = 1000
LONGEST_NAME: Final = 200
_LONGEST_VALUE: Final = 40

Cell = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unfolded:
    """One job of what a job of the file becomes."""

    name: str
    cell: Cell
    shard: ShardSpec | None


def count(matrix: MatrixFile) -> int:
    """How many cells there can be at most."""
    product = math.prod(len(axis) for axis in matrix.axes.values()) if matrix.axes else 0
    return product + len(matrix.include)


def cells(matrix: MatrixFile) -> tuple[Cell, ...]:
    """All cells (rules 1 and 2). The caller has counted them."""
    names = list(matrix.axes)
    combined = [
        dict(zip(names, values, strict=True)) for values in (itertools.product(*matrix.axes.values()) if names else ())
    ]
    kept = [cell for cell in combined if not any(_fits(entry, cell) for entry in matrix.exclude)]
    found = [dict(cell) for cell in kept]
    more: list[dict[str, str]] = []
    for entry in matrix.include:
        shared = {name: value for name, value in entry.items() if name in matrix.axes}
        fitting = [at for at, cell in enumerate(kept) if _fits(shared, cell)]
        if fitting and len(shared) < len(entry):
            for at in fitting:
                found[at].update(entry)
        elif not fitting or not shared:
            more.append(dict(entry))
    return (*found, *more)


def _fits(entry: Mapping[str, str], cell: Mapping[str, str]) -> bool:
    return all(cell.get(name) == value for name, value in entry.items())


def unfold(name: str, of: Sequence[Cell], shards: int | None) -> Iterator[Unfolded]:
    """The jobs of a job (rule 5). `of`: its cells; none: it has no matrix."""
    taken: set[str] = set()
    for cell in of or ({},):
        called = f"{name} ({', '.join(_short(value) for value in cell.values())})" if cell else name
        called = _once(called[: LONGEST_NAME - 10], taken)
        if shards is None:
            yield Unfolded(called, cell, None)
            continue
        for number in range(1, shards + 1):
            yield Unfolded(f"{called} {number}/{shards}", cell, ShardSpec(number=number, of=shards))


def _short(value: str) -> str:
    plain = " ".join(value.split())
    return plain if len(plain) <= _LONGEST_VALUE else plain[: _LONGEST_VALUE - 1] + "…"


def _once(name: str, taken: set[str]) -> str:
    called, again = name, 1
    while called in taken:
        again += 1
        called = f"{name} #{again}"
    taken.add(called)
    return called
