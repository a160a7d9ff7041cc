"""Tables: what is built, of what, what is known of it, and who signed it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from farmgate import states
from farmgate.store.schema.columns import SHA, State, metadata, ref, row_id, when

packages = Table(
    "packages",
    metadata,
    row_id(),
    Column("key", String(64), nullable=False, unique=True),
    Column("ecosystem", String(100), nullable=False),
    Column("name", String(400), nullable=False, index=True),
    Column("version", String(200), nullable=False),
    Column("purl", Text, nullable=False),
    Index("ix_packages_ecosystem_name", "ecosystem", "name"),
)

package_sets = Table(
    "package_sets",
    metadata,
    row_id(),
    Column("digest", String(64), nullable=False, unique=True),
    Column("size", Integer, nullable=False),
)

package_set_members = Table(
    "package_set_members",
    metadata,
    ref("set_id", "package_sets.id", primary_key=True),
    ref("package_id", "packages.id", primary_key=True, index=True),
)

boms = Table(
    "boms",
    metadata,
    row_id(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("state", State(states.Bom), nullable=False, index=True),
    Column("reason", Text),
    ref("set_id", "package_sets.id", nullable=True, index=True),
    Column("unnamed", Integer, nullable=False),
    when("created_at"),
    when("deadline"),
)

candidate_boms = Table(
    "candidate_boms",
    metadata,
    ref("candidate_id", "candidates.id", primary_key=True),
    ref("bom_id", "boms.id", primary_key=True, index=True),
    Column("name", Text, nullable=False),
)

candidate_lists = Table(
    "candidate_lists",
    metadata,
    ref("candidate_id", "candidates.id", primary_key=True),
    Column("boms", Integer, nullable=False),
    when("looked_at"),
)

osv_dumps = Table(
    "osv_dumps",
    metadata,
    row_id(),
    Column("state", State(states.OsvDump), nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("without", Boolean, nullable=False),
    Column("read_bytes", BigInteger, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("withdrawn", Integer, nullable=False),
    Column("bad", Integer, nullable=False),
    Column("affected", Integer, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("ecosystems", JSON, nullable=False),
    Column("problems", JSON, nullable=False),
    Column("reason", Text),
    when("created_at"),
    when("deadline"),
    when("finished_at", nullable=True),
)

# What follows is written and removed by the hundred thousand: it names its dump by number, and no key watches that.
osv_records = Table(
    "osv_records",
    metadata,
    row_id(),
    Column("dump_id", BigInteger, nullable=False),
    Column("osv_id", String(100), nullable=False),
    Column("aliases", JSON, nullable=False),
    Column("summary", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("score", Float),
    Column("vector", Text, nullable=False),
    when("published", nullable=True),
    when("modified", nullable=True),
    UniqueConstraint("dump_id", "osv_id"),
)

osv_affected = Table(
    "osv_affected",
    metadata,
    row_id(),
    Column("dump_id", BigInteger, nullable=False),
    Column("ecosystem", String(100), nullable=False),
    Column("name", String(400), nullable=False),
    Column("osv_id", String(100), nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Index("ix_osv_affected_package", "dump_id", "ecosystem", "name"),
)

package_checks = Table(
    "package_checks",
    metadata,
    Column("dump_id", BigInteger, primary_key=True, autoincrement=False),
    ref("package_id", "packages.id", primary_key=True),
    Column("problem", Text),
)

package_matches = Table(
    "package_matches",
    metadata,
    Column("dump_id", BigInteger, primary_key=True, autoincrement=False),
    ref("package_id", "packages.id", primary_key=True),
    Column("osv_id", String(100), primary_key=True),
    Column("fixed", Text),
)

vulnerability_decisions = Table(
    "vulnerability_decisions",
    metadata,
    row_id(),
    Column("vulnerability", String(100), nullable=False, index=True),
    Column("scope", String(200), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    when("until"),
    Column("decided_by", Text, nullable=False),
    when("decided_at"),
    when("withdrawn_at", nullable=True),
    Column("withdrawn_by", Text),
)

attestation_keys = Table(
    "attestation_keys",
    metadata,
    row_id(),
    Column("kid", String(64), nullable=False, unique=True),
    Column("public", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("key_id", String(100), nullable=False, index=True),
    Column("created_by", Text, nullable=False),
    when("created_at"),
)

attestations = Table(
    "attestations",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    ref("rollout_id", "rollouts.id", nullable=True, index=True),
    Column("source", String(100), nullable=False),
    Column("kid", String(200), nullable=False),
    Column("envelope", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("made_by", Text, nullable=False),
    when("made_at"),
    UniqueConstraint("repository_id", "sha", "digest"),
)
