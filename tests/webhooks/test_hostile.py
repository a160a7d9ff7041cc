"""Whatever bytes come in: BadPayload, BadSignature, or a delivery. Nothing else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farmgate.errors import BadPayload, BadSignature
from farmgate.webhooks import Delivery, Forge, parse, recognise, verify
from tests.webhooks.builders import EVENT_HEADER, NEW, NOW, OLD, SIGNATURE, pull, push
from tests.webhooks.test_payloads import EVERY_ACTION

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([OLD, NEW, "refs/heads/a"])
)
JSON = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=20,
)
EVENTS = [
    *("push", "pull_request", "create", "delete", "ping", "Push Hook", "Merge Request Hook"),
    *("repo:push", "pullrequest:created", "repo:refs_changed", "pr:opened", "pr:modified", "diagnostics:ping"),
]
OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEEDS = [(forge, *push(forge)) for forge in Forge] + [
    (forge, *pull(forge, word, fork=True)) for forge, _, word in EVERY_ACTION
]


def try_to_parse(forge: Forge, event: str, body: bytes) -> None:
    with contextlib.suppress(BadPayload):
        delivery = parse(forge, {EVENT_HEADER[forge]: event}, body)
        assert isinstance(delivery, Delivery)
        assert delivery.changes
        str(delivery).encode()  # fit to be stored


@OFTEN
@given(st.sampled_from(Forge), st.sampled_from(EVENTS), st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read(forge: Forge, event: str, body: bytes) -> None:
    try_to_parse(forge, event, body)


@OFTEN
@given(st.sampled_from(Forge), st.sampled_from(EVENTS), JSON)
def test_arbitrary_json_is_refused_or_read(forge: Forge, event: str, payload: object) -> None:
    try_to_parse(forge, event, json.dumps(payload).encode())


def ways(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a payload."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        found += [(value, key), *ways(below)]
    return found


@OFTEN
@given(st.data())
def test_a_true_payload_with_one_field_replaced_is_refused_or_read(data: st.DataObject) -> None:
    forge, event, original = data.draw(st.sampled_from(SEEDS))
    payload = json.loads(json.dumps(original))
    container, key = data.draw(st.sampled_from(ways(payload)))
    container[key] = data.draw(JSON)
    try_to_parse(forge, event, json.dumps(payload).encode())


@OFTEN
@given(st.data())
def test_a_true_payload_with_one_field_removed_is_refused_or_read(data: st.DataObject) -> None:
    forge, event, original = data.draw(st.sampled_from(SEEDS))
    payload = json.loads(json.dumps(original))
    container, key = data.draw(st.sampled_from(ways(payload)))
    del container[key]
    try_to_parse(forge, event, json.dumps(payload).encode())


NAMES = sorted({name for name, _ in SIGNATURE.values()} | {"webhook-id", "webhook-timestamp", "webhook-signature"})


@OFTEN
@given(
    st.sampled_from(Forge),
    st.text(),
    st.dictionaries(st.sampled_from([*NAMES, "X-Gitlab-Token"]), st.text()),
    st.binary(),
)
def test_no_headers_make_verification_fail_otherwise(
    forge: Forge, secret: str, headers: dict[str, str], body: bytes
) -> None:
    secret = secret.encode(errors="replace").decode()
    with contextlib.suppress(BadSignature):
        verify(forge, secret, headers, body, now=NOW)


@OFTEN
@given(st.dictionaries(st.sampled_from([*EVENT_HEADER.values(), "X-Hook-UUID"]), st.text()))
def test_no_headers_make_recognition_fail_otherwise(headers: dict[str, str]) -> None:
    with contextlib.suppress(BadPayload):
        assert recognise(headers) in Forge


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"ref": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"",
        b"null",
        b'"text"',
        b"[1]",
    ],
)
def test_hostile_bodies_are_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(BadPayload, match="body"):
        parse(Forge.GITHUB, {"X-GitHub-Event": "push"}, body)
