"""No form of a secret value leaves the node, however the output is cut; and nothing else is changed."""

from __future__ import annotations

import base64
import itertools
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farmgate.masks import MASK, Masking, Masks, forms

VALUE = b"s3cr\xc3\xa9t/+ value?&='x'"
KEY = b"-----BEGIN KEY-----\n" + b"\n".join(base64.b64encode(bytes([n]) * 48) for n in range(20)) + b"\n-----END-----\n"


def masked(values: list[bytes], *pieces: bytes) -> bytes:
    stream = Masking(Masks(values))
    return b"".join(stream.feed(piece) for piece in pieces) + stream.flush()


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        VALUE.hex().encode(),
        VALUE.hex().upper().encode(),
        base64.b64encode(VALUE).rstrip(b"="),
        base64.urlsafe_b64encode(VALUE).rstrip(b"="),
        quote(VALUE).encode(),
        quote(VALUE, safe="").encode(),
        quote(VALUE, safe="!'()*").encode(),
        quote_plus(VALUE).encode(),
        quote(VALUE, safe="").replace("%2F", "%2f").replace("%C3%A9", "%c3%a9").replace("%2B", "%2b").encode().lower(),
        json.dumps(VALUE.decode())[1:-1].encode(),
        json.dumps(VALUE.decode(), ensure_ascii=False)[1:-1].encode(),
        VALUE.replace(b"'", b"'\"'\"'"),
        shlex.quote(VALUE.decode())[1:-1].encode(),
    ],
)
def test_every_usual_form_is_masked(written: bytes) -> None:
    assert masked([VALUE], b"before " + written + b" after\n") == b"before *** after\n"


@given(before=st.binary(max_size=9), after=st.binary(max_size=9), url_safe=st.booleans())
def test_base64_is_masked_wherever_the_value_stands_in_what_was_encoded(
    before: bytes, after: bytes, url_safe: bool
) -> None:
    value = b"correct horse battery"
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    left = masked([value], encode(before + value + after))
    assert MASK in left
    assert len(left) <= len(MASK) + -(-(len(before) + len(after)) * 8 // 6) + 6, "more than the neighbours is left"


@pytest.mark.parametrize("columns", [64, 76])
def test_long_base64_is_masked_where_it_is_broken_into_lines(columns: int) -> None:
    value = bytes(range(33, 127)) * 4
    encoded = base64.b64encode(value)
    lines = [encoded[at : at + columns] for at in range(0, len(encoded), columns)]
    left = masked([value], b"\n".join(lines))
    assert all(line[:8] not in left for line in lines[:-1])


def test_a_value_of_several_lines_is_masked_line_by_line_and_whole() -> None:
    for line in KEY.splitlines():
        assert masked([KEY], b"  | " + line + b"\r\n") == b"  | ***\r\n"
    assert masked([KEY], KEY.strip()) == MASK
    assert masked([KEY], json.dumps(KEY.decode()).encode()) == b'"***"'
    assert base64.b64encode(KEY)[40:80] not in masked([KEY], base64.b64encode(KEY))


def test_overlapping_values_are_one_mask_and_nothing_of_either_is_left() -> None:
    assert masked([b"abcdef", b"defghi"], b"x abcdefghi y") == b"x *** y"
    assert masked([b"abcdefgh", b"cdef"], b"abcdefgh cdef abcdef") == b"*** *** ab***"
    assert masked([b"aaaa"], b"b" + b"a" * 11 + b"b") == b"b***b"


def test_short_values_and_short_lines_are_left_alone() -> None:
    assert not Masks([b"abc", b"", b"a\nb"])
    assert masked([b"abc"], b"abc") == b"abc"


def test_the_beginning_of_a_value_waits_only_until_it_is_known_to_be_none() -> None:
    stream = Masking(Masks([b"password1"]))
    assert stream.feed(b"a line\n") == b"a line\n"
    assert stream.feed(b"my pass") == b"my "
    assert stream.feed(b"port\n") == b"passport\n"
    assert stream.feed(b"p") == b""
    assert stream.flush() == b"p"


def test_what_is_held_back_is_never_longer_than_the_longest_form() -> None:
    value = b"ab" * 200
    longest = max(map(len, forms(value)))
    stream, given_back = Masking(Masks([value])), 0
    for _ in range(2000):
        given_back += len(stream.feed(value[:100]))
        assert len(stream._held) < longest
    assert given_back + len(stream.flush()) < 2 * longest


ALPHABET = st.sampled_from([b"a", b"b", b"ab", b"aab", b"%", b"61", b"YW", b"\n", b"\x00", b"x"])
TEXTS = st.lists(ALPHABET, max_size=40).map(b"".join)
VALUES = st.lists(TEXTS.filter(lambda value: len(value) >= 4), min_size=1, max_size=3)


def naive(values: list[bytes], text: bytes) -> bytes:
    """The rule itself: what any form covers is hidden, overlapping ones as one."""
    places = sorted(
        (at, at + len(form))
        for form in {form for value in values for form in forms(value)}
        for at in range(len(text))
        if text.startswith(form, at)
    )
    out, end = b"", 0
    for begin, stop in places:
        if begin >= end:
            out += text[end:begin] + MASK
        end = max(end, stop)
    return out + text[end:]


@settings(max_examples=400, deadline=None)
@given(values=VALUES, text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=12))
@example(values=[b"aaaa"], text=b"aaaaaaaaab", cuts=[1, 2, 3, 4, 5])
def test_no_way_to_cut_the_stream_changes_the_output(values: list[bytes], text: bytes, cuts: list[int]) -> None:
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(at)]
    assert masked(values, *pieces) == naive(values, text)


@settings(deadline=None)
@given(
    value=st.binary(min_size=4, max_size=80).filter(lambda value: value.strip() and b"*" not in value),
    noise=st.lists(st.binary(max_size=60), min_size=2, max_size=6),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
)
def test_no_split_of_the_stream_leaks_a_value(value: bytes, noise: list[bytes], cuts: list[int]) -> None:
    text = value.join(noise)
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    left = masked([value], *(text[a:b] for a, b in itertools.pairwise(at)))
    assert value not in left


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=10))
def test_text_without_a_value_passes_byte_for_byte(pieces: list[bytes]) -> None:
    value = b"\x00this is in no piece\x00"
    if value not in b"".join(pieces):
        assert masked([value], *pieces) == b"".join(pieces)
    assert masked([], *pieces) == b"".join(pieces)


def test_a_message_is_masked_whatever_is_in_it() -> None:
    masks = Masks([VALUE, b"\xff\xfe\xfd\xfc"])
    assert masks.text(f"cannot open {VALUE.decode()}: é") == "cannot open ***: é"
    assert Masks().text("é \udc80") == "é \udc80"
