"""`./farm bench planning`: one lane with 10,000 waiting commits, read, planned and explained.

The floor is the same rows read by one SQL statement without any rule, in the same run on the same database: a ratio to
it does not depend on the machine. What the deploy loop does at every look is 'read' and 'plan'; a page also explains.

Then the same for each rule that looks at what waits, in a lane of its own: vulnerabilities of what all 10,000 are made
of, provenance that all of them have, approvals of half of them, a hotfix that is open, two lanes that go together; and
one that has all of them. Readiness and ancestry are looked at once a rollout, not once a commit: they have no row here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, insert, select, text, update

from deploy import snapshot
from deploy.plan_lanes import plan_lane
from farmgate import lanes as rules
from farmgate import policy, states
from farmgate.clock import stopwatch
from farmgate.models import MadeKind, TokenKind
from farmgate.store import approvals, lane_groups, lane_views, lanes
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
  vulnerabilities: {vulnerabilities: {refuse: high}}
  provenance: {provenance: {required: true}}
  approvals: {approvals: {count: 1, by: [bob], not_author: true}}
  hotfix: {}
  first: {}
  second: {}
  everything:
    vulnerabilities: {refuse: high}
    provenance: {required: true}
    approvals: {count: 1, by: [bob], not_author: true}
  beside: {}
"""
_GROUPS = {"pair": ["shop/first", "shop/second"], "all": ["shop/everything", "shop/beside"]}
_LISTS, _PACKAGES = 50, 200
"""So many different lists of packages all the candidates are made of, and so many packages in each."""


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
        figures = measure(store, times) | with_rules(store, times)
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


def with_rules(store: Store, times: int) -> dict[str, float]:
    """The same for the lanes that have the rules."""
    taken: dict[str, list[float]] = {}
    with store.writing() as connection:
        fill_for_rules(connection)
    with store.reading() as connection:
        for environment in ("vulnerabilities", "provenance", "approvals", "hotfix", "first", "everything"):
            lane = lanes.by_name(connection, "shop", environment)
            seen = snapshot.read(connection, lane, _NOW)
            assert len(seen.view.commits) == COMMITS
            what = {"first": "two lanes together"}.get(environment, environment)
            for _ in range(times):
                began = stopwatch()
                seen = snapshot.read(connection, lane, _NOW)
                read = stopwatch()
                plan_lane(seen.view, None, "", _NOW)
                taken.setdefault(f"{what}: read", []).append(read - began)
                taken.setdefault(f"{what}: plan", []).append(stopwatch() - read)
    return {what: min(each) for what, each in taken.items()}


def fill_for_rules(connection: Connection) -> None:
    """What the rules look at: lists of packages, statements, people, a hotfix, groups."""
    ids = list(connection.execute(select(t.candidates.c.id).order_by(t.candidates.c.id)).scalars())
    run = rows.a_run(connection, 1, f"{1:040x}", _NOW, states.Run.PASSED)
    connection.execute(update(t.candidates).values(run_id=run))
    kept = {"key": "", "ecosystem": "PyPI", "version": "1.0", "purl": ""}
    packages = [{**kept, "key": f"{at:064x}", "name": f"package-{at}"} for at in range(_LISTS + _PACKAGES)]
    connection.execute(insert(t.packages), packages)
    known = list(connection.execute(select(t.packages.c.id).order_by(t.packages.c.id)).scalars())
    documents = []
    for at in range(_LISTS):
        made = rows.add(connection, t.package_sets, digest=f"{at:064x}", size=_PACKAGES)
        members = [{"set_id": made, "package_id": package} for package in known[at : at + _PACKAGES]]
        connection.execute(insert(t.package_set_members), members)
        times = {"created_at": _NOW, "deadline": _NOW}
        state = states.Bom.READ
        document = rows.add(connection, t.boms, sha256=f"{at:064x}", state=state, set_id=made, unnamed=0, **times)
        documents.append(document)
    looked = [{"candidate_id": each, "boms": 1, "looked_at": _NOW} for each in ids]
    connection.execute(insert(t.candidate_lists), looked)
    has = [{"candidate_id": each, "bom_id": documents[each % _LISTS], "name": "app.cdx.json"} for each in ids]
    connection.execute(insert(t.candidate_boms), has)
    counts = dict.fromkeys(("size_bytes", "read_bytes", "documents", "withdrawn", "bad", "affected", "matched"), 0)
    times = {"created_at": _NOW, "deadline": _NOW, "finished_at": _NOW}
    more = {"sha256": "0" * 64, "asked_by": "ada", "without": False, "ecosystems": [], "problems": []}
    dump = rows.add(connection, t.osv_dumps, state=states.OsvDump.DONE, **counts, **times, **more)
    told = {"dump_id": dump, "aliases": [], "summary": "bad", "severity": "medium", "vector": "", "published": _NOW}
    connection.execute(insert(t.osv_records), [{**told, "osv_id": f"GHSA-{at}"} for at in range(20)])
    hits = [{"dump_id": dump, "package_id": known[at], "osv_id": f"GHSA-{at}", "fixed": "2.0"} for at in range(20)]
    connection.execute(insert(t.package_matches), hits)
    common = {"repository_id": 1, "source": "farmgate", "kid": "k", "envelope": "{}", "made_by": "farmgate"}
    signed = [{**common, "sha": f"{at:040x}", "digest": f"{at:064x}", "made_at": _NOW} for at in range(1, COMMITS + 1)]
    connection.execute(insert(t.attestations), signed)
    rights = {"kind": TokenKind.API, "rights": ["write"], "created_at": _NOW}
    rows.add(connection, t.tokens, name="bob", hash="b" * 64, **rights)
    for environment in ("approvals", "everything"):
        lane = lanes.by_name(connection, "shop", environment)
        until = COMMITS // 2, f"{COMMITS // 2:040x}"
        approvals.give(connection, lane.id, (0, None), until, ids[COMMITS // 2 - 1], "bob", "", _NOW)
    lane = lanes.by_name(connection, "shop", "hotfix")
    names = {"branch": "main", "ref": "refs/farmgate/made/1", "picks": ["f" * 40], "shas": [], "problem": None}
    asked = {"onto": f"{1:040x}", "onto_position": 1, "state": states.Made.ASKED, "reason": "r", "asked_by": "ada"}
    when = {"created_at": _NOW, "deadline": _NOW + timedelta(hours=1)}
    rows.add(connection, t.made, kind=MadeKind.HOTFIX, lane_id=lane.id, repository_id=1, **names, **asked, **when)
    for name, its_lanes in _GROUPS.items():
        lane_groups.apply(connection, name, its_lanes, "bench", _NOW)


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
