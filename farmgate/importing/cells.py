"""Combinations as other systems spell them out, folded into a matrix that reads well.

Rules:
1. One combination is no matrix: its values stand where they are used.
2. All combinations of some axes are these axes; all but a few are axes and what to leave out; else each is listed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

Cell = Mapping[str, str]


def fold(cells: Sequence[Cell]) -> dict[str, Any]:
    """The matrix of cells that all have the same keys; nothing for one cell."""
    once = list({tuple(cell.items()): dict(cell) for cell in cells}.values())
    if len(once) < 2 or not once[0]:
        return {}
    axes = {key: list(dict.fromkeys(cell[key] for cell in once)) for key in once[0]}
    number = math.prod(len(values) for values in axes.values())
    if number == len(once):
        return axes
    if number <= len(once) * 1.5 and number - len(once) <= 6:
        there = {tuple(cell[key] for key in axes) for cell in once}
        missing = [dict(zip(axes, one, strict=True)) for one in itertools.product(*axes.values()) if one not in there]
        return {**axes, "exclude": missing}
    return {"include": once}


def value(cells: Sequence[Cell], key: str) -> str | None:
    """What stands where the cell's value is used."""
    if not cells or key not in cells[0]:
        return None
    different = {tuple(cell.items()) for cell in cells}
    return cells[0][key] if len(different) < 2 else f"${{{{ matrix.{key} }}}}"
