"""`farmgate run --local`, with a real farm of real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from farmgate.cli.exits import Exit
from farmgate.cli.local_secrets import gathered, read
from farmgate.errors import BadDocument, BadSettings, NotFound
from farmgate.pipeline import parse
from farmgate.pipeline.subset import only
from farmgate.settings import environment_for_child
from tests.git.test_working_tree import git

pytestmark = pytest.mark.needs("git", "redis")

FILE = """\
jobs:
  build:
    steps: ['mkdir dist', 'cat greeting > dist/greeting', 'echo built']
    artifacts: [dist/greeting]
  test:
    needs: [build]
    steps: ['grep hello dist/greeting', 'echo "on $FARMGATE_BRANCH"']
  other:
    steps: ['echo this fails', 'echo "token $TOKEN"', 'exit 3']
    secrets: [TOKEN]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".farmgate.yml").write_text(FILE)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    (folder / "greeting").write_text("hello, not committed\n")
    return folder


def run(tree: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in environment_for_child().items() if not name.startswith("FARMGATE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "farmgate.cli", "run", "--local", "--engine", "process", *arguments],
        cwd=tree,
        env={**clean, "HOME": str(tree.parent / "home"), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_working_tree_is_run_as_it_stands_and_its_artifacts_come_back(tree: Path, tmp_path: Path) -> None:
    done = run(tree, "--job", "test", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "build | built" in lines
    assert "test | hello, not committed" in lines
    assert "test | on main" in lines
    assert "other" not in done.stdout
    assert (tmp_path / "out" / "build" / "dist" / "greeting").read_text() == "hello, not committed\n"
    assert git(tree, "status", "--porcelain") == "?? greeting"

    (tree / "greeting").write_text("hello again\n")
    whole = run(tree, "--json", "--secret", "TOKEN", TOKEN="pears and plums")
    assert whole.returncode == Exit.FAILED
    row = json.loads(whole.stdout)
    assert {job["name"]: job["state"] for job in row["jobs"]} == {
        "build": "passed",
        "test": "passed",
        "other": "failed",
    }
    assert "other | this fails" in whole.stderr
    assert "other | token ***" in whole.stderr
    assert "pears" not in whole.stderr + whole.stdout


def test_a_farm_that_the_environment_names_is_left_alone(tree: Path) -> None:
    done = run(tree, FARMGATE_DATABASE_URL="postgresql://farm.example.org/farm")
    assert done.returncode == Exit.MACHINE
    assert "FARMGATE_DATABASE_URL is set" in done.stderr
    assert "unset" in done.stderr


def test_a_bad_file_is_told_at_its_place(tree: Path) -> None:
    (tree / ".farmgate.yml").write_text("jobs: {a: {stps: [make]}}\n")
    done = run(tree, "--job", "a")
    assert done.returncode == Exit.FAILED
    assert ".farmgate.yml:1:12: unknown key 'stps'" in done.stderr


def test_a_part_of_a_file_has_what_its_jobs_need() -> None:
    text = FILE + "  last:\n    needs: [{job: test, artifacts: false}]\n    steps: [x]\n"
    assert list(parse(only(text, ["last"])).jobs) == ["build", "test", "last"]
    with pytest.raises(NotFound, match="did you mean 'build'"):
        only(text, ["biuld"])
    with pytest.raises(BadDocument):
        only("jobs: {}", ["a"])


def test_a_file_of_secrets_is_read_line_by_line_and_errors_repeat_no_value() -> None:
    assert read("# mine\n\nA=b=c # d\nB_2= x \n", "f") == {"A": "b=c # d", "B_2": " x "}
    for text, said in (("A=1\npears", "f:2: not NAME=VALUE"), ("A=1\nA=pears", "f:2: a second value of A")):
        with pytest.raises(BadSettings, match=said) as error:
            read(text, "f")
        assert "pears" not in str(error.value)


def test_a_file_of_secrets_that_would_be_part_of_the_run_is_refused(tree: Path, tmp_path: Path) -> None:
    inside, outside = tree / "mine.env", tmp_path / "mine.env"
    for path in (inside, outside):
        path.write_text("TOKEN=pears\n")
    assert gathered([], outside, tree) == {"TOKEN": "pears"}
    with pytest.raises(BadSettings, match=r"mine\.env is not ignored by git"):
        gathered([], inside, tree)
    (tree / ".gitignore").write_text("*.env\n")
    assert gathered([], inside, tree) == {"TOKEN": "pears"}
    with pytest.raises(BadSettings, match="no variable FARMGATE_NOT_THERE"):
        gathered(["FARMGATE_NOT_THERE"], None, tree)
