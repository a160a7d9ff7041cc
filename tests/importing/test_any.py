"""What holds for every format: a valid file or nothing, no key lost, no text that breaks the importer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farmgate.documents import read
from farmgate.errors import BadDocument
from farmgate.importing import Format, Kind, Source, convert, format_of
from farmgate.importing.writing import text_of
from farmgate.pipeline import parse
from tests.importing.conversions import PATHS

EXAMPLES = {
    Format.TRAVIS: "language: python\npython: ['3.11', '3.12']\nenv: [A=1, B=2]\nservices: redis\nscript:\n  - tox\n"
    "jobs:\n  include:\n    - {stage: x, script: make}\nbranches: {only: [main]}\ncache: pip\n",
    Format.CIRCLECI: "version: 2.1\njobs:\n  a:\n    docker: [{image: node:22}]\n    steps:\n      - checkout\n"
    "      - run: {name: x, command: make}\nworkflows:\n  all:\n    jobs:\n"
    "      - a: {filters: {branches: {only: main}}}\n",
    Format.GITLAB: "stages: [a]\nx:\n  stage: a\n  image: node:22\n  script: [make]\n  rules: [{if: $CI_COMMIT_TAG}]\n"
    "  artifacts: {paths: [dist]}\ny:\n  needs: [x]\n  script:\n    - !reference [x, script]\n  when: manual\n",
    Format.GITHUB: "on:\n  push: {branches: [main]}\njobs:\n  a:\n    runs-on: ${{ matrix.os }}\n    strategy:\n"
    "      matrix: {os: [ubuntu-latest], v: [1, 2]}\n    steps:\n      - uses: actions/checkout@v4\n"
    "      - run: make ${{ matrix.v }}\n"
    "        if: github.ref == 'refs/heads/main'\n",
    Format.WOODPECKER: "when: {event: push}\nmatrix: {V: [1, 2]}\nsteps:\n  a: {image: 'node:${V}', commands: [make]}\n"
    "  b: {image: alpine, commands: [x], when: {event: tag}}\nservices: {db: {image: redis}}\n",
}
ODD = st.sampled_from(
    [
        "[]",
        "{}",
        "3",
        "null",
        "true",
        "[a, [b, {c: d}]]",
        "{a: {b: [1]}}",
        "'${{ x }}'",
        "'${{ matrix.a.b }}'",
        '"\\0"',
        "x: y",
        "*a",
        "&a b",
        "'$(x)'",
        "~",
        "-1",
        "1e999",
        "«»",
        "\u2028",
        "🎉",
        "<< parameters.x >>",
        "'/^(/'",
    ]
)


def converted(of: Format, text: str) -> None:
    try:
        made = convert([Source(PATHS[of], text)], of)
    except BadDocument:
        return
    if made.text is not None:
        parse(made.text)


@pytest.mark.parametrize("of", list(Format))
def test_every_example_converts(of: Format) -> None:
    made = convert([Source(PATHS[of], EXAMPLES[of])], of)
    assert made.text is not None
    assert parse(made.text).jobs
    assert made.of(Kind.LEFT) == ()


@pytest.mark.parametrize("of", list(Format))
def test_every_beginning_of_an_example_is_answered(of: Format) -> None:
    for end in range(0, len(EXAMPLES[of]), 2):
        converted(of, EXAMPLES[of][:end])


@pytest.mark.parametrize("of", list(Format))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_stands_in_a_line_is_answered(of: Format, data: st.DataObject) -> None:
    lines = EXAMPLES[of].split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    odd = data.draw(ODD)
    how = data.draw(st.sampled_from(["value", "whole", "double", "gone"]))
    if how == "value":
        lines[at] = f"{lines[at].partition(':')[0]}: {odd}"
    elif how == "whole":
        lines[at] = " " * (len(lines[at]) - len(lines[at].lstrip())) + odd
    elif how == "double":
        lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
    else:
        del lines[at]
    converted(of, "\n".join(lines))


@pytest.mark.parametrize("of", list(Format))
def test_no_key_is_lost(of: Format) -> None:
    """A key that no system knows, put at the top, is always told."""
    made = convert([Source(PATHS[of], f"{EXAMPLES[of]}zz_unknown: 1\n")], of)
    assert any("zz_unknown" in remark.problem.message for remark in made.remarks)


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.one_of(TEXT, st.integers(-99, 99), st.booleans(), st.from_regex(r"[ -~]{0,8}\n[ -~\n]{0,20}")),
        lambda below: st.one_of(
            st.lists(below, max_size=4), st.dictionaries(TEXT.filter(lambda key: key != "<<"), below, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_what_is_written_is_read_back_the_same(value: object) -> None:
    assert read(text_of({"top": value}), "x").data == {"top": value}


def test_a_file_is_known_by_its_path() -> None:
    assert {format_of(path): path for path in PATHS.values()} == PATHS
    assert format_of("ci.yml") is None
    assert format_of(".woodpecker/a.yaml") is Format.WOODPECKER
