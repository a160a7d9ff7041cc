"""A scheduler to test against: the real application, store, loop and mirrors; only the bell is listened to."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from farmgate.blobs import MemoryBlobs
from farmgate.clock import VirtualClock
from farmgate.errors import BrokerUnreachable
from farmgate.models import TokenKind
from farmgate.settings import SchedulerSettings
from farmgate.store import tokens
from farmgate.vault import Vault
from scheduler.background import Inline
from scheduler.context import Context, GitMirrors
from scheduler.loop import Loop
from tests.applications import application, leave
from tests.databases import prepared
from tests.git.repositories import RealRepository

SECRET = "a secret for tests"
NOTHING = "0" * 40
ONE_JOB = "jobs:\n  test:\n    steps: [make test]\n"
TWO_JOBS = (
    "jobs:\n  build:\n    steps: [make]\n    artifacts: [out.txt]\n"
    "  test:\n    needs: [build]\n    steps: [make test]\n"
)


@dataclass
class HeardBell:
    """A bell whose rings are heard; `broken` while Redis is away."""

    rung: list[tuple[str, int, int]] = field(default_factory=list)
    broken: bool = False

    def ring(self, pool: str, job: int, attempt: int, node: int | None = None) -> None:
        if self.broken:
            raise BrokerUnreachable("Redis is away")
        self.rung.append((pool if node is None else f"node {node}", job, attempt))

    def heard(self) -> list[tuple[int, int]]:
        """The rings since the last look: (job, attempt)."""
        rung, self.rung = self.rung, []
        return [(job, attempt) for _, job, attempt in rung]


class HeardSignals:
    """Signals that are counted."""

    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, loop: str) -> None:
        self.woken.append(loop)

    def wait(self, loop: str, at_most: timedelta) -> None:
        return


class Farm:
    """The verbs of a scenario."""

    def __init__(self, folder: Path, url: str | None = None, **settings: Any) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.bell = HeardBell()
        self.deploy = HeardSignals()
        given = SchedulerSettings(data=folder, broker_url="redis://nowhere", **settings)
        self.store = prepared(url or f"sqlite:///{folder}/farm.db")
        self.vault = Vault(b"k" * 32)
        self.mirrors = GitMirrors(given, self.vault.keyring)
        context = Context(
            settings=given,
            store=self.store,
            blobs=MemoryBlobs(),
            vault=self.vault,
            clock=self.clock,
            bell=self.bell,
            signals=HeardSignals(),
            deploy_signals=self.deploy,
            mirrors=self.mirrors,
        )
        self.app = application(context)
        self.context: Context = self.app.state.context
        self.loop = Loop(self.context, Inline(), "this loop")
        with self.store.writing() as connection:
            self.token = tokens.create(
                connection, self.context.vault, TokenKind.API, "ada", self.clock.now(), rights=("admin",)
            )
        self.stranger = TestClient(self.app, base_url="http://farm")
        self.http = TestClient(self.app, base_url="http://farm", headers={"Authorization": f"Bearer {self.token}"})
        self.repository = RealRepository(folder / "shop.git")
        self._deliveries = 0

    def close(self) -> None:
        leave(self.app)
        self.mirrors.close()
        self.store.close()

    # --- people and forges ---

    def connect(self, **more: Any) -> dict[str, Any]:
        """Connect the repository as `shop` and look at it for the first time."""
        body = {"name": "shop", "url": str(self.repository.path), "secret": SECRET, **more}
        answer = self.http.post("/api/repositories?wait=0", json=body)
        assert answer.status_code == 201, answer.text
        self.settle()
        made: dict[str, Any] = answer.json()
        return made

    def hook(
        self,
        ref: str,
        before: str | None,
        after: str | None,
        *,
        delivery: str | None = None,
        secret: str = SECRET,
        name: str = "shop",
    ) -> httpx.Response:
        """A signed webhook of a plain git repository."""
        body = json.dumps({"ref": ref, "before": before or NOTHING, "after": after or NOTHING}).encode()
        return self.raw_hook(body, delivery=delivery, secret=secret, name=name)

    def raw_hook(
        self,
        body: bytes,
        *,
        delivery: str | None = None,
        secret: str = SECRET,
        name: str = "shop",
        event: str = "push",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        self._deliveries += 1
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        told = {
            "Content-Type": "application/json",
            "X-Farmgate-Event": event,
            "X-Farmgate-Delivery": delivery or f"delivery-{self._deliveries}",
            "X-Farmgate-Signature": f"sha256={signature}",
        }
        answer: httpx.Response = self.stranger.post(f"/hooks/{name}", content=body, headers=told | dict(headers or {}))
        return answer

    def push(self, *titles: str, files: Mapping[str, str | None] | None = None, branch: str = "main") -> list[str]:
        """Commit, push, tell by webhook, and let the loop settle; the hashes."""
        ref = f"refs/heads/{branch}"
        before = self.tip(branch)
        shas = [self.repository.add(title, files, branch=branch) for title in titles]
        assert self.hook(ref, before, shas[-1]).status_code == 202
        self.settle()
        return shas

    def tip(self, branch: str = "main") -> str | None:
        return self.repository.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}") or None

    # --- the loop and time ---

    def settle(self) -> None:
        """Tick until nothing changes."""
        for _ in range(200):
            if not self.loop.tick():
                return
        raise AssertionError("the loop never comes to rest")

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        self.settle()

    # --- nodes and workers ---

    def join(self, name: str = "n1", slots: int = 4, pool: str = "default") -> Worker:
        enrolled = self.http.post("/api/nodes/enrol").json()
        body = {
            "token": enrolled["token"],
            "name": name,
            "pool": pool,
            "slots": slots,
            "engine": "process",
            "version": "1",
        }
        answer = self.stranger.post("/api/nodes/join", json=body)
        assert answer.status_code == 200, answer.text
        self.settle()
        return Worker(self, name, slots, answer.json()["credential"])

    # --- facts ---

    def runs(self, **query: Any) -> list[dict[str, Any]]:
        """Oldest first."""
        answer = self.http.get("/api/runs", params={"limit": 500, **query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found[::-1]

    def run(self, number: int) -> dict[str, Any]:
        answer = self.http.get(f"/api/runs/{number}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def job(self, run: int, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(job for job in self.run(run)["jobs"] if job["name"] == name)
        return found

    def intakes(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found: list[dict[str, Any]] = self.http.get("/api/repositories/shop").json()["intakes"]
        return found[::-1]


class Worker:
    """A node and its worker, over HTTP."""

    def __init__(self, farm: Farm, name: str, slots: int, credential: str) -> None:
        self.farm = farm
        self.name = name
        self.slots = slots
        self.http = TestClient(farm.app, base_url="http://farm", headers={"Authorization": f"Bearer {credential}"})

    def try_claim(self, job: int, attempt: int) -> httpx.Response:
        answer: httpx.Response = self.http.post("/api/worker/claim", json={"job": job, "attempt": attempt})
        return answer

    def claim(self, job: int, attempt: int = 1) -> Held:
        answer = self.try_claim(job, attempt)
        assert answer.status_code == 200, answer.text
        return Held(self, answer.json())

    def renew(self, *held: Held) -> dict[str, Any]:
        body = {"held": [{"job": one.job, "attempt": one.attempt} for one in held]}
        answer: dict[str, Any] = self.http.post("/api/worker/renew", json=body).json()
        return answer

    def beat(self, *held: Held, **more: Any) -> dict[str, Any]:
        body = {
            "slots": self.slots,
            "holding": [{"job": one.job, "attempt": one.attempt} for one in held],
            "worker_alive": True,
            "free_disk_bytes": 10**12,
            "version": "1",
            **more,
        }
        response = self.http.post("/api/nodes/heartbeat", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        self.farm.settle()
        return answer

    def work(self, outcome: str = "passed") -> int:
        """Claim and end whatever is rung, until nothing is; how many."""
        done = 0
        while rung := self.farm.bell.heard():
            for job, attempt in rung:
                if self.try_claim_and_end(job, attempt, outcome):
                    done += 1
            self.farm.settle()
        return done

    def try_claim_and_end(self, job: int, attempt: int, outcome: str) -> bool:
        answer = self.try_claim(job, attempt)
        if answer.status_code != 200:
            return False
        Held(self, answer.json()).end(outcome)
        return True


class Held:
    """An attempt that a worker holds."""

    def __init__(self, worker: Worker, claimed: dict[str, Any]) -> None:
        self.worker = worker
        self.claimed = claimed
        self.job: int = claimed["job"]
        self.attempt: int = claimed["attempt"]
        self.path = f"/api/attempts/{self.job}/{self.attempt}"
        self.headers = {"Authorization": f"Bearer {claimed['token']}"}
        self.http = worker.farm.stranger

    def log(self, offset: int, data: bytes) -> httpx.Response:
        answer: httpx.Response = self.http.post(
            f"{self.path}/log", params={"offset": offset}, content=data, headers=self.headers
        )
        return answer

    def step(self, number: int, state: str, **more: Any) -> httpx.Response:
        body = {"number": number, "name": f"step {number}", "state": state, **more}
        answer: httpx.Response = self.http.post(f"{self.path}/steps", json=body, headers=self.headers)
        return answer

    def artifact(self, path: str, data: bytes) -> httpx.Response:
        answer: httpx.Response = self.http.put(
            f"{self.path}/artifacts", params={"path": path}, content=data, headers=self.headers
        )
        return answer

    def result(self, outcome: str, **more: Any) -> httpx.Response:
        answer: httpx.Response = self.http.post(
            f"{self.path}/result", json={"outcome": outcome, **more}, headers=self.headers
        )
        return answer

    def end(self, outcome: str = "passed", **more: Any) -> None:
        answer = self.result(outcome, **more)
        assert answer.status_code == 204, answer.text
        self.worker.farm.settle()
