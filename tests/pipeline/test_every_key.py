"""Every key that the schema has, wrong in each of the usual ways: told at its line, in words, and never by a crash."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from farmgate.errors import BadDocument, Problem
from farmgate.pipeline import parse
from farmgate.pipeline.schema import schema

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pipeline.md").read_text()
EXAMPLES = "\n".join(re.findall(r"^```yaml(?:-used)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))

# Where each mapping of the file stands, and what else must stand there; {} is a key with its value.
PLACES = {
    "file": "jobs: {{a: {{steps: [x]}}}}\n{}\n",
    "JobFile": "jobs:\n  a:\n    steps: [x]\n    {}\n",
    "approve": "jobs:\n  a:\n    approve:\n      {}\n",
    "artifacts": "jobs:\n  a:\n    steps: [x]\n    artifacts:\n      - {}\n",
    "builds": "jobs:\n  a:\n    builds:\n      - {}\n",
    "CacheFile": "jobs:\n  a:\n    steps: [x]\n    caches:\n      - {}\n",
    "concurrency": "jobs:\n  a:\n    steps: [x]\n    concurrency:\n      {}\n",
    "identity": "jobs:\n  a:\n    steps: [x]\n    identity:\n      TOKEN:\n        {}\n",
    "matrix": "jobs:\n  a:\n    steps: [x]\n    matrix:\n      axis: [1, 2]\n      {}\n",
    "needs": "jobs:\n  b: {{steps: [x]}}\n  a:\n    steps: [x]\n    needs:\n      - {}\n",
    "retry": "jobs:\n  a:\n    steps: [x]\n    retry:\n      {}\n",
    "services": "jobs:\n  a:\n    steps: [x]\n    services:\n      db:\n        {}\n",
    "health": "jobs:\n  a:\n    steps: [x]\n    services:\n      db:\n        image: x\n        health:\n          {}",
    "steps": "jobs:\n  a:\n    steps:\n      - {}\n",
    "AllowFileFailure": "jobs:\n  a:\n    steps: [x]\n    allow_failure:\n      {}\n",
    "ReportsFile": "jobs:\n  a:\n    steps: [x]\n    reports:\n      {}\n",
    "WhenFile": "jobs:\n  a:\n    steps: [x]\n    when:\n      {}\n",
    "use": "use:\n  {}\n",
}
WRONG = [
    "~",
    "[]",
    "{}",
    "[[[1]]]",
    "{x: {y: [1]}}",
    "true",
    "-1",
    ".nan",
    "1e999",
    "99999999999999999999",
    "2026-02-30",
    '"a\\0b"',
    "'  '",
    "'${{ x }}'",
    "&x [*x]",
    "*nowhere",
    f"'{'x' * 150_000}'",
]


def mappings(node: Any, name: str = "file") -> Iterator[tuple[str, list[str]]]:
    """Every mapping of the schema with its keys, by the name of what holds it."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield name, list(node["properties"])
        for key, below in node.items():
            plain = key.isidentifier() and key not in ("properties", "items", "anyOf", "patternProperties")
            yield from mappings(below, key if plain and key not in ("defs", "additionalProperties") else name)
    elif isinstance(node, list):
        for below in node:
            yield from mappings(below, name)


KEYS: dict[str, set[str]] = {}
for _name, _keys in mappings(schema()):
    KEYS.setdefault(_name, set()).update(_keys)


def test_the_places_are_those_of_the_schema() -> None:
    assert set(KEYS) == set(PLACES)
    assert sum(len(keys) for keys in KEYS.values()) > 70


@pytest.mark.parametrize("name", PLACES)
def test_a_key_that_is_wrong_in_any_way_is_told_at_its_line(name: str) -> None:
    for key in sorted(KEYS[name]):
        assert {"[[[1]]]", "*nowhere", "&x [*x]"} <= set(refused(name, key)), key


def refused(name: str, key: str) -> Iterator[str]:
    """The values that are refused where they stand; the others are taken, or wrong for what stands beside them."""
    for value in WRONG:
        text = PLACES[name].format(f"{key}: {value}")
        at = 1 + text[: text.index(f"{key}: {value}")].count("\n")
        problems = problems_of(text)
        assert all(problem.message and 0 < problem.line <= text.count("\n") + 1 for problem in problems)
        if any(problem.line == at for problem in problems):
            yield value


def problems_of(text: str) -> Sequence[Problem]:
    try:
        parse(text)
    except BadDocument as error:
        return error.problems
    return ()


@pytest.mark.parametrize("name", [name for name in PLACES if name != "matrix"])  # whose other keys are axes
def test_a_key_with_a_slip_of_the_pen_is_answered_with_what_was_meant(name: str) -> None:
    for key in sorted(KEYS[name]):
        slip = f"{key}{key[-1]}"
        with pytest.raises(BadDocument) as refusal:
            parse(PLACES[name].format(f"{slip}: x"))
        assert any(slip in str(problem) and f"'{key}'" in str(problem) for problem in refusal.value.problems), key


def test_every_key_has_an_example_on_the_page() -> None:
    keys = set().union(*KEYS.values())
    assert {key for key in keys if not re.search(rf"(?:^|[\s{{,]){key}:", EXAMPLES, re.MULTILINE)} == set()
