"""`farmgate candidate`: what another system built is handed over in one line of its job."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import CannedFarm, Run

SHA = "a" * 40
PATH = "/api/candidates/shop"


def answer(state: str, reason: str | None = None, candidate: int | None = None) -> dict[str, Any]:
    return {"sha": SHA, "state": state, "reason": reason, "candidate": candidate}


def test_files_are_uploaded_and_named_by_digest(farm: CannedFarm, run: Run, tmp_path: Path) -> None:
    (tmp_path / "site=1.tar").write_bytes(b"a site")
    digest = hashlib.sha256(b"a site").hexdigest()
    farm.answers[f"PUT {PATH}/bytes"] = lambda request: {"sha256": hashlib.sha256(request.read()).hexdigest()}
    farm.answers[f"POST {PATH}"] = answer("accepted", candidate=7)
    image = "registry.example/shop@sha256:" + "b" * 64
    said = run(
        "candidate", "submit", "shop", SHA.upper(), "--source", "jenkins", "--check", "a=b=passed",
        "--artifact", f"site={tmp_path / 'site=1.tar'}", "--image", f"web={image}", "--url", "https://ci.example/7",
    )  # fmt: skip
    assert (said.code, said.out) == (0, "aaaaaaaaaa of shop is candidate 7\n")
    assert farm.body() == {
        "sha": SHA,
        "source": "jenkins",
        "checks": [{"name": "a=b", "result": "passed"}],
        "artifacts": {"web": image, "site": f"sha256:{digest}"},
        "url": "https://ci.example/7",
    }


def test_a_refusal_is_told_and_is_the_exit_code(farm: CannedFarm, run: Run) -> None:
    farm.answers[f"POST {PATH}"] = answer("refused", "not green: unit")
    said = run("candidate", "submit", "shop", SHA, "--source", "x", "--check", "unit=failed")
    assert (said.code, said.out) == (1, "aaaaaaaaaa of shop is no candidate: not green: unit\n")
    farm.answers[f"POST {PATH}"] = answer("waiting", "the commit must be seen")
    said = run("candidate", "submit", "shop", SHA, "--source", "x", "--check", "unit=passed", "--json")
    assert (said.code, json.loads(said.out)["state"]) == (0, "waiting")


def test_what_is_typed_wrong_asks_no_farm(farm: CannedFarm, run: Run, tmp_path: Path) -> None:
    assert run("candidate", "submit", "shop", SHA, "--source", "x", "--check", "unit").code == 2
    missing = ("--artifact", f"a={tmp_path / 'nowhere'}")
    said = run("candidate", "submit", "shop", SHA, "--source", "x", "--check", "unit=passed", *missing)
    assert (said.code, "cannot be read" in said.err) == (5, True)


def test_the_list_tells_what_became_of_each(farm: CannedFarm, run: Run) -> None:
    farm.answers[f"GET {PATH}"] = {
        "candidates": [{"id": 1, "sha": SHA, "source": "jenkins", "run": None, "artifacts": {}, "created_at": None}],
        "submissions": [
            {"id": 2, "sha": "b" * 40, "source": "circleci", "submitted_by": "ci", **answer("refused", "x")}
        ],
    }
    out = run("candidate", "list", "shop").out
    assert "jenkins" in out
    assert "refused" in out
