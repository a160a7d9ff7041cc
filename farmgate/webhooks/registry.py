"""The forges we know, and the three questions to a webhook: whose is it, is it true, what does it say?

Rules:
1. Forgejo is looked for before Gitea and Gitea before GitHub: each also sends the headers of those after it.
2. Whatever bytes come in, nothing but BadSignature and BadPayload comes out.
3. A delivery without a usable id is named by the sha256 of its body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from farmgate.errors import BadPayload
from farmgate.webhooks import bitbucket, bitbucket_dc, forgejo, gitea, github, gitlab, plain
from farmgate.webhooks.deliveries import Change, Delivery, Forge, Ignored
from farmgate.webhooks.fields import Fields, read_body, shown
from farmgate.webhooks.signatures import Headers

LONGEST_ID: Final = 200


class Dialect(Protocol):
    """How one forge speaks; each is a module. Headers come by lower-case name."""

    def recognises(self, headers: Headers) -> bool: ...

    def event(self, headers: Headers) -> str: ...

    def delivery_id(self, headers: Headers, body: bytes) -> str:
        """The forge's id of the delivery, or nothing."""
        ...

    def verify(self, secret: str, headers: Headers, body: bytes, now: datetime) -> None: ...

    def changes(self, event: str, payload: Fields) -> tuple[Change, ...]: ...


DIALECTS: Final[Mapping[Forge, Dialect]] = {
    Forge.PLAIN: plain,
    Forge.FORGEJO: forgejo,
    Forge.GITEA: gitea,
    Forge.GITLAB: gitlab,
    Forge.BITBUCKET: bitbucket,
    Forge.BITBUCKET_DC: bitbucket_dc,
    Forge.GITHUB: github,
}


def recognise(headers: Mapping[str, str]) -> Forge:
    """Whose webhook it is, by its headers. Raises BadPayload for nobody's that we know."""
    lower = _lower(headers)
    for forge, dialect in DIALECTS.items():
        if dialect.recognises(lower):
            return forge
    raise BadPayload("no header says which forge sends this, such as X-GitHub-Event or X-Gitlab-Event")


def verify(forge: Forge, secret: str, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
    """Check the signature over the raw bytes. Raises BadSignature."""
    DIALECTS[forge].verify(secret, _lower(headers), body, now)


def parse(forge: Forge, headers: Mapping[str, str], body: bytes) -> Delivery:
    """What the webhook says. Raises BadPayload with the field. Call `verify` first."""
    dialect, lower = DIALECTS[forge], _lower(headers)
    event = shown(dialect.event(lower))
    changes = dialect.changes(event, read_body(body, lower.get("content-type", "")))
    identifier = dialect.delivery_id(lower, body)
    if not 0 < len(identifier) <= LONGEST_ID or not identifier.isascii() or not identifier.isprintable():
        identifier = hashlib.sha256(body).hexdigest()
    return Delivery(forge, identifier, event, changes or (Ignored("the payload lists no change"),))


def _lower(headers: Mapping[str, str]) -> Headers:
    return {name.lower(): value for name, value in headers.items()}
