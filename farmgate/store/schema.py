"""The tables, one per dataclass of `farmgate.models`, alike on SQLite and PostgreSQL.

Rules:
1. Times go in and come out as aware UTC; states as their enums; both are stored as plain text or timestamps.
2. What must be unique is unique here: a delivery, a run of a commit, an attempt, an active rollout of a lane.
3. No relationship, no event hook, no default that hides a decision.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from farmgate import states
from farmgate.models import (
    ArtifactKind,
    ForkPolicy,
    HoldKind,
    JobKind,
    MadeKind,
    ReportKind,
    RolloutKind,
    TokenKind,
    Trigger,
    Trust,
    Verdict,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime reached the store")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class State(TypeDecorator[StrEnum]):
    """A StrEnum stored as its text."""

    impl = String(16)
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(self.kind(value))

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """A look into a table: each tick reads tens of thousands of states."""
        return _ByText(self.kind).__getitem__


class _ByText(dict[str | None, StrEnum | None]):
    """The members of a kind by their text; what is no member is refused."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__({None: None} | {str(member): member for member in kind})
        self._kind = kind

    def __missing__(self, text: str | None) -> StrEnum:
        return self._kind(str(text))


def _id() -> Column[int]:
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _ref(name: str, target: str, *, nullable: bool = False, **more: Any) -> Column[int]:
    return Column(name, ForeignKey(target), nullable=nullable, **more)


def _when(name: str, *, nullable: bool = False, **more: Any) -> Column[datetime]:
    return Column(name, Utc, nullable=nullable, **more)


SHA = String(64)

repositories = Table(
    "repositories",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("forge", String(20), nullable=False),
    Column("secret", Text, nullable=False),
    Column("default_branch", String(255), nullable=False),
    _when("created_at"),
    _when("polled_at", nullable=True),
    Column("poll_error", Text),
    _when("removed_at", nullable=True),
    Column("weight", Integer, nullable=False),
    Column("fork_policy", State(ForkPolicy), nullable=False),
    Column("login", Text),
    Column("login_key", String(100)),
)

refs = Table(
    "refs",
    metadata,
    _ref("repository_id", "repositories.id", primary_key=True),
    Column("name", String(500), primary_key=True),
    Column("sha", SHA),
    _when("updated_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("delivery_id", String(200), nullable=False),
    Column("event", String(100), nullable=False),
    _when("received_at"),
    Column("outcome", Text, nullable=False),
    UniqueConstraint("repository_id", "delivery_id"),
)

intakes = Table(
    "intakes",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    _ref("delivery_id", "deliveries.id", nullable=True, index=True),
    Column("kind", String(20), nullable=False),
    Column("ref", String(500), nullable=False),
    Column("before", SHA),
    Column("after", SHA),
    Column("details", JSON, nullable=False),
    Column("state", State(states.Intake), nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    _when("not_before"),
    _when("deadline"),
    _when("created_at"),
    Column("reason", Text),
)

commits = Table(
    "commits",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False, index=True),
    Column("parents", JSON, nullable=False),
    Column("tree", SHA, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("author_email", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("message", Text, nullable=False),
    _when("committed_at"),
    _when("seen_at"),
    UniqueConstraint("repository_id", "sha"),
)

branch_commits = Table(
    "branch_commits",
    metadata,
    _ref("repository_id", "repositories.id", primary_key=True),
    Column("branch", String(255), primary_key=True),
    Column("sha", SHA, primary_key=True),
    Column("position", Integer, nullable=False),
    _when("gone_at", nullable=True),
    Index("ix_branch_commits_place", "repository_id", "branch", "position"),
)

runs = Table(
    "runs",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False, index=True),
    Column("ref", String(500), nullable=False),
    Column("trigger", State(Trigger), nullable=False),
    Column("trust", State(Trust), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("state", State(states.Run), nullable=False, index=True),
    Column("reason", Text),
    Column("asked_by", Text, nullable=False),
    _when("created_at"),
    _when("started_at", nullable=True),
    _when("finished_at", nullable=True),
    _when("deadline"),
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
    _id(),
    _ref("run_id", "runs.id"),
    Column("name", String(200), nullable=False),
    Column("needs", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("pool", String(100), nullable=False),
    Column("state", State(states.Job), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("rings", Integer, nullable=False),
    _when("ready_at", nullable=True),
    _when("rung_at", nullable=True),
    _when("started_at", nullable=True),
    _when("finished_at", nullable=True),
    _when("deadline"),
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
    _when("not_before", nullable=True),
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
    _id(),
    _ref("job_id", "jobs.id"),
    Column("number", Integer, nullable=False),
    _ref("node_id", "nodes.id"),
    Column("state", State(states.Attempt), nullable=False, index=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    _when("claimed_at"),
    _when("lease_until"),
    _when("finished_at", nullable=True),
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
    _ref("attempt_id", "attempts.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", State(states.Step), nullable=False),
    Column("exit_code", Integer),
    _when("started_at", nullable=True),
    _when("finished_at", nullable=True),
    Column("log_offset", BigInteger),
)

log_chunks = Table(
    "log_chunks",
    metadata,
    _ref("attempt_id", "attempts.id", primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    _when("received_at"),
    Column("line", BigInteger, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    _id(),
    _ref("attempt_id", "attempts.id"),
    _ref("job_id", "jobs.id", index=True),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    _when("created_at"),
    _when("expires_at", nullable=True),
    _when("removed_at", nullable=True),
    Column("executable", Boolean, nullable=False),
    Column("kind", State(ArtifactKind), nullable=False),
    Column("image_id", Text),
    UniqueConstraint("attempt_id", "path"),
)

candidates = Table(
    "candidates",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    _ref("run_id", "runs.id", nullable=True),
    Column("source", String(100), nullable=False),
    Column("artifacts", JSON, nullable=False),
    _when("created_at"),
    UniqueConstraint("repository_id", "sha"),
)

lanes = Table(
    "lanes",
    metadata,
    _id(),
    Column("application", String(100), nullable=False),
    Column("environment", String(100), nullable=False),
    _ref("repository_id", "repositories.id"),
    Column("policy", JSON, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("rollback", JSON(none_as_null=True)),
    _when("created_at"),
    UniqueConstraint("application", "environment"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    _ref("lane_id", "lanes.id", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("policy", JSON, nullable=False),
    Column("changed_by", Text, nullable=False),
    _when("changed_at"),
)

_ACTIVE_ROLLOUT = text("state IN ({})".format(", ".join(f"'{state}'" for state in states.open_states(states.Rollout))))

rollouts = Table(
    "rollouts",
    metadata,
    _id(),
    _ref("lane_id", "lanes.id"),
    Column("number", Integer, nullable=False),
    Column("kind", State(RolloutKind), nullable=False),
    _ref("candidate_id", "candidates.id"),
    Column("since_position", Integer, nullable=False),
    Column("since_sha", SHA),
    Column("until_position", Integer, nullable=False),
    Column("until_sha", SHA, nullable=False),
    Column("from_release_id", BigInteger().with_variant(Integer, "sqlite")),
    Column("search_id", BigInteger().with_variant(Integer, "sqlite")),
    Column("policy", JSON, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("state", State(states.Rollout), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("reason", Text),
    _when("created_at"),
    _when("started_at", nullable=True),
    _when("finished_at", nullable=True),
    _when("deadline"),
    UniqueConstraint("lane_id", "number"),
    # I5: at most one active rollout per lane, whatever the loops believe.
    Index(
        "ux_rollouts_one_active", "lane_id", unique=True, sqlite_where=_ACTIVE_ROLLOUT, postgresql_where=_ACTIVE_ROLLOUT
    ),
)

rollout_commits = Table(
    "rollout_commits",
    metadata,
    _ref("rollout_id", "rollouts.id", primary_key=True),
    Column("sha", SHA, primary_key=True),
    _ref("lane_id", "lanes.id", index=True),
    Column("position", Integer, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    _ref("rollout_id", "rollouts.id", primary_key=True),
    Column("key", String(100), primary_key=True),
    Column("epoch", Integer, nullable=False),
    _when("started_at"),
    _when("finished_at", nullable=True),
    Column("outcome", String(20)),
    Column("detail", JSON, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    _id(),
    _ref("lane_id", "lanes.id", index=True),
    _ref("rollout_id", "rollouts.id", unique=True),
    _ref("candidate_id", "candidates.id"),
    Column("sha", SHA, nullable=False),
    Column("position", Integer, nullable=False),
    Column("artifacts", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    _when("live_from"),
    _when("live_until", nullable=True),
    Index(
        "ux_releases_one_live",
        "lane_id",
        unique=True,
        sqlite_where=text("live_until IS NULL"),
        postgresql_where=text("live_until IS NULL"),
    ),
)

searches = Table(
    "searches",
    metadata,
    _id(),
    _ref("lane_id", "lanes.id", index=True),
    _ref("rollout_id", "rollouts.id"),
    Column("since_position", Integer, nullable=False),
    Column("until_position", Integer, nullable=False),
    Column("points", JSON, nullable=False),
    Column("state", State(states.Search), nullable=False),
    Column("rollouts", Integer, nullable=False),
    Column("culprit", SHA),
    _when("opened_at"),
    _when("closed_at", nullable=True),
    _when("deadline"),
)

bans = Table(
    "bans",
    metadata,
    _id(),
    _ref("lane_id", "lanes.id", index=True),
    Column("sha", SHA, nullable=False),
    Column("position", Integer, nullable=False),
    Column("covers", JSON, nullable=False),
    _ref("rollout_id", "rollouts.id", nullable=True),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    _when("created_at"),
    _when("lifted_at", nullable=True),
    Column("lifted_by", Text),
)

approvals = Table(
    "approvals",
    metadata,
    _id(),
    _ref("lane_id", "lanes.id", index=True),
    Column("since_position", Integer, nullable=False),
    Column("since_sha", SHA),
    Column("until_position", Integer, nullable=False),
    Column("until_sha", SHA, nullable=False),
    _ref("candidate_id", "candidates.id"),
    Column("reason", Text, nullable=False),
    Column("approved_by", Text, nullable=False),
    _when("created_at"),
    _when("withdrawn_at", nullable=True),
    Column("withdrawn_by", Text),
)

holds = Table(
    "holds",
    metadata,
    _id(),
    _ref("lane_id", "lanes.id", index=True, nullable=True),
    Column("kind", State(HoldKind), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    _when("created_at"),
    _when("begins"),
    _when("until"),
    _when("lifted_at", nullable=True),
    Column("lifted_by", Text),
    _when("told_at", nullable=True),
)

nodes = Table(
    "nodes",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("pool", String(100), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("engine", String(20), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("state", State(states.Node), nullable=False),
    Column("version", String(40), nullable=False),
    _when("joined_at"),
    _when("seen_at"),
    _when("claimed_at", nullable=True),
    Column("holding", JSON, nullable=False),
    Column("problem", Text),
)

tokens = Table(
    "tokens",
    metadata,
    _id(),
    Column("kind", State(TokenKind), nullable=False),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("rights", JSON, nullable=False),
    _ref("node_id", "nodes.id", nullable=True),
    _when("created_at"),
    _when("expires_at", nullable=True),
    _when("used_at", nullable=True),
    _when("revoked_at", nullable=True),
)

leaders = Table(
    "leaders",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("epoch", Integer, nullable=False),
    _when("until"),
)

events = Table(
    "events",
    metadata,
    _id(),
    _when("at", index=True),
    Column("kind", String(50), nullable=False),
    Column("subject", String(200), nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
)

# --- bytes that live on ---

caches = Table(
    "caches",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("key", String(600), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    _ref("job_id", "jobs.id"),
    _when("created_at"),
    _when("used_at"),
    UniqueConstraint("repository_id", "key"),
)

images = Table(
    "images",
    metadata,
    Column("pool", String(100), primary_key=True),
    Column("name", String(600), primary_key=True),
    Column("digest", String(300), nullable=False),
    _when("seen_at"),
)

doomed_blobs = Table(
    "doomed_blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    _when("since"),
    Column("removing", Boolean, nullable=False),
)

# --- results that are read: tests, coverage, findings, components ---

reports = Table(
    "reports",
    metadata,
    _id(),
    _ref("attempt_id", "attempts.id"),
    _ref("job_id", "jobs.id"),
    _ref("run_id", "runs.id", index=True),
    _ref("repository_id", "repositories.id"),
    Column("kind", State(ReportKind), nullable=False),
    Column("variant", String(200), nullable=False),
    Column("ref", String(500), nullable=False),
    Column("sha", SHA, nullable=False),
    Column("tree", SHA, nullable=False, index=True),
    Column("complete", Boolean, nullable=False),
    Column("counts", Boolean, nullable=False),
    _when("sealed_at", nullable=True),
    Column("figures", JSON, nullable=False),
    UniqueConstraint("attempt_id", "kind"),
    Index("ix_reports_of_variant", "repository_id", "kind", "variant", "id"),
)

report_files = Table(
    "report_files",
    metadata,
    _ref("report_id", "reports.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), index=True),
    Column("problem", Text),
    _when("modified_at"),
)

report_pages = Table(
    "report_pages",
    metadata,
    _ref("report_id", "reports.id", primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

tests = Table(
    "tests",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("key", String(40), nullable=False),
    Column("variant", String(200), nullable=False),
    Column("suite", Text, nullable=False),
    Column("class_name", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("file", Text, nullable=False),
    _when("seen_at"),
    UniqueConstraint("repository_id", "key"),
    Index("ix_tests_name", "repository_id", "name"),
)

test_results = Table(
    "test_results",
    metadata,
    _ref("report_id", "reports.id", primary_key=True),
    _ref("test_id", "tests.id", primary_key=True, index=True),
    Column("ordinal", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("failed_tries", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("text", Text, nullable=False),
)

test_flakes = Table(
    "test_flakes",
    metadata,
    _id(),
    _ref("test_id", "tests.id"),
    Column("tree", SHA, nullable=False),
    _ref("failed_report_id", "reports.id"),
    _ref("passed_report_id", "reports.id"),
    _when("seen_at", index=True),
    UniqueConstraint("test_id", "tree", "failed_report_id"),
)

quarantines = Table(
    "quarantines",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id", index=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _when("until"),
    Column("created_by", Text, nullable=False),
    _when("created_at"),
    _when("lifted_at", nullable=True),
    Column("lifted_by", Text),
)

# --- templates of the server ---

templates = Table(
    "templates",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=True),
    Column("changed_by", Text, nullable=False),
    _when("changed_at"),
)

# --- what people answered ---

answers = Table(
    "answers",
    metadata,
    _ref("job_id", "jobs.id", primary_key=True),
    Column("verdict", State(Verdict), nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("text", Text, nullable=False),
    _when("answered_at"),
)

# --- secrets of repositories ---

secrets = Table(
    "secrets",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("name", String(100), nullable=False),
    Column("environment", String(100), nullable=False),
    Column("branch", String(255), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("key_id", String(100), nullable=False, index=True),
    Column("changed_by", Text, nullable=False),
    _when("changed_at"),
    UniqueConstraint("repository_id", "name", "environment", "branch"),
)

# --- the audit log ---

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    _when("at"),
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

# --- identities of jobs ---

signing_keys = Table(
    "signing_keys",
    metadata,
    _id(),
    Column("kid", String(100), nullable=False, unique=True),
    Column("public", JSON, nullable=False),
    Column("sealed", Text),
    Column("key_id", String(100), index=True),
    Column("created_by", Text, nullable=False),
    _when("created_at"),
    _when("signs_from"),
    _when("withdrawn_at", nullable=True),
)

identity_tokens = Table(
    "identity_tokens",
    metadata,
    Column("jti", String(100), primary_key=True),
    _ref("signing_key_id", "signing_keys.id"),
    _ref("job_id", "jobs.id", index=True),
    Column("attempt", Integer, nullable=False),
    Column("audience", Text, nullable=False),
    Column("subject", Text, nullable=False),
    _when("issued_at", index=True),
    _when("expires_at"),
    Index("ix_identity_tokens_signing_key_id_expires_at", "signing_key_id", "expires_at"),
)

# --- candidates from outside ---

submissions = Table(
    "submissions",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    Column("source", String(100), nullable=False),
    Column("url", Text, nullable=False),
    Column("checks", JSON, nullable=False),
    Column("artifacts", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("state", State(states.Submission), nullable=False, index=True),
    Column("reason", Text),
    Column("submitted_by", Text, nullable=False),
    _when("created_at"),
    _when("settled_at", nullable=True),
    _when("deadline"),
    Index("ix_submissions_of_commit", "repository_id", "sha"),
)

# --- what fixes what ---

patches = Table(
    "patches",
    metadata,
    _ref("repository_id", "repositories.id", primary_key=True),
    Column("sha", SHA, primary_key=True),
    Column("patch_id", String(64), nullable=False, index=True),
    Column("inverse_id", String(64), nullable=False),
)

said_fixes = Table(
    "said_fixes",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id", index=True),
    Column("fix", SHA, nullable=False),
    Column("fixes", SHA, nullable=False),
    Column("said_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _when("said_at"),
)

# --- what is built, of what, and what is known of it ---

packages = Table(
    "packages",
    metadata,
    _id(),
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
    _id(),
    Column("digest", String(64), nullable=False, unique=True),
    Column("size", Integer, nullable=False),
)

package_set_members = Table(
    "package_set_members",
    metadata,
    _ref("set_id", "package_sets.id", primary_key=True),
    _ref("package_id", "packages.id", primary_key=True, index=True),
)

boms = Table(
    "boms",
    metadata,
    _id(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("state", State(states.Bom), nullable=False, index=True),
    Column("reason", Text),
    _ref("set_id", "package_sets.id", nullable=True, index=True),
    Column("unnamed", Integer, nullable=False),
    _when("created_at"),
    _when("deadline"),
)

candidate_boms = Table(
    "candidate_boms",
    metadata,
    _ref("candidate_id", "candidates.id", primary_key=True),
    _ref("bom_id", "boms.id", primary_key=True, index=True),
    Column("name", Text, nullable=False),
)

candidate_lists = Table(
    "candidate_lists",
    metadata,
    _ref("candidate_id", "candidates.id", primary_key=True),
    Column("boms", Integer, nullable=False),
    _when("looked_at"),
)

osv_dumps = Table(
    "osv_dumps",
    metadata,
    _id(),
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
    _when("created_at"),
    _when("deadline"),
    _when("finished_at", nullable=True),
)

# What follows is written and removed by the hundred thousand: it names its dump by number, and no key watches that.

osv_records = Table(
    "osv_records",
    metadata,
    _id(),
    Column("dump_id", BigInteger, nullable=False),
    Column("osv_id", String(100), nullable=False),
    Column("aliases", JSON, nullable=False),
    Column("summary", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("score", Float),
    Column("vector", Text, nullable=False),
    _when("published", nullable=True),
    _when("modified", nullable=True),
    UniqueConstraint("dump_id", "osv_id"),
)

osv_affected = Table(
    "osv_affected",
    metadata,
    _id(),
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
    _ref("package_id", "packages.id", primary_key=True),
    Column("problem", Text),
)

package_matches = Table(
    "package_matches",
    metadata,
    Column("dump_id", BigInteger, primary_key=True, autoincrement=False),
    _ref("package_id", "packages.id", primary_key=True),
    Column("osv_id", String(100), primary_key=True),
    Column("fixed", Text),
)

vulnerability_decisions = Table(
    "vulnerability_decisions",
    metadata,
    _id(),
    Column("vulnerability", String(100), nullable=False, index=True),
    Column("scope", String(200), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    _when("until"),
    Column("decided_by", Text, nullable=False),
    _when("decided_at"),
    _when("withdrawn_at", nullable=True),
    Column("withdrawn_by", Text),
)

# --- rollouts in the hands of other tools ---

handovers = Table(
    "handovers",
    metadata,
    _id(),
    _ref("rollout_id", "rollouts.id"),
    Column("step", String(32), nullable=False),
    Column("delivery", String(100), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", State(states.Handover), nullable=False),
    Column("share", Integer),
    Column("text", Text, nullable=False),
    Column("link", Text, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("tellings", Integer, nullable=False),
    Column("stamp", BigInteger),
    Column("seen", JSON, nullable=False),
    _when("created_at"),
    _when("told_at", nullable=True),
    _when("deadline", index=True),
    UniqueConstraint("rollout_id", "step"),
)

# --- provenance ---

attestation_keys = Table(
    "attestation_keys",
    metadata,
    _id(),
    Column("kid", String(64), nullable=False, unique=True),
    Column("public", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("key_id", String(100), nullable=False, index=True),
    Column("created_by", Text, nullable=False),
    _when("created_at"),
)

attestations = Table(
    "attestations",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    _ref("rollout_id", "rollouts.id", nullable=True, index=True),
    Column("source", String(100), nullable=False),
    Column("kid", String(200), nullable=False),
    Column("envelope", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("made_by", Text, nullable=False),
    _when("made_at"),
    UniqueConstraint("repository_id", "sha", "digest"),
)

# --- commits that Farmgate makes ---

made = Table(
    "made",
    metadata,
    _id(),
    Column("kind", State(MadeKind), nullable=False),
    _ref("lane_id", "lanes.id", index=True),
    _ref("repository_id", "repositories.id"),
    Column("branch", String(500), nullable=False),
    Column("ref", String(600), nullable=False),
    Column("picks", JSON, nullable=False),
    Column("onto", SHA, nullable=False),
    Column("onto_position", Integer, nullable=False),
    Column("shas", JSON, nullable=False),
    Column("sha", SHA),
    _ref("run_id", "runs.id", nullable=True),
    _ref("rollout_id", "rollouts.id", nullable=True),
    Column("state", State(states.Made), nullable=False, index=True),
    Column("problem", Text),
    Column("reason", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    _when("created_at"),
    _when("finished_at", nullable=True),
    _when("deadline"),
    Index("ix_made_sha", "repository_id", "sha"),
)

carriers = Table(
    "carriers",
    metadata,
    _ref("made_id", "made.id", primary_key=True),
    Column("pick", SHA, primary_key=True),
    Column("sha", SHA, primary_key=True),
    Column("said_by", Text),
    Column("reason", Text, nullable=False),
    _when("said_at"),
)

# --- what a batch carries ---

batch_looks = Table(
    "batch_looks",
    metadata,
    _ref("rollout_id", "rollouts.id", primary_key=True),
    _ref("repository_id", "repositories.id"),
    Column("since_sha", SHA, nullable=False),
    Column("until_sha", SHA, nullable=False),
    Column("patterns", JSON, nullable=False),
    _when("asked_at"),
    _when("answered_at", nullable=True, index=True),
    Column("found", JSON, nullable=False),
)

# --- candidates that turned red ---

late_reds = Table(
    "late_reds",
    metadata,
    _id(),
    _ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    Column("source", String(100), nullable=False),
    Column("check", String(200), nullable=False),
    Column("run_id", BigInteger().with_variant(Integer, "sqlite")),
    Column("reason", Text, nullable=False),
    Column("told_by", Text, nullable=False),
    _when("since"),
    _when("over_at", nullable=True),
    Column("over_by", Text),
    Column("over_reason", Text),
    Index("ix_late_reds_of_commit", "repository_id", "sha"),
)

# --- lanes that go together ---

lane_groups = Table(
    "lane_groups",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    _when("created_at"),
)

group_members = Table(
    "group_members",
    metadata,
    # A lane is in one group at most.
    _ref("lane_id", "lanes.id", primary_key=True),
    _ref("group_id", "lane_groups.id", index=True),
    Column("place", Integer, nullable=False),
)

group_versions = Table(
    "group_versions",
    metadata,
    _ref("group_id", "lane_groups.id", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("lanes", JSON, nullable=False),
    Column("changed_by", Text, nullable=False),
    _when("changed_at"),
)

joints = Table(
    "joints",
    metadata,
    _id(),
    _ref("group_id", "lane_groups.id"),
    Column("number", Integer, nullable=False),
    Column("kind", State(RolloutKind), nullable=False),
    Column("search_id", BigInteger().with_variant(Integer, "sqlite")),
    Column("upto", Integer),
    _when("created_at"),
    UniqueConstraint("group_id", "number"),
)

joint_rollouts = Table(
    "joint_rollouts",
    metadata,
    _ref("rollout_id", "rollouts.id", primary_key=True),
    _ref("joint_id", "joints.id", index=True),
    Column("place", Integer, nullable=False),
)

_OPEN_SEARCH = text("state = 'open'")

joint_searches = Table(
    "joint_searches",
    metadata,
    _id(),
    _ref("group_id", "lane_groups.id"),
    _ref("joint_id", "joints.id"),
    Column("points", JSON, nullable=False),
    Column("good", Integer, nullable=False),
    Column("sick", Integer, nullable=False),
    Column("state", State(states.Search), nullable=False),
    Column("rollouts", Integer, nullable=False),
    Column("culprit", SHA),
    _when("opened_at"),
    _when("closed_at", nullable=True),
    _when("deadline"),
    Index(
        "ux_joint_searches_one_open",
        "group_id",
        unique=True,
        sqlite_where=_OPEN_SEARCH,
        postgresql_where=_OPEN_SEARCH,
    ),
)
