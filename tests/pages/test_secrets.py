"""The pages of secrets and of identity keys."""

from __future__ import annotations

import pytest

from farmgate.models import TokenKind
from farmgate.store import repositories, secrets
from scheduler import identity_api
from tests.pages.farm import Farm, TestClient
from tests.store import rows

HOSTILE = "<b>x</b>"


def kept(farm: Farm, name: str = "TOKEN", environment: str = "", branch: str = "") -> str | None:
    """The value, as jobs are given it."""
    with farm.context.store.reading() as connection:
        row = repositories.by_name(connection, "shop")
        for one in secrets.of_repository(connection, row.id):
            if (one.name, one.environment, one.branch) == (name, environment, branch):
                return secrets.value_of(farm.context.vault.keyring, one).decode()
    return None


def test_a_secret_goes_in_by_the_page_just_as_it_was_typed_and_is_never_shown(farm: Farm, client: TestClient) -> None:
    typed = "-----BEGIN KEY-----\r\n  pears & plums ✓\r\n-----END KEY-----\r\n"
    form = {"repository": "shop", "name": "TOKEN", "environment": "production", "branch": "main", "value": typed}
    answer = client.post("/secrets/set", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/secrets?repository=shop")
    assert kept(farm, environment="production", branch="main") == typed.replace("\r\n", "\n")
    text = client.get("/secrets").text
    assert "TOKEN" in text
    assert "jobs that deploy to production on main" in text
    for address in ("/secrets", "/secrets?repository=shop", "/secrets/set?repository=shop&name=TOKEN", "/audit"):
        assert "pears" not in client.get(address).text


def test_what_is_there_is_replaced_only_by_who_asked_to(farm: Farm, client: TestClient) -> None:
    form = {"repository": "shop", "name": "TOKEN", "value": "first value"}
    assert client.post("/secrets/set", data=form).status_code == 303
    answer = client.post("/secrets/set", data={**form, "value": "second value"})
    assert answer.status_code == 409
    assert "choose “Replace”" in answer.text
    assert "second value" not in answer.text
    assert kept(farm) == "first value"
    asked = client.get("/secrets/set?repository=shop&name=TOKEN").text
    assert "Replace TOKEN of shop" in asked
    assert 'name="replace" value="yes"' in asked
    assert client.post("/secrets/set", data={**form, "value": "second value", "replace": "yes"}).status_code == 303
    assert kept(farm) == "second value"


def test_a_secret_is_removed_after_a_question(farm: Farm, client: TestClient) -> None:
    place = {"repository": "shop", "name": "TOKEN", "environment": "", "branch": "release/*"}
    client.post("/secrets/set", data={**place, "value": "a value"})
    asked = client.get("/secrets/remove", params=place).text
    assert "Remove TOKEN of shop?" in asked
    assert "any job on release/*" in asked
    assert kept(farm, branch="release/*") == "a value"
    assert client.post("/secrets/remove", data=place).status_code == 303
    assert kept(farm, branch="release/*") is None
    assert client.get("/secrets/remove", params=place).status_code == 409
    assert client.post("/secrets/remove", data=place).status_code == 404
    acts = client.get("/audit").text
    assert "secret.set" in acts
    assert "secret.removed" in acts


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "1X"}, "name: letters, digits"),
        ({"name": HOSTILE}, "name: letters, digits"),
        ({"value": "abc"}, "value: a secret has between 4 bytes"),
        ({"value": "secret\0value"}, "value: a NUL byte"),
        ({"branch": "!main"}, "branch: a branch"),
        ({"branch": "x" * 300}, "branch: a branch"),
        ({"repository": "nobody"}, "no repository called"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_name_and_not_repeated(
    farm: Farm, client: TestClient, wrong: dict[str, str], said: str
) -> None:
    form = {"repository": "shop", "name": "TOKEN", "value": "pears and plums", **wrong}
    answer = client.post("/secrets/set", data=form)
    assert answer.status_code in (400, 404)
    assert said in answer.text
    assert "pears" not in answer.text
    assert "secret\0" not in answer.text
    assert HOSTILE not in answer.text
    assert client.post("/secrets/set", content=b"value=" + b"x" * 300_000).status_code == 413


def test_only_administrators_see_and_change_secrets_and_rotate_keys(farm: Farm, client: TestClient) -> None:
    client.cookies.set("farmgate_session", farm.token("write", kind=TokenKind.SESSION))
    for address in ("/secrets", "/secrets/set", "/secrets/remove?repository=shop&name=X", "/identity/rotate"):
        assert client.get(address).status_code == 403, address
    for address in ("/secrets/set", "/secrets/remove", "/identity/rotate"):
        assert client.post(address, data={"repository": "shop", "name": "TOKEN", "value": "a value"}).status_code == 403
    assert client.get("/identity").status_code == 200
    assert kept(farm) is None


def test_a_form_of_another_site_sets_nothing(farm: Farm, client: TestClient) -> None:
    form = {"repository": "shop", "name": "TOKEN", "value": "a value"}
    assert client.post("/secrets/set", data=form, headers={"Origin": "http://evil.test"}).status_code == 403
    assert kept(farm) is None


def test_secrets_of_several_repositories_stand_by_repository_and_scope(farm: Farm, client: TestClient) -> None:
    with farm.context.store.writing() as connection:
        rows.a_repository(connection, farm.now, "depot")
    for repository, environment in (("shop", "production"), ("shop", ""), ("depot", "")):
        form = {"repository": repository, "name": "TOKEN", "environment": environment, "value": "a value"}
        assert client.post("/secrets/set", data=form).status_code == 303
    text = client.get("/secrets").text
    assert text.index("depot</h2>") < text.index("shop</h2>") < text.index("jobs that deploy to production")
    assert "depot</h2>" not in client.get("/secrets?repository=shop").text


def test_keys_say_since_when_they_sign_and_when_they_retire(farm: Farm, client: TestClient) -> None:
    assert "No key yet" in client.get("/identity").text
    client.get("/.well-known/jwks.json")
    (first,) = identity_api.shown(farm.context).keys
    asked = client.get("/identity/rotate").text
    assert "signs in 1 h" in asked
    assert client.post("/identity/rotate", data={"leaked": "no"}).status_code == 303
    text = client.get("/identity").text
    second = identity_api.shown(farm.context).keys[0]
    assert text.index(second.kid) < text.index(first.kid)
    assert "signs next" in text
    assert client.post("/identity/rotate", data={"leaked": "yes"}).status_code == 303
    text = client.get("/identity").text
    assert text.count('<span class="bad">withdrawn</span>') == 2
