"""`farmgate pipeline import`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from farmgate.pipeline import parse
from tests.cli.conftest import Run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".travis.yml").write_text("language: generic\nscript: make\n")
    return tmp_path


def test_the_command_writes_and_says_with_its_code_whether_something_is_left(repository: Path, run: Run) -> None:
    done = run("pipeline", "import", str(repository))
    assert done.code == 0
    assert parse(done.out).jobs["test"].steps[0].run == "make"
    assert "nothing is left" in done.err
    (repository / ".travis.yml").write_text("language: generic\nscript: make\ndeploy: {provider: x}\n")
    done = run("pipeline", "import", str(repository / ".travis.yml"), "--check")
    assert (done.code, done.out) == (1, "")
    assert ".travis.yml:3:1: deploy to x (a lane delivers what passed: see docs/delivery.md) [left]" in done.err


def test_the_command_does_not_overwrite(repository: Path, run: Run) -> None:
    target = repository / ".farmgate.yml"
    assert run("pipeline", "import", str(repository), "-o", str(target)).code == 0
    parse(target.read_text())
    again = run("pipeline", "import", str(repository), "-o", str(target))
    assert (again.code, "--force" in again.err) == (6, True)
    assert run("pipeline", "import", str(repository), "-o", str(target), "--force").code == 0


def test_several_formats_are_asked_about(repository: Path, run: Run) -> None:
    (repository / ".gitlab-ci.yml").write_text("a: {script: [make]}\n")
    done = run("pipeline", "import", str(repository))
    assert (done.code, "gitlab and travis" in done.err) == (6, True)
    assert run("pipeline", "import", str(repository), "--from", "gitlab").code == 0


def test_json_says_everything(repository: Path, run: Run) -> None:
    said = json.loads(run("pipeline", "import", str(repository), "--json").out)
    assert (said["format"], said["steps"]) == ("travis", {"converted": 1, "left": 0})


def test_nothing_there_and_nothing_readable(tmp_path: Path, run: Run) -> None:
    assert run("pipeline", "import", str(tmp_path)).code == 5
    (tmp_path / ".travis.yml").write_text("a: [\n")
    assert ".travis.yml:2:1:" in run("pipeline", "import", str(tmp_path)).err
