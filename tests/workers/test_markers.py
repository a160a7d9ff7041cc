"""Markers in a stream, wherever it is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.markers import LIMIT_BYTES, Begin, End, Item, Markers, Text, prefix

NONCE = "n0nce"
MARK = prefix(NONCE)


def parse(chunks: list[bytes]) -> tuple[bytes, list[Item]]:
    markers, text, events = Markers(NONCE), b"", list[Item]()
    for chunk in chunks:
        for item in markers.feed(chunk):
            if isinstance(item, Text):
                text += item.data
            else:
                events.append(item)
    for item in markers.close():
        assert isinstance(item, Text)
        text += item.data
    return text, events


STREAM = (
    b"before" + MARK + b"begin 1 1763848264.123456789\nhi\xff\x00" + MARK + b"end 1 3 1763848265.5000000\n" + b"after"
)


@given(cuts=st.sets(st.integers(0, len(STREAM))))
def test_the_cuts_make_no_difference(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in pairwise(places)]
    text, events = parse(chunks)
    assert text == b"before\nhi\xff\x00\nafter"
    assert events == [Begin(1, 7, 1763848264.123456789), End(1, 3, 1763848265.5)]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([MARK, MARK[:5], b"\x1e", b"\n", b"begin 1\n"]), max_size=12))
def test_only_true_markers_leave_the_stream(chunks: list[bytes]) -> None:
    text, events = parse(chunks)
    if not events:
        assert text == b"".join(chunks)


def test_another_attempts_marker_is_output() -> None:
    foreign = prefix("other") + b"begin 1\n"
    assert parse([foreign]) == (foreign, [])


def test_what_begins_like_a_marker_and_never_ends_is_output() -> None:
    stream = MARK + b"begin 1" + b"x" * 10_000
    assert parse([stream]) == (stream, [])


def test_what_is_held_back_is_bounded_for_a_line_without_end() -> None:
    markers, total = Markers(NONCE), 0
    for _ in range(200):
        total += sum(len(item.data) for item in markers.feed(b"x" * 2**20) if isinstance(item, Text))
    assert total >= 200 * 2**20 - LIMIT_BYTES
