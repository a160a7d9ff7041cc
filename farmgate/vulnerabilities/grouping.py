"""One vulnerability under all of its names.

Rules:
1. Documents that share an id or an alias tell of one vulnerability. People call it by its CVE, else by its GHSA, else
   by the first of its ids.
2. It is as bad as the worst of its documents says, and known since the first was published.
3. An administrator's decision names any of its ids, holds where its scope says (everywhere, an application, a lane)
   and until its end; the newest one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from farmgate.vulnerabilities.ratings import ORDER, Severity

_CALLED: Final = ("CVE-", "GHSA-")


@dataclass(frozen=True, slots=True)
class Told:
    """A document, without the packages."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: Severity
    score: float | None
    published: datetime | None


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """`ids`: all of its names. `members`: the documents that tell of it here."""

    id: str
    ids: tuple[str, ...]
    members: tuple[str, ...]
    summary: str
    severity: Severity
    score: float | None
    published: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """`scope`: empty, an application, or application/environment."""

    id: int
    vulnerability: str
    scope: str
    verdict: str
    reason: str
    until: datetime
    by: str
    at: datetime


def grouped(told: Iterable[Told]) -> dict[str, Vulnerability]:
    """Rule 1, by the ids of the documents: each member leads to its vulnerability."""
    documents = {each.id: each for each in told}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for each in documents.values():
        for alias in each.aliases:
            parent[root(alias)] = root(each.id)
    members: dict[str, list[str]] = {}
    names: dict[str, set[str]] = {}
    for each in documents.values():
        members.setdefault(root(each.id), []).append(each.id)
        names.setdefault(root(each.id), set()).update((each.id, *each.aliases))
    found: dict[str, Vulnerability] = {}
    for top, ids in members.items():
        one = _made(sorted(names[top]), [documents[each] for each in sorted(ids)])
        found.update(dict.fromkeys(ids, one))
    return found


def _made(names: Sequence[str], documents: Sequence[Told]) -> Vulnerability:
    called = next((name for kind in _CALLED for name in names if name.startswith(kind)), names[0])
    worst = min((each.severity for each in documents), key=ORDER.index)
    times = [each.published for each in documents if each.published is not None]
    return Vulnerability(
        id=called,
        ids=tuple(names),
        members=tuple(each.id for each in documents),
        summary=next((each.summary for each in documents if each.summary), ""),
        severity=worst,
        score=max((each.score for each in documents if each.score is not None), default=None),
        published=min(times, default=None),
    )


def decided(one: Vulnerability, lane: str, standing: Iterable[Decision], now: datetime) -> Decision | None:
    """Rule 3: what an administrator said of it in a lane; None: nothing that holds."""
    scopes = ("", lane.partition("/")[0], lane)
    fitting = [each for each in standing if each.vulnerability in one.ids and each.scope in scopes and now < each.until]
    return max(fitting, key=lambda each: each.id, default=None)


def by_severity(found: Mapping[str, Vulnerability]) -> list[Vulnerability]:
    """Each once, the worst first."""
    once = {one.id: one for one in found.values()}
    return sorted(once.values(), key=lambda one: (ORDER.index(one.severity), -(one.score or 0), one.id))
