"""The agent, its worker and a scheduler in miniature, as real processes over a real Redis."""

from __future__ import annotations

import os
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
from farmgate.node_folder import Key, NodeFolder, write_whole
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

    def offer(
        self, step: str, image: str | None = None, attempt: int = 1, job: int | None = None, *, service: bool = False
    ) -> Key:
        """`service`: a container beside it, of the same image."""
        beside: dict[str, Any] = {"name": "db", "image": image, "command": ["sleep", "600"], "environment": {}}
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
                "services": [beside] if service else [],
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
            SystemClock().sleep(_BIT)

    def ring_until_ended(self, key: Key) -> None:
        """As the scheduler does: a bell that a dying worker swallowed is rung again."""
        for _ in range(10):
            try:
                return self.until(lambda: self.ended(key), 3)
            except AssertionError:
                self.bell.ring("default", *key)
        return self.until(lambda: self.ended(key), 3)

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


@pytest.mark.needs("redis", "git", "docker")
def test_kill_9_of_the_worker_leaves_no_container_and_the_next_attempt_runs(farm: Farm, busybox_image: str) -> None:
    farm.start("docker")
    key = farm.offer("echo up; sleep 100", busybox_image, service=True)
    record = farm.server.attempts[key]
    farm.until(lambda: b"up\n" in record.log)
    assert len(containers_of(farm, key)) == 2, "the job's, and its service's"
    before = farm.worker_pid()
    os.kill(before, signal.SIGKILL)
    record.state = "over"  # the server gives it up when its lease ran out
    again = farm.offer("echo again", busybox_image, attempt=2, job=key.job)
    farm.ring_until_ended(again)
    assert farm.worker_pid() != before
    assert containers_of(farm, key) == []
    told = [beat for beat in farm.server.heartbeats if beat["ended"]]
    assert [beat["ended"] for beat in told] == [[{"job": key.job, "attempt": key.attempt}]]  # once, and heard
    assert not (farm.data / "attempts" / str(key)).exists()
    assert record.result is None


@pytest.mark.needs("redis", "git")
def test_kill_9_of_the_agent_ends_its_worker_and_a_new_agent_cleans_up(farm: Farm) -> None:
    farm.start()
    key = farm.offer('echo "pid $$"; sleep 100')
    record = farm.server.attempts[key]
    farm.until(lambda: b"pid " in record.log)
    worker, job = farm.worker_pid(), int(record.log.split(b"pid ")[1].split()[0])
    assert farm.agent is not None
    farm.agent.kill()
    farm.agent.wait()
    until_gone(worker)
    until_gone(job)
    assert record.result is None
    record.state = "over"
    farm.start()
    again = farm.offer("true")
    farm.ring_until_ended(again)
    assert not (farm.data / "attempts" / str(key)).exists()
    told = [beat["ended"] for beat in farm.server.heartbeats if beat["ended"]]
    assert told == [[{"job": key.job, "attempt": key.attempt}]]  # nobody waits for its lease
    assert len(farm.server.joins) == 1


@pytest.mark.needs("redis", "git")
def test_a_bell_that_rings_twice_and_is_lost_runs_the_job_once(farm: Farm) -> None:
    farm.start()
    key = farm.offer("echo once; sleep 0.3")
    for _ in range(3):
        farm.bell.ring("default", *key)
    farm.until(lambda: farm.ended(key))
    last = farm.offer("true")
    farm.until(lambda: farm.ended(last))
    assert farm.server.attempts[key].log.count(b"once\n") == 1
    assert farm.server.calls["claim"] >= 3


@pytest.mark.needs("redis", "git")
def test_a_drained_node_finishes_its_job_takes_no_other_and_comes_back(farm: Farm) -> None:
    farm.start()
    key = farm.offer("echo up; sleep 2; echo done")
    record = farm.server.attempts[key]
    farm.until(lambda: b"up\n" in record.log)
    assert farm.server.heartbeats[-1]["worker_alive"]
    farm.server.heard["drain"] = True
    farm.until(lambda: farm.ended(key))
    assert record.result is not None
    assert record.result["outcome"] == "passed"
    farm.until(lambda: not farm.server.heartbeats[-1]["worker_alive"] and not farm.server.heartbeats[-1]["holding"])
    waiting = farm.offer("true")
    seen = len(farm.server.heartbeats)
    farm.until(lambda: len(farm.server.heartbeats) >= seen + 3)
    assert farm.server.attempts[waiting].state == "queued"
    farm.server.heard["drain"] = False
    farm.until(lambda: farm.ended(waiting))


@pytest.mark.needs("redis", "git")
def test_sigterm_finishes_what_runs_and_ends(farm: Farm) -> None:
    farm.start()
    key = farm.offer("echo up; sleep 1; echo done")
    record = farm.server.attempts[key]
    farm.until(lambda: b"up\n" in record.log)
    assert farm.agent is not None
    farm.agent.send_signal(signal.SIGTERM)
    assert farm.agent.wait(timeout=30) == 0
    assert record.result is not None
    assert record.result["outcome"] == "passed"


@pytest.mark.needs("redis", "git")
def test_a_job_that_takes_longer_than_the_drain_is_reported_lost(farm: Farm) -> None:
    farm.start(FARMGATE_DRAIN="PT1S")
    key = farm.offer("echo up; sleep 100")
    record = farm.server.attempts[key]
    farm.until(lambda: b"up\n" in record.log)
    assert farm.agent is not None
    farm.agent.send_signal(signal.SIGTERM)
    assert farm.agent.wait(timeout=30) == 0
    assert record.result is not None
    assert record.result["outcome"] == "lost"


@pytest.mark.needs("redis", "git")
def test_what_the_server_gave_up_is_ended(farm: Farm) -> None:
    farm.start()
    key = farm.offer('echo "pid $$"; sleep 100')
    record = farm.server.attempts[key]
    farm.until(lambda: b"pid " in record.log)
    record.state = "over"
    farm.server.heard["remove"] = [{"job": key.job, "attempt": key.attempt}]
    until_gone(int(record.log.split(b"pid ")[1].split()[0]))
    farm.until(lambda: farm.server.heartbeats[-1]["holding"] == [])


@pytest.mark.needs("redis", "git")
def test_a_deaf_worker_is_replaced(farm: Farm) -> None:
    farm.start()
    first = farm.offer("true")
    farm.until(lambda: farm.ended(first))
    before = farm.worker_pid()
    farm.server.heard["restart_worker"] = True
    until_gone(before)
    farm.server.heard["restart_worker"] = False
    again = farm.offer("true")
    farm.ring_until_ended(again)


@pytest.mark.needs("redis", "git")
def test_a_passing_node_says_that_it_is_alive_and_at_its_end_leaves_with_its_folder(farm: Farm, tmp_path: Path) -> None:
    farm.start(FARMGATE_PASSING="true", FARMGATE_ALIVE_FILE=str(tmp_path / "alive"))
    key = farm.offer("true")
    farm.until(lambda: farm.ended(key))
    farm.until_file(tmp_path / "alive")
    assert farm.agent is not None
    farm.agent.send_signal(signal.SIGTERM)
    assert farm.agent.wait(timeout=30) == 0
    assert [beat["leaves"] for beat in farm.server.heartbeats[-2:]] == [False, True]
    assert not farm.data.exists()


def test_a_token_that_is_used_up_is_said_to_be(tmp_path: Path) -> None:
    with serving(FakeServer()) as server:
        done = start_to_end(tmp_path, FARMGATE_SERVER=server.url, FARMGATE_JOIN_TOKEN="fgj_used")
    assert done.returncode == 3
    assert "this join token is used up" in done.stderr
    assert "farmgate node enrol" in done.stderr
    assert "fgj_used" not in done.stderr


def test_a_node_without_a_token_says_how_to_get_one(tmp_path: Path) -> None:
    done = start_to_end(tmp_path)
    assert done.returncode == 2
    assert "FARMGATE_JOIN_TOKEN" in done.stderr


def test_plain_processes_are_refused_outside_of_the_embedded_farm(tmp_path: Path) -> None:
    done = start_to_end(tmp_path, FARMGATE_ENGINE="process")
    assert done.returncode == 2
    assert "embedded" in done.stderr


def start_to_end(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agents"],
        env=environment_for_child(None, FARMGATE_NODE_DATA=str(path / "node"), PYTHONPATH=str(ROOT), **environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def until_gone(pid: int) -> None:
    deadline = stopwatch() + 30
    while _lives(pid):
        assert stopwatch() < deadline, f"{pid} still lives"
        SystemClock().sleep(_BIT)


def _lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def containers_of(farm: Farm, key: Key) -> list[str]:
    import docker

    client = docker.from_env()
    try:
        identity = (farm.data / "identity").read_text()
        labels = [f"farmgate.node={identity}", f"farmgate.job={key.job}", f"farmgate.attempt={key.attempt}"]
        return [entry["Id"] for entry in client.api.containers(all=True, filters={"label": labels})]
    finally:
        client.close()


def test_the_embedded_farms_agent_waits_for_the_token_that_it_is_handed(tmp_path: Path) -> None:
    from agents.__main__ import handed

    folder = NodeFolder(tmp_path / "node")

    class Handing(SystemClock):
        """The farm writes the token while the agent waits."""

        waited = 0

        def sleep(self, length: timedelta) -> None:
            self.waited += 1
            write_whole(folder.join_token, b"fgj_handed")

    clock = Handing()
    token = handed(folder, clock)
    assert clock.waited == 1
    assert token is not None
    assert token.get_secret_value() == "fgj_handed"
