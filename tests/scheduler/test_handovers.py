"""Rollouts in the hands of another tool, through the real application and the real deploy loop: callbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.context import AtOnce, Context
from deploy.loop import Deployer
from deploy.targets.fence import Fence
from deploy.targets.given import GivenSecrets
from deploy.targets.handovers import StoredHandovers
from deploy.targets.scripted import Place, ScriptedProber
from deploy.targets.webhook import HandedOverTarget
from farmgate import states
from farmgate.broker import LocalSignals
from farmgate.models import HandoverRow, JournalEntry, Rollout
from farmgate.policy import LanePolicy
from farmgate.store import bans, handovers, releases, repositories, rollouts, secrets
from farmgate.webhooks.signatures import sign_standard
from tests.deploy import rows
from tests.deploy.handed import SECRET, Tool, running
from tests.scheduler.farm import Farm

POLICY = """
application: shop
target: {type: webhook, url: "%s/deploy", secret: HANDOVER, callback: true, every: 10m, within: 2h}
lanes:
  production: {}
"""


class World:
    """A farm, another tool, and the deploy loop between them."""

    def __init__(self, farm: Farm, tool: Tool) -> None:
        self.farm, self.tool, self.clock = farm, tool, farm.clock
        tool.clock = farm.clock
        self.messages = 0
        with farm.store.writing() as connection:
            repository = rows.connect(connection, self.clock.now())
            keyring, now = farm.vault.keyring, self.clock.now()
            secrets.put(connection, keyring, repository.id, "HANDOVER", SECRET, "ada", now, environment="production")
            rows.apply(connection, POLICY % tool.url, self.clock.now())
        self.deployer = self.controller("first")

    def controller(self, name: str) -> Deployer:
        signals, prober = LocalSignals(self.clock), ScriptedProber(Place())
        return Deployer(
            Context(self.farm.store, self, prober, self.clock, signals, AtOnce(), name, asks_scheduler=False)
        )

    def of(self, lane_id: int, policy: LanePolicy) -> HandedOverTarget:
        given = GivenSecrets(self.farm.store, lambda: self.farm.vault.keyring)
        book = StoredHandovers(self.farm.store, self.clock, lambda: self.farm.vault, "http://farm")
        fence = Fence(self.farm.folder / "lane")
        return HandedOverTarget(book, fence, self.clock, "farm", lambda name: given.of(policy, name))

    def push(self, *positions: int) -> None:
        with self.farm.store.writing() as connection:
            rows.push(connection, repositories.by_name(connection, "shop"), positions, self.clock.now())

    def look(self, times: int = 3) -> None:
        for _ in range(times):
            self.deployer.tick()
            self.clock.advance(timedelta(seconds=1))

    def told(self, state: str, callback: str = "", **more: Any) -> httpx.Response:
        """A callback of the tool, as it signs one."""
        given = {name: more.pop(name) for name in ("message", "secret", "at") if name in more}
        return self.say(callback or self.callback, json.dumps({"state": state, **more}).encode(), **given)

    def say(
        self, callback: str, body: bytes, *, message: str | None = None, secret: str = SECRET, at: float = 0
    ) -> httpx.Response:
        self.messages += 1
        now = self.clock.now() + timedelta(seconds=at)
        headers = sign_standard(secret, message or f"m{self.messages}", body, now)
        answer: httpx.Response = self.farm.stranger.post(urlsplit(callback).path, content=body, headers=headers)
        return answer

    @property
    def callback(self) -> str:
        """Of the last request."""
        data = json.loads(self.tool.requests[-1][3])["data"]
        found: str = data["callback"]
        return found

    @property
    def rollout(self) -> Rollout:
        with self.farm.store.reading() as connection:
            return rollouts.latest(connection, 1, 1)[0]

    @property
    def live(self) -> int | None:
        with self.farm.store.reading() as connection:
            found = releases.live_of(connection, 1)
        return found.position if found is not None else None

    def entry(self, key: str) -> JournalEntry:
        with self.farm.store.reading() as connection:
            return {each.key: each for each in rollouts.entries(connection, self.rollout.id)}[key]

    def row(self, step: str) -> HandoverRow:
        with self.farm.store.reading() as connection:
            found = handovers.of(connection, self.rollout.id, step)
        assert found is not None
        return found


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """On both databases."""
    url = request.getfixturevalue("migrated_postgres") if request.param == "postgres" else None
    yield from _world(Farm(tmp_path, url))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from _world(Farm(tmp_path))


def _world(farm: Farm) -> Iterator[World]:
    with running(Tool(begins={"state": "goes on"})) as tool:
        yield World(farm, tool)
    farm.close()


def first_is_live(world: World) -> None:
    world.tool.begins = {"state": "done"}
    world.push(1)
    world.look(8)
    assert world.live == 1
    world.tool.begins = {"state": "goes on"}


def test_a_rollout_goes_on_until_the_tool_calls_back_and_is_looked_at_at_once(any_world: World) -> None:
    world = any_world
    world.push(1)
    world.look()
    assert world.rollout.state is states.Rollout.RUNNING
    assert world.told("goes on", share=20, text="canary", url="https://tool.example.org/7").json()["accepted"]
    assert world.farm.deploy.woken
    world.look(1)  # long before the next look of its own
    detail = world.entry("wave-0/shift").detail
    assert (detail["words"], detail["served"], detail["link"]) == ("canary", 20, "https://tool.example.org/7")
    assert world.told("done").status_code == 200
    world.look()
    assert world.live == 1
    assert world.tool.deployments == 1


def test_a_callback_that_comes_before_the_answer_counts(world: World) -> None:
    answers: list[int] = []

    def at_once(data: dict[str, Any]) -> None:
        answers.append(world.told("done", data["callback"]).status_code)

    world.tool.meanwhile = at_once
    world.push(1)
    world.look(8)
    assert answers == [200]
    assert world.live == 1


def test_a_callback_that_came_although_the_answer_never_did_counts_too(world: World) -> None:
    world.tool.meanwhile = lambda data: world.told("done", data["callback"])
    world.tool.faults = ["dies after"]
    world.push(1)
    world.look(20)
    assert world.live == 1
    assert len(world.tool.requests) == 1


def test_the_same_callback_twice_is_taken_once_and_what_ended_stays(any_world: World) -> None:
    world = any_world
    world.push(1)
    world.look()
    assert world.told("goes on", share=50, message="a").json() == {"accepted": True, "state": "taken"}
    assert world.told("goes on", share=50, message="a").json() == {"accepted": False, "state": "taken"}
    assert world.told("goes on", share=20, at=-60).json()["accepted"] is False  # older than what is known
    assert world.row("shift-100").share == 50
    assert world.told("done", message="b").json()["accepted"]
    assert world.told("done", message="c").json()["accepted"] is False
    changed = world.told("failed", message="d", at=5)
    assert changed.status_code == 409
    assert "ended as done before" in changed.json()["error"]


@pytest.mark.parametrize(
    ("forged", "status", "words"),
    [
        ({"secret": "whsec_b3RoZXIgc2VjcmV0"}, 401, "does not fit"),
        ({"at": -301}, 401, "too long ago"),
        ({"at": 301}, 401, "in the future"),
        ({"delivery": "farm-9-shift-100"}, 400, "is not what this address is for"),
        ({"share": 1e999}, 400, "is no number"),
        ({"share": -1}, 400, "not between 0 and 100"),
        ({"share": True}, 400, "is no number"),
    ],
)
def test_what_is_wrong_with_a_callback_is_refused_and_moves_nothing(
    world: World, forged: dict[str, Any], status: int, words: str
) -> None:
    world.push(1)
    world.look()
    answer = world.told("done", **forged)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert world.row("shift-100").state is states.Handover.TAKEN


def test_hostile_bodies_and_addresses_are_refused(world: World) -> None:
    world.push(1)
    world.look()
    for body in (b"", b"no json", b"[" * 60_000, b"[]", b'{"state": ["done"]}', b'{"state": "won"}', b"\xff\xfe"):
        assert world.say(world.callback, body).status_code == 400, body[:20]
    assert world.say(world.callback, b"{" + b" " * 70_000 + b"}").status_code == 413
    base, _, token = world.callback.rpartition("/")
    for other in (f"{base}/{'0' * 64}", f"{base}/{token[:-1]}", world.callback.replace("/1/", "/2/", 1)):
        assert world.told("done", other).status_code == 404
    unsigned = world.farm.stranger.post(urlsplit(world.callback).path, json={"state": "done"})
    assert unsigned.status_code == 401
    assert world.row("shift-100").state is states.Handover.TAKEN


def test_words_and_links_of_the_tool_are_bounded_and_never_a_script(world: World) -> None:
    world.push(1)
    world.look()
    world.told("goes on", text="\x1b[31m" + "x" * 5000, url="javascript:alert(1)")
    row = world.row("shift-100")
    assert (len(row.text) <= 600, "\x1b" in row.text, row.link) == (True, False, "")


def test_what_a_newer_controller_sent_again_makes_the_older_callback_stale(any_world: World) -> None:
    world = any_world
    world.tool.faults = ["dies after"]
    world.push(1)
    world.look(1)
    old = world.callback
    world.clock.advance(timedelta(minutes=1))
    world.deployer = world.controller("second")
    world.look(8)
    assert len(world.tool.requests) == 2
    assert world.callback != old
    refused = world.told("failed", old)
    assert refused.status_code == 409
    assert "use the callback of that request" in refused.json()["error"]
    assert world.told("done").status_code == 200
    world.look()
    assert (world.live, world.tool.deployments) == (1, 1)


def test_a_controller_that_takes_over_what_was_taken_only_follows_it(world: World) -> None:
    world.push(1)
    world.look()
    world.clock.advance(timedelta(minutes=1))
    world.deployer = world.controller("second")
    world.look()
    assert world.told("done").status_code == 200
    world.look()
    assert world.live == 1
    assert len(world.tool.requests) == 1


def test_a_change_that_the_tool_blames_is_taken_back_by_a_hand_over_and_banned(any_world: World) -> None:
    world = any_world
    first_is_live(world)
    world.push(2)
    world.look()
    shift = world.callback
    assert world.told("failed", text="pods crash").status_code == 200
    world.look()
    assert world.rollout.state is states.Rollout.RESTORING
    assert world.tool.live == rows.sha(1)
    late = world.told("done", shift)
    assert late.status_code == 409
    assert world.rollout.state is states.Rollout.RESTORING
    assert world.told("done").status_code == 200  # of the restore
    world.look()
    assert (world.rollout.state, world.live) == (states.Rollout.SICK, 1)
    assert "pods crash" in (world.rollout.reason or "")
    with world.farm.store.reading() as connection:
        assert [ban.sha for ban in bans.standing(connection, 1)] == [rows.sha(2)]


def test_a_late_callback_after_the_restore_changes_nothing(world: World) -> None:
    first_is_live(world)
    world.push(2)
    world.look()
    shift = world.callback
    world.tool.begins = {"state": "done"}
    ordered = world.farm.http.post("/api/lanes/shop/production/rollback", json={"reason": "no", "to": 1})
    assert ordered.is_success, ordered.text
    world.look(8)
    answer = world.told("done", shift)
    assert answer.status_code == 409
    assert "went another way" in answer.json()["error"]
    world.look(8)
    assert world.live == 1


def test_a_tool_that_cannot_tell_leaves_it_to_a_person(world: World) -> None:
    first_is_live(world)
    world.push(2)
    world.look()
    world.told("cannot tell", text="metrics are gone")
    world.look()
    assert world.rollout.state is states.Rollout.ASKING
    assert "metrics are gone" in (world.rollout.reason or "")


def test_silence_ends_with_a_person_who_is_asked_when_the_time_is_over(world: World) -> None:
    first_is_live(world)
    world.push(2)
    world.look()
    for _ in range(15):
        world.clock.advance(timedelta(minutes=10))
        world.look(2)
        if world.rollout.state is not states.Rollout.RUNNING:
            break
    assert world.rollout.state is states.Rollout.ASKING
    assert "did not end in its time" in (world.rollout.reason or "")
    assert world.row("shift-100").state is states.Handover.OVER


def test_a_secret_that_is_gone_refuses_the_callback_by_its_name(world: World) -> None:
    world.push(1)
    world.look()
    with world.farm.store.writing() as connection:
        repository = repositories.by_name(connection, "shop")
        secrets.remove(connection, repository.id, "HANDOVER", environment="production")
    answer = world.told("done")
    assert answer.status_code == 401
    assert "HANDOVER" in answer.json()["error"]
