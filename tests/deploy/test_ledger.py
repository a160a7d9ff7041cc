"""The ledger over the real application: what rollouts took along, what differs between two, where something is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from farmgate import states
from farmgate.errors import NotInRepository
from farmgate.git.fake import FakeHistory
from farmgate.models import RolloutKind
from farmgate.store import candidates, lanes, releases, rollouts, schema
from farmgate.store.rollouts import NewRollout
from tests.deploy import rows
from tests.deploy.test_loop import POLICY
from tests.scheduler.farm import Farm

LANE = "/api/lanes/shop/production"
DIGESTS = {position: f"sha256:{position:064x}" for position in (2, 4)}


def deliver(connection: Connection, farm: Farm, position: int, since: int, config: dict[str, Any]) -> None:
    """A good rollout up to a position, by the store's own way."""
    now = farm.clock.now()
    lane = lanes.by_name(connection, "shop", "production")
    live = releases.live_of(connection, lane.id)
    candidate = candidates.of_commit(connection, lane.repository_id, rows.sha(position))
    assert candidate is not None
    artifacts = {"site": DIGESTS[position]}
    connection.execute(
        update(schema.candidates).where(schema.candidates.c.id == candidate.id).values(artifacts=artifacts)
    )
    made = rollouts.cut(
        connection,
        NewRollout(
            lane=lane,
            kind=RolloutKind.FORWARD,
            candidate_id=candidate.id,
            since_position=since,
            since_sha=live.sha if live is not None else None,
            until_position=position,
            until_sha=rows.sha(position),
            from_release_id=live.id if live is not None else None,
            search_id=None,
            policy={**lane.policy, "target": config},
            branch="main",
            asked_by="deploy",
            reason=None,
            patience=farm.context.settings.poll_every,
        ),
        lane.epoch,
        now,
    )
    for after in (states.Rollout.RUNNING, states.Rollout.FINISHING, states.Rollout.GOOD):
        rollouts.moved(connection, rollouts.by_id(connection, made.id), after)
    releases.publish(connection, made, artifacts, config, now)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path)
    made.repository.add("a", {"a.txt": "a"})
    with made.store.writing() as connection:
        repository = rows.connect(connection, made.clock.now())
        rows.push(connection, repository, range(1, 6), made.clock.now())
    made.http.put("/api/lanes/policy", content=POLICY)
    target = {"type": "command", "shift": ["x"], "restore": ["x"]}
    with made.store.writing() as connection:
        deliver(connection, made, 2, 0, target)
    with made.store.writing() as connection:
        deliver(connection, made, 4, 2, {**target, "shift": ["y"]})
    yield made
    made.close()


def test_a_rollout_tells_all_that_it_took_along(farm: Farm) -> None:
    row = farm.http.get(f"{LANE}/rollouts/2").json()
    assert [each["title"] for each in row["carried"]] == ["commit 4", "commit 3"]
    assert (row["authors"], row["compared_with"], row["asked_by"]) == (["Ada"], 1, "deploy")
    assert row["config_changes"] == [{"path": "shift.0", "before": "x", "after": "y"}]
    assert row["artifact_changes"] == [{"path": "site", "before": DIGESTS[2], "after": DIGESTS[4]}]
    assert row["source"] == "farmgate"
    first = farm.http.get(f"{LANE}/rollouts/1").json()
    assert (first["compared_with"], first["commit_count"], first["changed_paths"]) == (None, 2, [])
    assert farm.http.get(f"{LANE}/rollouts/9").status_code == 404
    assert farm.stranger.get(f"{LANE}/rollouts/1").status_code == 401


def test_two_rollouts_differ_both_ways(farm: Farm) -> None:
    there = farm.http.get(f"{LANE}/diff", params={"since": 1, "until": 2}).json()
    assert ([each["title"] for each in there["commits"]], there["backward"]) == (["commit 4", "commit 3"], False)
    back = farm.http.get(f"{LANE}/diff", params={"since": 2, "until": 1}).json()
    assert (back["commit_count"], back["backward"]) == (2, True)
    assert back["config_changes"] == [{"path": "shift.0", "before": "y", "after": "x"}]
    same = farm.http.get(f"{LANE}/diff", params={"since": 2, "until": 2}).json()
    assert (same["commits"], same["config_changes"]) == ([], [])
    assert farm.http.get(f"{LANE}/diff", params={"since": 1, "until": 3}).status_code == 404


def test_a_commit_and_a_digest_say_where_they_are(farm: Farm) -> None:
    def where(what: str) -> list[tuple[str, int, int | None]]:
        places = farm.http.get("/api/where", params={"what": what}).json()["places"]
        return [(place["state"], place["share"], place["rollout"]) for place in places]

    assert where(rows.sha(1)) == [("live", 100, 1)]
    assert where(rows.sha(5)) == [("waiting", 0, None)]
    assert where(DIGESTS[4]) == [("live", 100, 2)]
    assert where(f"registry.example/shop@{DIGESTS[2]}") == [("was live", 0, 1)]
    for unknown in ("moon", "abc", "sha256:" + "f" * 64):
        assert farm.http.get("/api/where", params={"what": unknown}).status_code == 404


def test_git_that_does_not_know_a_commit_costs_only_the_paths(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(FakeHistory):
        def changed_paths(self, since: str | None, until: str) -> tuple[str, ...]:
            if until != rows.sha(4):
                raise NotInRepository(until)
            return ("shop/cart.py", "shop/till.py")

        def paths_of(self, shas: Sequence[str]) -> dict[str, list[str]]:
            return {rows.sha(4): [f"p{number:03}" for number in range(60)]} if rows.sha(4) in shas else {}

    monkeypatch.setattr(type(farm.context.mirrors), "of", lambda *_: Told())
    assert farm.http.get(f"{LANE}/rollouts/2").json()["changed_paths"] == ["shop/cart.py", "shop/till.py"]
    assert farm.http.get(f"{LANE}/diff", params={"since": 2, "until": 1}).json()["changed_paths"] == []
    new, old = farm.http.get(f"{LANE}/rollouts/2").json()["carried"]
    assert (len(new["paths"]), new["paths"][0], new["path_count"]) == (50, "p000", 60)
    assert (old["paths"], old["path_count"]) == ([], None)
    page = farm.http.get("/lanes/shop/production/rollouts/2", headers={"Accept": "text/html"}).text
    assert "60 paths" in page
    assert "and 10 more" in page


def test_the_page_of_a_rollout_leads_to_taking_it_back(farm: Farm) -> None:
    page = farm.http.get("/lanes/shop/production/rollouts/2", headers={"Accept": "text/html"}).text
    assert "Take it back" in page
    assert "commit 4" in page
    assert "shift.0" in page
    old = farm.http.get("/lanes/shop/production/rollouts/1", headers={"Accept": "text/html"}).text
    assert "Go back to this" in old
    lane = farm.http.get("/lanes/shop/production", headers={"Accept": "text/html"}).text
    assert "/lanes/shop/production/rollouts/2" in lane
