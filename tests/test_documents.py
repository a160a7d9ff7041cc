"""Documents are read strictly, and every problem is told at its place."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from farmgate.clock import stopwatch
from farmgate.documents import NODE_LIMIT, SIZE_LIMIT, load, read
from farmgate.errors import BadDocument, Problem
from farmgate.quantities import Duration, SizeBytes, duration, show_duration, size_bytes


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Circle(Strict):
    shape: Literal["circle"]
    radius: float


class Square(Strict):
    shape: Literal["square"]
    side: int


class Drawing(Strict):
    title: str = ""
    wait: Duration = timedelta(0)
    room: SizeBytes = 0
    shapes: tuple[Annotated[Circle | Square, Field(discriminator="shape")], ...] = ()
    named: dict[str, Circle | None] = Field(default={}, alias="by-name")


def data(text: str | bytes) -> dict[str, Any]:
    return read(text, "f").data


def problems(text: str | bytes, model: type[BaseModel] = Drawing) -> tuple[Problem, ...]:
    with pytest.raises(BadDocument) as refusal:
        load(text, "f.yml", model)
    assert str(refusal.value).count("\n") + 1 == len(refusal.value.problems)
    return refusal.value.problems


def places(text: str | bytes) -> list[str]:
    return [str(problem) for problem in problems(text)]


def test_yaml_1_2_is_read_without_the_traps_of_1_1() -> None:
    text = (
        "on: yes\nno: off\ny: n\noctal: 010\nnew: 0o10\ntime: 12:30:45\nday: 2026-01-01\nbig: 1_000\nt: true\nhex: 0x1F"
    )
    assert data(text) == {
        "on": "yes",
        "no": "off",
        "y": "n",
        "octal": 10,
        "new": 8,
        "time": "12:30:45",
        "day": "2026-01-01",
        "big": "1_000",
        "t": True,
        "hex": 31,
    }


def test_scalars_have_the_types_they_look_like() -> None:
    text = "a: ~\nb:\nc: 1.5\nd: 1e3\ne: '1'\nf: !!str 1\ng: \"true\"\nh: |\n  x\n  y\ni: -.5\nj: " + "9" * 40
    assert data(text) == {
        "a": None,
        "b": None,
        "c": 1.5,
        "d": 1000.0,
        "e": "1",
        "f": "1",
        "g": "true",
        "h": "x\ny\n",
        "i": -0.5,
        "j": "9" * 40,
    }


def test_anchors_aliases_and_merge_keys_work() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\nd: *a"
    assert data(text)["c"] == {"z": 3, "x": 1, "y": 1}
    assert data(text)["d"] == {"x": 1, "y": 1}


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", "1:1", "the file is empty"),
        ("# only a comment\n", "1:1", "the file is empty"),
        ("- a\n", "1:1", "the file is a list, not a mapping"),
        ("just text", "1:1", "the file is a single value"),
        ("a: 1\nb:\n\tc: 1\n", "3:1", "a tab in the indentation"),
        ("a: 'open\nb: 1\n", "1:4", "a quote that opens here is never closed"),
        ('a: 1\nb: "open', "2:4", "a quote that opens here is never closed"),
        ("a: b: c", "1:5", "a ':' where none can be"),
        ("a: @x", "1:4", "cannot start a word"),
        ('a: "\\q"', "1:5", "an escape that YAML does not know"),
        ("a: [1, 2", "1:4", "after the '[' that opens here"),
        ("a: {b\nc: d", "1:4", "after the '{' that opens here"),
        ("a:\n  b: 1\n c: 2", "3:2", "not YAML"),
        ("a: 1\nb: 2\na: 3", "3:1", "key 'a' stands twice (first at line 1)"),
        ("a: {x: 1, x: 2}", "1:11", "key 'x' stands twice"),
        ("1: a\n'1': b", "2:1", "key '1' stands twice"),
        ("? [a]\n: b", "1:3", "a key must be a word"),
        ("~: b", "1:1", "a key must be a word"),
        ("a: *nobody", "1:4", "no &nobody stands before"),
        ("a: &a [*a]", "1:8", "*a leads back into itself"),
        ("a: &a {b: {<<: *a}}", "1:16", "*a leads back into itself"),
        ("a: {<<: [1]}", "1:10", "<< takes a mapping"),
        ("a: !!python/object:os.system x", "1:4", "tag"),
        ("a: !custom {b: c}", "1:4", "tag '!custom' is not known"),
        ("a: 1\n---\nb: 2", "2:1", "a second document starts here"),
        (b"a: \xff", "1:4", "byte 0xff is not UTF-8 (save it as UTF-8)"),
        (b"ok: \xc3\xa4\nb: \xc3(", "2:4", "byte 0xc3 is not UTF-8"),
        ("a: \x01", "1:4", "a character that YAML does not allow"),
        ("a: \ud800", "1:1", "not YAML"),
        ("a: " + "[" * 50_000, "1:43", "nested more than 40 deep"),
        ("- " * 50_000, "1:81", "nested more than 40 deep"),
        ("a" * (SIZE_LIMIT + 1), "1:1", "more than 2,097,152 bytes"),
    ],
)
def test_what_is_not_yaml_is_told_clearly(text: str | bytes, place: str, said: str) -> None:
    (problem,) = places(text)
    assert problem.startswith(f"f.yml:{place}: "), problem
    assert said in problem


def test_a_yaml_bomb_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    began = stopwatch()
    (problem,) = places(bomb)
    assert f"more than {NODE_LIMIT:,} values" in problem
    assert stopwatch() - began < 5


def test_a_bomb_of_depth_is_refused() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [[[[*a{i - 1}]]]]\n" for i in range(1, 12))
    assert "deep when its aliases are followed" in places(text)[0]


def test_a_byte_order_mark_is_no_problem() -> None:
    assert data(b"\xef\xbb\xbfa: 1") == {"a": 1}
    assert data("\ufeffa: 1") == {"a": 1}


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    shapes = "  - {shape: circle}\n  - {shape: square, side: wide, sied: 1}\n"
    text = f"titel: x\nwait: 10\nroom: 5x\nshapes:\n{shapes}by-name: 3\n"
    assert places(text) == [
        "f.yml:1:1: unknown key 'titel' (did you mean 'title'?)",
        "f.yml:2:7: wait: 10 has no unit: write 10s, 10m or 10h",
        "f.yml:3:7: room: '5x' is not a size: write a number and its unit, such as 512m or 2g",
        "f.yml:5:5: shapes[0] needs 'radius'",
        "f.yml:6:27: shapes[1].side: must be a whole number, but is 'wide'",
        "f.yml:6:33: unknown key 'sied' in shapes[1] (did you mean 'side'?)",
        "f.yml:7:10: by-name: must be a mapping of names to values, but is the number 3",
    ]


def test_an_unknown_key_that_resembles_none_is_told_the_known_ones() -> None:
    (problem,) = problems("by-name: {a: {shape: circle, radius: 1, colour: red}}")
    assert problem.message == "unknown key 'colour' in by-name.a"
    assert problem.suggestion == "known here: radius, shape"
    assert (problem.line, problem.column) == (1, 41)


def test_a_problem_in_an_anchor_is_told_where_it_is_written() -> None:
    text = "by-name:\n  a: &a\n    shape: circle\n    radius: big\n  b: *a\n"
    assert places(text) == [
        "f.yml:4:13: by-name.a.radius: must be a number, but is 'big'",
        "f.yml:4:13: by-name.b.radius: must be a number, but is 'big'",
    ]


def test_a_good_document_becomes_its_model() -> None:
    drawing = load(b"title: on\nwait: 1h30m\nroom: 2k\nshapes: [{shape: square, side: 2}]", "f", Drawing)
    assert drawing == Drawing(
        title="on", wait=timedelta(minutes=90), room=2048, shapes=(Square(shape="square", side=2),)
    )


def test_thousands_of_problems_are_summed_up() -> None:
    text = "shapes:\n" + "  - {shape: circle, radius: big}\n" * 3000
    found = problems(text)
    assert len(found) == 101
    assert found[-1].message == "2900 further problems"


def test_eight_thousand_lines_are_read_quickly() -> None:
    text = "by-name:\n" + "".join(f"  n{i}:\n    shape: circle\n    radius: 1\n    # more\n" for i in range(2000))
    best = 10.0
    for _ in range(3):
        began = stopwatch()
        load(text, "f", Drawing)
        best = min(best, stopwatch() - began)
    assert best < 1.0  # 0.05 s on an idle machine


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | st.text(max_size=100) | st.text("{}[]:,&*<!|>'\"-?#%@ \n\tab0", max_size=60))
def test_nothing_but_bad_document_is_raised(text: str | bytes) -> None:
    with contextlib.suppress(BadDocument):
        load(text, "f", Drawing)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1d2h3m4s", 93784)]
)
def test_durations_say_their_units(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)
    assert duration(show_duration(duration(text))) == duration(text)


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "1m1h", "-5m", "1.5h", "10min", "١٠m", "9999999s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 2**29), ("2g", 2**31), ("1GiB", 2**30), ("100", 100), ("1kb", 1024)]
)
def test_sizes_are_in_powers_of_1024(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1m", "1.5g", "1x", "1 g"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size_bytes(text)
