"""The webhook door."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from farmgate.store.schema import deliveries, intakes
from tests.scheduler.farm import NOTHING, ONE_JOB, Farm

MAIN = "refs/heads/main"


def stored(farm: Farm) -> tuple[int, int]:
    with farm.store.reading() as connection:
        return (
            connection.execute(select(func.count()).select_from(deliveries)).scalar_one(),
            connection.execute(select(func.count()).select_from(intakes)).scalar_one(),
        )


def test_a_push_becomes_a_run_with_its_jobs(shop: Farm) -> None:
    sha = shop.push("second")[0]
    run = shop.runs()[-1]
    assert (run["sha"], run["title"], run["author"], run["state"]) == (sha, "second", "Ada", "pending")
    assert run["jobs"] == [{"name": "test", "state": "ready", "forgiven": False}]


def test_a_wrong_signature_is_refused_and_nothing_is_stored(shop: Farm) -> None:
    before = stored(shop)
    answer = shop.hook(MAIN, None, "a" * 40, secret="a wrong one")
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "where", "remedy"}
    assert stored(shop) == before


def test_a_webhook_without_a_signature_is_refused(shop: Farm) -> None:
    body = json.dumps({"ref": MAIN, "before": NOTHING, "after": "a" * 40}).encode()
    answer = shop.stranger.post(
        "/hooks/shop", content=body, headers={"X-Farmgate-Event": "push", "Content-Type": "application/json"}
    )
    assert answer.status_code == 401


def test_an_unknown_repository_is_not_found(shop: Farm) -> None:
    assert shop.hook(MAIN, None, "a" * 40, name="nowhere").status_code == 404


def test_a_replayed_delivery_makes_its_runs_once(shop: Farm) -> None:
    before = shop.tip()
    sha = shop.repository.add("second")
    answers = [shop.hook(MAIN, before, sha, delivery="the same").json()["accepted"] for _ in range(3)]
    shop.settle()
    assert answers == [True, False, False]
    assert [run["title"] for run in shop.runs()] == ["first", "second"]


def test_a_body_over_the_limit_is_refused_whether_it_says_so_or_not(shop: Farm) -> None:
    limit = shop.context.settings.webhook_limit_bytes
    before = stored(shop)
    assert shop.raw_hook(b"x" * (limit + 1)).status_code == 413
    pieces = (b"x" * 65536 for _ in range(limit // 65536 + 1))
    answer = shop.stranger.post("/hooks/shop", content=pieces, headers={"X-Farmgate-Event": "push"})
    assert answer.status_code == 413
    assert stored(shop) == before


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"{}", b'{"ref": 7}', b"\xff\xfe", b"", b"[" * 100_000])
def test_a_body_that_cannot_be_read_is_refused_and_nothing_is_stored(shop: Farm, body: bytes) -> None:
    before = stored(shop)
    answer = shop.raw_hook(body)
    assert answer.status_code == 400
    assert answer.json()["remedy"]
    assert stored(shop) == before


def test_a_webhook_of_no_known_forge_is_refused(shop: Farm) -> None:
    assert shop.stranger.post("/hooks/shop", content=b"{}").status_code == 400


def test_a_ping_is_answered_and_not_stored(shop: Farm) -> None:
    before = stored(shop)
    assert shop.raw_hook(b"{}", event="ping").status_code == 200
    assert stored(shop) == before


def test_a_webhook_that_starts_no_work_is_recorded_with_the_reason(shop: Farm) -> None:
    assert shop.raw_hook(b"{}", event="star").status_code == 202
    newest = shop.http.get("/api/repositories/shop").json()["deliveries"][0]
    assert "star" in newest["outcome"]


def test_a_removed_repository_takes_no_webhooks_and_frees_its_name(shop: Farm) -> None:
    assert shop.http.delete("/api/repositories/shop").status_code == 204
    assert shop.hook(MAIN, None, "a" * 40).status_code == 404
    shop.repository.add("second", {".farmgate.yml": ONE_JOB})
    shop.connect()
    assert [run["title"] for run in shop.runs(repository="shop")] == ["second"]


def test_a_ref_longer_than_the_store_holds_is_refused_by_name(shop: Farm) -> None:
    answer = shop.hook("refs/heads/" + "x" * 600, None, "a" * 40)
    assert answer.status_code == 400
    assert "ref" in answer.json()["error"]
