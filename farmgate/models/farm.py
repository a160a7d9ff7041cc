"""Rows: nodes, tokens, leaders, events, the audit log, keys of identities, and bytes to be removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from farmgate import states
from farmgate.models.kinds import TokenKind


@dataclass(frozen=True, slots=True)
class Node:
    id: int
    name: str
    pool: str
    labels: dict[str, str]
    engine: str
    slots: int
    state: states.Node
    version: str
    joined_at: datetime
    seen_at: datetime
    claimed_at: datetime | None  # last claim: a worker that never claims is deaf
    holding: list[str]  # "job/attempt" of what it says it holds
    problem: str | None


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    kind: TokenKind
    name: str
    hash: str
    rights: list[str]
    node_id: int | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Leader:
    """Who runs a loop; the epoch grows with each change of hands."""

    name: str
    holder: str
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the farm's own record: what happened to what, by whom and why."""

    id: int
    at: datetime
    kind: str  # run.finished, job.lost, rollout.sick, lane.held, ...
    subject: str  # run/7, lane/shop/production
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class DoomedBlob:
    """A blob that nothing named when it was looked at. Whoever names it again takes it off the list."""

    sha256: str
    since: datetime
    removing: bool  # its bytes are being removed: it cannot be named until that is done


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An act that changed something, as a link of the chain."""

    number: int  # from 1, without a gap
    at: datetime
    kind: str  # lane.held, token.made, ...
    subject: str  # lane/shop/production
    actor: str
    text: str
    before: str | None  # digest of the state before, where there was one that is told
    after: str | None
    previous: str  # the hash of the entry before
    hash: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last entry: the one row that is locked to continue the chain."""

    id: int
    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs identity tokens. What it is for at a moment: farmgate.identity."""

    id: int
    kid: str  # the thumbprint of its public half (RFC 7638)
    public: dict[str, Any]  # as a JSON Web Key
    sealed: str | None = field(repr=False)  # the private half, farmgate.sealing; None: forgotten
    key_id: str | None  # that seals it
    created_by: str
    created_at: datetime
    signs_from: datetime
    withdrawn_at: datetime | None  # no longer published, whatever it signed


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """That a token was given, without it: to find out what somebody may have got hold of."""

    jti: str
    signing_key_id: int
    job_id: int
    attempt: int
    audience: str
    subject: str
    issued_at: datetime
    expires_at: datetime
