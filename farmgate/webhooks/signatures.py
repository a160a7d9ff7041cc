"""Signatures of webhooks: HMAC-SHA256 over the raw bytes, compared in constant time.

Rules:
1. A repository without a secret accepts nothing: an empty secret fits no signature.
2. The text of a refusal never says how the signature should have been.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from farmgate.errors import BadSignature

TOLERANCE: Final = timedelta(minutes=5)
"""How far a signed timestamp may be from now, either way."""

Headers = Mapping[str, str]
"""A request's headers, by lower-case name."""


def check_hex(secret: str, headers: Headers, name: str, body: bytes, *, prefix: str = "sha256=") -> None:
    """Check a header that holds `prefix` and the hexadecimal HMAC of the body. Raises BadSignature."""
    given = headers.get(name.lower(), "").strip()
    if not given:
        raise BadSignature(f"the header {name} is missing: set the secret at the forge")
    expected = prefix + hmac.new(_key(secret), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(_bytes(given.lower()), expected.encode()):
        raise BadSignature(f"{name} does not fit the body: is the secret at the forge the same as here?")


def check_token(secret: str, headers: Headers, name: str) -> None:
    """Check a header that holds the secret itself. Raises BadSignature."""
    given = headers.get(name.lower(), "")
    if not hmac.compare_digest(_bytes(given), _key(secret)):
        raise BadSignature(f"{name} is missing or is not the secret")


def check_standard(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    """Check `webhook-signature` as Standard Webhooks says (standardwebhooks.com): id, timestamp and body are signed."""
    identifier, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = _standard_key(secret)
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        raise BadSignature("the header webhook-timestamp is missing or is not a time")
    expected = _standard(key, identifier, stamp, body)
    given = headers.get("webhook-signature", "").split()
    fits = [hmac.compare_digest(_bytes(one), expected) for one in given]
    if not any(fits):
        raise BadSignature("webhook-signature does not fit the body: is the secret at the forge the same as here?")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise BadSignature("the webhook was signed too long ago, or in the future: are the clocks right?")


def sign_standard(secret: str, identifier: str, body: bytes, now: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks for this body. Raises BadSignature: the secret cannot sign."""
    stamp = str(int(now.timestamp()))
    signature = _standard(_standard_key(secret), identifier, stamp, body).decode()
    return {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": signature}


def _standard(key: bytes, identifier: str, stamp: str, body: bytes) -> bytes:
    signed = b".".join((_bytes(identifier), stamp.encode(), body))
    return b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


def _standard_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise BadSignature("the secret kept here is not whsec_ and base64") from None
    if not key:
        raise BadSignature("no secret is kept here, so nothing can be checked")
    return key


def _key(secret: str) -> bytes:
    if not secret:
        raise BadSignature("no secret is kept here, so nothing can be checked")
    return secret.encode()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
