"""The real deploy process, killed in mid-rollout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from farmgate import states
from farmgate.blobs import LocalBlobs
from farmgate.clock import SystemClock, stopwatch
from farmgate.models import Rollout
from farmgate.settings import environment_for_child
from farmgate.store import lanes as lane_rows
from farmgate.store import looks, releases, repositories, rollouts
from tests.databases import prepared
from tests.deploy import rows
from tests.deploy.parts import SERVICE, archive, load

POLICY = """
application: shop
target:
  type: process
  artifact: a.tgz
  command: [python3, app.py]
  instances: 2
  drain: 5s
lanes:
  production:
    listen: 127.0.0.1:{port}
    waves: [{{share: 50, soak: 4s}}, {{share: 100, soak: 1s}}]
    checks: [{{http: /, every: 1s}}]
"""


class Farm:
    """A data folder, and deploy processes that work in it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.clock = folder, port, SystemClock()
        self.store = prepared(f"sqlite:///{folder}/farmgate.db")
        self.processes: list[subprocess.Popen[bytes]] = []

    def push(self, *positions: int) -> None:
        blobs, now = LocalBlobs(self.folder / "blobs"), self.clock.now()
        with self.store.writing() as connection:
            if not lane_rows.every(connection):
                rows.connect(connection, now)
                rows.apply(connection, POLICY.format(port=self.port), now)
            repository = repositories.by_name(connection, "shop")
            for each in positions:
                files = {"app_py": SERVICE, "version": rows.sha(each)}
                artifact = f"sha256:{blobs.put([archive(**files)]).sha256}"
                rows.push(connection, repository, [each], now, artifacts={"a.tgz": artifact})

    def deploy(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = environment_for_child(FARMGATE_DATA=str(self.folder), FARMGATE_EMBEDDED="true")
        log = (self.folder / "deploy.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy", *arguments], env=environment, stderr=log, start_new_session=True
        )
        log.close()
        self.processes.append(process)
        return process

    def live(self) -> str | None:
        with self.store.reading() as connection:
            found = releases.live_of(connection, lane_rows.every(connection)[0].id)
        return found.sha if found is not None else None

    def last(self) -> Rollout | None:
        with self.store.reading() as connection:
            found = rollouts.latest(connection, lane_rows.every(connection)[0].id, 1)
        return found[0] if found else None

    def wait(self, fact: object, within: float = 45) -> None:
        deadline = stopwatch() + within
        assert callable(fact)
        while not fact():
            self.say_what_is_carried()
            assert stopwatch() < deadline, (self.folder / "deploy.log").read_text(errors="replace")[-3000:]
            self.clock.sleep(timedelta(milliseconds=50))

    def say_what_is_carried(self) -> None:
        """No scheduler runs here, and the deploy loop asks one before each start."""
        with self.store.reading() as connection:
            asked = looks.unanswered(connection)
        for rollout in asked:
            with self.store.writing() as connection:
                looks.answer(connection, rollout, {"ancestor": True}, self.clock.now())

    def under_way(self) -> bool:
        last = self.last()
        if last is None or last.state is not states.Rollout.RUNNING:
            return False
        with self.store.reading() as connection:
            return any(entry.key == "wave-0/check-0" for entry in rollouts.entries(connection, last.id))


@pytest.fixture
def farm(tmp_path: Path, free_port: int) -> Iterator[Farm]:
    made = Farm(tmp_path, free_port)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()
    assert made.deploy("retire").wait(timeout=60) == 0
    made.store.close()


@pytest.mark.slow
@pytest.mark.needs("haproxy")
def test_a_successor_finishes_what_a_killed_controller_began_and_no_request_fails(farm: Farm) -> None:
    farm.push(1)
    first = farm.deploy()
    farm.wait(lambda: farm.live() == rows.sha(1))
    with load(farm.port) as seen:
        seen.seen(rows.sha(1))
        farm.push(2)
        farm.wait(farm.under_way)
        first.send_signal(signal.SIGKILL)
        first.wait()
        seen.seen(rows.sha(2))  # the switch and the instances live on
        second = farm.deploy()
        farm.wait(lambda: farm.live() == rows.sha(2))
        seen.served.clear()
        seen.seen(rows.sha(2), 50)
        assert set(seen.served) == {rows.sha(2)}
        second.terminate()
        assert second.wait(timeout=15) == 0
        seen.seen(rows.sha(2))
    assert seen.failed == []
    last = farm.last()
    assert last is not None
    assert last.epoch == 2
    assert last.state is states.Rollout.GOOD


@pytest.mark.slow
@pytest.mark.needs("haproxy")
def test_a_killed_switch_is_back_within_a_second_and_a_farm_is_taken_down_in_mid_rollout(farm: Farm) -> None:
    farm.push(1)
    loop = farm.deploy()
    farm.wait(lambda: farm.live() == rows.sha(1))
    farm.push(2)
    farm.wait(farm.under_way)
    switch = farm.folder / "deploy" / "1" / "haproxy.pid"
    before = int(switch.read_text().split()[0])
    with load(farm.port) as seen:
        seen.seen(rows.sha(2))
        os.kill(before, signal.SIGKILL)
        began = stopwatch()
        farm.wait(lambda: int(switch.read_text().split()[0]) != before)
        assert stopwatch() - began < 2  # WATCH_EVERY and a start, on a busy machine
        seen.seen(rows.sha(1))
    loop.kill()
    loop.wait()
    assert farm.deploy("retire").wait(timeout=60) == 0
    last = farm.last()
    assert last is not None
    assert farm.live() is None
    assert states.is_final(last.state)
    assert list((farm.folder / "deploy" / "1").glob("releases/*")) == []
