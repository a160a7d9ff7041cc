"""The dataclasses and the tables say the same."""

from __future__ import annotations

import dataclasses
import typing
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from sqlalchemy import JSON, Table, insert, select
from sqlalchemy.exc import IntegrityError, StatementError

from farmgate import models, states
from farmgate.models import Event
from farmgate.store.database import Store, many
from farmgate.store.schema import State, Utc, events, metadata
from tests.store.rows import a_candidate, a_lane, a_repository, a_rollout

KINDS = {
    "approvals": models.ApprovalRow,
    "repositories": models.Repository,
    "refs": models.Ref,
    "deliveries": models.Delivery,
    "intakes": models.IntakeRow,
    "commits": models.Commit,
    "branch_commits": models.BranchCommit,
    "runs": models.Run,
    "jobs": models.Job,
    "attempts": models.Attempt,
    "steps": models.Step,
    "log_chunks": models.LogChunk,
    "artifacts": models.Artifact,
    "candidates": models.Candidate,
    "lanes": models.Lane,
    "policy_versions": models.PolicyVersion,
    "rollouts": models.Rollout,
    "rollout_commits": models.RolloutCommit,
    "journal": models.JournalEntry,
    "releases": models.Release,
    "searches": models.SearchRow,
    "bans": models.Ban,
    "holds": models.Hold,
    "nodes": models.Node,
    "tokens": models.Token,
    "leaders": models.Leader,
    "events": models.Event,
    "caches": models.Cache,
    "images": models.Image,
    "doomed_blobs": models.DoomedBlob,
    "reports": models.Report,
    "report_files": models.ReportFile,
    "report_pages": models.ReportPage,
    "tests": models.KnownTest,
    "test_results": models.NotedResult,
    "test_flakes": models.Flake,
    "quarantines": models.Quarantine,
    "templates": models.TemplateVersion,
    "answers": models.Answer,
    "secrets": models.Secret,
    "audit": models.AuditEntry,
    "submissions": models.Submission,
    "audit_head": models.AuditHead,
    "signing_keys": models.SigningKey,
    "identity_tokens": models.IdentityToken,
    "patches": models.PatchRow,
    "said_fixes": models.SaidFix,
    "packages": models.PackageRow,
    "package_sets": models.PackageSet,
    "package_set_members": models.PackageSetMember,
    "boms": models.Bom,
    "candidate_boms": models.CandidateBom,
    "candidate_lists": models.CandidateList,
    "osv_dumps": models.OsvDump,
    "osv_records": models.OsvRecord,
    "osv_affected": models.OsvAffected,
    "package_checks": models.PackageCheck,
    "package_matches": models.PackageMatch,
    "vulnerability_decisions": models.VulnerabilityDecision,
    "attestation_keys": models.AttestationKey,
    "attestations": models.Attestation,
    "handovers": models.HandoverRow,
    "made": models.Made,
    "carriers": models.Carrier,
    "batch_looks": models.BatchLook,
    "late_reds": models.LateRed,
    "lane_groups": models.LaneGroup,
    "group_members": models.GroupMember,
    "group_versions": models.GroupVersion,
    "joints": models.Joint,
    "joint_rollouts": models.JointRollout,
    "joint_searches": models.JointSearchRow,
}
TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)


def test_every_table_has_its_dataclass_and_every_dataclass_its_table() -> None:
    assert set(KINDS) == set(metadata.tables)
    rows = {kind for kind in vars(models).values() if dataclasses.is_dataclass(kind)}
    assert set(KINDS.values()) == rows


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_fields_are_columns(table: Table) -> None:
    fields = [field.name for field in dataclasses.fields(KINDS[table.name])]
    assert sorted(fields) == sorted(column.name for column in table.columns)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_fields_and_columns_agree_on_type_and_on_what_may_be_missing(table: Table) -> None:
    hints = typing.get_type_hints(KINDS[table.name])
    for column in table.columns:
        wanted = set(typing.get_args(hints[column.name])) or {hints[column.name]}
        if typing.get_origin(hints[column.name]) in (list, dict):
            wanted = {hints[column.name]}
        assert column.nullable == (type(None) in wanted), f"{table.name}.{column.name}"
        (kind,) = wanted - {type(None)}
        if isinstance(column.type, Utc):
            assert kind is datetime
        elif isinstance(column.type, State):
            assert kind is column.type.kind
        elif isinstance(kind, type) and issubclass(kind, StrEnum):
            pytest.fail(f"{table.name}.{column.name} holds a {kind.__name__} as bare text")
        elif isinstance(column.type, JSON):
            assert typing.get_origin(kind) in (list, dict)
        else:
            assert kind is column.type.python_type


def test_every_state_fits_its_column() -> None:
    for table in TABLES:
        for column in table.columns:
            if isinstance(column.type, State):
                length = typing.cast(int, column.type.impl_instance.length)  # type: ignore[attr-defined]
                assert max(len(state) for state in column.type.kind) <= length


def test_every_row_with_open_states_has_a_deadline_or_a_lease() -> None:
    """I10, as far as columns can say it. Steps live within their attempt, nodes go silent by `seen_at`."""
    for table in TABLES:
        state = table.columns.get("state")
        if state is not None and isinstance(state.type, State) and states.open_states(state.type.kind):
            assert {"deadline", "lease_until", "seen_at"} & set(table.columns.keys()) or table.name == "steps"


def test_times_come_back_aware_and_equal(store: Store) -> None:
    at = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=timezone(timedelta(hours=2)))
    with store.writing() as connection:
        connection.execute(insert(events).values(at=at, kind="k", subject="s", actor="a", text="t"))
    with store.reading() as connection:
        (event,) = many(connection, Event, select(events).where(events.c.at == at))
    assert event.at == at
    assert event.at.tzinfo is UTC


def test_times_are_ordered_in_the_database(store: Store) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(microseconds=n) for n in (0, 1, 10, 999_999, 1_000_000)]
    with store.writing() as connection:
        for at in reversed(moments):
            connection.execute(insert(events).values(at=at, kind="k", subject="s", actor="a", text="t"))
    with store.reading() as connection:
        assert [row.at for row in many(connection, Event, select(events).order_by(events.c.at))] == moments
        assert len(many(connection, Event, select(events).where(events.c.at > moments[1]))) == 3


def test_a_naive_time_is_refused(store: Store) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(StatementError, match="naive"), store.writing() as connection:
        connection.execute(insert(events).values(at=naive, kind="k", subject="s", actor="a", text="t"))


def test_a_second_active_rollout_of_a_lane_is_refused_by_the_database(store: Store, now: datetime) -> None:
    with store.writing() as connection:
        repository = a_repository(connection, now)
        lane = a_lane(connection, repository, now)
        candidate = a_candidate(connection, repository, "a" * 40, now)
        a_rollout(connection, lane, candidate, 1, states.Rollout.GOOD, now)
        a_rollout(connection, lane, candidate, 2, states.Rollout.ASKING, now)
    with pytest.raises(IntegrityError), store.writing() as connection:
        a_rollout(connection, lane, candidate, 3, states.Rollout.PENDING, now)
    with store.writing() as connection:
        a_rollout(connection, lane, candidate, 3, states.Rollout.STUCK, now)


def test_a_row_that_refers_to_nothing_is_refused(store: Store, now: datetime) -> None:
    with pytest.raises(IntegrityError), store.writing() as connection:
        a_lane(connection, 99, now)
