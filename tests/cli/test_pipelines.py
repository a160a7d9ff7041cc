"""`farmgate pipeline` and `farmgate template`: files looked at and changed on this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from farmgate.cli import door
from farmgate.cli.exits import Exit
from farmgate.documents import read
from farmgate.pipeline import parse
from farmgate.pipeline.builtin import NAMES, built_in
from farmgate.pipeline.expanding import same
from tests.cli.conftest import CannedFarm, Run

MATRIX = """\
jobs:
  build: {steps: [make]}
  test:
    needs: build
    matrix: {python: ["3.12", "3.13"], at_once: 1}
    when: {branch: [main, "release/*"], paths: src/**}
    steps: [make test]
    concurrency: {group: rig, limit: 2}
  ask: {needs: test, approve: {text: Ship it?, by: ada}}
  clean: {needs: test, when: {result: always}, steps: [make clean], allow_failure: true}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(door, "given", door.Given(data=tmp_path / "data"))
    monkeypatch.delenv("FARMGATE_SERVER", raising=False)
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop" / ".farmgate.yml"


def commit(file: Path) -> None:
    for line in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(file.parent), *line], check=True)


def test_a_graph_says_stages_conditions_and_groups(run: Run, file: Path) -> None:
    file.write_text(MATRIX)
    said = run("pipeline", "graph", str(file)).out
    assert said.index("stage 1\n  build") < said.index("stage 2\n  test") < said.index("stage 3\n  ask")
    for words in (
        "after build",
        "2 jobs, at most 1 at a time",
        "when branch is main, release/*",
        "when src/** changed",
        "group rig: 2 at a time, waits its turn",
        "asks a person of ada: Ship it?",
        "however what it needs ended",
        "may fail",
    ):
        assert words in said
    data = json.loads(run("pipeline", "graph", str(file), "--json").out)
    assert data["stages"] == [["build"], ["test"], ["ask", "clean"]]
    dot = run("pipeline", "graph", str(file), "--dot").out
    assert '"build" -> "test";' in dot
    assert "diamond" in dot


def test_expand_prints_a_file_that_says_the_same(run: Run, file: Path) -> None:
    file.write_text("use: go-service\ntier: strict\n")
    made = run("pipeline", "expand", str(file)).out
    assert same(parse(made), parse(file.read_text()))
    assert json.loads(run("pipeline", "expand", str(file), "--json").out)["jobs"].keys() == {
        "vet",
        "test",
        "faults",
        "build",
    }


def test_eject_writes_over_nothing_that_git_does_not_have(run: Run, file: Path) -> None:
    file.write_text("# ours\nuse: go-service\n")
    wanted = parse(file.read_text())
    refused = run("pipeline", "eject", str(file))
    assert refused.code == Exit.REFUSED
    assert "is not kept by git" in refused.err
    commit(file)
    file.write_text("# ours\nuse: go-service # changed\n")
    assert "has changes that git does not have" in run("pipeline", "eject", str(file)).err
    assert "jobs:" in run("pipeline", "eject", str(file), "--print").out
    assert file.read_text() == "# ours\nuse: go-service # changed\n"
    assert run("pipeline", "eject", str(file), "--force").code == 0
    assert file.read_text().startswith("# ours\n")
    assert same(parse(file.read_text()), wanted)
    assert "uses no template" in run("pipeline", "eject", str(file)).out


def test_eject_writes_over_what_git_has(run: Run, file: Path) -> None:
    file.write_text("use: go-service\n")
    commit(file)
    assert json.loads(run("pipeline", "eject", str(file), "--json").out) == {"changed": True, "comments_kept": True}


@pytest.mark.parametrize(
    ("found", "template"),
    [
        (["pyproject.toml", "package.json"], "python-service"),
        (["package.json", "Dockerfile"], "node-service"),
        (["go.mod"], "go-service"),
        (["index.html"], "static-site"),
        (["Dockerfile"], "container-service"),
        (["README"], None),
    ],
)
def test_init_writes_a_file_by_what_stands_there(run: Run, file: Path, found: list[str], template: str | None) -> None:
    for name in found:
        (file.parent / name).touch()
    assert json.loads(run("pipeline", "init", str(file), "--json").out)["template"] == template
    first, *rest = file.read_text().splitlines()
    assert first == "# yaml-language-server: $schema=http://127.0.0.1:8470/schema/pipeline.json"
    assert template is None or f"use: {template}" in rest
    assert run("pipeline", "lint", str(file)).code == 0
    again = run("pipeline", "init", str(file))
    assert again.code == Exit.REFUSED
    assert "say --force" in again.err


@pytest.mark.parametrize("template", NAMES)
def test_init_shows_every_parameter(run: Run, file: Path, template: str) -> None:
    assert run("pipeline", "init", str(file), "--template", template).code == 0
    text = file.read_text()
    for name, parameter in read(built_in(template).text, template).data["template"]["parameters"].items():
        assert f"  # {name}: " in text or f"  # {name}:\n" in text or f"  {name}: " in text
        assert "default" not in parameter or parameter["description"] in text


def test_a_template_of_the_server_is_asked_for_there(
    run: Run, farm: CannedFarm, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("use: team@2\n")
    alone = run("pipeline", "lint", str(file))
    assert alone.code == Exit.FAILED
    assert "there is no template 'team'" in alone.out
    assert "--server" in alone.out
    text = "template: {name: team}\njobs: {a: {steps: [x]}}\n"
    farm.answers["POST /api/templates/find"] = {"text": text, "source": "team@2", "origin": {"name": "team"}}
    assert "1 job: a" in run("--server", "http://farm.test", "pipeline", "lint", str(file)).out
    assert farm.body() == {"template": "team", "version": 2}


def test_templates_are_listed_shown_applied_and_removed(run: Run, farm: CannedFarm, tmp_path: Path) -> None:
    row = {"name": "team", "version": 3, "text": "hello\n", "changed_by": "ada", "changed_at": None, "removed": False}
    farm.answers |= {
        "GET /api/templates": [row, {**row, "name": "go-service", "version": None}],
        "GET /api/templates/team": row,
        "GET /api/templates/team/versions": [row],
        "PUT /api/templates/team": row,
        "DELETE /api/templates/team": {},
    }
    assert "built in" in run("template", "list").out
    assert run("template", "show", "team").out == "hello\n"
    assert "ada" in run("template", "show", "team", "--history").out
    (tmp_path / "t.yml").write_text("a text")
    assert "version 3" in run("template", "apply", "team", str(tmp_path / "t.yml")).out
    assert farm.body() == {"text": "a text"}
    assert "removed" in run("template", "remove", "team").out
