"""A farm whose candidates bring component lists, and OSV documents to compare them with."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update

from farmgate import lanes as rules
from farmgate import states
from farmgate.lanes import Why
from farmgate.models import RolloutKind
from farmgate.store import candidates, lane_views, lanes, releases, rollouts, schema
from farmgate.store.rollouts import NewRollout
from scheduler.supply import Supply
from tests.deploy import rows
from tests.scheduler.farm import Farm

POLICY = """
application: shop
target: {type: command, shift: [x], restore: [x]}
lanes:
  staging: {}
  production:
    vulnerabilities: {refuse: high, grace: 14d}
"""
HIGH = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"


def document(number: str, package: str, fixed: str, **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": package}, "ranges": ranges}]
    said = {"severity": [{"type": "CVSS_V3", "score": HIGH}], "published": "2025-01-01T00:00:00Z"}
    return {
        "id": number,
        "modified": "2025-01-01T00:00:00Z",
        "summary": f"bad {package}",
        **said,
        "affected": affected,
    } | more


def packed(*documents: Any) -> bytes:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in documents]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode())


JINJA = document("GHSA-jinja", "Jinja2", "3.1.4", aliases=["CVE-2024-1"])
AGAIN = document("PYSEC-jinja", "jinja2", "3.1.4", aliases=["CVE-2024-1"])
FLASK = document("GHSA-flask", "flask", "2.3.0", aliases=["CVE-2024-2"])


def bom(*purls: str) -> bytes:
    parts = [{"type": "library", "purl": each} for each in purls]
    return json.dumps({"bomFormat": "CycloneDX", "components": parts}).encode()


class World:
    """A farm whose branch has five commits with candidates, and two lanes."""

    def __init__(self, farm: Farm) -> None:
        self.farm, self.supply = farm, Supply(farm.context)
        farm.repository.add("a", {"a.txt": "a"})
        with farm.store.writing() as connection:
            repository = rows.connect(connection, farm.clock.now())
            rows.push(connection, repository, range(1, 6), farm.clock.now())
        assert farm.http.put("/api/lanes/policy", content=POLICY).status_code == 200

    def made_of(self, position: int, *documents: bytes) -> None:
        """A candidate brings component lists."""
        artifacts = {}
        for at, data in enumerate(documents):
            stored = self.farm.context.blobs.put([data])
            artifacts[f"out/{at}.cdx.json"] = f"sha256:{stored.sha256}"
        with self.farm.store.writing() as connection:
            statement = update(schema.candidates).where(schema.candidates.c.sha == rows.sha(position))
            connection.execute(statement.values(artifacts=artifacts))

    def deliver(self, position: int, environment: str = "production") -> None:
        now = self.farm.clock.now()
        with self.farm.store.writing() as connection:
            lane = lanes.by_name(connection, "shop", environment)
            live = releases.live_of(connection, lane.id)
            candidate = candidates.of_commit(connection, lane.repository_id, rows.sha(position))
            assert candidate is not None
            new = NewRollout(
                lane=lane,
                kind=RolloutKind.FORWARD,
                candidate_id=candidate.id,
                since_position=live.position if live is not None else 0,
                since_sha=live.sha if live is not None else None,
                until_position=position,
                until_sha=rows.sha(position),
                from_release_id=live.id if live is not None else None,
                search_id=None,
                policy=lane.policy,
                branch="main",
                asked_by="deploy",
                reason=None,
                patience=timedelta(hours=1),
            )
            made = rollouts.cut(connection, new, lane.epoch, now)
            for after in (states.Rollout.RUNNING, states.Rollout.FINISHING, states.Rollout.GOOD):
                rollouts.moved(connection, rollouts.by_id(connection, made.id), after)
            releases.publish(connection, made, candidate.artifacts, lane.policy["target"], now)
        self.farm.clock.advance(timedelta(hours=1))

    def settle(self) -> None:
        for _ in range(20):
            if not (self.supply.look() | self.supply.import_()):
                return
        raise AssertionError("it does not come to rest")

    def import_(self, *documents: Any, without: bool = False) -> dict[str, Any]:
        answer = self.farm.http.put(f"/api/vulnerabilities/imports?without={without}", content=packed(*documents))
        assert answer.status_code == 202, answer.text
        self.settle()
        made: dict[str, Any] = self.farm.http.get("/api/vulnerabilities/imports").json()[0]
        return made

    def told(self, **wanted: str) -> dict[str, Any]:
        said: dict[str, Any] = self.farm.http.get("/api/vulnerabilities", params=wanted).json()
        return said

    def against(self, position: int) -> list[str]:
        """What the lane's rule says against a commit; the decision agrees with it."""
        with self.farm.store.reading() as connection:
            lane = lanes.by_name(connection, "shop", "production")
            view = lane_views.view(connection, lane, self.farm.clock.now())
        gate = rules.gate(view)
        commit = next(each for each in view.commits if each.position == position)
        found = rules.obstacles(view, commit, gate)
        assert rules.is_eligible(view, commit, gate) is (not found)
        return [reason.words for reason in found if reason.kind is Why.VULNERABILITY]

    def count(self, table: Any) -> int:
        with self.farm.store.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
