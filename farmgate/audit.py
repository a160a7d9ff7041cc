"""The audit log as a chain: what its entries say, what their hashes cover, and how a break is found.

Rules:
1. An entry is every act of a person or of automation that changes something. What the farm merely notices (NOTICED:
   a lost job, a run that ended) is an event and no entry.
2. Entries are numbered from 1 without a gap. An entry's hash is the SHA-256 of its canonical JSON, the hash of the
   entry before it included: who edits, drops or inserts one has to write every later one anew.
3. That is seen by whoever kept a later head (number and hash) elsewhere: an anchor.
4. Of large or secret things an entry carries a digest of the state before and after, never the thing itself.

Canonical JSON: UTF-8, keys sorted, no blanks, nothing escaped that need not be; times as UTC with microseconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from farmgate.models import AuditEntry

NOTICED: Final = frozenset(
    {
        "branch.forced",
        "decision.failed",
        "decision.quarantined",
        "farm.tidied",
        "intake.done",
        "intake.rejected",
        "job.asks",
        "job.emitted",
        "job.given_up",
        "job.lost",
        "job.superseded",
        "lane.trouble",
        "node.silent",
        "page",
        "run.finished",
        "run.superseded",
    }
)
"""Kinds of events that are no acts. A kind that is not here is one: nothing escapes by being new."""

GENESIS: Final = "0" * 64
"""What the first entry names as the hash before it."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that was kept elsewhere: the entry of this number had this hash."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds. `bad`: the number of the first entry where it does not; `problem`: what is wrong."""

    entries: int
    head: Anchor
    bad: int | None = None
    problem: str | None = None


def is_act(kind: str) -> bool:
    """Rule 1."""
    return kind not in NOTICED


def canonical(value: Any) -> bytes:
    """The one way to write a value down."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    ).encode(errors="replace")


def digest(value: Any) -> str | None:
    """Rule 4: what a state was, as a SHA-256; None for none."""
    return None if value is None else hashlib.sha256(canonical(value)).hexdigest()


def entry(
    number: int,
    previous: str,
    *,
    at: datetime,
    kind: str,
    subject: str,
    actor: str,
    text: str,
    before: str | None,
    after: str | None,
) -> AuditEntry:
    """The next entry of the chain, with its hash."""
    open_end = AuditEntry(number, at.astimezone(UTC), kind, subject, actor, text, before, after, previous, "")
    return AuditEntry(**{**asdict(open_end), "hash": hash_of(open_end)})


def hash_of(found: AuditEntry) -> str:
    """What an entry's hash must be, whatever it says it is."""
    said = {name: value for name, value in asdict(found).items() if name != "hash"}
    return hashlib.sha256(canonical(said)).hexdigest()


def as_line(found: AuditEntry) -> bytes:
    """An entry as a line of an export: JSON that `from_line` and other tools read."""
    return canonical(asdict(found)) + b"\n"


def from_line(line: str | bytes) -> AuditEntry:
    """Raises ValueError: this is no entry."""
    said = json.loads(line)
    if not isinstance(said, Mapping):
        raise ValueError("not an object")
    try:
        at = datetime.fromisoformat(str(said["at"])).astimezone(UTC)
        return AuditEntry(**{**said, "number": int(said["number"]), "at": at})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an entry: {error}") from None


BEGINNING: Final = Anchor(0, GENESIS)


def verify(
    found: Iterable[AuditEntry],
    *,
    anchors: Iterable[Anchor] = (),
    head: Anchor | None = None,
    since: Anchor = BEGINNING,
) -> Verified:
    """Walk the chain after `since` to the first bad entry. `head`: what the database says is the last one."""
    kept = {anchor.number: anchor.hash for anchor in anchors if anchor.number > since.number}
    at = since
    for each in found:
        problem = _wrong(each, at, kept)
        if problem is not None:
            return Verified(at.number, at, at.number + 1, problem)
        at = Anchor(each.number, each.hash)
    missing = [number for number in kept if number > at.number]
    if missing:
        return Verified(at.number, at, at.number + 1, f"missing: an anchor tells of entry {max(missing)}")
    if head is not None and head != at:
        return Verified(at.number, at, at.number + 1, f"missing: the head tells of entry {head.number}, {head.hash}")
    return Verified(at.number, at)


def _wrong(each: AuditEntry, before: Anchor, kept: Mapping[int, str]) -> str | None:
    if each.number != before.number + 1:
        return f"missing: after entry {before.number} comes entry {each.number}"
    if hash_of(each) != each.hash:
        return "edited: what it says does not give its hash"
    if each.previous != before.hash:
        return "does not follow: the entry before it has another hash than it names"
    if kept.get(each.number, each.hash) != each.hash:
        return f"written anew: an anchor kept its hash as {kept[each.number]}"
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} has no canonical form")
