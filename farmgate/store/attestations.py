"""Keys that sign provenance, what was signed, and whether a candidate still is what was said of it.

Rules:
1. The first key is made when it is first needed; the newest signs, older ones stay published: what they signed holds.
2. A key counts only if its private half opens under the farm's own key and fits its public half: who can write rows,
   and has not that key, can put neither a key nor a statement of ours there.
3. A candidate is genuine if the newest statement of ours about it verifies, and it is what that says. One that has none
   is not known to be otherwise; a lane may ask for one (`provenance`), of ours or of whose keys it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, func, insert, select, text

from farmgate.errors import FarmgateError, NotFound
from farmgate.models import Attestation, AttestationKey, Candidate, Release
from farmgate.provenance.dsse import Drawn, NotGenuine, public_of, verified
from farmgate.provenance.statements import against
from farmgate.sealing import Keyring
from farmgate.store.components import slices
from farmgate.store.database import insert_if_absent, many, newest, one
from farmgate.store.schema import attestation_keys, attestations, candidates, releases
from farmgate.store.sealed import place_of_attestation_key, sealing

OURS = "farmgate"
RECENT = 500


class Tampered(FarmgateError):
    """What is to be delivered is not what was signed; the text says what."""


# --- keys ---


def keys(connection: Connection) -> list[AttestationKey]:
    """All there ever were, the newest first."""
    return many(connection, AttestationKey, newest(attestation_keys))


def add_key(connection: Connection, keyring: Keyring, drawn: Drawn, who: str, now: datetime, *, first: bool) -> None:
    """`first`: nothing happens if there is one."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE attestation_keys IN SHARE ROW EXCLUSIVE MODE"))
    if first and connection.execute(select(attestation_keys.c.id).limit(1)).first():
        return
    sealing(connection, attestation_keys)
    key, sealed = keyring.seal(drawn.private, place_of_attestation_key(drawn.kid))
    values = {"kid": drawn.kid, "public": drawn.public, "sealed": sealed, "key_id": key}
    connection.execute(insert(attestation_keys).values(**values, created_by=who, created_at=now))


def private_half(keyring: Keyring, key: AttestationKey) -> bytes:
    """PEM. Raises BadSettings."""
    return keyring.open(key.key_id, key.sealed, place_of_attestation_key(key.kid))


def trusted(connection: Connection, keyring: Keyring) -> list[str]:
    """Rule 2: public halves, as PEM."""
    found = []
    for key in keys(connection):
        try:
            if public_of(private_half(keyring, key)) == key.public:
                found.append(key.public)
        except (FarmgateError, ValueError):
            continue
    return found


# --- what was signed ---


def put(
    connection: Connection,
    repository_id: int,
    sha: str,
    envelope: str,
    kid: str,
    who: str,
    now: datetime,
    *,
    source: str = OURS,
    rollout_id: int | None = None,
) -> bool:
    """Keep an envelope; False if it is there."""
    values = {
        "repository_id": repository_id,
        "sha": sha,
        "rollout_id": rollout_id,
        "source": source,
        "kid": kid[:200],
        "envelope": envelope,
        "digest": hashlib.sha256(envelope.encode()).hexdigest(),
        "made_by": who,
        "made_at": now,
    }
    return insert_if_absent(connection, attestations, values, "repository_id", "sha", "digest")


def of_commit(connection: Connection, repository_id: int, sha: str) -> list[Attestation]:
    """About a candidate, the newest first; not the records of rollouts."""
    columns = attestations.c
    statement = newest(attestations).where(columns.repository_id == repository_id, columns.sha == sha)
    return many(connection, Attestation, statement.where(columns.rollout_id.is_(None)).limit(50))


def of_rollout(connection: Connection, rollout_id: int) -> Attestation:
    """Its release record. Raises NotFound."""
    found = one(connection, Attestation, newest(attestations).where(attestations.c.rollout_id == rollout_id).limit(1))
    if found is None:
        raise NotFound("it has no release record: it left nothing live, or is to be signed within seconds")
    return found


def unsigned(connection: Connection, limit: int, *, all_of_them: bool) -> list[Candidate]:
    """Candidates that were built here and have no statement, the newest first."""
    mine = (
        (attestations.c.repository_id == candidates.c.repository_id)
        & (attestations.c.sha == candidates.c.sha)
        & attestations.c.rollout_id.is_(None)
        & (attestations.c.source == OURS)
    )
    statement = (
        select(candidates)
        .join(attestations, mine, isouter=True)
        .where(attestations.c.id.is_(None), candidates.c.run_id.is_not(None))
        .order_by(candidates.c.id.desc())
        .limit(limit)
    )
    if not all_of_them:
        last = connection.execute(select(func.max(candidates.c.id))).scalar() or 0
        statement = statement.where(candidates.c.id > last - RECENT)
    return many(connection, Candidate, statement)


def unrecorded(connection: Connection, limit: int, *, all_of_them: bool) -> list[Release]:
    """Releases without a record, the newest first."""
    statement = (
        select(releases)
        .join(attestations, attestations.c.rollout_id == releases.c.rollout_id, isouter=True)
        .where(attestations.c.id.is_(None))
        .order_by(releases.c.id.desc())
        .limit(limit)
    )
    if not all_of_them:
        last = connection.execute(select(func.max(releases.c.id))).scalar() or 0
        statement = statement.where(releases.c.id > last - RECENT)
    return many(connection, Release, statement)


# --- verified ---


def genuine(connection: Connection, keyring: Keyring, candidate: Candidate) -> str:
    """Rule 3: the digest of what was verified; empty: nothing was said of it. Raises Tampered."""
    found = next((a for a in of_commit(connection, candidate.repository_id, candidate.sha) if a.source == OURS), None)
    if found is None:
        return ""
    who = f"candidate {candidate.id} ({candidate.sha[:12]})"
    try:
        statement = verified(found.envelope, trusted(connection, keyring))
    except NotGenuine as error:
        raise Tampered(f"the provenance of {who} does not hold: {error}") from None
    wrong = against(statement, candidate.artifacts, candidate.sha)
    if wrong:
        raise Tampered(f"{who} is not what was signed: {wrong}")
    return found.digest


def missing(
    connection: Connection, repository_id: int, wanted: Sequence[tuple[int, str]], trusted_keys: Sequence[str]
) -> dict[int, str]:
    """Of candidates (id, sha) that a lane wants provenance of: why it does not count; who has it is not there."""
    signed = _ours(connection, repository_id, [number for number, _ in wanted])
    wanted = [(number, sha) for number, sha in wanted if number not in signed]
    rows = {candidate.id: candidate for candidate in _candidates(connection, [number for number, _ in wanted])}
    told: dict[str, list[Attestation]] = {}
    for part in slices(sorted({sha for _, sha in wanted})):
        columns = attestations.c
        statement = newest(attestations).where(
            columns.repository_id == repository_id, columns.sha.in_(part), columns.rollout_id.is_(None)
        )
        for row in many(connection, Attestation, statement):
            told.setdefault(row.sha, []).append(row)
    found = {number: _missing(rows[number], told.get(sha, []), trusted_keys) for number, sha in wanted}
    return {number: words for number, words in found.items() if words}


def _ours(connection: Connection, repository_id: int, numbers: Sequence[int]) -> set[int]:
    """The candidates of our own builds whose statement is there: what nearly all are, and nothing of it is read."""
    if not numbers:
        return set()
    candidate, told = candidates.c, attestations.c
    statement = (
        select(candidate.id)
        .join_from(
            candidates,
            attestations,
            and_(told.repository_id == candidate.repository_id, told.sha == candidate.sha),
        )
        .where(
            candidate.repository_id == repository_id,
            candidate.id.between(min(numbers), max(numbers)),
            candidate.run_id.is_not(None),
            told.source == OURS,
            told.rollout_id.is_(None),
        )
    )
    return set(connection.execute(statement).scalars())


def _missing(candidate: Candidate, told: Sequence[Attestation], trusted_keys: Sequence[str]) -> str:
    ours = [each for each in told if each.source == OURS]
    if candidate.run_id is not None:
        return "" if ours else "its provenance is not signed yet"
    if not told:
        return f"it has no provenance, and the lane wants one: {candidate.source} brings its envelope"
    words = ""
    for each in told:
        try:
            wrong = against(verified(each.envelope, trusted_keys), candidate.artifacts, candidate.sha, by_name=False)
        except NotGenuine as error:
            wrong = str(error)
        if not wrong:
            return ""
        words = words or f"its provenance does not count: {wrong}"
    return words


def _candidates(connection: Connection, numbers: Sequence[int]) -> list[Candidate]:
    found: list[Candidate] = []
    for part in slices(numbers):
        found += many(connection, Candidate, select(candidates).where(candidates.c.id.in_(part)))
    return found
