"""Credentials: who may speak to the farm.

Rules:
1. The plain text is told once, at creation; only its keyed hash is stored.
2. A visible prefix says what a token is for, so that one in the wrong place is recognised (and leaks can be found).
3. A token that is revoked or has expired opens nothing; one for one use opens once, whoever races.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, insert, or_, select, update

from farmgate.clock import random_token
from farmgate.errors import NotFound, Unauthorised
from farmgate.models import Token, TokenKind
from farmgate.store.database import many, newest, one
from farmgate.store.schema import tokens
from farmgate.vault import Vault

PREFIX = {
    TokenKind.API: "fgt_",
    TokenKind.SESSION: "fgs_",
    TokenKind.SIGNIN: "fgi_",
    TokenKind.JOIN: "fgj_",
    TokenKind.NODE: "fgn_",
}
ONE_USE = frozenset({TokenKind.SIGNIN, TokenKind.JOIN})


def create(
    connection: Connection,
    vault: Vault,
    kind: TokenKind,
    name: str,
    now: datetime,
    rights: Iterable[str] = (),
    node_id: int | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Make a token; returns its plain text, which is not kept."""
    plain = PREFIX[kind] + random_token()
    values = {
        "kind": kind,
        "name": name,
        "hash": vault.hash(plain),
        "rights": sorted(rights),
        "node_id": node_id,
        "created_at": now,
        "expires_at": expires_at,
    }
    connection.execute(insert(tokens).values(**values))
    return plain


def check(connection: Connection, vault: Vault, plain: str, kinds: Collection[TokenKind], now: datetime) -> Token:
    """The token behind the plain text, without using it up. Raises Unauthorised."""
    token = _find(connection, vault, plain, kinds)
    if token.revoked_at is not None:
        raise Unauthorised(f"this {token.kind} token was revoked at {token.revoked_at:%Y-%m-%d %H:%M} UTC")
    if token.expires_at is not None and token.expires_at <= now:
        raise Unauthorised(f"this {token.kind} token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC")
    if token.kind in ONE_USE and token.used_at is not None:
        raise Unauthorised(f"this {token.kind} token was used already; ask for a new one")
    return token


def spend(connection: Connection, vault: Vault, plain: str, kind: TokenKind, now: datetime) -> Token:
    """Use up a token that opens once. Raises Unauthorised, and for all but one of those who race."""
    token = check(connection, vault, plain, (kind,), now)
    guarded = (
        update(tokens)
        .where(tokens.c.id == token.id, tokens.c.used_at.is_(None), tokens.c.revoked_at.is_(None))
        .where(or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
        .values(used_at=now)
    )
    if connection.execute(guarded).rowcount != 1:
        raise Unauthorised(f"this {token.kind} token was used already; ask for a new one")
    return token


def revoke(connection: Connection, token_id: int, now: datetime) -> bool:
    """Close a token for ever; again is fine, and False. Raises NotFound."""
    if connection.execute(select(tokens.c.id).where(tokens.c.id == token_id)).first() is None:
        raise NotFound(f"no token {token_id}")
    still_open = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
    return connection.execute(still_open.values(revoked_at=now)).rowcount == 1


def revoke_of_node(connection: Connection, node_id: int, now: datetime) -> None:
    """Close whatever credentials a node has."""
    still_open = update(tokens).where(tokens.c.node_id == node_id, tokens.c.revoked_at.is_(None))
    connection.execute(still_open.values(revoked_at=now))


def all(connection: Connection, kinds: Collection[TokenKind] = tuple(TokenKind)) -> list[Token]:  # noqa: A001
    """Every token of these kinds, newest first, revoked ones too."""
    return many(connection, Token, newest(tokens).where(tokens.c.kind.in_(list(kinds))))


def _find(connection: Connection, vault: Vault, plain: str, kinds: Collection[TokenKind]) -> Token:
    claimed = next((kind for kind, prefix in PREFIX.items() if plain.startswith(prefix)), None)
    if claimed is None or claimed in kinds:
        token = one(connection, Token, select(tokens).where(tokens.c.hash == vault.hash(plain)))
        if token is not None and token.kind in kinds:
            return token
        raise Unauthorised("this token is not known here; check that it was copied whole")
    wanted = " or ".join(f"{kind} ({PREFIX[kind]}...)" for kind in kinds)
    raise Unauthorised(f"this is a {claimed} token; what is needed here is: {wanted}")
