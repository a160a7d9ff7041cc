"""A plain git repository: our own webhook, sent by a line in its `hooks/post-receive`.

One request per ref: a JSON object `{"ref": ..., "before": ..., "after": ...}`, signed in `X-Farmgate-Signature`
(`sha256=` and the hexadecimal HMAC-SHA256 of the body), named by `X-Farmgate-Delivery`, of the kind that
`X-Farmgate-Event` says: `push` or `ping`.
"""

from __future__ import annotations

import hashlib
import shlex
from datetime import datetime
from typing import Final

from farmgate.webhooks.deliveries import Change, Ignored, Ping
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.reading import moved
from farmgate.webhooks.signatures import Headers, check_hex

_BLOCK_BYTES: Final = 64  # of SHA-256


def recognises(headers: Headers) -> bool:
    return "x-farmgate-event" in headers


def event(headers: Headers) -> str:
    return headers.get("x-farmgate-event", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    return headers.get("x-farmgate-delivery", "")


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    check_hex(secret, headers, "X-Farmgate-Signature", body)


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    match event:
        case "ping":
            return (Ping(),)
        case "push":
            return (moved(payload.ref("ref"), payload.sha("before"), payload.sha("after")),)
        case _:
            return (Ignored(f"event {event!r} starts no work"),)


def post_receive_line(url: str, secret: str) -> str:
    """A line for `hooks/post-receive` (below `#!/bin/sh`) that tells Farmgate of every ref of a push.

    It needs curl and openssl, and never makes a push fail. A ref's name may hold a quotation mark, so that is escaped.
    The secret is in no program's arguments: openssl takes a key only there, so the line makes the HMAC of two plain
    hashes (RFC 2104), and the shell's own `printf` writes the key's two pads to them.
    """
    inner, outer = (_pad(secret, byte) for byte in (0x36, 0x5C))
    return (
        "while read -r before after ref; do "
        'name=$(printf %s "$ref" | sed \'s/"/\\\\"/g\'); '
        'body=$(printf \'{"ref":"%s","before":"%s","after":"%s"}\' "$name" "$before" "$after"); '
        f"sum=$({{ printf %b '{outer}'; {{ printf %b '{inner}'; printf %s \"$body\"; }} "
        "| openssl dgst -sha256 -binary; } | openssl dgst -sha256 | sed 's/^.* //'); "
        'printf %s "$body" | curl -fsS -o /dev/null --max-time 10 --retry 3 '
        '-H "Content-Type: application/json" -H "X-Farmgate-Event: push" '
        '-H "X-Farmgate-Delivery: $(openssl rand -hex 16)" -H "X-Farmgate-Signature: sha256=$sum" '
        f'--data-binary @- {shlex.quote(url)} || echo "Farmgate was not told of $ref; it will look by itself" >&2; '
        "done"
    )


def _pad(secret: str, byte: int) -> str:
    """The key as RFC 2104 mixes it with a byte, in the escapes that every shell's `printf %b` reads."""
    key = secret.encode()
    key = hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key
    return "".join(f"\\0{one ^ byte:03o}" for one in key.ljust(_BLOCK_BYTES, b"\0"))
