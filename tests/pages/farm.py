"""A farm with something to look at: the real application over a real database, and verbs that change it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from sqlalchemy import Connection, insert, select, update

from farmgate import states
from farmgate.blobs import MemoryBlobs
from farmgate.broker import LocalSignals
from farmgate.clock import SystemClock
from farmgate.git.fake import FakeHistory
from farmgate.models import Repository, Rollout, TokenKind
from farmgate.policy import HttpCheck, LanePolicy, ProcessTarget, Wave
from farmgate.settings import SchedulerSettings
from farmgate.store import bans, holds, lanes, logs, releases, rollouts, schema, searches, tokens
from farmgate.store.database import Store
from farmgate.vault import Vault
from scheduler.context import Context
from tests.applications import application
from tests.store import rows

with warnings.catch_warnings():
    # It would rather have httpx2, which is another distribution of what we have.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

__all__ = ["Farm", "TestClient", "sha"]

LONG = timedelta(days=400)


class NoBell:
    def ring(self, pool: str, job: int, attempt: int, node: int | None = None) -> None:
        return


class OneHistory:
    """Every repository has the same history."""

    def __init__(self) -> None:
        self.history = FakeHistory()

    def of(self, repository: Repository) -> FakeHistory:
        return self.history

    def fetch(self, repository: Repository, refspecs: Sequence[str] | None = None, *, url: str | None = None) -> None:
        return

    def default_branch(self, repository: Repository) -> str | None:
        return "refs/heads/main"

    def path(self, repository: Repository) -> Path:
        raise NotImplementedError


def sha(number: int) -> str:
    return f"{number:08x}" + "5eed" * 8


@dataclass
class Farm:
    """`shop` with its repository, a node, and what a test adds."""

    context: Context
    app: FastAPI
    clock: SystemClock = field(default_factory=SystemClock)
    repository: int = 0
    node: int = 0
    heights: dict[int, int] = field(default_factory=dict)

    @classmethod
    def on(cls, store: Store, folder: Path) -> Farm:
        clock = SystemClock()
        signals = LocalSignals(clock)
        context = Context(
            settings=SchedulerSettings(data=folder),
            store=store,
            blobs=MemoryBlobs(),
            vault=Vault(b"k" * 32),
            clock=clock,
            bell=NoBell(),
            signals=signals,
            deploy_signals=signals,
            mirrors=OneHistory(),
        )
        app = application(context)
        farm = cls(app.state.context, app, clock)
        with store.writing() as connection:
            farm.repository = rows.a_repository(connection, farm.now)
            farm.node = rows.a_node(connection, farm.now, name="build-1", seen_at=farm.now + LONG)
        return farm

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def token(self, *rights: str, kind: TokenKind = TokenKind.API, name: str = "ada") -> str:
        with self.context.store.writing() as connection:
            return tokens.create(connection, self.context.vault, kind, name, self.now, rights or ("admin",))

    # --- integration ---

    def commit(self, position: int, title: str = "A change", author: str = "Ada Berg", seconds_ago: float = 60) -> str:
        with self.context.store.writing() as connection:
            self._commit(connection, position, title, author, seconds_ago)
        return sha(position)

    def _commit(self, connection: Connection, position: int, title: str, author: str, seconds_ago: float) -> None:
        rows.a_commit(connection, self.repository, sha(position), position, self.ago(seconds_ago))
        commits = schema.commits
        connection.execute(
            update(commits).where(commits.c.sha == sha(position)).values(title=title, author_name=author, message=title)
        )

    def run(self, position: int, state: states.Run = states.Run.RUNNING, **more: Any) -> int:
        begun = {} if state is states.Run.PENDING else {"started_at": self.ago(29)}
        with self.context.store.writing() as connection:
            values = {"created_at": self.ago(30), **begun, **more}
            at = values.pop("created_at")
            return rows.a_run(connection, self.repository, sha(position), at, state, **values)

    def job(self, run: int, name: str, state: states.Job, needs: Sequence[str] = (), **more: Any) -> int:
        begun = {} if state in (states.Job.WAITING, states.Job.READY) else {"started_at": self.ago(28)}
        ended = {"finished_at": self.ago(3)} if states.is_final(state) else {}
        with self.context.store.writing() as connection:
            values = {"needs": list(needs), "spec": {"image": "python:3.12-slim"}, **begun, **ended, **more}
            return rows.a_job(connection, run, self.now, state, name, **values)

    def attempt(self, job: int, state: states.Attempt = states.Attempt.RUNNING, number: int = 1, **more: Any) -> int:
        with self.context.store.writing() as connection:
            return rows.an_attempt(connection, job, self.node, self.now, number, state, **more)

    def step(self, attempt: int, number: int, name: str, state: states.Step, log_offset: int, **more: Any) -> None:
        values = {"started_at": self.ago(20), "log_offset": log_offset, **more}
        with self.context.store.writing() as connection:
            row = {"attempt_id": attempt, "number": number, "name": name, "state": state, **values}
            connection.execute(insert(schema.steps).values(**row))

    def log(self, job: int, attempt: int, data: bytes) -> None:
        """What `claims` does with a piece of a log."""
        with self.context.store.writing() as connection:
            length = int(
                connection.execute(
                    select(schema.attempts.c.log_bytes).where(schema.attempts.c.id == attempt)
                ).scalar_one()
            )
            logs.append(connection, attempt, length, data, self.now, 2**30)
        self.context.changes.touch(job)

    def ended(self, attempt: int, state: states.Attempt) -> None:
        with self.context.store.writing() as connection:
            table = schema.attempts
            connection.execute(update(table).where(table.c.id == attempt).values(state=state, finished_at=self.now))

    # --- delivery ---

    def lane(self, environment: str = "production", application: str = "shop", **more: Any) -> int:
        policy = LanePolicy(
            application=application,
            environment=environment,
            repository="shop",
            branch="main",
            waves=(Wave(share=20, soak=timedelta(seconds=30)), Wave(share=100, soak=timedelta(seconds=30))),
            checks=(HttpCheck(http="/healthz"),),
            target=ProcessTarget(command=("python3", "app.py"), instances=2),
            **more,
        )
        with self.context.store.writing() as connection:
            lanes.apply_policy(connection, [policy], "ada", self.now)
            return lanes.by_name(connection, application, environment).id

    def candidate(self, position: int) -> int:
        with self.context.store.writing() as connection:
            return rows.a_candidate(connection, self.repository, sha(position), self.ago(50))

    def rollout(
        self, lane: int, candidate: int, number: int, state: states.Rollout, since: int, until: int, **more: Any
    ) -> int:
        """With its commits; a good one is live."""
        with self.context.store.writing() as connection:
            policy = lanes.by_id(connection, lane).policy
            begun = {"started_at": self.ago(40), "until_sha": sha(until), "policy": policy, **more}
            made = rows.a_rollout(connection, lane, candidate, number, state, self.now, since, until, **begun)
            for position in range(since + 1, until + 1):
                connection.execute(
                    insert(schema.rollout_commits).values(
                        rollout_id=made, lane_id=lane, sha=sha(position), position=position
                    )
                )
            if state is states.Rollout.GOOD:
                releases.publish(connection, rollouts.by_id(connection, made), {}, {"type": "process"}, self.ago(35))
        self.context.changes.touch()
        return made

    def journal(self, rollout: int, key: str, outcome: str | None, seconds_ago: float, **detail: Any) -> None:
        ended = self.ago(seconds_ago - 1) if outcome else None
        with self.context.store.writing() as connection:
            row = {"rollout_id": rollout, "key": key, "epoch": 0, "started_at": self.ago(seconds_ago)}
            connection.execute(insert(schema.journal).values(**row, finished_at=ended, outcome=outcome, detail=detail))

    def hold(self, lane: int, reason: str) -> None:
        with self.context.store.writing() as connection:
            holds.place(connection, lane, reason, "mina", self.now, self.now + timedelta(hours=3))
        self.context.changes.touch()

    def ban(self, lane: int, position: int, reason: str, rollout: int) -> None:
        with self.context.store.writing() as connection:
            bans.put(
                connection,
                lane,
                sha(position),
                position,
                [sha(position)],
                reason,
                "farmgate",
                self.now,
                rollout_id=rollout,
            )

    def search(self, lane: int, rollout: int, since: int, until: int) -> int:
        points = [sha(position) for position in range(since + 1, until + 1)]
        with self.context.store.writing() as connection:
            return searches.open_up(connection, lane, rollout, since, until, points, self.now)

    def lane_row(self, environment: str = "production") -> Any:
        with self.context.store.reading() as connection:
            return lanes.by_name(connection, "shop", environment)

    def rollout_row(self, rollout: int) -> Rollout:
        with self.context.store.reading() as connection:
            return rollouts.by_id(connection, rollout)

    def file(self, position: int, text: str) -> str:
        """A commit whose pipeline file is this; its hash in the mirror."""
        history = cast("OneHistory", self.context.mirrors).history
        return history.add("c", files={".farmgate.yml": text.encode()})
