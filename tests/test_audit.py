"""The chain of the audit log: whatever is edited, dropped, put in or written anew is found, at its first place."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from farmgate import audit
from farmgate.audit import GENESIS, Anchor
from farmgate.models import AuditEntry

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CODE = Path(audit.__file__).parent.parent


def chain(length: int, salt: str = "") -> list[AuditEntry]:
    made: list[AuditEntry] = []
    for number in range(1, length + 1):
        previous = made[-1].hash if made else GENESIS
        entry = audit.entry(
            number,
            previous,
            at=NOW + timedelta(seconds=number),
            kind="lane.held",
            subject="lane/shop/production",
            actor="ada",
            text=f"lunch {number}{salt}",
            before=None,
            after=audit.digest({"until": number}),
        )
        made.append(entry)
    return made


def test_a_whole_chain_holds_and_says_its_head() -> None:
    made = chain(5)
    found = audit.verify(made, head=Anchor(5, made[4].hash), anchors=[Anchor(3, made[2].hash)])
    assert (found.entries, found.bad, found.head) == (5, None, Anchor(5, made[4].hash))
    assert audit.verify([]).bad is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", "dinner"),
        ("actor", "bob"),
        ("kind", "lane.policy"),
        ("subject", "lane/shop/staging"),
        ("at", NOW),
        ("before", "0" * 64),
        ("after", None),
        ("previous", "0" * 64),
        ("hash", "0" * 64),
    ],
)
def test_whatever_is_edited_is_found(field: str, value: object) -> None:
    made = chain(5)
    made[2] = replace(made[2], **{field: value})  # type: ignore[arg-type]
    assert audit.verify(made).bad == 3


def test_one_edited_with_its_hash_is_found_at_the_next() -> None:
    made = chain(5)
    edited = replace(made[2], text="dinner")
    made[2] = replace(edited, hash=audit.hash_of(edited))
    found = audit.verify(made)
    assert found.bad == 4
    assert found.problem is not None
    assert "does not follow" in found.problem


@given(some.integers(0, 6), some.integers(1, 3))
def test_whatever_is_dropped_is_found(at: int, count: int) -> None:
    made = chain(7)
    head = Anchor(7, made[-1].hash)
    left = made[:at] + made[at + count :]
    assert audit.verify(left, head=head).bad == at + 1


def test_an_end_that_was_cut_off_with_its_head_is_found_by_an_anchor() -> None:
    made = chain(7)
    cut = audit.verify(made[:4], head=Anchor(4, made[3].hash), anchors=[Anchor(6, made[5].hash)])
    assert (cut.bad, cut.problem) == (5, "missing: an anchor tells of entry 6")


def test_a_chain_that_was_written_anew_is_found_by_an_anchor() -> None:
    kept = chain(5)
    anew = chain(5, salt="!")
    assert audit.verify(anew).bad is None
    assert audit.verify(anew, anchors=[Anchor(4, kept[3].hash)]).bad == 4


def test_the_hash_is_of_what_anyone_can_write_down_again() -> None:
    (entry,) = chain(1)
    said = json.loads(audit.as_line(entry))
    assert said.pop("hash") == entry.hash
    again = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(again).hexdigest() == entry.hash
    assert said["at"] == "2026-01-01T12:00:01.000000+00:00"


@given(some.text(), some.datetimes(timezones=some.just(timezone(timedelta(hours=2)))))
def test_an_export_reads_back_as_it_was(text: str, at: datetime) -> None:
    made = audit.entry(
        1, GENESIS, at=at, kind="k", subject="s", actor="a", text=text.encode(errors="replace").decode(), before=None,
        after=None,
    )  # fmt: skip
    assert audit.from_line(audit.as_line(made)) == made
    assert audit.verify([audit.from_line(audit.as_line(made))]).bad is None


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"number": "one", "at": "now"}', '{"number": 1, "at": "2026-01-01"}']
)
def test_what_is_no_entry_is_told(line: str) -> None:
    with pytest.raises(ValueError):
        audit.from_line(line)


def test_every_kind_that_is_only_noticed_is_one_that_is_recorded() -> None:
    """A kind that is renamed must not become an act unseen, nor an act stop being one."""
    written = set()
    for folder in ("farmgate", "scheduler", "deploy", "agents"):
        for path in (CODE / folder).rglob("*.py"):
            if path.name != "audit.py":
                written |= set(re.findall(r'"([a-z]+(?:\.[a-z_]+)?)"', path.read_text()))
    assert written >= audit.NOTICED
