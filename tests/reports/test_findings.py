"""Findings as SARIF, components as CycloneDX."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from farmgate.reports import BadReport, Finding, cyclonedx, sarif


def pieces(value: Any) -> Iterator[bytes]:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return (data[at : at + 13] for at in range(0, len(data), 13))


def a_run(*results: dict[str, Any]) -> dict[str, Any]:
    rules = [{"id": "S1", "defaultConfiguration": {"level": "error"}}, {"id": "S2"}]
    return {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t", "rules": rules}}, "results": list(results)}]}


def at(path: str, line: int) -> list[dict[str, Any]]:
    return [{"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}}}]


def test_sarif() -> None:
    more = [{"physicalLocation": {"artifactLocation": {"uri": "second.py"}, "region": {"startLine": 1}}}]
    found = list(
        sarif.read(
            pieces(
                a_run(
                    {"ruleId": "S1", "message": {"text": "bad"}, "locations": at("a.py", 3) + more},
                    {"ruleIndex": 1, "level": "note", "message": {"text": "meh"}, "locations": at("b.py", 9)},
                    {"ruleId": "S9", "message": {"text": "hidden"}, "suppressions": [{"kind": "inSource"}]},
                    {"message": {"text": "nowhere"}, "ruleIndex": 77},
                )
            )
        )
    )
    assert [(one.rule, one.level, one.path, one.line, one.message) for one in found] == [
        ("S1", "error", "a.py", 3, "bad"),
        ("S2", "note", "b.py", 9, "meh"),
        ("(no rule)", "warning", "", 0, "nowhere"),
    ]


def test_a_finding_is_the_same_when_its_line_moves() -> None:
    def one(line: int, **more: Any) -> Finding:
        result = {"ruleId": "S1", "message": {"text": "bad"}, "locations": at("a.py", line), **more}
        return next(sarif.read(pieces(a_run(result))))

    assert one(3).print == one(30).print
    assert one(3, partialFingerprints={"v1": "abc"}).print != one(3).print


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"{", "this is not JSON"),
        (b"<x/>", "this is not JSON"),
        (b"[]", "this is not SARIF"),
        (b"[" * 5000, "nested more than 100 deep"),
        (b'{"runs": [{"results": [{"ruleId": "\xff"}]}]}', "this is not JSON"),
        (b"", "this is not JSON"),
    ],
)
def test_what_is_not_sarif_is_told(bad: bytes, said: str) -> None:
    with pytest.raises(BadReport, match=said):
        list(sarif.read(pieces(bad)))


def test_values_of_the_wrong_kind_break_nothing() -> None:
    strange = {"ruleId": 7, "level": ["x"], "message": "text", "locations": {"a": 1}, "ruleIndex": True}
    (found,) = sarif.read(pieces(a_run(strange)))
    assert (found.rule, found.level, found.message) == ("(no rule)", "warning", "")


def test_a_million_results_come_one_by_one() -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"runs": [{"results": ['
        for _ in range(1000):
            yield b'{"ruleId": "S1", "message": {"text": "m"}},' * 1000
        pytest.fail("all of it was read")

    results = sarif.read(endless())
    assert sum(1 for _ in zip(range(20_000), results, strict=False)) == 20_000
    results.close()  # type: ignore[attr-defined]


def test_cyclonedx_counts_components_at_every_depth() -> None:
    bom = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"type": "application"}, "tools": {"components": [{"type": "application"}]}},
        "components": [{"type": "library", "components": [{"type": "file"}]}, {"type": "library"}],
        "services": [{"name": "x"}],
    }
    found: Counter[str] = Counter()
    cyclonedx.read(pieces(bom), found)
    assert found == {"all": 3, "library": 2, "file": 1}
    with pytest.raises(BadReport, match="this is not CycloneDX"):
        cyclonedx.read(pieces({"spdxVersion": "SPDX-2.3"}), Counter())
