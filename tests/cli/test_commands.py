"""What the commands print and with which code they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from farmgate import __version__, errors
from farmgate.cli import door, show
from farmgate.cli.exits import MEANINGS, Exit, code_of
from farmgate.cli.logs import tame
from farmgate.cli.reference import text
from tests.cli.conftest import CannedFarm, Run

SHA = "1f0c5d9e" * 5
RUN = {
    "id": 7,
    "repository": "shop",
    "sha": SHA,
    "ref": "refs/heads/main",
    "title": "Sell pears",
    "author": "Ada",
    "state": "failed",
    "created_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:00:02Z",
    "jobs": [
        {"id": 11, "name": "test", "state": "failed", "attempt": 1, "reason": "step 1 ended with 1"},
        {"id": 12, "name": "build", "state": "skipped", "attempt": 1},
    ],
}


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['farmgate', '--help']\n"
        "from farmgate.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'httpx', 'docker', 'pydantic', 'rich', 'sqlalchemy', 'celery', 'redis'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "rollback" in done.stdout


def test_the_reference_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text() == text(), "run: python -m farmgate.cli.reference > docs/cli.md"


def test_every_exit_code_has_a_meaning_and_every_error_a_code() -> None:
    assert set(MEANINGS) == set(Exit)
    kinds = [value for value in vars(errors).values() if isinstance(value, type) and value is not errors.BadDocument]
    for kind in kinds:
        if issubclass(kind, errors.FarmgateError):
            assert code_of(kind("x")) not in (Exit.OK, Exit.USAGE)


def test_the_version_is_the_packages() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{__version__}"' in project


def test_an_error_is_one_line_and_its_code(farm: CannedFarm, run: Run) -> None:
    body = {"error": "no lane shop/moon", "where": "/api/lanes", "remedy": "See farmgate lanes."}
    farm.answers["GET /api/lanes/shop/moon"] = httpx.Response(404, json=body)
    said = run("lane", "show", "shop/moon")
    assert (said.code, said.out) == (Exit.NOT_FOUND, "")
    assert said.err == "farmgate: no lane shop/moon. See farmgate lanes.\n"


def test_with_json_an_error_is_json_too(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/nodes"] = httpx.Response(401, json={"error": "no valid token"})
    said = run("nodes", "--json")
    assert said.code == Exit.UNAUTHORISED
    assert json.loads(said.err) == {"error": "no valid token", "kind": "Unauthorised", "exit": 4}


def test_a_wrong_command_line_is_a_usage_error(run: Run) -> None:
    assert run("lane", "decide", "shop/production", "maybe", "--reason", "x").code == Exit.USAGE
    assert run("up", "--engine", "magic").code == Exit.USAGE


def test_runs_are_columns_without_a_terminal(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/runs"] = [RUN]
    said = run("runs", "--repo", "shop", "--state", "failed")
    assert farm.asked[0].url.params["repository"] == "shop"
    heading, row = said.out.splitlines()
    assert heading.split()[:3] == ["run", "state", "repository"]
    assert row.split()[:5] == ["7", "failed", "shop", "main", SHA[:10]]
    assert "\x1b" not in said.out


def test_json_is_what_the_server_said(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/runs/7"] = RUN
    assert json.loads(run("run", "show", "7", "--json").out) == RUN


def test_a_run_is_found_by_the_beginning_of_its_sha(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/runs"] = [RUN]
    farm.answers["GET /api/runs/7"] = RUN
    said = run("run", "show", SHA[:8])
    assert said.code == Exit.OK
    assert "step 1 ended with 1" in said.out


def test_two_commits_with_one_beginning_are_asked_about(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/runs"] = [RUN, RUN | {"id": 8, "sha": SHA[:-1] + "0"}]
    said = run("run", "show", SHA[:8])
    assert said.code == Exit.NOT_FOUND
    assert "2 commits" in said.err


def test_watching_a_failed_run_ends_with_one(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/runs/7"] = RUN
    said = run("run", "watch", "7")
    assert said.code == Exit.FAILED
    assert "  test: failed: step 1 ended with 1" in said.out.splitlines()


def test_a_log_is_named_by_run_and_job(farm: CannedFarm, run: Run) -> None:
    farm.answers["GET /api/runs/7"] = RUN
    farm.answers["GET /api/jobs/12/log"] = httpx.Response(200, content=b"built\n", headers={"X-Farmgate-Log-End": "6"})
    said = run("log", "7/build", "--json")
    assert json.loads(said.out) == {"job": 12, "complete": True, "text": "built\n"}
    assert run("log", "7/deploy").code == Exit.NOT_FOUND


def test_a_log_is_searched_to_its_end(farm: CannedFarm, run: Run) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        later = request.url.params["offset"] != "0"
        match = {"line": 9 if later else 2, "text": "a \x1b]0;title\x07needle", "at": 2, "length": 6}
        return httpx.Response(200, json={"matches": [match], "next_offset": None if later else 50, "next_line": 3})

    farm.answers["GET /api/jobs/12/log/search"] = answer
    said = run("log", "12", "--search", "needle")
    assert (said.code, said.out) == (0, "      2  a needle\n      9  a needle\n")
    nothing: dict[str, object] = {"matches": [], "next_offset": None, "next_line": 1}
    farm.answers["GET /api/jobs/12/log/search"] = nothing
    assert run("log", "12", "--search", "needle").code == Exit.FAILED


def test_a_followed_log_ends_with_the_jobs_verdict(farm: CannedFarm, run: Run) -> None:
    events = 'event: chunk\nid: 3\ndata: {"offset": 0, "text": "no\\n"}\n\nevent: end\ndata: {"state": "failed"}\n\n'
    farm.answers["GET /api/jobs/11/log/stream"] = lambda _: httpx.Response(200, text=events)
    said = run("log", "11", "-f")
    assert (said.code, said.out) == (Exit.FAILED, "no\n")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1bcreset", "reset"),
        ("bell\x07\x9b", "bell\x9b"),
    ],
)
def test_a_log_cannot_drive_the_terminal(raw: str, shown: str) -> None:
    assert tame(raw, colour=True) == shown


def test_a_title_cannot_drive_the_terminal() -> None:
    assert show.clean("a\x1b[2Jb\nc") == "a [2Jb c"


def test_a_policy_is_sent_as_it_stands(farm: CannedFarm, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "delivery.yml"
    file.write_text("application: shop\n")
    farm.answers["PUT /api/lanes/policy"] = {
        "lanes": [{"application": "shop", "environment": "staging", "version": 2, "change": "changed"}]
    }
    assert run("lane", "apply", "-f", str(file)).out == "shop/staging: policy changed, version 2\n"
    assert farm.asked[0].content == b"application: shop\n"


def test_a_rollback_says_why_and_where_to(farm: CannedFarm, run: Run) -> None:
    farm.answers["POST /api/lanes/shop/production/rollback"] = {
        "lane": "shop/production",
        "to_sha": SHA,
        "to_rollout": 3,
        "takes_back": [{"sha": "ab" * 20, "position": 4, "title": "Sell pears", "author": "Ada"}],
    }
    said = run("rollback", "shop/production", "--to", "3", "--reason", "prices are wrong")
    assert farm.body() == {"reason": "prices are wrong", "to": 3}
    assert said.out.splitlines() == [
        f"shop/production goes back to {SHA[:10]} of rollout 3. It takes back:",
        "  ababababab Sell pears (Ada)",
    ]


def test_a_repository_tells_which_changes_were_not_run_and_why(farm: CannedFarm, run: Run) -> None:
    change = {"kind": "push", "after": SHA, "created_at": "2026-01-01T00:00:00Z"}
    farm.answers["GET /api/repositories/shop"] = {
        "name": "shop",
        "url": "/srv/shop.git",
        "intakes": [
            change
            | {"ref": "refs/heads/gone", "state": "rejected", "reason": "it vanished before it could be fetched"},
            change | {"ref": "refs/heads/next", "state": "pending", "reason": "could not resolve host"},
            change | {"ref": "refs/heads/main", "state": "done", "reason": "1 commits, 1 runs"},
        ],
    }
    said = run("repo", "show", "shop").out
    assert "it vanished before it could be fetched" in said
    assert "could not resolve host" in said
    assert "refs/heads/main" not in said


def test_an_empty_list_says_what_to_do(farm: CannedFarm, run: Run) -> None:
    farm.answers |= {"GET /api/repositories": [], "GET /api/lanes": [], "GET /api/nodes": [], "GET /api/runs": []}
    for command in (("repo", "list"), ("lanes",), ("nodes",), ("runs",)):
        assert "yet" in run(*command).out


def test_lint_names_the_place_and_ends_with_one(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    file.write_text("jobs:\n  unit:\n    stepz: [make]\n")
    said = run("pipeline", "lint", str(file))
    assert said.code == Exit.FAILED
    assert f"{file}:3:" in said.out
    problems = json.loads(run("pipeline", "lint", str(file), "--json").out)["problems"]
    assert 3 in {problem["line"] for problem in problems}


def test_the_address_comes_from_the_farm_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / door.ADDRESS).write_text('{"address": "http://127.0.0.1:8555", "pid": 1}')
    (tmp_path / door.ADMIN_TOKEN).write_text("fgt_x\n")
    monkeypatch.setattr(door, "given", door.Given(data=tmp_path))
    monkeypatch.delenv("FARMGATE_SERVER", raising=False)
    with door.connect() as api:
        assert api.server == "http://127.0.0.1:8555"
    monkeypatch.setenv("FARMGATE_SERVER", "http://elsewhere:1")
    with door.connect() as api:
        assert api.server == "http://elsewhere:1"
