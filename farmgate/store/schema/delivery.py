"""Tables: lanes, rollouts, what is live, what is held, banned and searched, and the commits that Farmgate makes."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from farmgate import states
from farmgate.models import HoldKind, MadeKind, RolloutKind
from farmgate.store.schema.columns import SHA, State, metadata, ref, row_id, when

lanes = Table(
    "lanes",
    metadata,
    row_id(),
    Column("application", String(100), nullable=False),
    Column("environment", String(100), nullable=False),
    ref("repository_id", "repositories.id"),
    Column("policy", JSON, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("rollback", JSON(none_as_null=True)),
    when("created_at"),
    UniqueConstraint("application", "environment"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    ref("lane_id", "lanes.id", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("policy", JSON, nullable=False),
    Column("changed_by", Text, nullable=False),
    when("changed_at"),
)

_ACTIVE_ROLLOUT = text("state IN ({})".format(", ".join(f"'{state}'" for state in states.open_states(states.Rollout))))

rollouts = Table(
    "rollouts",
    metadata,
    row_id(),
    ref("lane_id", "lanes.id"),
    Column("number", Integer, nullable=False),
    Column("kind", State(RolloutKind), nullable=False),
    ref("candidate_id", "candidates.id"),
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
    when("created_at"),
    when("started_at", nullable=True),
    when("finished_at", nullable=True),
    when("deadline"),
    UniqueConstraint("lane_id", "number"),
    # I5: at most one active rollout per lane, whatever the loops believe.
    Index(
        "ux_rollouts_one_active", "lane_id", unique=True, sqlite_where=_ACTIVE_ROLLOUT, postgresql_where=_ACTIVE_ROLLOUT
    ),
)

rollout_commits = Table(
    "rollout_commits",
    metadata,
    ref("rollout_id", "rollouts.id", primary_key=True),
    Column("sha", SHA, primary_key=True),
    ref("lane_id", "lanes.id", index=True),
    Column("position", Integer, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    ref("rollout_id", "rollouts.id", primary_key=True),
    Column("key", String(100), primary_key=True),
    Column("epoch", Integer, nullable=False),
    when("started_at"),
    when("finished_at", nullable=True),
    Column("outcome", String(20)),
    Column("detail", JSON, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    row_id(),
    ref("lane_id", "lanes.id", index=True),
    ref("rollout_id", "rollouts.id", unique=True),
    ref("candidate_id", "candidates.id"),
    Column("sha", SHA, nullable=False),
    Column("position", Integer, nullable=False),
    Column("artifacts", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    when("live_from"),
    when("live_until", nullable=True),
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
    row_id(),
    ref("lane_id", "lanes.id", index=True),
    ref("rollout_id", "rollouts.id"),
    Column("since_position", Integer, nullable=False),
    Column("until_position", Integer, nullable=False),
    Column("points", JSON, nullable=False),
    Column("state", State(states.Search), nullable=False),
    Column("rollouts", Integer, nullable=False),
    Column("culprit", SHA),
    when("opened_at"),
    when("closed_at", nullable=True),
    when("deadline"),
)

bans = Table(
    "bans",
    metadata,
    row_id(),
    ref("lane_id", "lanes.id", index=True),
    Column("sha", SHA, nullable=False),
    Column("position", Integer, nullable=False),
    Column("covers", JSON, nullable=False),
    ref("rollout_id", "rollouts.id", nullable=True),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    when("created_at"),
    when("lifted_at", nullable=True),
    Column("lifted_by", Text),
)

approvals = Table(
    "approvals",
    metadata,
    row_id(),
    ref("lane_id", "lanes.id", index=True),
    Column("since_position", Integer, nullable=False),
    Column("since_sha", SHA),
    Column("until_position", Integer, nullable=False),
    Column("until_sha", SHA, nullable=False),
    ref("candidate_id", "candidates.id"),
    Column("reason", Text, nullable=False),
    Column("approved_by", Text, nullable=False),
    when("created_at"),
    when("withdrawn_at", nullable=True),
    Column("withdrawn_by", Text),
)

holds = Table(
    "holds",
    metadata,
    row_id(),
    ref("lane_id", "lanes.id", index=True, nullable=True),
    Column("kind", State(HoldKind), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    when("created_at"),
    when("begins"),
    when("until"),
    when("lifted_at", nullable=True),
    Column("lifted_by", Text),
    when("told_at", nullable=True),
)

handovers = Table(
    "handovers",
    metadata,
    row_id(),
    ref("rollout_id", "rollouts.id"),
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
    when("created_at"),
    when("told_at", nullable=True),
    when("deadline", index=True),
    UniqueConstraint("rollout_id", "step"),
)

made = Table(
    "made",
    metadata,
    row_id(),
    Column("kind", State(MadeKind), nullable=False),
    ref("lane_id", "lanes.id", index=True),
    ref("repository_id", "repositories.id"),
    Column("branch", String(500), nullable=False),
    Column("ref", String(600), nullable=False),
    Column("picks", JSON, nullable=False),
    Column("onto", SHA, nullable=False),
    Column("onto_position", Integer, nullable=False),
    Column("shas", JSON, nullable=False),
    Column("sha", SHA),
    ref("run_id", "runs.id", nullable=True),
    ref("rollout_id", "rollouts.id", nullable=True),
    Column("state", State(states.Made), nullable=False, index=True),
    Column("problem", Text),
    Column("reason", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    when("created_at"),
    when("finished_at", nullable=True),
    when("deadline"),
    Index("ix_made_sha", "repository_id", "sha"),
)

carriers = Table(
    "carriers",
    metadata,
    ref("made_id", "made.id", primary_key=True),
    Column("pick", SHA, primary_key=True),
    Column("sha", SHA, primary_key=True),
    Column("said_by", Text),
    Column("reason", Text, nullable=False),
    when("said_at"),
)

batch_looks = Table(
    "batch_looks",
    metadata,
    ref("rollout_id", "rollouts.id", primary_key=True),
    ref("repository_id", "repositories.id"),
    Column("since_sha", SHA, nullable=False),
    Column("until_sha", SHA, nullable=False),
    Column("patterns", JSON, nullable=False),
    when("asked_at"),
    when("answered_at", nullable=True, index=True),
    Column("found", JSON, nullable=False),
)

late_reds = Table(
    "late_reds",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False),
    Column("source", String(100), nullable=False),
    Column("check", String(200), nullable=False),
    Column("run_id", BigInteger().with_variant(Integer, "sqlite")),
    Column("reason", Text, nullable=False),
    Column("told_by", Text, nullable=False),
    when("since"),
    when("over_at", nullable=True),
    Column("over_by", Text),
    Column("over_reason", Text),
    Index("ix_late_reds_of_commit", "repository_id", "sha"),
)
