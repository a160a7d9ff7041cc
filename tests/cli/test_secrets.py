"""`farmgate secret`: a value comes from standard input or a prompt, and is printed nowhere."""

from __future__ import annotations

import io
import sys

import pytest

from tests.cli.conftest import CannedFarm, Run

PATH = "/api/repositories/shop/secrets"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("pears\n", "pears"), ("pears\r\n", "pears"), ("pears", "pears"), ("a\nb\n", "a\nb\n"), ("", "")],
)
def test_the_line_break_of_a_single_line_is_no_part_of_it(
    farm: CannedFarm, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, kept: str
) -> None:
    farm.answers[f"PUT {PATH}/TOKEN"] = {}
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    said = run("secret", "set", "shop", "TOKEN", "--environment", "production", "--branch", "main")
    assert said.code == 0, said.err
    assert said.out == "TOKEN of shop is kept, for jobs that deploy to production of main\n"
    assert farm.body() == {"value": kept, "environment": "production", "branch": "main"}


def test_it_is_no_argument(farm: CannedFarm, run: Run) -> None:
    assert run("secret", "set", "shop", "TOKEN", "pears").code == 2
    assert farm.asked == []


def test_the_list_says_whom_each_is_for(farm: CannedFarm, run: Run) -> None:
    row = {"name": "TOKEN", "environment": "", "branch": "main", "changed_at": None, "changed_by": "ada", "key": "root"}
    farm.answers[f"GET {PATH}"] = [row]
    line = run("secret", "list", "shop").out.splitlines()[-1]
    assert line.split() == ["TOKEN", "any", "main", "-", "ada"]
    farm.answers[f"GET {PATH}"] = []
    assert "`farmgate secret set shop NAME` keeps one" in run("secret", "list", "shop").out


def test_removing_names_the_place(farm: CannedFarm, run: Run) -> None:
    farm.answers[f"DELETE {PATH}/TOKEN"] = {}
    assert (
        run("secret", "remove", "shop", "TOKEN", "--branch", "main").out
        == "TOKEN of shop is removed, for any job of main\n"
    )
    assert dict(farm.asked[0].url.params) == {"environment": "", "branch": "main"}


def test_rotating_says_how_many_by_which_key(farm: CannedFarm, run: Run) -> None:
    farm.answers["POST /api/secrets/rotate"] = {"key": "1f2e", "secrets": 3}
    assert run("secret", "rotate").out == "3 secrets are sealed with key 1f2e now\n"
