"""Secrets: who may set them, who is given which, and a rotation that may be cut off anywhere."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from farmgate import models
from farmgate.errors import BadSettings
from farmgate.models import TokenKind
from farmgate.sealing import Keyring
from farmgate.store import schema, sealed, secrets, tokens
from farmgate.store.database import many
from scheduler import secrets_api
from scheduler.__main__ import seal_logins
from tests.scheduler.farm import Farm, Held

FILE = "jobs: {publish: {steps: [make], secrets: {GIVEN: TOKEN}}}\n"
PRODUCTION = "jobs: {publish: {steps: [make], secrets: {GIVEN: TOKEN}, deploys_to: production}}\n"


def put(farm: Farm, value: str, name: str = "TOKEN", **scope: str) -> Any:
    return farm.http.put(f"/api/repositories/shop/secrets/{name}", json={"value": value, **scope})


def connected(farm: Farm, file: str = FILE) -> None:
    farm.repository.add("first", {".farmgate.yml": file})
    farm.connect()


def given(held: Held) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in held.claimed["secrets"].items()}


def rows(farm: Farm) -> list[models.Secret]:
    with farm.store.reading() as connection:
        return many(connection, models.Secret, select(schema.secrets).order_by(schema.secrets.c.id))


def test_a_value_goes_in_and_never_comes_out(farm: Farm) -> None:
    connected(farm)
    assert put(farm, "pears and plums").status_code == 204
    (listed,) = farm.http.get("/api/repositories/shop/secrets").json()
    assert (listed["name"], listed["changed_by"], listed["key"]) == ("TOKEN", "ada", "root")
    assert "pears" not in str(listed)
    assert "pears" not in repr(rows(farm)) + rows(farm)[0].sealed
    with farm.store.reading() as connection:
        told = [event.text for event in many(connection, models.Event, select(schema.events))]
    assert "TOKEN: new" in told
    assert not [text for text in told if "pears" in text]
    assert farm.http.delete("/api/repositories/shop/secrets/TOKEN").status_code == 204
    assert "no secret TOKEN here" in farm.http.delete("/api/repositories/shop/secrets/TOKEN").text


def test_only_administrators_may(farm: Farm) -> None:
    connected(farm)
    with farm.store.writing() as connection:
        plain = tokens.create(connection, farm.context.vault, TokenKind.API, "bob", farm.clock.now(), rights=("write",))
    bob = {"Authorization": f"Bearer {plain}"}
    path = "/api/repositories/shop/secrets"
    assert farm.stranger.get(path, headers=bob).status_code == 403
    assert farm.stranger.put(f"{path}/TOKEN", headers=bob, json={"value": "pears"}).status_code == 403
    assert farm.stranger.post("/api/secrets/rotate", headers=bob).status_code == 403
    assert rows(farm) == []


@pytest.mark.parametrize("value", ["abc", "", "x" * (48 * 1024 + 1), "with\0nul"])
def test_a_value_that_cannot_be_given_or_masked_is_refused_and_not_repeated(farm: Farm, value: str) -> None:
    connected(farm)
    answer = put(farm, value)
    assert answer.status_code in (400, 422)
    assert "value:" in answer.text
    assert "xxxx" not in answer.text


def test_a_claim_gives_it_under_the_jobs_own_name(farm: Farm) -> None:
    connected(farm)
    put(farm, "pears ✓\n$(x)\n")
    assert given(farm.join().claim(1)) == {"GIVEN": "pears ✓\n$(x)\n"}


def test_the_most_specific_that_fits_is_given(farm: Farm) -> None:
    connected(farm, PRODUCTION)
    worker, job = farm.join(slots=20), 1
    for value, scope in (
        ("anywhere", {}),
        ("any release", {"branch": "release/*"}),
        ("of main", {"branch": "main"}),
        ("of production", {"environment": "production"}),
        ("of both", {"environment": "production", "branch": "main"}),
        ("of staging", {"environment": "staging", "branch": "main"}),
    ):
        assert put(farm, value, **scope).status_code == 204
        expected = {"any release": "anywhere", "of staging": "of both"}.get(value, value)
        assert given(worker.claim(job)) == {"GIVEN": expected}
        farm.push("next")
        job += 1
    farm.push("on another branch", branch="other", files={".farmgate.yml": PRODUCTION})
    (elsewhere,) = farm.run(farm.runs()[-1]["id"])["jobs"]
    assert given(worker.claim(elsewhere["id"])) == {"GIVEN": "of production"}


def test_a_job_does_not_run_without_the_secret_that_it_names(farm: Farm) -> None:
    connected(farm, PRODUCTION)
    put(farm, "for staging only", environment="staging")
    claimed = farm.join().claim(1).claimed
    assert claimed["secrets"] == {}
    assert "'publish' names secrets that refs/heads/main for production has not: TOKEN" in claimed["refused"]
    assert "farmgate secret set shop TOKEN" in claimed["refused"]


def test_a_fork_is_given_none_and_told_so(farm: Farm) -> None:
    connected(farm)
    put(farm, "pears and plums")
    with farm.store.writing() as connection:
        connection.execute(update(schema.runs).values(trust="untrusted"))
    claimed = farm.join().claim(1).claimed
    assert claimed["secrets"] == {}
    assert claimed["refused"] is None
    assert "a run from a fork is given no secrets: TOKEN are not set" in claimed["notices"]


@pytest.mark.parametrize("survived", range(4))
def test_a_rotation_that_was_cut_off_goes_on(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    connected(farm)
    farm.context.vault.keyring = Keyring(b"r" * 32, file=tmp_path / "sealing.keys")
    for name in "ABC":
        put(farm, f"value of {name}", name)
    real, done = sealed.seal_again, 0

    def dies(*given: Any) -> None:
        nonlocal done
        if done == survived:
            raise RuntimeError("killed")
        done += 1
        real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(sealed, "seal_again", dies)
        if survived < 3:
            with pytest.raises(RuntimeError):
                secrets_api.seal_again(farm.context)
        else:  # it dies after the last row: before the old keys are forgotten
            patched.setattr(Keyring, "forget", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
            with pytest.raises(RuntimeError):
                secrets_api.seal_again(farm.context)
    answer = farm.http.post("/api/secrets/rotate").json()
    assert answer["secrets"] == (3 - survived if survived < 3 else 3)
    ring = farm.context.vault.keyring
    assert {row.key_id for row in rows(farm)} == {answer["key"]} == {ring.newest}
    assert [secrets.value_of(ring, row).decode() for row in rows(farm)] == [f"value of {name}" for name in "ABC"]
    assert (tmp_path / "sealing.keys").read_text().count("=\n") == 1, "older keys are forgotten"


def test_a_value_that_is_replaced_while_it_is_sealed_again_is_not_lost(farm: Farm, tmp_path: Path) -> None:
    connected(farm)
    farm.context.vault.keyring = Keyring(b"r" * 32, file=tmp_path / "sealing.keys")
    put(farm, "old value")
    farm.context.vault.keyring.draw()
    with farm.store.reading() as connection:
        (read,) = sealed.sealed_otherwise(connection, farm.context.vault.keyring.newest, 9)
    put(farm, "new value")
    with farm.store.writing() as connection, pytest.raises(Exception, match="changed at this moment"):
        sealed.seal_again(connection, farm.context.vault.keyring, read)
    farm.http.post("/api/secrets/rotate")
    assert secrets.value_of(farm.context.vault.keyring, rows(farm)[0]) == b"new value"


def test_two_rotations_at_once_both_end(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connected(farm)
    farm.context.vault.keyring = Keyring(b"r" * 32, file=tmp_path / "sealing.keys")
    put(farm, "pears")
    real = sealed.seal_again

    def another_draws_first(*given: Any) -> None:
        monkeypatch.setattr(sealed, "seal_again", real)
        farm.context.vault.keyring.draw()
        real(*given)

    monkeypatch.setattr(sealed, "seal_again", another_draws_first)
    assert farm.http.post("/api/secrets/rotate").json() == {"key": farm.context.vault.keyring.newest, "secrets": 1}


ADDRESS = "https://robot:pears%20and%20plums@127.0.0.1:1/shop.git"


def repository(farm: Farm) -> models.Repository:
    with farm.store.reading() as connection:
        (row,) = many(connection, models.Repository, select(schema.repositories))
    return row


def test_the_password_of_an_address_is_sealed_and_git_gets_it(farm: Farm) -> None:
    body = {"name": "shop", "url": ADDRESS}
    assert farm.http.post("/api/repositories?wait=0", json=body).json()["url"] == "https://***@127.0.0.1:1/shop.git"
    row = repository(farm)
    assert "pears" not in str([row.url, row.login])
    assert farm.mirrors.of(row).url == ADDRESS
    elsewhere = dataclasses.replace(row, url="https://***@elsewhere.example/shop.git")
    with pytest.raises(BadSettings):
        farm.mirrors.of(elsewhere)


def test_a_password_that_an_older_version_stored_is_sealed_at_the_start_and_by_each_rotation(
    farm: Farm, tmp_path: Path
) -> None:
    farm.http.post("/api/repositories?wait=0", json={"name": "shop", "url": ADDRESS})
    with farm.store.writing() as connection:
        connection.execute(update(schema.repositories).values(url=ADDRESS, login=None, login_key=None))
    for _ in range(2):
        seal_logins(farm.context)
    assert repository(farm).url == "https://***@127.0.0.1:1/shop.git"
    assert farm.http.post("/api/secrets/rotate").status_code == 409, "this farm draws no keys"
    farm.vault.keyring._file = tmp_path / "sealing.keys"
    assert farm.http.post("/api/secrets/rotate").json()["secrets"] == 1
    row = repository(farm)
    assert row.login_key == farm.vault.keyring.newest != "root"
    assert farm.mirrors.of(row).url == ADDRESS
