"""The graph of a pipeline's jobs.

Rules:
1. A job needs only jobs of the same file, never itself, and each only once.
2. Needs never lead back; a circle is named by its path.
3. Jobs are ordered so that each comes after what it needs, otherwise as they stand in the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farmgate.documents import nearest

Needs = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with need number `index` of `job`."""

    job: str
    index: int
    message: str
    suggestion: str | None = None


def flaws(needs: Needs) -> tuple[Flaw, ...]:
    """What is wrong with the graph; a circle is only looked for where every need exists."""
    found = tuple(_wrong_needs(needs))
    if found:
        return found
    circle = find_circle(needs)
    if circle is None:
        return ()
    path = " needs ".join(repr(name) for name in (*circle, circle[0]))
    following = circle[1 % len(circle)]
    return (Flaw(circle[0], list(needs[circle[0]]).index(following), f"these jobs wait for each other: {path}"),)


def _wrong_needs(needs: Needs) -> Iterator[Flaw]:
    for job, wanted in needs.items():
        for index, other in enumerate(wanted):
            if other == job:
                yield Flaw(job, index, f"job {job!r} needs itself")
            elif other not in needs:
                hint = nearest(other, needs, otherwise="there is no such job")
                yield Flaw(job, index, f"job {job!r} needs {other!r}, which is not a job of this file", hint)
            elif other in wanted[:index]:
                yield Flaw(job, index, f"job {job!r} needs {other!r} twice")


def find_circle(needs: Needs) -> tuple[str, ...] | None:
    """Jobs that wait for each other, each needing the next one and the last the first; None if there are none."""
    left = set(needs) - set(order(needs))
    if not left:
        return None
    # whatever cannot be ordered needs something that cannot be ordered: following that must come back to where it was
    way: list[str] = []
    at = next(name for name in needs if name in left)
    while at not in way:
        way.append(at)
        at = next(name for name in needs[at] if name in left)
    return tuple(way[way.index(at) :])


def order(needs: Needs) -> tuple[str, ...]:
    """The jobs, each after what it needs; those in or behind a circle are left out."""
    missing = {name: len(set(wanted)) for name, wanted in needs.items()}
    waiting: dict[str, list[str]] = {name: [] for name in needs}
    for name, wanted in needs.items():
        for other in set(wanted):
            waiting.setdefault(other, []).append(name)
    ready = deque(name for name, count in missing.items() if not count)
    done: list[str] = []
    while ready:
        name = ready.popleft()
        done.append(name)
        for follower in waiting[name]:
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)
    return tuple(done)
