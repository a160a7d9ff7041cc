"""A webhook counts only if its signature fits its bytes."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta

import pytest

from farmgate.errors import BadSignature
from farmgate.webhooks import Forge, recognise, verify
from tests.webhooks.builders import NOW, SECRET, SIGNATURE, SIGNING_KEY, push, signed_by_gitlab, webhook

FORGES = pytest.mark.parametrize("forge", Forge)


@FORGES
def test_a_webhook_is_recognised_and_verified(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge))
    assert recognise(headers) is forge
    verify(forge, SECRET, headers, body, now=NOW)


@FORGES
def test_header_names_come_in_any_case(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge))
    shouted = {name.upper(): value for name, value in headers.items()}
    assert recognise(shouted) is forge
    verify(forge, SECRET, shouted, body, now=NOW)


@FORGES
def test_the_wrong_secret_is_refused_without_giving_the_right_one_away(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge), secret="another")
    with pytest.raises(BadSignature) as refusal:
        verify(forge, SECRET, headers, body, now=NOW)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("forge", SIGNATURE)
def test_one_changed_byte_is_refused(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge))
    with pytest.raises(BadSignature):
        verify(forge, SECRET, headers, body + b" ", now=NOW)


@FORGES
def test_a_webhook_without_a_signature_is_refused(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge))
    bare = {name: value for name, value in headers.items() if "Signature" not in name and "Token" not in name}
    with pytest.raises(BadSignature):
        verify(forge, SECRET, bare, body, now=NOW)


@FORGES
def test_a_repository_without_a_secret_accepts_nothing(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge), secret="")
    with pytest.raises(BadSignature, match="no secret"):
        verify(forge, "", headers, body, now=NOW)


def test_sha1_alone_is_not_enough_for_github() -> None:
    headers, body = webhook(Forge.GITHUB, *push(Forge.GITHUB))
    del headers["X-Hub-Signature-256"]
    headers["X-Hub-Signature"] = "sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    with pytest.raises(BadSignature, match="X-Hub-Signature-256 is missing"):
        verify(Forge.GITHUB, SECRET, headers, body, now=NOW)


def test_forgejo_may_sign_with_giteas_header_alone() -> None:
    headers, body = webhook(Forge.FORGEJO, *push(Forge.FORGEJO))
    del headers["X-Forgejo-Signature"]
    verify(Forge.FORGEJO, SECRET, headers, body, now=NOW)


def test_gitlabs_signing_token_is_verified_among_several_signatures() -> None:
    headers, body = signed_by_gitlab({})
    verify(Forge.GITLAB, SIGNING_KEY, headers, body, now=NOW)


@pytest.mark.parametrize("off", [timedelta(minutes=-6), timedelta(minutes=6)])
def test_an_old_or_future_signature_of_gitlab_is_refused(off: timedelta) -> None:
    headers, body = signed_by_gitlab({}, at=NOW + off)
    with pytest.raises(BadSignature, match="too long ago, or in the future"):
        verify(Forge.GITLAB, SIGNING_KEY, headers, body, now=NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_part_of_gitlabs_signature_counts(name: str) -> None:
    headers, body = signed_by_gitlab({})
    headers[name] += "1"
    with pytest.raises(BadSignature):
        verify(Forge.GITLAB, SIGNING_KEY, headers, body, now=NOW)


def test_a_signing_key_sent_in_plain_is_no_signature() -> None:
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SIGNING_KEY}
    with pytest.raises(BadSignature):
        verify(Forge.GITLAB, SIGNING_KEY, headers, b"{}", now=NOW)


@pytest.mark.parametrize("key", ["whsec_", "whsec_!!!", "whsec_ü"])
def test_a_signing_key_that_is_none_is_named(key: str) -> None:
    headers, body = signed_by_gitlab({})
    with pytest.raises(BadSignature, match=r"whsec_|no secret"):
        verify(Forge.GITLAB, key, headers, body, now=NOW)
