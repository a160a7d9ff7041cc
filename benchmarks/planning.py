"""`./farm bench planning`: one lane with 10,000 waiting commits, read, planned and explained.

The floor is the same rows read by one SQL statement without any rule, in the same run on the same database: a ratio to
it does not depend on the machine. What the deploy loop does at every look is 'read' and 'plan'; a page also explains.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, insert, text

from deploy import snapshot
from deploy.plan_lanes import plan_lane
from farmgate import lanes as rules
from farmgate import policy
from farmgate.clock import stopwatch
from farmgate.store import lane_views, lanes
from farmgate.store import schema as t
from farmgate.store.database import Store
from farmgate.store.migrate import migrate
from tests.store import rows

COMMITS = 10_000
_NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
_FLOOR = """
    SELECT b.position, b.sha, c.id, c.created_at FROM branch_commits b
    JOIN candidates c ON c.repository_id = b.repository_id AND c.sha = b.sha
    WHERE b.repository_id = 1 AND b.branch = 'main' AND b.gone_at IS NULL ORDER BY b.position
"""
_POLICY = """
application: shop
target: {type: command, shift: [shift], restore: [restore]}
lanes:
  staging: {settle: 1h}
  production: {follows: [staging], settle: 1h}
"""


def main(times: int = 15) -> int:
    """Print the figures: the best of several, as other work only slows one down."""
    with tempfile.TemporaryDirectory(prefix="farmgate-bench-planning-") as name:
        store = Store.at(f"sqlite:///{Path(name) / 'farm.sqlite'}")
        migrate(store)
        with store.writing() as connection:
            fill(connection, COMMITS)
        table = Table(title=f"one lane, {COMMITS} waiting commits, all green; the best of {times}")
        for column in ("what", "ms", "of the floor"):
            table.add_column(column, justify="left" if column == "what" else "right")
        figures = measure(store, times)
        for what, taken in figures.items():
            table.add_row(what, f"{taken * 1000:.1f}", f"{taken / figures['floor: the rows by one SELECT']:.2f}")
        store.close()
    Console().print(table)
    return 0


def measure(store: Store, times: int) -> dict[str, float]:
    """Seconds, by what was done."""
    with store.reading() as connection:
        lane = lanes.by_name(connection, "shop", "staging")
        view = lane_views.view(connection, lane, _NOW)
        full = lane_views.view(connection, lane, _NOW, full=True)
        assert len(view.commits) == len(full.commits) == COMMITS
        done: dict[str, Callable[[], object]] = {
            "floor: the rows by one SELECT": lambda: connection.execute(text(_FLOOR)).all(),
            "read, as the loop does": lambda: snapshot.read(connection, lane, _NOW),
            "plan": lambda: plan_lane(view, None, "", _NOW),
            "read and plan": lambda: plan_lane(snapshot.read(connection, lane, _NOW).view, None, "", _NOW),
            "read, as a page does": lambda: lane_views.view(connection, lane, _NOW, full=True),
            "explain every commit": lambda: rules.explain(full, _NOW),
        }
        taken: dict[str, list[float]] = {what: [] for what in done}
        for _ in range(times):
            for what, do in done.items():
                began = stopwatch()
                do()
                taken[what].append(stopwatch() - began)
    return {what: min(each) for what, each in taken.items()}


def fill(connection: Connection, many: int) -> None:
    """A repository whose commits are all green and wait in two lanes."""
    repository = rows.a_repository(connection, _NOW)
    lanes.apply_policy(connection, policy.parse(_POLICY), "bench", _NOW)
    shas = [f"{position:040x}" for position in range(1, many + 1)]
    told = {"parents": [], "author_name": "Ada", "author_email": "ada@example.org", "title": "t", "message": "m"}
    common = {"repository_id": repository}
    seen = {"committed_at": _NOW, "seen_at": _NOW}
    connection.execute(insert(t.commits), [{**common, "sha": sha, "tree": sha, **told, **seen} for sha in shas])
    placed = [{**common, "branch": "main", "sha": sha, "position": at} for at, sha in enumerate(shas, 1)]
    connection.execute(insert(t.branch_commits), placed)
    green = [
        {
            **common,
            "sha": sha,
            "source": "farmgate",
            "artifacts": {"app": sha},
            "created_at": _NOW - timedelta(minutes=1),
        }
        for sha in shas
    ]
    connection.execute(insert(t.candidates), green)
