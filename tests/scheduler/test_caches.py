"""Caches at the server: found, kept once, bounded, and never written by a fork."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import update

from farmgate import models
from farmgate.store import schema
from farmgate.store.database import many
from tests.scheduler.farm import Farm, Held


def keep(held: Held, key: str, data: bytes) -> httpx.Response:
    answer: httpx.Response = held.http.put(
        f"{held.path}/caches", params={"key": key}, content=data, headers=held.headers
    )
    return answer


def find(held: Held, key: str, *beginnings: str) -> dict[str, Any] | None:
    params = [("key", key), *(("beginning", one) for one in beginnings)]
    answer = held.http.get(f"{held.path}/caches", params=params, headers=held.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] | None = answer.json()["found"]
    return found


def content(held: Held, sha256: str) -> httpx.Response:
    answer: httpx.Response = held.http.get(f"{held.path}/caches/{sha256}", headers=held.headers)
    return answer


def a_fork_attempt(shop: Farm) -> Held:
    """An attempt of a run that came from a fork."""
    shop.push("from a fork")
    run = shop.runs()[-1]
    with shop.store.writing() as connection:
        connection.execute(update(schema.runs).where(schema.runs.c.id == run["id"]).values(trust="untrusted"))
    return shop.join("for-forks").claim(shop.run(run["id"])["jobs"][0]["id"])


def keys(shop: Farm) -> list[str]:
    return [cache["key"] for cache in shop.http.get("/api/repositories/shop/caches").json()["caches"]]


def test_what_one_attempt_kept_another_finds(shop: Farm) -> None:
    held = shop.join().claim(1)
    assert keep(held, "pip-1", b"archive").json()["kept"] is True
    shop.push("second")
    other = shop.join("n2").claim(2)
    found = find(other, "pip-1")
    assert found is not None
    assert content(other, found["sha256"]).content == b"archive"


def test_a_key_is_written_once(shop: Farm) -> None:
    held = shop.join().claim(1)
    keep(held, "pip-1", b"first")
    assert keep(held, "pip-1", b"second").json()["kept"] is False
    found = find(held, "pip-1")
    assert found is not None
    assert content(held, found["sha256"]).content == b"first"


def test_a_missing_key_falls_back_to_the_newest_of_a_beginning(shop: Farm) -> None:
    held = shop.join().claim(1)
    for key in ("pip-1", "pip-2", "npm-1", "pi%"):
        keep(held, key, key.encode())
    found = find(held, "pip-3", "absent-", "pip-")
    assert found is not None
    assert found["key"] == "pip-2"
    assert find(held, "pip-3") is None
    assert find(held, "x", "p_p", "pip%") is None, "a beginning is text, no pattern"


def test_a_fork_reads_and_cannot_write_whatever_key_it_names(shop: Farm) -> None:
    keep(shop.join().claim(1), "pip-1", b"trusted")
    fork = a_fork_attempt(shop)
    for key in ("pip-1", "pip-2", "node-1", "pip-1 "):
        assert keep(fork, key, b"poison").status_code == 403
    assert keys(shop) == ["pip-1"]
    found = find(fork, "pip-1")
    assert found is not None
    assert content(fork, found["sha256"]).content == b"trusted"


def test_another_repository_sees_nothing_of_it(shop: Farm) -> None:
    held = shop.join().claim(1)
    keep(held, "pip-1", b"archive")
    found = find(held, "pip-1")
    assert found is not None
    shop.push("second")
    other = shop.join("n2").claim(2)
    with shop.store.writing() as connection:
        values = {"name": "other", "url": "file:///o", "forge": "git", "secret": "", "default_branch": "main"}
        more = {"created_at": shop.clock.now(), "weight": 1, "fork_policy": "run"}
        connection.execute(schema.repositories.insert().values(**values, **more))
        connection.execute(update(schema.runs).where(schema.runs.c.id == 2).values(repository_id=2))
    assert find(other, "pip-1", "pip") is None
    assert content(other, found["sha256"]).status_code == 404


def test_what_was_not_used_for_the_longest_time_goes_first(shop: Farm) -> None:
    object.__setattr__(shop.context, "settings", shop.context.settings.model_copy(update={"caches_limit_bytes": 250}))
    held = shop.join().claim(1)
    for key in ("a", "b"):
        keep(held, key, key.encode() * 100)
        shop.clock.advance(shop.context.settings.lease / 10)
    with shop.store.writing() as connection:  # `a` was used again
        later = shop.clock.now()
        connection.execute(update(schema.caches).where(schema.caches.c.key == "a").values(used_at=later))
    keep(held, "c", b"c" * 100)
    assert sorted(keys(shop)) == ["a", "c"]


def test_using_a_cache_is_written_down(shop: Farm) -> None:
    held = shop.join().claim(1)
    keep(held, "a", b"a")
    before = rows(shop)[0].used_at
    shop.clock.advance(shop.context.settings.lease)
    find(held, "a")
    assert rows(shop)[0].used_at == before, "not each time: it would be a write for each job"
    for _ in range(3):
        shop.clock.advance(shop.context.settings.lease * 0.8)
        held.worker.renew(held)
    find(held, "a")
    assert rows(shop)[0].used_at > before


def test_a_cache_beyond_the_limit_is_refused_with_the_limit(shop: Farm) -> None:
    object.__setattr__(shop.context, "settings", shop.context.settings.model_copy(update={"cache_limit_bytes": 10}))
    answer = keep(shop.join().claim(1), "a", b"x" * 11)
    assert answer.status_code == 413
    assert "10 bytes" in answer.json()["error"]
    assert keys(shop) == []


def test_a_key_that_no_row_can_hold_is_refused(shop: Farm) -> None:
    held = shop.join().claim(1)
    assert keep(held, "k" * 10_000, b"x").status_code == 422
    assert keep(held, "line\nbreak", b"x").status_code == 400
    assert keep(held, "", b"x").status_code == 422


def test_a_stale_attempt_keeps_nothing(shop: Farm) -> None:
    held = shop.join().claim(1)
    shop.advance(31)
    assert keep(held, "a", b"late").status_code == 409
    assert keys(shop) == []


def test_a_cache_whose_bytes_are_gone_is_forgotten(shop: Farm) -> None:
    held = shop.join().claim(1)
    sha256 = keep(held, "a", b"x").json()["sha256"]
    shop.context.blobs.delete(sha256)
    assert content(held, sha256).status_code == 404
    assert find(held, "a") is None
    assert keep(held, "a", b"x").json()["kept"] is True


def test_people_see_and_clear_them(shop: Farm) -> None:
    held = shop.join().claim(1)
    for key in ("pip-1", "pip-2", "npm-1"):
        keep(held, key, key.encode())
    body = shop.http.get("/api/repositories/shop/caches").json()
    assert body["size_bytes"] == 15
    assert shop.http.delete("/api/repositories/shop/caches", params={"beginning": "pip-"}).json() == {"cleared": 2}
    assert keys(shop) == ["npm-1"]
    assert shop.stranger.delete("/api/repositories/shop/caches").status_code == 401


def rows(shop: Farm) -> list[models.Cache]:
    with shop.store.reading() as connection:
        return many(connection, models.Cache, schema.caches.select())
