"""Rows for tests that need some to be there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, insert

from farmgate import states
from farmgate.models import ForkPolicy, JobKind, RolloutKind, Trigger, Trust
from farmgate.store import schema

HOUR = timedelta(hours=1)


def add(connection: Connection, table: Table, **values: Any) -> int:
    """Insert a row; returns its id."""
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def a_repository(connection: Connection, now: datetime, name: str = "shop") -> int:
    values = {"url": "file:///shop", "forge": "git", "secret": "", "default_branch": "main", "created_at": now}
    return add(connection, schema.repositories, name=name, weight=1, fork_policy=ForkPolicy.RUN, **values)


def a_run(
    connection: Connection,
    repository: int,
    sha: str,
    now: datetime,
    state: states.Run = states.Run.PENDING,
    **more: Any,
) -> int:
    values: dict[str, Any] = {
        "repository_id": repository,
        "sha": sha,
        "ref": "refs/heads/main",
        "trigger": Trigger.PUSH,
        "trust": Trust.TRUSTED,
        "ordinal": 1,
        "state": state,
        "asked_by": "push",
        "created_at": now,
        "finished_at": now if states.is_final(state) else None,
        "deadline": now + HOUR,
        "reuse": True,
        "origin": {},
    }
    return add(connection, schema.runs, **{**values, **more})


def a_job(
    connection: Connection,
    run: int,
    now: datetime,
    state: states.Job = states.Job.READY,
    name: str = "test",
    **more: Any,
) -> int:
    values: dict[str, Any] = {
        "run_id": run,
        "name": name,
        "needs": [],
        "spec": {},
        "pool": "default",
        "state": state,
        "attempt": 1,
        "losses": 0,
        "rings": 0,
        "finished_at": now if states.is_final(state) else None,
        "deadline": now + HOUR,
        "kind": JobKind.WORK,
        "family": name,
        "priority": 0,
        "labels": {},
        "runs_when": "passed",
        "forgiven": False,
        "failures": 0,
        "exclusion_limit": 1,
        "exclusion_cancels": False,
    }
    return add(connection, schema.jobs, **{**values, **more})


def a_node(connection: Connection, now: datetime, name: str = "node-1", **more: Any) -> int:
    values: dict[str, Any] = {
        "pool": "default",
        "labels": {},
        "engine": "docker",
        "slots": 2,
        "state": states.Node.READY,
        "version": "0",
        "joined_at": now,
        "seen_at": now,
        "holding": [],
    }
    return add(connection, schema.nodes, name=name, **{**values, **more})


def an_attempt(
    connection: Connection,
    job: int,
    node: int,
    now: datetime,
    number: int = 1,
    state: states.Attempt = states.Attempt.RUNNING,
    **more: Any,
) -> int:
    values: dict[str, Any] = {
        "job_id": job,
        "number": number,
        "node_id": node,
        "state": state,
        "token_hash": f"{job}/{number}",
        "claimed_at": now,
        "lease_until": now + timedelta(seconds=30),
        "finished_at": now if states.is_final(state) else None,
        "timings": {},
        "log_bytes": 0,
        "log_cut": False,
        "log_lines": 0,
    }
    return add(connection, schema.attempts, **{**values, **more})


def a_commit(connection: Connection, repository: int, sha: str, position: int, now: datetime) -> None:
    values = {"parents": [], "tree": sha, "author_name": "a", "author_email": "a@example.org", "title": sha[:7]}
    times = {"committed_at": now, "seen_at": now}
    add(connection, schema.commits, repository_id=repository, sha=sha, message=sha, **values, **times)
    place = {"branch": "main", "position": position, "sha": sha}
    connection.execute(insert(schema.branch_commits).values(repository_id=repository, **place))


def a_candidate(connection: Connection, repository: int, sha: str, now: datetime) -> int:
    values: dict[str, Any] = {"source": "farmgate", "artifacts": {}, "created_at": now}
    return add(connection, schema.candidates, repository_id=repository, sha=sha, **values)


def a_lane(connection: Connection, repository: int, now: datetime, environment: str = "production") -> int:
    values: dict[str, Any] = {"policy": {"branch": "main"}, "policy_version": 1, "epoch": 0, "created_at": now}
    return add(
        connection, schema.lanes, application="shop", environment=environment, repository_id=repository, **values
    )


def a_rollout(
    connection: Connection,
    lane: int,
    candidate: int,
    number: int,
    state: states.Rollout,
    now: datetime,
    since: int = 0,
    until: int = 1,
    **more: Any,
) -> int:
    values: dict[str, Any] = {
        "lane_id": lane,
        "number": number,
        "kind": RolloutKind.FORWARD,
        "candidate_id": candidate,
        "since_position": since,
        "until_position": until,
        "until_sha": f"{until:040x}",
        "policy": {},
        "policy_version": 1,
        "state": state,
        "wave": 0,
        "epoch": 0,
        "asked_by": "farmgate",
        "created_at": now,
        "finished_at": now if states.is_final(state) else None,
        "deadline": now + HOUR,
    }
    return add(connection, schema.rollouts, **{**values, **more})
