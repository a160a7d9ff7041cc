"""What people may ask, who may, and what refusals look like."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farmgate.webhooks import post_receive_line
from scheduler import farm_api
from tests.scheduler.farm import ONE_JOB, TWO_JOBS, Farm


def token(farm: Farm, *rights: str) -> dict[str, str]:
    made = farm.http.post("/api/tokens", json={"name": "tool", "rights": list(rights)}).json()
    return {"Authorization": f"Bearer {made['token']}"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs",
        "/api/runs/1",
        "/api/repositories",
        "/api/nodes",
        "/api/status",
        "/api/doctor",
        "/api/tokens",
        "/api/jobs/1/log",
        "/api/jobs/1/log/stream",
        "/api/changes",
        "/api/commits/shop/abcd",
        "/api/artifacts/" + "a" * 64,
    ],
)
def test_a_stranger_sees_nothing(shop: Farm, path: str) -> None:
    answer = shop.stranger.get(path)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "where", "remedy"}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("rights", "allowed", "refused"),
    [
        ("read", [("GET", "/api/runs")], [("POST", "/api/runs/1/rerun"), ("POST", "/api/nodes/enrol")]),
        ("write", [("POST", "/api/runs/1/rerun")], [("POST", "/api/nodes/enrol"), ("GET", "/api/tokens")]),
        ("admin", [("POST", "/api/nodes/enrol"), ("GET", "/api/tokens"), ("POST", "/api/runs/1/rerun")], []),
    ],
)
def test_each_right_opens_its_doors(
    shop: Farm, rights: str, allowed: list[tuple[str, str]], refused: list[tuple[str, str]]
) -> None:
    headers = token(shop, rights)
    assert [shop.stranger.request(*door, headers=headers).status_code for door in refused] == [403] * len(refused)
    assert all(shop.stranger.request(*door, headers=headers).status_code < 300 for door in allowed)


def test_a_revoked_token_opens_nothing(shop: Farm) -> None:
    made = shop.http.post("/api/tokens", json={"name": "tool"}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert shop.stranger.get("/api/runs", headers=headers).status_code == 200
    assert shop.http.delete(f"/api/tokens/{made['id']}").status_code == 204
    assert shop.stranger.get("/api/runs", headers=headers).status_code == 401
    assert all("token" not in listed for listed in shop.http.get("/api/tokens").json())


def test_a_right_that_does_not_exist_is_refused_by_name(shop: Farm) -> None:
    answer = shop.http.post("/api/tokens", json={"name": "tool", "rights": ["root"]})
    assert answer.status_code == 422
    assert "root" in answer.json()["error"]


def session(farm: Farm) -> dict[str, str]:
    from scheduler import farm_api

    link = farm.http.post("/api/signin-links").json()["url"]
    return {"Cookie": f"farmgate_session={farm_api.sign_in(farm.context, link.partition('code=')[2])}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://farm"}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://evil"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://farm"}, 403),
        ({}, 403),
    ],
)
def test_a_cookie_acts_only_from_our_own_pages(shop: Farm, headers: dict[str, str], status: int) -> None:
    cookie = session(shop)
    assert shop.stranger.get("/api/runs", headers=cookie).status_code == 200
    assert shop.stranger.post("/api/runs/1/rerun", headers=cookie | headers).status_code == status


def test_a_sign_in_link_opens_once(shop: Farm) -> None:
    from farmgate.errors import Unauthorised
    from scheduler import farm_api

    code = shop.http.post("/api/signin-links").json()["url"].partition("code=")[2]
    farm_api.sign_in(shop.context, code)
    with pytest.raises(Unauthorised):
        farm_api.sign_in(shop.context, code)


# --- repositories ----------------------------------------------------------------------------------------------------


def test_the_secret_is_told_once_and_stored_encrypted(farm: Farm) -> None:
    made = farm.connect()
    assert made["secret"] == "a secret for tests"
    assert made["post_receive"] == post_receive_line(made["webhook_url"], made["secret"])
    assert made["webhook_url"].endswith("/hooks/shop")
    later = farm.http.get("/api/repositories/shop").json()
    assert later["secret"] is None
    assert later["post_receive"] is None
    assert b"a secret for tests" not in (farm.folder / "farm.db").read_bytes()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "../up"}, "name"),
        ({"name": "Shop"}, "name"),
        ({"url": "--upload-pack=x"}, "url"),
        ({"url": "ext::sh -c x"}, "url"),
        ({"url": ""}, "url"),
        ({"forge": "cvs"}, "forge"),
        ({"default_branch": "a b"}, "default_branch"),
        ({"secret": "short"}, "secret"),
    ],
)
def test_a_repository_that_cannot_be_is_refused_by_its_field(farm: Farm, change: dict[str, Any], field: str) -> None:
    body = {"name": "shop", "url": str(farm.repository.path)} | change
    answer = farm.http.post("/api/repositories?wait=0", json=body)
    assert answer.status_code == 422
    assert field in answer.json()["error"]


def test_a_name_is_given_once(shop: Farm) -> None:
    answer = shop.http.post("/api/repositories?wait=0", json={"name": "shop", "url": "/elsewhere"})
    assert answer.status_code == 409


def test_a_repository_out_of_reach_says_why(farm: Farm) -> None:
    farm.http.post("/api/repositories?wait=0", json={"name": "gone", "url": "/no/such/repository"})
    farm.settle()
    told = farm.http.get("/api/repositories/gone").json()
    assert "/no/such/repository" in told["poll_error"]
    assert told["first_read"]["state"] == "pending"


def test_a_poll_may_be_asked_for(shop: Farm) -> None:
    shop.repository.add("unheard")
    assert shop.http.post("/api/repositories/shop/poll").status_code == 202
    shop.settle()
    assert shop.runs()[-1]["title"] == "unheard"


# --- runs ------------------------------------------------------------------------------------------------------------


def test_runs_are_found_by_what_they_are(shop: Farm) -> None:
    sha = shop.push("second")[0]
    shop.push("side", branch="feature", files={".farmgate.yml": ONE_JOB})
    found = shop.runs
    assert [run["title"] for run in found(sha=sha[:7])] == ["second"]
    assert [run["title"] for run in found(ref="feature")] == ["side"]
    assert len(found(repository="shop", state="pending")) == 3
    assert [run["id"] for run in found(before_id=2)] == [1]
    assert [run["id"] for run in found(limit=1)] == [3]
    assert shop.http.get("/api/runs?repository=nowhere").status_code == 404
    assert shop.http.get("/api/runs?sha=XYZ").status_code == 422


def test_a_run_says_why_its_jobs_wait_and_how_long_each_stage_took(shop: Farm) -> None:
    shop.push("second", files={".farmgate.yml": TWO_JOBS})
    run = shop.run(2)
    assert [job["why"] for job in run["jobs"]] == [
        "no node of pool default takes work; enrol one",
        "waits for build (ready)",
    ]
    shop.clock.advance(timedelta(seconds=2))
    worker = shop.join()
    worker.claim(1)
    assert shop.run(1)["delays"] == {"ready": 0.0, "rung": 2.0, "started": 2.0}


def test_a_run_that_ended_is_run_again_with_the_next_ordinal(shop: Farm) -> None:
    worker = shop.join()
    worker.work("failed")
    assert shop.run(1)["state"] == "failed"
    again = shop.http.post("/api/runs/1/rerun").json()
    assert (again["ordinal"], again["asked_by"], again["trigger"]) == (2, "ada", "push")
    shop.settle()
    worker.work("passed")
    assert shop.run(again["id"])["state"] == "passed"
    assert shop.http.get(f"/api/commits/shop/{shop.tip()}").json()["candidate"] == {}


def test_a_commit_is_found_by_a_unique_beginning(shop: Farm) -> None:
    sha = str(shop.tip())
    found = shop.http.get(f"/api/commits/shop/{sha[:7]}").json()
    assert (found["sha"], found["branches"][0]["position"]) == (sha, 1)
    assert shop.http.get("/api/commits/shop/zzzz").status_code == 404
    assert shop.http.get("/api/commits/shop/ab").status_code == 404


@pytest.mark.parametrize("path", ["/api/runs/99", "/api/jobs/99/log", "/api/jobs/1/log?attempt=9", "/api/nowhere"])
def test_what_is_not_there_is_said_so(shop: Farm, path: str) -> None:
    answer = shop.http.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "where", "remedy"}


def test_the_log_of_a_job_that_nobody_claimed_is_empty(shop: Farm) -> None:
    answer = shop.http.get("/api/jobs/1/log")
    assert (answer.status_code, answer.text) == (200, "")
    assert "X-Farmgate-Log-End" not in answer.headers


# --- the farm --------------------------------------------------------------------------------------------------------


def test_status_counts_what_waits_and_runs(shop: Farm) -> None:
    shop.push("second")
    worker = shop.join(slots=1)
    worker.claim(1)
    status = shop.http.get("/api/status").json()
    assert (status["running"], status["waiting"], status["slots"]) == (1, 1, 1)
    assert status["nodes"][0]["name"] == "n1"


def test_the_doctor_finds_a_healthy_farm_well_and_says_what_is_not(shop: Farm) -> None:
    shop.loop.lead()
    worker = shop.join()
    well = shop.http.get("/api/doctor").json()
    assert [check["name"] for check in well["checks"] if not check["ok"]] == []
    assert well["violations"] == []
    shop.clock.advance(timedelta(minutes=5))
    shop.settle()
    ill = shop.http.get("/api/doctor").json()
    assert {check["name"] for check in ill["checks"] if not check["ok"]} >= {"loop", "nodes"}
    worker.beat()


def test_health_needs_no_token(farm: Farm) -> None:
    assert farm.stranger.get("/healthz").json() == {"status": "ok"}
    assert farm.stranger.get("/readyz").json() == {"status": "ready", "farm": farm.context.vault.farm()}


def test_the_doctor_tells_a_full_disk_before_anything_fails_for_it(shop: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm_api, "LEAST_FREE_BYTES", 2**62)
    (told,) = [one for one in shop.http.get("/api/doctor").json()["checks"] if one["name"] == "disk"]
    assert not told["ok"]
    assert f"{shop.context.settings.data}: make room" in told["text"]


def test_a_body_without_measure_is_refused_before_it_is_read(shop: Farm) -> None:
    told = shop.stranger.post("/api/nodes/join", content=b"[" + b" " * (5 * 2**20), headers={"Content-Type": "text/x"})
    assert told.status_code == 413
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 64 * 2**20:
            read += 2**20
            yield b" " * 2**20

    answer = shop.stranger.post("/api/nodes/join", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code >= 400


def test_a_number_that_no_row_can_have_is_not_found_to_be_our_fault(shop: Farm) -> None:
    assert shop.http.get(f"/api/runs/{10**30}").status_code == 422


def test_a_crash_in_an_endpoint_leaves_its_traceback_in_the_log(
    shop: Farm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object) -> None:
        raise ValueError("a bug of ours")

    monkeypatch.setattr("scheduler.views.run_detail", crash)
    http = TestClient(shop.app, raise_server_exceptions=False, headers=dict(shop.http.headers))
    answer = http.get("/api/runs/1")
    assert (answer.status_code, answer.json()["error"]) == (500, "the server failed at this request")
    said = "".join(capsys.readouterr())
    assert "Traceback" in said
    assert "a bug of ours" in said
    assert "/api/runs/1" in said
