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


def test_an_identity_is_shown_with_its_keys_and_what_is_in_the_way(farm: CannedFarm, run: Run) -> None:
    key = {
        "kid": "k1",
        "use": "kept",
        "created_by": "ada",
        "created_at": "2026-01-01T00:00:00Z",
        "signs_from": "2026-01-01T01:00:00Z",
        "withdrawn_at": None,
        "until": "2026-01-01T03:00:00Z",
    }
    farm.answers["POST /api/identity/rotate"] = {
        "issuer": "http://farm",
        "configuration": "http://farm/c",
        "keys_at": "http://farm/k",
        "keys": [key],
        "problem": "clouds take https addresses alone",
    }
    said = run("identity", "rotate", "--leaked")
    assert farm.body() == {"leaked": True}
    assert ["k1", "kept", "2026-01-01", "01:00", "2026-01-01", "03:00", "ada"] in [
        x.split() for x in said.out.split("\n")
    ]
    assert said.out.endswith("clouds take https addresses alone\n")


def test_tokens_are_listed_without_themselves(farm: CannedFarm, run: Run) -> None:
    row = {
        "jti": "j",
        "run": 7,
        "job": "publish",
        "attempt": 1,
        "subject": "repo:shop:ref:refs/heads/main",
        "audience": "sts",
        "key": "0123456789",
        "issued_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T00:30:00Z",
    }
    farm.answers["GET /api/identity/tokens?limit=50&run=7"] = [row]
    farm.answers["GET /api/identity/tokens"] = [row]
    line = run("identity", "tokens", "--run", "7").out.splitlines()[-1]
    assert "repo:shop:ref:refs/heads/main" in line
    assert "01234567 " in line + " "
