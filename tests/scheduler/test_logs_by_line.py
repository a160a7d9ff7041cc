"""Any line of a log, found without reading what is before it, while it grows and once it is packed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farmgate.models import Attempt, LogChunk
from farmgate.store import attempts
from farmgate.store.logs import Mark
from scheduler import log_index, log_reading, log_search, packing
from scheduler.log_index import EPOCH, Entry, Index
from scheduler.pages import log_part
from tests.scheduler.farm import Farm

LINES = 20_000
LOG = b"".join(
    b"line %06d of a log that is long enough to need more than one part of the blob\n" % n for n in range(LINES)
)


def rows_of(log: bytes, size: int) -> Iterator[LogChunk]:
    for number, at in enumerate(range(0, len(log), size)):
        came = EPOCH + timedelta(seconds=3 * number)
        yield LogChunk(1, at, log[at : at + size], came, log.count(b"\n", 0, at))


def newest(shop: Farm) -> Attempt:
    with shop.context.store.reading() as connection:
        found = attempts.newest_of(connection, 1)
    assert found is not None
    return found


@pytest.fixture(params=["growing", "packed"])
def attempt(request: pytest.FixtureRequest, shop: Farm) -> int:
    """The id of an attempt that printed LOG, half a second a piece."""
    held = shop.join().claim(1)
    for at in range(0, len(LOG), 100_000):
        assert held.log(at, LOG[at : at + 100_000]).status_code == 200
        shop.clock.advance(timedelta(seconds=0.5))
    row = newest(shop)
    assert row.log_lines == LINES
    if request.param == "packed":
        held.result("passed")
        packing.pack(shop.context, row.id)
        row = newest(shop)
        assert row.log_blob is not None
        with shop.context.blobs.open(row.log_blob) as file:
            assert gzip.decompress(file.read()) == LOG, "any gzip reader reads the whole"
    return row.id


def part_of(shop: Farm, attempt: int, lines: int, upto: int | None) -> tuple[log_part.Part, list[Mark], int]:
    """The part, the times, and how many bytes were read for it."""
    read = 0
    following = log_reading.following

    def counted(*given: object) -> Iterator[bytes]:
        nonlocal read
        for piece in following(*given):  # type: ignore[arg-type]
            read += len(piece)
            yield piece

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log_reading, "following", counted)
        row = newest(shop)
        part, marks = log_part.read(shop.context, row, lines, upto)
    return part, marks, read


@pytest.mark.parametrize("upto", [None, 10, 777, 12_345, LINES])
def test_a_part_has_the_lines_that_were_asked_for(shop: Farm, attempt: int, upto: int | None) -> None:
    part, marks, read = part_of(shop, attempt, 50, upto)
    last = upto or LINES
    wanted = range(max(1, last - 49), last + 1)
    assert [number for number, _, _ in part.lines] == list(wanted)
    assert all(LOG[at:].startswith(text.encode() + b"\n") for _, at, text in part.lines)
    assert read < len(LOG) / 2 or last < 100, "what is before is not read"
    assert marks[0].offset <= part.lines[0][1], "the first line's time is known"
    assert all(LOG.count(b"\n", 0, mark.offset) == mark.line for mark in marks)


def test_the_time_of_a_line_is_when_it_came(shop: Farm, attempt: int) -> None:
    begun = newest(shop).claimed_at
    part, marks, _ = part_of(shop, attempt, 1, 15_000)
    ((_, offset, _),) = part.lines
    came = max(mark.at for mark in marks if mark.offset <= offset)
    assert abs(came - (begun + timedelta(seconds=0.5) * (offset // 100_000))) <= timedelta(seconds=1)


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 40), st.data())
@settings(max_examples=150, deadline=None)
def test_an_index_leads_to_any_byte_and_any_line(lines: int, width: int, size: int, data: st.DataObject) -> None:
    log = b"".join(b"%d %s\n" % (n, b"x" * (n * 7 % width)) for n in range(lines))
    entries: list[Entry] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packing, "PART_BYTES", data.draw(st.integers(1, 300)))
        packed = b"".join(packing.compressed(rows_of(log, size), entries))
    index = log_index.read(log_index.write(entries))
    assert index == Index(tuple(entries))
    offset = data.draw(st.integers(0, len(log) - 1))
    part = index.part_at(offset)
    assert part.packed_offset is not None
    assert gzip.decompress(packed[part.packed_offset :]) == log[part.mark.offset :]
    line = data.draw(st.integers(1, lines))
    before = index.before_line(line)
    begins = sum(len(one) + 1 for one in log.split(b"\n")[: line - 1])
    assert (before.offset if before else 0) <= begins
    assert line <= 2 or before is not None


# --- search ----------------------------------------------------------------------------------------------------------


def test_a_text_is_found_with_its_line_wherever_it_stands(shop: Farm, attempt: int) -> None:
    answer = shop.http.get("/api/jobs/1/log/search?q=LINE%20012345%20of&limit=5").json()
    assert answer["next_offset"] is None
    (match,) = answer["matches"]
    assert match["line"] == 12_346
    assert match["text"][match["at"] : match["at"] + match["length"]] == "line 012345 of"


def test_a_search_goes_on_where_it_stopped(shop: Farm, attempt: int) -> None:
    found: list[int] = []
    offset: int | None = 0
    line = 1
    while offset is not None:
        query: dict[str, str | int] = {"q": "00 of a log", "limit": 7, "offset": offset, "line": line}
        answer = shop.http.get("/api/jobs/1/log/search", params=query).json()
        found += [match["line"] for match in answer["matches"]]
        offset, line = answer["next_offset"], answer["next_line"]
    assert found == list(range(1, LINES + 1, 100))


@given(
    st.lists(st.binary(max_size=40), max_size=30),
    st.integers(1, 50),
    st.integers(1, 5),
)
@settings(max_examples=200, deadline=None)
def test_every_line_that_holds_it_is_found_once_however_it_is_cut(lines: list[bytes], size: int, limit: int) -> None:
    log = b"\n".join(line.replace(b"\x1b", b"") for line in lines)
    wanted = [number for number, line in enumerate(log.split(b"\n"), 1) if b"a" in line]
    found: list[int] = []
    offset: int | None = 0
    line = 1
    while offset is not None:
        rest = log[offset:]
        pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
        part = log_search.search(pieces, "a", offset=offset, line=line, limit=limit, exact_case=True)
        found += [match.line for match in part.matches]
        offset, line = part.next_offset, part.next_line
    assert found == wanted


def test_colours_do_not_hide_a_word_and_a_line_without_end_is_searched_at_its_beginning() -> None:
    coloured = log_search.search([b"a \x1b[31mre\x1b[1md\x1b[0m word\n"], "red word", offset=0, line=1, limit=9)
    assert [(match.line, match.text) for match in coloured.matches] == [(1, "a red word")]
    endless = [b"needle ", *(b"x" * 2**20 for _ in range(8)), b"needle\nneedle\n"]
    found = log_search.search(iter(endless), "needle", offset=0, line=1, limit=9)
    assert [match.line for match in found.matches] == [1, 2]
