"""What something is made of, which vulnerabilities that means, and whether a lane refuses it.

Rules:
1. A lane that has the rule refuses a candidate with a vulnerability that is as bad as it says, once that has been
   public for the grace time, unless an administrator decided otherwise for this lane.
2. What is live already is no reason, unless the lane is strict: to refuse a candidate would keep it live. Where what is
   live cannot be told, everything in the candidate counts as new.
3. A candidate of which nothing can be told (no list, an unreadable one, nothing imported yet) is refused too, unless
   the lane allows what is unlisted. While its list is being read it waits.
4. The words that refuse are the words that explain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, Protocol

from farmgate.vulnerabilities.grouping import Decision, Vulnerability, decided
from farmgate.vulnerabilities.ratings import ORDER, Severity, at_least

_TOLD: Final = 3


class Listing(StrEnum):
    """What is known of what a candidate is made of."""

    LISTED = "listed"
    READING = "reading"
    UNREADABLE = "unreadable"
    UNLISTED = "unlisted"


@dataclass(frozen=True, slots=True)
class Hit:
    """A package that a document (`osv_id`) means. `fixed`: the nearest version without it."""

    osv_id: str
    ecosystem: str
    package: str
    version: str
    fixed: str | None


@dataclass(frozen=True, slots=True)
class MadeOf:
    """`untold`: packages of which nothing, or not everything, could be told. `unnamed`: components without a name."""

    listing: Listing
    reason: str = ""
    packages: int = 0
    hits: tuple[Hit, ...] = ()
    untold: int = 0
    unnamed: int = 0

    def names(self, known: Mapping[str, Vulnerability]) -> frozenset[str]:
        """Its vulnerabilities."""
        return frozenset(known[hit.osv_id].id for hit in self.hits if hit.osv_id in known)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a lane's rule looks at. `imported`: OSV documents are there. `made_of`: by candidate."""

    lane: str
    at: datetime
    imported: bool
    made_of: Mapping[int, MadeOf] = field(default_factory=dict)
    live: MadeOf | None = None
    known: Mapping[str, Vulnerability] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


class Rules(Protocol):
    """What a lane asks for: farmgate.policy.Vulnerabilities."""

    @property
    def refuse(self) -> Severity: ...
    @property
    def grace(self) -> timedelta: ...
    @property
    def strict(self) -> bool: ...
    @property
    def unlisted(self) -> Literal["refuse", "allow"]: ...


def refusals(exposure: Exposure, rules: Rules) -> dict[int, str]:
    """By candidate, why it is refused; who is not among them is not."""
    found: dict[int, str] = {}
    done: dict[int, str] = {}  # candidates of one set share what they are made of
    for candidate, made in exposure.made_of.items():
        if id(made) not in done:
            done[id(made)] = _against(exposure, rules, made)
        if done[id(made)]:
            found[candidate] = done[id(made)]
    return found


def _against(exposure: Exposure, rules: Rules, made: MadeOf) -> str:
    match made.listing:
        case Listing.READING:
            return "the list of what it is made of is being read"
        case Listing.UNLISTED | Listing.UNREADABLE if rules.unlisted == "allow":
            return ""
        case Listing.UNLISTED:
            return "it has no list of what it is made of, and the lane refuses what it cannot judge: reports.cyclonedx"
        case Listing.UNREADABLE:
            return f"what it is made of cannot be read, and the lane refuses what it cannot judge: {made.reason}"
        case _:
            pass
    if not exposure.imported:
        said = "no vulnerabilities were imported, and the lane refuses what it cannot judge"
        return "" if rules.unlisted == "allow" else f"{said}: farmgate vulnerabilities import"
    bad = list(_bad(exposure, rules, made))
    if not bad:
        return ""
    told = [_words(one, made, exposure.known) for one in bad[:_TOLD]]
    more = f", and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
    new = (
        "" if rules.strict else " that what is live does not have" if _comparable(exposure) else " (nothing to compare)"
    )
    return f"has {'a vulnerability' if len(bad) == 1 else f'{len(bad)} vulnerabilities'}{new}: {'; '.join(told)}{more}"


def _comparable(exposure: Exposure) -> bool:
    return exposure.live is not None and exposure.live.listing is Listing.LISTED


def _bad(exposure: Exposure, rules: Rules, made: MadeOf) -> Iterable[Vulnerability]:
    """Rules 1 and 2, the worst first."""
    names = made.names(exposure.known)
    if not rules.strict and exposure.live is not None and _comparable(exposure):
        names -= exposure.live.names(exposure.known)
    once = {one.id: one for one in exposure.known.values() if one.id in names}
    for one in sorted(once.values(), key=lambda each: (ORDER.index(each.severity), each.id)):
        in_grace = one.published is not None and exposure.at < one.published + rules.grace
        if in_grace or not at_least(one.severity, rules.refuse):
            continue
        if decided(one, exposure.lane, exposure.decisions, exposure.at) is None:
            yield one


def _words(one: Vulnerability, made: MadeOf, known: Mapping[str, Vulnerability]) -> str:
    hit = next(each for each in made.hits if each.osv_id in known and known[each.osv_id].id == one.id)
    fixed = f", fixed in {hit.fixed}" if hit.fixed else ""
    return f"{one.id} ({one.severity}) in {hit.package} {hit.version}{fixed}"
