"""The real deploy process, killed in mid-rollout."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from farmgate import states
from farmgate.blobs import LocalBlobs
from farmgate.clock import SystemClock, stopwatch
from farmgate.models import JournalEntry, Lane, Rollout
from farmgate.settings import environment_for_child
from farmgate.store import lane_groups, looks, releases, repositories, rollouts
from farmgate.store import lanes as lane_rows
from farmgate.store.schema import leaders
from tests.databases import prepared
from tests.deploy import rows
from tests.deploy.parts import SCRIPT, SERVICE, archive, load

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

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """At once, and its lease is over at once, too: to wait for that is not what these tests are about."""
        process.kill()
        process.wait()
        with self.store.writing() as connection:
            connection.execute(update(leaders).values(until=self.clock.now()))

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
        made.kill(process)
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
        farm.kill(first)
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


TOGETHER = """
application: {application}
repository: shop
target: {{{target}, artifact: a.tgz, drain: 5s}}
lanes:
  production:
    listen: 127.0.0.1:{port}
    waves: [{{share: 100, soak: 2s}}]
    checks: [{{http: {path}, every: 1s}}]
"""


class Pair:
    """Two applications that go together, out of one repository: api in containers, then web as processes."""

    def __init__(self, farm: Farm, image: str, ports: tuple[int, int]) -> None:
        self.farm, self.ports = farm, ports
        api = f"type: docker, image: '{image}', command: [sh, run.sh], port: 8080"
        web = "type: process, command: [python3, app.py]"
        now = farm.clock.now()
        with farm.store.writing() as connection:
            rows.connect(connection, now)
            for application, target, port, path in (("api", api, ports[0], "/"), ("web", web, ports[1], "/deep")):
                text = TOGETHER.format(application=application, target=target, port=port, path=path)
                rows.apply(connection, text, now)
            lane_groups.apply(connection, "all", ["api/production", "web/production"], "ada", now)

    def push(self, position: int, *, ill: bool = False) -> None:
        blobs, now = LocalBlobs(self.farm.folder / "blobs"), self.farm.clock.now()
        service = SERVICE.replace("send_response(200)", 'send_response(500 if "deep" in self.path else 200)')
        files = {"run_sh": SCRIPT, "app_py": service if ill else SERVICE, "version": rows.sha(position)}
        artifact = f"sha256:{blobs.put([archive(**files)]).sha256}"
        with self.farm.store.writing() as connection:
            repository = repositories.by_name(connection, "shop")
            rows.push(connection, repository, [position], now, artifacts={"a.tgz": artifact})

    def live(self) -> list[str | None]:
        with self.farm.store.reading() as connection:
            found = [releases.live_of(connection, lane.id) for lane in self._lanes(connection)]
        return [release.sha if release is not None else None for release in found]

    def last(self) -> list[tuple[Rollout, dict[str, JournalEntry]]]:
        """The newest rollout of each, with its journal."""
        with self.farm.store.reading() as connection:
            newest = [rollouts.latest(connection, lane.id, 1)[0] for lane in self._lanes(connection)]
            return [(each, {entry.key: entry for entry in rollouts.entries(connection, each.id)}) for each in newest]

    def _lanes(self, connection: Connection) -> list[Lane]:
        return sorted(lane_rows.every(connection), key=lambda lane: lane.application)


@pytest.mark.slow
@pytest.mark.needs("haproxy", "docker")
def test_of_two_that_go_together_both_are_back_in_reverse_though_the_controller_died_between_their_shifts(
    farm: Farm, busybox_image: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        pair = Pair(farm, busybox_image, (farm.port, probe.getsockname()[1]))
    pair.push(1)
    first = farm.deploy()
    farm.wait(lambda: pair.live() == [rows.sha(1)] * 2)
    with load(pair.ports[0]) as api, load(pair.ports[1]) as web:
        pair.push(2, ill=True)
        farm.wait(lambda: pair.last()[0][0].until_sha == rows.sha(2) and "wave-0/check-0" in pair.last()[0][1])
        farm.kill(first)
        assert "wave-0/shift" not in pair.last()[1][1]
        api.seen(rows.sha(2))
        farm.deploy()
        farm.wait(lambda: all(states.is_final(rollout.state) for rollout, _ in pair.last()))
        for seen in (api, web):
            seen.served.clear()
            seen.seen(rows.sha(1))
            assert set(seen.served) == {rows.sha(1)}
    assert (api.failed, web.failed) == ([], [])
    assert pair.live() == [rows.sha(1)] * 2
    (of_api, api_journal), (of_web, web_journal) = pair.last()
    assert (of_api.until_sha, of_web.until_sha) == (rows.sha(2), rows.sha(2))
    assert of_api.epoch == of_web.epoch == 2
    ended, began = web_journal["restore"].finished_at, api_journal["restore"].started_at
    assert ended is not None
    assert began is not None
    assert ended <= began, "the last lane first"
