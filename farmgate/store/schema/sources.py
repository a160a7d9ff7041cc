"""Tables: repositories, what they report, their secrets and templates, and what fixes what."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, Text, UniqueConstraint

from farmgate import states
from farmgate.models import ForkPolicy
from farmgate.store.schema.columns import SHA, State, metadata, ref, row_id, when

repositories = Table(
    "repositories",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("forge", String(20), nullable=False),
    Column("secret", Text, nullable=False),
    Column("default_branch", String(255), nullable=False),
    when("created_at"),
    when("polled_at", nullable=True),
    Column("poll_error", Text),
    when("removed_at", nullable=True),
    Column("weight", Integer, nullable=False),
    Column("fork_policy", State(ForkPolicy), nullable=False),
    Column("login", Text),
    Column("login_key", String(100)),
)

refs = Table(
    "refs",
    metadata,
    ref("repository_id", "repositories.id", primary_key=True),
    Column("name", String(500), primary_key=True),
    Column("sha", SHA),
    when("updated_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("delivery_id", String(200), nullable=False),
    Column("event", String(100), nullable=False),
    when("received_at"),
    Column("outcome", Text, nullable=False),
    UniqueConstraint("repository_id", "delivery_id"),
)

intakes = Table(
    "intakes",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    ref("delivery_id", "deliveries.id", nullable=True, index=True),
    Column("kind", String(20), nullable=False),
    Column("ref", String(500), nullable=False),
    Column("before", SHA),
    Column("after", SHA),
    Column("details", JSON, nullable=False),
    Column("state", State(states.Intake), nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    when("not_before"),
    when("deadline"),
    when("created_at"),
    Column("reason", Text),
)

commits = Table(
    "commits",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("sha", SHA, nullable=False, index=True),
    Column("parents", JSON, nullable=False),
    Column("tree", SHA, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("author_email", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("message", Text, nullable=False),
    when("committed_at"),
    when("seen_at"),
    UniqueConstraint("repository_id", "sha"),
)

branch_commits = Table(
    "branch_commits",
    metadata,
    ref("repository_id", "repositories.id", primary_key=True),
    Column("branch", String(255), primary_key=True),
    Column("sha", SHA, primary_key=True),
    Column("position", Integer, nullable=False),
    when("gone_at", nullable=True),
    Index("ix_branch_commits_place", "repository_id", "branch", "position"),
)

templates = Table(
    "templates",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=True),
    Column("changed_by", Text, nullable=False),
    when("changed_at"),
)

secrets = Table(
    "secrets",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id"),
    Column("name", String(100), nullable=False),
    Column("environment", String(100), nullable=False),
    Column("branch", String(255), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("key_id", String(100), nullable=False, index=True),
    Column("changed_by", Text, nullable=False),
    when("changed_at"),
    UniqueConstraint("repository_id", "name", "environment", "branch"),
)

patches = Table(
    "patches",
    metadata,
    ref("repository_id", "repositories.id", primary_key=True),
    Column("sha", SHA, primary_key=True),
    Column("patch_id", String(64), nullable=False, index=True),
    Column("inverse_id", String(64), nullable=False),
)

said_fixes = Table(
    "said_fixes",
    metadata,
    row_id(),
    ref("repository_id", "repositories.id", index=True),
    Column("fix", SHA, nullable=False),
    Column("fixes", SHA, nullable=False),
    Column("said_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    when("said_at"),
)
