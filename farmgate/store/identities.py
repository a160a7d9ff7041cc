"""Keys that sign identity tokens, and that tokens were given.

Rules:
1. The first key is made when it is first needed; who comes second finds it there.
2. A new key signs after it was published for a while; or, after a leak, at once, and all older ones are withdrawn.
3. There is at most one next key: who rotates again before its time has come is told of that one.
4. Private halves that nobody needs any more are forgotten, the public ones stay on record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, select, text, update

from farmgate import identity
from farmgate.errors import BadSettings
from farmgate.identity import KeyUse
from farmgate.models import IdentityToken, SigningKey
from farmgate.sealing import Keyring
from farmgate.signing import Drawn
from farmgate.store.database import many
from farmgate.store.schema import identity_tokens, jobs, runs, signing_keys
from farmgate.store.sealed import place_of_signing_key


def keys(connection: Connection) -> list[SigningKey]:
    """All there ever were, the oldest first."""
    return many(connection, SigningKey, select(signing_keys).order_by(signing_keys.c.id))


def last_ends(connection: Connection, now: datetime) -> dict[int, datetime]:
    """By key: when the last of its tokens ends, of those that have not ended."""
    query = (
        select(identity_tokens.c.signing_key_id, func.max(identity_tokens.c.expires_at))
        .where(identity_tokens.c.expires_at > now - identity.TOLERANCE)
        .group_by(identity_tokens.c.signing_key_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def published(connection: Connection, now: datetime) -> list[SigningKey]:
    """Those by which a token may be checked now."""
    found = keys(connection)
    use = identity.uses(found, last_ends(connection, now), now)
    return [key for key in found if use[key.id] in (KeyUse.NEXT, KeyUse.SIGNS, KeyUse.KEPT)]


def add_first(connection: Connection, keyring: Keyring, drawn: Drawn, now: datetime) -> None:
    """Rule 1: nothing happens if a key that signs is there."""
    _alone(connection)
    if identity.signer(keys(connection), now) is None:
        _add(connection, keyring, drawn, "scheduler", now, now)


def rotate(
    connection: Connection, keyring: Keyring, drawn: Drawn, who: str, now: datetime, ahead: timedelta, *, leaked: bool
) -> SigningKey:
    """The new key, or the next one that is there already (rules 2 and 3)."""
    _alone(connection)
    found = keys(connection)
    use = identity.uses(found, {}, now)
    if leaked:
        older = signing_keys.c.withdrawn_at.is_(None)
        connection.execute(update(signing_keys).where(older).values(withdrawn_at=now, sealed=None, key_id=None))
    else:
        following = [key for key in found if use[key.id] is KeyUse.NEXT]
        if following:
            return following[-1]
    first = not any(use[key.id] is KeyUse.SIGNS for key in found)
    made = _add(connection, keyring, drawn, who, now, now if leaked or first else now + ahead)
    forget(connection, now)
    return next(key for key in keys(connection) if key.id == made)


def forget(connection: Connection, now: datetime) -> None:
    """Rule 4."""
    gone = identity.forgettable(keys(connection), now)
    if gone:
        connection.execute(update(signing_keys).where(signing_keys.c.id.in_(gone)).values(sealed=None, key_id=None))


def private_half(keyring: Keyring, key: SigningKey) -> bytes:
    """PEM. Raises BadSettings: it was forgotten, or the key that seals it is not known."""
    if key.sealed is None or key.key_id is None:
        raise BadSettings(f"signing key {key.kid} has no private half any more: farmgate identity rotate --leaked")
    return keyring.open(key.key_id, key.sealed, place_of_signing_key(key.kid))


def note(connection: Connection, tokens: Collection[IdentityToken]) -> None:
    """That tokens were given."""
    for token in tokens:
        connection.execute(
            insert(identity_tokens).values(
                jti=token.jti,
                signing_key_id=token.signing_key_id,
                job_id=token.job_id,
                attempt=token.attempt,
                audience=token.audience,
                subject=token.subject,
                issued_at=token.issued_at,
                expires_at=token.expires_at,
            )
        )


def given(connection: Connection, *, run: int | None, limit: int) -> Sequence[tuple[IdentityToken, int, str]]:
    """Tokens that were given, the newest first, each with its run and its job's name."""
    query = select(identity_tokens, jobs.c.run_id, jobs.c.name).join(jobs, jobs.c.id == identity_tokens.c.job_id)
    if run is not None:
        query = query.join(runs, runs.c.id == jobs.c.run_id).where(runs.c.id == run)
    newest_first = (identity_tokens.c.issued_at.desc(), identity_tokens.c.jti)
    return [
        (IdentityToken(*row[: len(identity_tokens.columns)]), row.run_id, row.name)
        for row in connection.execute(query.order_by(*newest_first).limit(limit))
    ]


def _add(connection: Connection, keyring: Keyring, drawn: Drawn, who: str, now: datetime, signs_from: datetime) -> int:
    key, sealed = keyring.seal(drawn.private, place_of_signing_key(drawn.kid))
    made = connection.execute(
        insert(signing_keys)
        .values(
            kid=drawn.kid,
            public=drawn.public,
            sealed=sealed,
            key_id=key,
            created_by=who,
            created_at=now,
            signs_from=signs_from,
        )
        .returning(signing_keys.c.id)
    )
    return int(made.scalar_one())


def _alone(connection: Connection) -> None:
    """Who adds a key does it alone; on SQLite a transaction that writes is."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))
