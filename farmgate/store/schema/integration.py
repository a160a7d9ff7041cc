"""Tables: runs, their jobs and attempts, what they leave behind, and the candidates."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from farmgate import states
from farmgate.models import ArtifactKind, JobKind, Trigger, Trust, Verdict
from farmgate.store.schema.columns import SHA, State, metadata, ref, row_id, when

runs = Table(
    "runs",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False, index=True),
    Column("ref", String(500), nullable=False),
    Column("trigger", State(Trigger), nullable=False),
    Column("trust", State(Trust), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("state", State(states.Run), nullable=False, index=True),
    Column("reason", Text),
    Column("asked_by", Text, nullable=False),
    when("created_at"),
    when("started_at", nullable=True),
    when("finished_at", nullable=True),
    when("deadline"),
    Column("hold", Text),
    Column("superseded_by", BigInteger().with_variant(Integer, "sqlite")),
    Column("again_of", BigInteger().with_variant(Integer, "sqlite")),
    Column("reuse", Boolean, nullable=False),
    Column("cancel_superseded", Boolean),
    Column("origin", JSON, nullable=False),
    UniqueConstraint("repository_id", "ref", "sha", "ordinal"),
    Index("ix_runs_of_repository", "repository_id", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    row_id(),
    ref("run_id", "runs.id"),
    Column("name", String(200), nullable=False),
    Column("needs", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("pool", String(100), nullable=False),
    Column("state", State(states.Job), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("rings", Integer, nullable=False),
    when("ready_at", nullable=True),
    when("rung_at", nullable=True),
    when("started_at", nullable=True),
    when("finished_at", nullable=True),
    when("deadline"),
    Column("reason", Text),
    Column("cancel_asked", Text),
    Column("kind", State(JobKind), nullable=False),
    Column("family", String(100), nullable=False),
    Column("family_limit", Integer),
    Column("priority", Integer, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("runs_when", String(16), nullable=False),
    Column("forgiven", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),
    when("not_before", nullable=True),
    Column("exclusion", String(300), index=True),
    Column("exclusion_limit", Integer, nullable=False),
    Column("exclusion_cancels", Boolean, nullable=False),
    Column("reuse_key", String(64), index=True),
    Column("reused_from", BigInteger().with_variant(Integer, "sqlite")),
    Column("emitted_by", BigInteger().with_variant(Integer, "sqlite")),
    Column("inputs_hash", String(64)),
    Column("rung_to", BigInteger().with_variant(Integer, "sqlite")),
    UniqueConstraint("run_id", "name"),
)

attempts = Table(
    "attempts",
    metadata,
    row_id(),
    ref("job_id", "jobs.id"),
    Column("number", Integer, nullable=False),
    ref("node_id", "nodes.id"),
    Column("state", State(states.Attempt), nullable=False, index=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    when("claimed_at"),
    when("lease_until"),
    when("finished_at", nullable=True),
    Column("exit_code", Integer),
    Column("reason", Text),
    Column("timings", JSON, nullable=False),
    Column("log_bytes", BigInteger, nullable=False),
    Column("log_blob", String(64)),
    Column("log_cut", Boolean, nullable=False),
    Column("log_lines", BigInteger, nullable=False),
    Column("log_index", String(64)),
    UniqueConstraint("job_id", "number"),
    # Each tick asks which logs are still in chunks; few are.
    Index(
        "ix_attempts_unpacked", "id", sqlite_where=text("log_blob IS NULL"), postgresql_where=text("log_blob IS NULL")
    ),
)

steps = Table(
    "steps",
    metadata,
    ref("attempt_id", "attempts.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", State(states.Step), nullable=False),
    Column("exit_code", Integer),
    when("started_at", nullable=True),
    when("finished_at", nullable=True),
    Column("log_offset", BigInteger),
)

log_chunks = Table(
    "log_chunks",
    metadata,
    ref("attempt_id", "attempts.id", primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    when("received_at"),
    Column("line", BigInteger, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    row_id(),
    ref("attempt_id", "attempts.id"),
    ref("job_id", "jobs.id", index=True),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    when("created_at"),
    when("expires_at", nullable=True),
    when("removed_at", nullable=True),
    Column("executable", Boolean, nullable=False),
    Column("kind", State(ArtifactKind), nullable=False),
    Column("image_id", Text),
    UniqueConstraint("attempt_id", "path"),
)

candidates = Table(
    "candidates",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    ref("run_id", "runs.id", nullable=True),
    Column("source", String(100), nullable=False),
    Column("artifacts", JSON, nullable=False),
    when("created_at"),
    UniqueConstraint("repository_id", "sha"),
)

caches = Table(
    "caches",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("key", String(600), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    ref("job_id", "jobs.id"),
    when("created_at"),
    when("used_at"),
    UniqueConstraint("repository_id", "key"),
)

images = Table(
    "images",
    metadata,
    Column("pool", String(100), primary_key=True),
    Column("name", String(600), primary_key=True),
    Column("digest", String(300), nullable=False),
    when("seen_at"),
)

answers = Table(
    "answers",
    metadata,
    ref("job_id", "jobs.id", primary_key=True),
    Column("verdict", State(Verdict), nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("text", Text, nullable=False),
    when("answered_at"),
)

submissions = Table(
    "submissions",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    Column("source", String(100), nullable=False),
    Column("url", Text, nullable=False),
    Column("checks", JSON, nullable=False),
    Column("artifacts", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("state", State(states.Submission), nullable=False, index=True),
    Column("reason", Text),
    Column("submitted_by", Text, nullable=False),
    when("created_at"),
    when("settled_at", nullable=True),
    when("deadline"),
    Index("ix_submissions_of_commit", "repository_id", "sha"),
)
