"""The agent, its worker and a scheduler in miniature, as real processes over a real Redis."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farmgate.broker import CeleryBell
from farmgate.clock import SystemClock, stopwatch
from farmgate.node_folder import Key
from farmgate.pipeline import JobSpec
from farmgate.settings import environment_for_child
from tests.workers.conftest import Source, make_source
from tests.workers.server import FakeServer, serving

ROOT = Path(__file__).parents[2]


class Farm:
    """One node of a farm."""

    def __init__(self, path: Path, server: FakeServer, redis_url: str, source: Source) -> None:
        self.data = path / "node"
        self.server = server
        self.source = source
        self.bell = CeleryBell(redis_url)
        self.agent: subprocess.Popen[bytes] | None = None
        self.log = path / "agent.log"
        self.jobs = 0

    def start(self, engine: str = "process", **more: str) -> None:
        environment = environment_for_child(
            None,
            FARMGATE_SERVER=self.server.url,
            FARMGATE_NODE_DATA=str(self.data),
            FARMGATE_JOIN_TOKEN="fgj_once",
            FARMGATE_ENGINE=engine,
            FARMGATE_EMBEDDED="true",
            FARMGATE_SLOTS="2",
            PYTHONPATH=str(ROOT),
            **more,
        )
        with self.log.open("ab") as output:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "agents"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def offer(self, step: str, image: str | None = None, attempt: int = 1, job: int | None = None) -> Key:
        self.jobs += 1
        spec = JobSpec.model_validate(
            {
                "name": "build",
                "image": image,
                "needs": [],
                "steps": [{"name": "step", "run": step}],
                "timeout": "PT2M",
                "environment": {},
                "artifacts": [],
                "memory_bytes": None,
                "cpus": None,
                "pool": "default",
            }
        )
        key = Key(job or self.jobs, attempt)
        self.server.offer(*key, git_url=self.source.url, sha=self.source.sha, spec=spec.model_dump(mode="json"))
        self.bell.ring("default", *key)
        return key

    def until(self, fact: Any, seconds: float = 30.0) -> None:
        try:
            self.server.until(fact, seconds)
        except AssertionError:
            raise AssertionError(self.log.read_text()[-4000:]) from None

    def until_file(self, path: Path) -> None:
        deadline = stopwatch() + 30
        while not path.exists():
            assert stopwatch() < deadline, f"no {path}\n{self.log.read_text()[-4000:]}"
            SystemClock().wait(_never(), _BIT)

    def ended(self, key: Key) -> bool:
        return self.server.attempts[key].result is not None

    def worker_pid(self) -> int:
        assert self.agent is not None
        found = subprocess.run(
            ["pgrep", "-P", str(self.agent.pid), "-f", "workers"], capture_output=True, text=True, check=False
        )
        return int(found.stdout.split()[0])

    def end(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.send_signal(signal.SIGTERM)
            try:
                self.agent.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()


def _never() -> Any:
    import threading

    return threading.Event()


_BIT = timedelta(milliseconds=20)


@pytest.fixture
def farm(tmp_path: Path, redis_url: str) -> Iterator[Farm]:
    with serving(FakeServer(join_tokens={"fgj_once"}, broker_url=redis_url)) as server:
        farm = Farm(tmp_path, server, redis_url, make_source(tmp_path / "shop"))
        yield farm
        farm.end()


@pytest.mark.needs("redis", "git")
def test_a_job_goes_from_the_bell_to_its_result(farm: Farm) -> None:
    farm.start()
    key = farm.offer("cat README")
    farm.until(lambda: farm.ended(key))
    result = farm.server.attempts[key].result
    assert result is not None
    assert result["outcome"] == "passed", result
    print(json.dumps(result["timings"]))
    assert (farm.data / "credential.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("redis", "git", "docker")
def test_a_job_goes_from_the_bell_to_its_result_in_a_container(farm: Farm, busybox_image: str) -> None:
    farm.start("docker")
    for _ in range(3):
        key = farm.offer("cat README", busybox_image)
        farm.until(lambda key=key: farm.ended(key))
        result = farm.server.attempts[key].result
        assert result is not None
        assert result["outcome"] == "passed", result
        print(json.dumps(result["timings"]))
