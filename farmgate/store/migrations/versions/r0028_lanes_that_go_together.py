"""Lanes that go together"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from farmgate.store.migrations import before

revision = "0028"
down_revision = before(__file__)
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN = sa.text("state = 'open'")


def upgrade() -> None:
    op.create_table(
        "lane_groups",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "group_members",
        sa.Column("lane_id", _ID, sa.ForeignKey("lanes.id"), primary_key=True),
        sa.Column("group_id", _ID, sa.ForeignKey("lane_groups.id"), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
    )
    op.create_index("ix_group_members_group_id", "group_members", ["group_id"])
    op.create_table(
        "group_versions",
        sa.Column("group_id", _ID, sa.ForeignKey("lane_groups.id"), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("lanes", sa.JSON(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "joints",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("group_id", _ID, sa.ForeignKey("lane_groups.id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("search_id", _ID),
        sa.Column("upto", sa.Integer()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("group_id", "number"),
    )
    op.create_table(
        "joint_rollouts",
        sa.Column("rollout_id", _ID, sa.ForeignKey("rollouts.id"), primary_key=True),
        sa.Column("joint_id", _ID, sa.ForeignKey("joints.id"), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
    )
    op.create_index("ix_joint_rollouts_joint_id", "joint_rollouts", ["joint_id"])
    op.create_table(
        "joint_searches",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("group_id", _ID, sa.ForeignKey("lane_groups.id"), nullable=False),
        sa.Column("joint_id", _ID, sa.ForeignKey("joints.id"), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("good", sa.Integer(), nullable=False),
        sa.Column("sick", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rollouts", sa.Integer(), nullable=False),
        sa.Column("culprit", sa.String(64)),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(
        "ux_joint_searches_one_open",
        "joint_searches",
        ["group_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
