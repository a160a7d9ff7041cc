"""An OSV document (schema 1), as values.

Rules:
1. What is needed and missing, or not what the schema says, makes the document bad, and the text names the place.
2. Of a package the ranges and versions are kept as they stand; whether a version is in them: `matching`.
3. A document that was withdrawn says nothing of any package; one that tells of commits alone (GIT) names no package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from farmgate.vulnerabilities.ecosystems import (
    LONGEST_NAME,
    LONGEST_VERSION,
    BadPurl,
    package_of,
    plain_ecosystem,
    plain_name,
)
from farmgate.vulnerabilities.ratings import Rated, rated

MOST_AFFECTED: Final = 20_000
MOST_VERSIONS: Final = 100_000
MOST_EVENTS: Final = 10_000
MOST_ALIASES: Final = 500
LONGEST_SUMMARY: Final = 300
LONGEST_ID: Final = 100
EVENTS: Final = ("introduced", "fixed", "last_affected", "limit")
KINDS: Final = ("SEMVER", "ECOSYSTEM", "GIT")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~+-]*")
_OF_DISTRIBUTION: Final = re.compile(r"[A-Z]+-(CVE-\d{4}-\d+)")
_BAD: Final = re.compile("[\0\ud800-\udfff]")


class BadDocument(ValueError):
    """This is no OSV document; the text names the place."""


@dataclass(frozen=True, slots=True)
class Range:
    """`events`: (what, version), in any order."""

    kind: str
    events: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Affected:
    """Versions of one package."""

    ecosystem: str
    name: str
    ranges: tuple[Range, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What a document says."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    rated: Rated
    published: datetime | None
    modified: datetime | None
    withdrawn: bool
    affected: tuple[Affected, ...]


def parse(line: bytes | str) -> Record:
    """Raises BadDocument."""
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except RecursionError:
        raise BadDocument("values are nested too deep") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise BadDocument(f"this is not JSON: {str(error)[:100]}") from None
    return read(value)


def _no_constant(said: str) -> float:
    raise ValueError(f"{said} is no number")


def read(value: object) -> Record:
    """Raises BadDocument."""
    if not isinstance(value, dict):
        raise BadDocument("a document is an object")
    number = value.get("id")
    if not isinstance(number, str) or len(number) > LONGEST_ID or not _ID.fullmatch(number):
        raise BadDocument(f"id: {str(number)[:60]!r} is no id")
    version = value.get("schema_version", "1.0.0")
    if not isinstance(version, str) or not version.startswith("1."):
        raise BadDocument(f"{number}: schema_version: {str(version)[:20]!r} is not 1.x")
    try:
        affected = tuple(_affected(_list(value, "affected", MOST_AFFECTED)))
        vectors, words = _severities(value)
        own = _OF_DISTRIBUTION.fullmatch(number)
        aliases = [*_list(value, "aliases", MOST_ALIASES), *([own[1]] if own else [])]
        return Record(
            id=number,
            aliases=tuple(dict.fromkeys(each for each in aliases if _is_id(each) and each != number)),
            summary=_summary(value),
            rated=rated(number, vectors, words),
            published=_time(value, "published"),
            modified=_time(value, "modified"),
            withdrawn=value.get("withdrawn") is not None,
            affected=affected,
        )
    except BadDocument as error:
        raise BadDocument(f"{number}: {error}") from None


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_ID and _ID.fullmatch(value) is not None


def _affected(rows: list[Any]) -> Iterator[Affected]:
    for at, row in enumerate(rows):
        place = f"affected[{at}]"
        if not isinstance(row, dict):
            raise BadDocument(f"{place}: not an object")
        package = row.get("package")
        if package is None:
            continue  # commits of a repository alone
        if not isinstance(package, dict):
            raise BadDocument(f"{place}.package: not an object")
        ecosystem, name = _named(package, place)
        versions = _list(row, "versions", MOST_VERSIONS, place)
        if not all(isinstance(each, str) for each in versions):
            raise BadDocument(f"{place}.versions: not all are texts")
        ranges = tuple(_ranges(_list(row, "ranges", MOST_EVENTS, place), place))
        kept = tuple(each for each in ranges if each.kind != "GIT")
        if kept or versions:
            yield Affected(ecosystem, name, kept, tuple(each for each in versions if len(each) <= LONGEST_VERSION))


def _named(package: Mapping[str, Any], place: str) -> tuple[str, str]:
    ecosystem, name, purl = package.get("ecosystem"), package.get("name"), package.get("purl")
    if not ecosystem and isinstance(purl, str):
        try:
            found = package_of(purl if "@" in purl.rpartition("/")[2] else f"{purl.partition('?')[0]}@0")
        except BadPurl as error:
            raise BadDocument(f"{place}.package.purl: {error}") from None
        ecosystem, name = found.ecosystem, name or found.name
    if not isinstance(ecosystem, str) or not isinstance(name, str) or not ecosystem or not name:
        raise BadDocument(f"{place}.package: has no ecosystem or no name")
    if len(ecosystem) > 100 or len(name) > LONGEST_NAME or _BAD.search(ecosystem + name):
        raise BadDocument(f"{place}.package: its ecosystem or name is too long, or no plain text")
    return plain_ecosystem(ecosystem), plain_name(ecosystem, name)


def _ranges(rows: list[Any], place: str) -> Iterator[Range]:
    for at, row in enumerate(rows):
        here = f"{place}.ranges[{at}]"
        if not isinstance(row, dict) or row.get("type") not in KINDS:
            raise BadDocument(f"{here}: its type is none of {', '.join(KINDS)}")
        events: list[tuple[str, str]] = []
        for event in _list(row, "events", MOST_EVENTS, here):
            if not isinstance(event, dict) or not event:
                raise BadDocument(f"{here}.events: not an object")
            for what, version in event.items():
                if what not in EVENTS or not isinstance(version, str) or not version:
                    raise BadDocument(f"{here}.events: {str(what)[:20]!r} is no event with a version")
                events.append((what, version))
        if row["type"] != "GIT" and not any(what == "introduced" for what, _ in events):
            raise BadDocument(f"{here}.events: nothing is introduced")
        yield Range(row["type"], tuple(events))


def _severities(value: Mapping[str, Any]) -> tuple[list[str], list[object]]:
    vectors: list[str] = []
    words: list[object] = [_within(value, "database_specific", "severity")]
    rows = [*_list(value, "severity", 100)]
    for one in value.get("affected") or ():
        if isinstance(one, dict):
            rows += _list(one, "severity", 100)
            words += [_within(one, "database_specific", "severity"), _within(one, "ecosystem_specific", "severity")]
            words.append(_within(one, "ecosystem_specific", "urgency"))
    for row in rows[:1000]:
        if isinstance(row, dict) and isinstance(row.get("score"), str):
            kind = row.get("type")
            (vectors if isinstance(kind, str) and kind.startswith("CVSS") else words).append(row["score"])
    return list(dict.fromkeys(vectors)), words


def _within(value: Mapping[str, Any], first: str, then: str) -> object:
    inner = value.get(first)
    return inner.get(then) if isinstance(inner, dict) else None


def _summary(value: Mapping[str, Any]) -> str:
    text = next((each for each in (value.get("summary"), value.get("details")) if isinstance(each, str) and each), "")
    line = " ".join(_BAD.sub("�", text[: 4 * LONGEST_SUMMARY]).split())
    return line if len(line) <= LONGEST_SUMMARY else f"{line[: LONGEST_SUMMARY - 1]}…"


def _list(value: Mapping[str, Any], name: str, most: int, place: str = "") -> list[Any]:
    found = value.get(name)
    here = f"{place}.{name}" if place else name
    if found is None:
        return []
    if not isinstance(found, list):
        raise BadDocument(f"{here}: not a list")
    if len(found) > most:
        raise BadDocument(f"{here}: has {len(found)} members, more than {most}")
    return found


def _time(value: Mapping[str, Any], name: str) -> datetime | None:
    said = value.get(name)
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(str(said)[:40])
    except ValueError:
        raise BadDocument(f"{name}: {str(said)[:40]!r} is no time") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
