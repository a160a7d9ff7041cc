"""A run's jobs as columns by depth, with the lines between them. Pure.

Rules:
1. A job stands one column right of the deepest job it needs; order within a column is the pipeline file's.
2. Only direct needs are drawn, and none that a longer path already says.
3. A graph too large to read as a picture is not drawn; the page lists its jobs by state instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CARD_WIDTH, CARD_HEIGHT = 224, 62
GAP_X, GAP_Y = 44, 12
MOST_DRAWN = 60


@dataclass(frozen=True, slots=True)
class Graph:
    """Job names by column, and one SVG path per line. Sizes are CSS pixels."""

    columns: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...]
    width: int
    height: int


def lay_out(needs: Mapping[str, Sequence[str]]) -> Graph | None:
    """`needs` by job name, in the file's order. None if there are too many to draw."""
    if not needs or len(needs) > MOST_DRAWN:
        return None
    depth = _depths(needs)
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in needs:
        columns[depth[name]].append(name)
    place = {name: (x, y) for x, column in enumerate(columns) for y, name in enumerate(column)}
    lines = tuple(
        _line(place[need], place[name])
        for name, wanted in needs.items()
        for need in wanted
        if need in place and not _said_already(needs, name, need)
    )
    return Graph(
        columns=tuple(tuple(column) for column in columns),
        lines=lines,
        width=len(columns) * (CARD_WIDTH + GAP_X) - GAP_X,
        height=max(len(column) for column in columns) * (CARD_HEIGHT + GAP_Y) - GAP_Y,
    )


def _depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Depth by name; by rounds, so that even a cycle from a damaged row ends."""
    depth = dict.fromkeys(needs, 0)
    for _ in needs:
        before = dict(depth)
        for name, wanted in needs.items():
            depth[name] = max((depth[need] + 1 for need in wanted if need in depth), default=0)
            depth[name] = min(depth[name], len(needs) - 1)
        if depth == before:
            break
    return depth


def _said_already(needs: Mapping[str, Sequence[str]], name: str, need: str) -> bool:
    """True if another need of `name` already needs `need`."""
    seen: set[str] = set()
    ahead = [other for other in needs[name] if other != need]
    while ahead:
        other = ahead.pop()
        if other == need:
            return True
        if other not in seen:
            seen.add(other)
            ahead.extend(needs.get(other, ()))
    return False


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1 = start[0] * (CARD_WIDTH + GAP_X) + CARD_WIDTH
    y1 = start[1] * (CARD_HEIGHT + GAP_Y) + CARD_HEIGHT // 2
    x2 = end[0] * (CARD_WIDTH + GAP_X)
    y2 = end[1] * (CARD_HEIGHT + GAP_Y) + CARD_HEIGHT // 2
    bend = GAP_X * 3 // 5
    return f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
