"""Tables: nodes, tokens, leaders, events, the audit log, keys of identities, and bytes to be removed."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from farmgate import states
from farmgate.models import TokenKind
from farmgate.store.schema.columns import State, metadata, ref, row_id, when

nodes = Table(
    "nodes",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("pool", String(100), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("engine", String(20), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("state", State(states.Node), nullable=False),
    Column("version", String(40), nullable=False),
    when("joined_at"),
    when("seen_at"),
    when("claimed_at", nullable=True),
    Column("holding", JSON, nullable=False),
    Column("problem", Text),
)

tokens = Table(
    "tokens",
    metadata,
    row_id(),
    Column("kind", State(TokenKind), nullable=False),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("rights", JSON, nullable=False),
    ref("node_id", "nodes.id", nullable=True),
    when("created_at"),
    when("expires_at", nullable=True),
    when("used_at", nullable=True),
    when("revoked_at", nullable=True),
)

leaders = Table(
    "leaders",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("epoch", Integer, nullable=False),
    when("until"),
)

events = Table(
    "events",
    metadata,
    row_id(),
    when("at", index=True),
    Column("kind", String(50), nullable=False),
    Column("subject", String(200), nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
)

doomed_blobs = Table(
    "doomed_blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    when("since"),
    Column("removing", Boolean, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    when("at"),
    Column("kind", String(50), nullable=False),
    Column("subject", String(200), nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("before", String(64)),
    Column("after", String(64)),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("hash", String(64), nullable=False),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    row_id(),
    Column("kid", String(100), nullable=False, unique=True),
    Column("public", JSON, nullable=False),
    Column("sealed", Text),
    Column("key_id", String(100), index=True),
    Column("created_by", Text, nullable=False),
    when("created_at"),
    when("signs_from"),
    when("withdrawn_at", nullable=True),
)

identity_tokens = Table(
    "identity_tokens",
    metadata,
    Column("jti", String(100), primary_key=True),
    ref("signing_key_id", "signing_keys.id"),
    ref("job_id", "jobs.id", index=True),
    Column("attempt", Integer, nullable=False),
    Column("audience", Text, nullable=False),
    Column("subject", Text, nullable=False),
    when("issued_at", index=True),
    when("expires_at"),
    Index("ix_identity_tokens_signing_key_id_expires_at", "signing_key_id", "expires_at"),
)
