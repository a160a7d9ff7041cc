"""Templates of the server and of repositories: who may change them, and what a run gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farmgate.pipeline.schema import schema_text
from tests.git.repositories import RealRepository
from tests.scheduler.farm import Farm
from tests.scheduler.test_intake import pull_request

TEMPLATE = """\
template: {name: team, parameters: {word: {default: hi}}}
jobs: {say: {steps: ['echo ${{ parameters.word }}']}}
"""


def apply(farm: Farm, text: str, name: str = "team") -> Any:
    return farm.http.put(f"/api/templates/{name}", json={"text": text})


def newest_run(farm: Farm) -> dict[str, Any]:
    (newest, *_) = farm.http.get("/api/runs").json()
    made: dict[str, Any] = farm.http.get(f"/api/runs/{newest['id']}").json()
    return made


def origin(farm: Farm, run: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = farm.run(run)["templates"]
    return found


def push(farm: Farm, file: str) -> dict[str, Any]:
    farm.push("change", files={".farmgate.yml": file})
    return newest_run(farm)


def test_a_template_has_versions_with_who_made_them(farm: Farm) -> None:
    assert apply(farm, TEMPLATE).json()["version"] == 1
    assert apply(farm, TEMPLATE).json()["version"] == 1
    assert apply(farm, TEMPLATE.replace("hi", "ho")).json()["version"] == 2
    assert farm.http.delete("/api/templates/team").status_code == 204
    assert farm.http.get("/api/templates/team").status_code == 404
    assert "was removed by ada" in farm.http.get("/api/templates/team").text
    assert apply(farm, TEMPLATE).json()["version"] == 4
    found = farm.http.get("/api/templates/team/versions").json()
    assert [(one["version"], one["removed"], one["changed_by"]) for one in found] == [
        (4, False, "ada"),
        (3, True, "ada"),
        (2, False, "ada"),
        (1, False, "ada"),
    ]
    assert "ho" in farm.http.get("/api/templates/team?version=2").json()["text"]
    names = [one["name"] for one in farm.http.get("/api/templates").json()]
    assert names == sorted(names)
    assert {"team", "python-service"} <= set(names)


def test_only_an_admin_changes_templates(farm: Farm) -> None:
    made = farm.http.post("/api/tokens", json={"name": "tool", "rights": ["write"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert farm.stranger.put("/api/templates/team", json={"text": TEMPLATE}, headers=headers).status_code == 403
    assert farm.stranger.delete("/api/templates/team", headers=headers).status_code == 403
    assert farm.stranger.get("/api/templates", headers=headers).status_code == 200
    assert farm.stranger.get("/api/templates").status_code == 401


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("jobs: {a: {steps: [x]}}", 422, "team.yml:1:1: this is not a template"),
        ("template: {name: team}\njobs: {a: {stepz: [x]}}", 422, "team.yml:2:12: unknown key 'stepz'"),
        ("template: {name: other}\njobs: {a: {steps: [x]}}", 409, "calls itself 'other'"),
        ("template: {name: team, tiers: [a, b]}\njobs: {a: {steps: [x], tiers: a}}", 422, "no job is left in tier 'b'"),
        ("template: {name: team}\nuse: nowhere\n", 422, "there is no template 'nowhere'"),
    ],
)
def test_a_bad_template_is_refused_with_the_place(farm: Farm, text: str, status: int, said: str) -> None:
    answer = apply(farm, text)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]


def test_the_names_of_built_in_templates_are_taken(farm: Farm) -> None:
    answer = apply(farm, TEMPLATE.replace("team", "go-service"), "go-service")
    assert answer.status_code == 409
    assert "comes with Farmgate" in answer.text
    assert "golang" in farm.http.get("/api/templates/go-service").json()["text"]


def test_a_run_uses_the_servers_template_and_records_which(shop: Farm) -> None:
    apply(shop, TEMPLATE)
    apply(shop, TEMPLATE.replace("hi", "ho"))
    run = push(shop, "use: team\n")
    assert [job["name"] for job in run["jobs"]] == ["say"]
    (one,) = origin(shop, run["id"])
    assert (one["name"], one["revision"]) == ("team", "2")
    assert origin(shop, push(shop, "use: team@1\nparameters: {word: x}\n")["id"])[0]["revision"] == "1"


def test_a_template_that_vanished_is_told_once_and_nothing_is_lost(shop: Farm) -> None:
    apply(shop, TEMPLATE)
    shop.http.delete("/api/templates/team")
    run = push(shop, "use: team\n")
    assert run["state"] == "error"
    assert ".farmgate.yml:1:6: template 'team' was removed by ada at" in run["reason"]
    run = push(shop, "use: team@7\n")
    assert run["state"] == "error"
    apply(shop, TEMPLATE)
    answer = shop.http.post(f"/api/runs/{run['id']}/rerun")
    assert answer.status_code < 300
    assert "has no version 7" in newest_run(shop)["reason"]


@pytest.fixture
def shared(shop: Farm, tmp_path: Path) -> RealRepository:
    """A second repository of the farm, `shared`, with a template at the tag v1."""
    repository = RealRepository(tmp_path / "shared.git")
    repository.git("tag", "v1", repository.add("template", {"ci/team.yml": TEMPLATE}))
    body = {"name": "shared", "url": str(repository.path), "secret": "a secret for tests"}
    assert shop.http.post("/api/repositories?wait=0", json=body).status_code == 201
    shop.settle()
    return repository


def use(revision: str, path: str = "ci/team.yml") -> str:
    return f"use: {{repository: shared, path: {path}, revision: {revision}}}\n"


def test_a_template_of_a_repository_is_read_at_its_revision(shop: Farm, shared: RealRepository) -> None:
    sha = shared.git("rev-parse", "v1").strip()
    run = push(shop, use("v1"))
    assert [job["name"] for job in run["jobs"]] == ["say"]
    (one,) = origin(shop, run["id"])
    assert (one["name"], one["revision"], one["commit"]) == ("shared/ci/team.yml", "v1", sha)
    assert origin(shop, push(shop, use(sha))["id"])[0]["commit"] == sha


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (use("main"), "'main' is a branch, which moves: name a tag or a whole commit hash"),
        (use("v9"), "repository 'shared' has no tag and no commit 'v9' (any more)"),
        (use("f" * 40), f"has no tag and no commit '{'f' * 40}' (any more)"),
        (use("v1", "ci/other.yml"), "there is no file 'ci/other.yml' at that revision"),
        (use("v1").replace("shared", "nowhere"), "no repository 'nowhere' is connected to this farm"),
    ],
)
def test_a_revision_that_cannot_be_had_is_told(shop: Farm, shared: RealRepository, file: str, said: str) -> None:
    run = push(shop, file)
    assert run["state"] == "error"
    assert run["reason"].startswith(".farmgate.yml:1:6: ")
    assert said in run["reason"]


def test_a_tag_that_came_after_the_last_look_is_fetched(shop: Farm, shared: RealRepository) -> None:
    shared.git("tag", "v2", shared.add("two", {"ci/team.yml": TEMPLATE.replace("hi", "two")}))
    assert origin(shop, push(shop, use("v2"))["id"])[0]["revision"] == "v2"


@pytest.mark.parametrize("path", ["ci/team.yml", "ci/secret.yml"])
def test_a_fork_takes_only_what_the_default_branch_takes(shop: Farm, shared: RealRepository, path: str) -> None:
    push(shop, use("v1"))
    shop.repository.git("update-ref", "refs/heads/tmp", str(shop.tip()))
    file = use("v1", path) + "parameters: {word: x}\n"
    head = shop.repository.add("proposal", {".farmgate.yml": file}, branch="tmp")
    shop.repository.git("update-ref", "-d", "refs/heads/tmp")
    shop.repository.git("update-ref", "refs/pull/7/head", head)
    pull_request(shop, head, fork=True)
    run = newest_run(shop)
    assert (run["sha"], run["trust"]) == (head, "untrusted")
    if path == "ci/team.yml":
        assert run["templates"][0]["name"] == "shared/ci/team.yml"
    else:
        assert "a proposal from a fork cannot use shared/ci/secret.yml@v1: only what" in run["reason"]


def test_the_schemas_are_served_to_everyone(farm: Farm) -> None:
    answer = farm.stranger.get("/schema/pipeline.json")
    assert answer.status_code == 200
    assert answer.text == schema_text()
    assert "tiers" in farm.stranger.get("/schema/template.json").text
