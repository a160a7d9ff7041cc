"""Identities of jobs: the two documents that verifiers read, the keys, the tokens that were given, rotation.

Rules:
1. Anybody reads the two documents: they hold what is public. Verifiers may keep them for a while, but far shorter than
   a new key is published before it signs.
2. Only administrators rotate; the farm does by itself when a key has signed for long enough.
3. A token is never shown again: only that it was given, to whom, for whom, until when.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from farmgate import identity, signing
from farmgate.identity import KeyUse
from farmgate.models import SigningKey
from farmgate.store import events, identities
from scheduler.auth import Admin, Person
from scheduler.context import Context
from scheduler.giving import issuer

MAX_AGE: Final = timedelta(minutes=5)
ACTOR: Final = "scheduler"


class KeyBody(BaseModel):
    """A signing key. `use`: next (published, does not sign yet), signs, kept (published until `until`, when the last
    token that it signed ends), ended, withdrawn."""

    kid: str
    use: KeyUse
    created_by: str
    created_at: datetime
    signs_from: datetime
    withdrawn_at: datetime | None
    until: datetime | None


class IdentityBody(BaseModel):
    """Who signs, where verifiers find the keys, and the keys, the newest first. `problem`: why clouds cannot use it."""

    issuer: str
    configuration: str
    keys_at: str
    keys: list[KeyBody]
    problem: str | None


class TokenGiven(BaseModel):
    """That a token was given to an attempt, without it."""

    jti: str
    run: int
    job: str
    attempt: int
    subject: str
    audience: str
    key: str
    issued_at: datetime
    expires_at: datetime


class Rotation(BaseModel):
    """`leaked`: the new key signs at once, the older ones are withdrawn, and what they signed is void."""

    model_config = ConfigDict(extra="forbid")

    leaked: bool = False


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["identity"])
    fresh = f"public, max-age={int(min(MAX_AGE, context.settings.identity_ahead).total_seconds())}"

    @routes.get(identity.CONFIGURATION)
    async def configuration(response: Response) -> dict[str, Any]:
        """OpenID Connect Discovery: who signs identity tokens, and where the keys are."""
        response.headers["Cache-Control"] = fresh
        return identity.configuration(issuer(context))

    @routes.get(identity.KEYS)
    def keys(response: Response) -> dict[str, list[dict[str, Any]]]:
        """The public keys by which identity tokens are checked (RFC 7517)."""
        response.headers["Cache-Control"] = fresh
        now = context.clock.now()
        with context.store.reading() as connection:
            found = identities.published(connection, now)
        if identity.signer(found, now) is None:
            found = _first(context, now)
        return {"keys": [key.public for key in found]}

    @routes.get("/api/identity")
    def show(person: Person) -> IdentityBody:
        """Who signs identity tokens, and with which keys."""
        return shown(context)

    @routes.get("/api/identity/tokens")
    def tokens(
        person: Person, run: int | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50
    ) -> list[TokenGiven]:
        """Tokens that were given, the newest first; of one run, if it is named."""
        with context.store.reading() as connection:
            kids = {key.id: key.kid for key in identities.keys(connection)}
            return [
                TokenGiven(
                    jti=token.jti,
                    run=number,
                    job=name,
                    attempt=token.attempt,
                    subject=token.subject,
                    audience=token.audience,
                    key=kids[token.signing_key_id],
                    issued_at=token.issued_at,
                    expires_at=token.expires_at,
                )
                for token, number, name in identities.given(connection, run=run, limit=limit)
            ]

    @routes.post("/api/identity/rotate")
    def rotate(person: Admin, body: Rotation | None = None) -> IdentityBody:
        """A new signing key: published now, used later; after a leak used at once, and the older ones withdrawn."""
        rotate_now(context, person.name, leaked=body is not None and body.leaked)
        return shown(context)

    return routes


def shown(context: Context) -> IdentityBody:
    """As it is now."""
    now = context.clock.now()
    with context.store.reading() as connection:
        found, ends = identities.keys(connection), identities.last_ends(connection, now)
    use = identity.uses(found, ends, now)
    where = issuer(context)
    problem = None
    if not where.startswith("https://"):
        problem = (
            f"clouds take https addresses alone, and {where} is none: set FARMGATE_PUBLIC_URL to how they reach this "
            "server, or FARMGATE_IDENTITY_ISSUER to where you publish copies of the two documents"
        )
    return IdentityBody(
        issuer=where,
        configuration=where + identity.CONFIGURATION,
        keys_at=where + identity.KEYS,
        keys=[_key_body(key, use[key.id], ends.get(key.id)) for key in reversed(found)],
        problem=problem,
    )


def rotate_when_due(context: Context) -> None:
    """Rule 2; and forget private halves that nobody needs any more."""
    now = context.clock.now()
    with context.store.reading() as connection:
        found = identities.keys(connection)
    signing_key = identity.signer(found, now)
    if signing_key is None:  # no job has named an identity yet
        return
    newest = max(key.signs_from for key in found if key.withdrawn_at is None)
    if newest + context.settings.identity_rotate <= now:
        rotate_now(context, ACTOR, leaked=False)
    elif identity.forgettable(found, now):
        with context.store.writing() as connection:
            identities.forget(connection, now)


def rotate_now(context: Context, who: str, *, leaked: bool) -> None:
    """Draw a new key and record it; rule 2."""
    drawn, now, ahead = signing.draw(), context.clock.now(), context.settings.identity_ahead
    with context.store.writing() as connection:
        key = identities.rotate(connection, context.vault.keyring, drawn, who, now, ahead, leaked=leaked)
        text = f"key {key.kid} signs identity tokens from {key.signs_from:%Y-%m-%d %H:%M} UTC"
        if leaked:
            text += "; the older ones are withdrawn"
        events.record(connection, now, "identity.rotated", "farm", who, text)


def _first(context: Context, now: datetime) -> list[SigningKey]:
    drawn = signing.draw()
    with context.store.writing() as connection:
        identities.add_first(connection, context.vault.keyring, drawn, now)
        return identities.published(connection, now)


def _key_body(key: SigningKey, use: KeyUse, until: datetime | None) -> KeyBody:
    return KeyBody(
        kid=key.kid,
        use=use,
        created_by=key.created_by,
        created_at=key.created_at,
        signs_from=key.signs_from,
        withdrawn_at=key.withdrawn_at,
        until=until if use is KeyUse.KEPT else None,
    )
