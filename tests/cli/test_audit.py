"""`farmgate audit`: it walks the chain itself, and names the first bad entry."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from farmgate import audit
from tests.cli.conftest import CannedFarm, Run
from tests.test_audit import chain


def lines(length: int = 3) -> list[str]:
    return [audit.as_line(each).decode() for each in chain(length)]


@pytest.fixture
def kept(farm: CannedFarm) -> CannedFarm:
    farm.answers["GET /api/audit/head"] = {"number": 3, "hash": chain(3)[2].hash}
    farm.answers["GET /api/audit/export"] = httpx.Response(200, text="".join(lines()))
    return farm


def test_a_chain_that_holds(kept: CannedFarm, run: Run) -> None:
    said = run("audit", "verify")
    assert said.code == 0
    assert said.out.splitlines() == [
        "3 entries, and every one follows from the one before it",
        f"head 3:{chain(3)[2].hash}",
    ]


def test_the_first_bad_entry_is_named(kept: CannedFarm, run: Run) -> None:
    edited = [line.replace("lunch 2", "dinner") for line in lines()]
    kept.answers["GET /api/audit/export"] = httpx.Response(200, text="".join(edited))
    said = run("audit", "verify")
    assert said.code == 1
    assert "entry 2: edited" in said.out
    assert json.loads(run("audit", "verify", "--json").out)["bad"] == 2


def test_an_end_that_is_missing_is_found_by_what_the_head_said(kept: CannedFarm, run: Run) -> None:
    kept.answers["GET /api/audit/export"] = httpx.Response(200, text="".join(lines()[:2]))
    assert "entry 3: missing" in run("audit", "verify").out


def test_an_anchor_finds_what_was_written_anew(kept: CannedFarm, run: Run) -> None:
    old = chain(3, salt=" of long ago")[1].hash
    assert "entry 2: written anew" in run("audit", "verify", "--anchor", f"2:{old}").out
    assert run("audit", "verify", "--anchor", "two").code == 2


def test_an_export_is_verified_without_a_farm(farm: CannedFarm, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(lines()))
    assert run("audit", "verify", "--file", str(file)).code == 0
    file.write_text("".join(lines()[1:]))
    assert "entry 1: missing" in run("audit", "verify", "--file", str(file)).out
    file.write_text("hello\n")
    assert run("audit", "verify", "--file", str(file)).code == 6
    assert run("audit", "verify", "--file", str(tmp_path / "nowhere")).code == 5
    assert farm.asked == []


def test_the_list_and_the_head(kept: CannedFarm, run: Run) -> None:
    kept.answers["GET /api/audit"] = [json.loads(line) for line in lines(1)]
    assert "lunch 1" in run("audit", "list", "--subject", "lane/shop").out
    assert dict(kept.asked[-1].url.params) == {"subject": "lane/shop", "limit": "50"}
    assert run("audit", "head").out == f"3:{chain(3)[2].hash}\n"
    assert run("audit", "export").out == "".join(lines())
