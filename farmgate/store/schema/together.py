"""Tables: lanes that go together."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from farmgate import states
from farmgate.models import RolloutKind
from farmgate.store.schema.columns import SHA, State, metadata, ref, row_id, when

lane_groups = Table(
    "lane_groups",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    when("created_at"),
)

group_members = Table(
    "group_members",
    metadata,
    # A lane is in one group at most.
    ref("lane_id", "lanes.id", primary_key=True),
    ref("group_id", "lane_groups.id", index=True),
    Column("place", Integer, nullable=False),
)

group_versions = Table(
    "group_versions",
    metadata,
    ref("group_id", "lane_groups.id", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("lanes", JSON, nullable=False),
    Column("changed_by", Text, nullable=False),
    when("changed_at"),
)

joints = Table(
    "joints",
    metadata,
    row_id(),
    ref("group_id", "lane_groups.id"),
    Column("number", Integer, nullable=False),
    Column("kind", State(RolloutKind), nullable=False),
    Column("search_id", BigInteger().with_variant(Integer, "sqlite")),
    Column("upto", Integer),
    when("created_at"),
    UniqueConstraint("group_id", "number"),
)

joint_rollouts = Table(
    "joint_rollouts",
    metadata,
    ref("rollout_id", "rollouts.id", primary_key=True),
    ref("joint_id", "joints.id", index=True),
    Column("place", Integer, nullable=False),
)

_OPEN_SEARCH = text("state = 'open'")

joint_searches = Table(
    "joint_searches",
    metadata,
    row_id(),
    ref("group_id", "lane_groups.id"),
    ref("joint_id", "joints.id"),
    Column("points", JSON, nullable=False),
    Column("good", Integer, nullable=False),
    Column("sick", Integer, nullable=False),
    Column("state", State(states.Search), nullable=False),
    Column("rollouts", Integer, nullable=False),
    Column("culprit", SHA),
    when("opened_at"),
    when("closed_at", nullable=True),
    when("deadline"),
    Index(
        "ux_joint_searches_one_open",
        "group_id",
        unique=True,
        sqlite_where=_OPEN_SEARCH,
        postgresql_where=_OPEN_SEARCH,
    ),
)
