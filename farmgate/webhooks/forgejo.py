"""Forgejo's webhooks: Gitea's payloads under its own header names (and Gitea's, and GitHub's)."""

from __future__ import annotations

from datetime import datetime

from farmgate.webhooks import gitea
from farmgate.webhooks.deliveries import Change
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.signatures import Headers, check_hex


def recognises(headers: Headers) -> bool:
    return "x-forgejo-event" in headers


def event(headers: Headers) -> str:
    return headers.get("x-forgejo-event", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    return headers.get("x-forgejo-delivery", "") or gitea.delivery_id(headers, body)


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    if "x-forgejo-signature" in headers:
        check_hex(secret, headers, "X-Forgejo-Signature", body, prefix="")
    else:
        gitea.verify(secret, headers, body, now)


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    return gitea.changes(event, payload)
