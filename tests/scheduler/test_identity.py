"""Identity tokens, checked as a cloud would: with another library, and with the keys that it fetches over HTTP."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import uvicorn
from sqlalchemy import update

from farmgate.clock import SystemClock
from farmgate.models import TokenKind
from farmgate.sealing import Keyring
from farmgate.store import identities, schema, tokens
from scheduler.__main__ import listen
from scheduler.identity_api import rotate_when_due
from tests.scheduler.farm import Farm, Held

FOR = "sts.example.org"
FILE = f"jobs: {{publish: {{steps: [make], identity: {{TOKEN: {FOR}}}, timeout: 20m}}}}\n"


class Cloud:
    """Trusts the issuer: reads its configuration, then its keys, over HTTP, as often as it is asked."""

    def __init__(self, address: str, issuer: str) -> None:
        import httpx

        self.issuer = issuer
        self.found = httpx.get(address + "/.well-known/openid-configuration").json()
        self.keys_at = address + self.found["jwks_uri"].removeprefix(issuer)

    def check(self, token: str, audience: str = FOR) -> dict[str, Any]:
        keys = jwt.PyJWKClient(self.keys_at, cache_jwk_set=False)
        key = keys.get_signing_key_from_jwt(token)
        need = ["exp", "iat", "nbf", "sub", "jti"]
        return jwt.decode(
            token, key, ["RS256"], audience=audience, issuer=self.issuer, options={"require": need}
        )  # the wall clock


@pytest.fixture
def cloud(farm: Farm) -> Iterator[Cloud]:
    farm.clock.advance(SystemClock().now() - farm.clock.now())
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(farm.app, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with contextlib.closing(listener):
        try:
            yield Cloud(f"http://127.0.0.1:{listener.getsockname()[1]}", farm.context.public_url)
        finally:
            server.should_exit = True
            thread.join(20)


def connected(farm: Farm, file: str = FILE) -> None:
    farm.repository.add("first", {".farmgate.yml": file})
    farm.connect()


def token_of(held: Held, name: str = "TOKEN") -> str:
    return base64.b64decode(held.claimed["secrets"][name]).decode()


def rotate(farm: Farm, **body: bool) -> list[dict[str, Any]]:
    answer = farm.http.post("/api/identity/rotate", json=body)
    assert answer.status_code == 200, answer.text
    keys: list[dict[str, Any]] = answer.json()["keys"]
    return keys


def published(farm: Farm) -> list[str]:
    return [key["kid"] for key in farm.stranger.get("/.well-known/jwks.json").json()["keys"]]


def test_a_token_says_which_job_it_is(farm: Farm, cloud: Cloud) -> None:
    connected(farm)
    (run,) = farm.runs()
    now = farm.clock.now()
    said = cloud.check(token_of(farm.join().claim(1)))
    assert len(said.pop("jti")) > 20
    assert said == {
        "iss": "http://127.0.0.1:8470",
        "sub": "repo:shop:ref:refs/heads/main",
        "aud": FOR,
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "exp": int((now + timedelta(minutes=30)).timestamp()),  # its time limit, and ten minutes around it
        "repository": "shop",
        "repository_id": "1",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "sha": run["sha"],
        "run": "1",
        "job": "publish",
        "job_id": "1",
        "attempt": "1",
        "trigger": "push",
        "trust": "trusted",
        "pool": "default",
    }
    assert set(said) | {"jti", "environment"} == set(cloud.found["claims_supported"])


def test_an_environment_stands_beside_the_ref_and_never_for_it(farm: Farm, cloud: Cloud) -> None:
    file = FILE.replace("timeout: 20m", "deploys_to: production")
    connected(farm, file)
    worker = farm.join()
    said = cloud.check(token_of(worker.claim(1)))
    assert said["sub"] == "repo:shop:environment:production:ref:refs/heads/main"
    assert said["environment"] == "production"
    farm.push("elsewhere", branch="other", files={".farmgate.yml": file})
    assert cloud.check(token_of(worker.claim(2)))["sub"] == "repo:shop:environment:production:ref:refs/heads/other"


def test_a_fork_is_given_none_and_told_so(farm: Farm) -> None:
    connected(farm)
    with farm.store.writing() as connection:
        connection.execute(update(schema.runs).values(trust="untrusted"))
    claimed = farm.join().claim(1).claimed
    assert claimed["secrets"] == {}
    assert "a run from a fork is given no identity: TOKEN are not set" in claimed["notices"]
    assert farm.http.get("/api/identity/tokens").json() == []


def test_who_checks_refuses_what_is_for_others_forged_or_over(farm: Farm, cloud: Cloud) -> None:
    connected(farm)
    token = token_of(farm.join().claim(1))
    with pytest.raises(jwt.InvalidAudienceError):
        cloud.check(token, audience="another")
    head, body, signature = token.split(".")
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(body + "==").replace(b"main", b"more")).decode()
    with pytest.raises(jwt.InvalidSignatureError):
        cloud.check(f"{head}.{forged.rstrip('=')}.{signature}")
    cloud.issuer = "http://elsewhere"
    with pytest.raises(jwt.InvalidIssuerError):
        cloud.check(token)


def test_a_token_is_over_when_its_job_must_be(farm: Farm, cloud: Cloud) -> None:
    farm.clock._now -= timedelta(minutes=31)
    connected(farm)
    with pytest.raises(jwt.ExpiredSignatureError):
        cloud.check(token_of(farm.join().claim(1)))


def test_a_rotation_leaves_no_moment_without_a_key(farm: Farm, cloud: Cloud) -> None:
    connected(farm, FILE.replace("20m", "2h"))
    worker = farm.join()
    held = worker.claim(1)
    before = token_of(held)
    following, first = rotate(farm)
    assert (following["use"], first["use"]) == ("next", "signs")
    assert published(farm) == [first["kid"], following["kid"]], "known before it signs"
    farm.push("second")
    assert jwt.get_unverified_header(token_of(worker.claim(2)))["kid"] == first["kid"]
    assert rotate(farm)[0]["kid"] == following["kid"], "a second call finds the next one there"
    farm.advance(3600)
    worker.beat(held)
    farm.push("third")
    after = token_of(worker.claim(3))
    assert jwt.get_unverified_header(after)["kid"] == following["kid"]
    assert cloud.check(before)["job_id"] == "1", "the older key is there while its tokens live"
    farm.clock.advance(timedelta(minutes=85))
    rotate_when_due(farm.context)
    assert published(farm) == [following["kid"]], "all that the older key signed has ended"
    with farm.store.reading() as connection:
        old, new = identities.keys(connection)
    assert (old.sealed, new.sealed is None) == (None, False), "nobody can sign with the older one any more"


def test_after_a_leak_what_older_keys_signed_is_void_at_once(farm: Farm, cloud: Cloud) -> None:
    connected(farm)
    worker = farm.join()
    stolen = token_of(worker.claim(1))
    rotate(farm)
    new, following, first = rotate(farm, leaked=True)
    assert [key["use"] for key in (new, following, first)] == ["signs", "withdrawn", "withdrawn"]
    with pytest.raises(jwt.PyJWKClientError):
        cloud.check(stolen)
    farm.push("second")
    assert cloud.check(token_of(worker.claim(2)))["job_id"] == "2"


def test_keys_follow_one_another_by_themselves(farm: Farm) -> None:
    connected(farm)
    rotate_when_due(farm.context)
    assert farm.http.get("/api/identity").json()["keys"] == [], "nobody has needed one"
    (first,) = published(farm)
    farm.advance(89 * 86400)
    rotate_when_due(farm.context)
    assert published(farm) == [first]
    farm.advance(86400)
    for _ in range(2):
        rotate_when_due(farm.context)
    assert len(published(farm)) == 2


def test_the_key_is_sealed_and_sealed_again(farm: Farm, tmp_path: Path) -> None:
    connected(farm)
    farm.context.vault.keyring = Keyring(b"r" * 32, file=tmp_path / "sealing.keys")
    worker = farm.join()
    token_of(worker.claim(1))
    with farm.store.reading() as connection:
        (before,) = identities.keys(connection)
    assert "PRIVATE" not in repr(before) + (before.sealed or "")
    answer = farm.http.post("/api/secrets/rotate").json()
    with farm.store.reading() as connection:
        (after,) = identities.keys(connection)
    assert (answer["secrets"], after.key_id) == (1, farm.context.vault.keyring.newest)
    farm.push("second")
    assert token_of(worker.claim(2))


def test_that_a_token_was_given_is_on_record_without_it(farm: Farm) -> None:
    connected(farm)
    held = farm.join().claim(1)
    (noted,) = farm.http.get("/api/identity/tokens", params={"run": 1}).json()
    token = token_of(held)
    said = jwt.decode(token, options={"verify_signature": False})
    assert {key: noted[key] for key in ("jti", "subject", "audience", "run", "job", "attempt")} == {
        "jti": said["jti"],
        "subject": said["sub"],
        "audience": FOR,
        "run": 1,
        "job": "publish",
        "attempt": 1,
    }
    assert token.rpartition(".")[2] not in str(noted)
    assert farm.http.get("/api/identity/tokens", params={"run": 2}).json() == []


@pytest.fixture
def set_up(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Farm]:
    """A farm with the settings of the test."""
    farm = Farm(tmp_path, **request.param)
    yield farm
    farm.close()


@pytest.mark.parametrize("set_up", [{"identity_longest": timedelta(minutes=5)}], indirect=True)
def test_a_long_job_is_told_that_its_token_ends_before_it(set_up: Farm) -> None:
    connected(set_up)
    held = set_up.join().claim(1)
    said = jwt.decode(token_of(held), options={"verify_signature": False})
    assert said["exp"] - said["iat"] == 300
    assert "end at 2026-01-01 00:05 UTC, before its time limit" in held.claimed["notices"][0]


@pytest.mark.parametrize("set_up", [{"identity_issuer": "https://keys.example.org/farm/"}], indirect=True)
def test_the_issuer_may_be_another_address(set_up: Farm) -> None:
    farm = set_up
    connected(farm)
    said = jwt.decode(token_of(farm.join().claim(1)), options={"verify_signature": False})
    found = farm.stranger.get("/.well-known/openid-configuration").json()
    assert said["iss"] == found["issuer"] == "https://keys.example.org/farm"
    assert found["jwks_uri"] == "https://keys.example.org/farm/.well-known/jwks.json"
    assert farm.http.get("/api/identity").json()["problem"] is None


def test_only_administrators_rotate(farm: Farm) -> None:
    with farm.store.writing() as connection:
        plain = tokens.create(connection, farm.context.vault, TokenKind.API, "bob", farm.clock.now(), rights=("write",))
    bob = {"Authorization": f"Bearer {plain}"}
    assert farm.stranger.post("/api/identity/rotate", headers=bob).status_code == 403
    assert farm.stranger.get("/api/identity/tokens").status_code == 401


def test_a_job_does_not_run_when_its_key_does_not_open(farm: Farm) -> None:
    connected(farm)
    published(farm)
    farm.context.vault.keyring = Keyring(b"another root key of 32 bytes....")
    claimed = farm.join().claim(1).claimed
    assert claimed["secrets"] == {}
    assert "does not open with its key" in claimed["refused"]


def test_an_emitted_job_may_name_one(farm: Farm) -> None:
    connected(farm, "jobs: {plan: {steps: [make], emits: more.yml}}\n")
    worker = farm.join()
    worker.claim(1).end(emitted=FILE)
    assert token_of(worker.claim(2))
