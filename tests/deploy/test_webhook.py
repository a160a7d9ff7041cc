"""Another tool takes a rollout over: the contract, what faults in between do, what is believed and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.checks import web
from deploy.targets import handing
from deploy.targets.contract import Death, DeathContract, Rig, Step, TargetContract, sha
from deploy.targets.fence import Fence
from deploy.targets.handovers import StoredHandovers
from deploy.targets.protocol import Ended, Order, Outcome, Package
from deploy.targets.webhook import HandedOverTarget
from farmgate import states
from farmgate.clock import SystemClock
from farmgate.errors import BadDocument, StaleEpoch, TargetError
from farmgate.policy import parse
from farmgate.policy.targets.webhook import Call, Status, WebhookTarget
from farmgate.store.database import Store
from farmgate.vault import Vault
from tests.databases import prepared
from tests.deploy.handed import SECRET, Tool, running
from tests.store import rows

SECOND = timedelta(seconds=1)


@pytest.fixture
def tool() -> Iterator[Tool]:
    with running(Tool()) as made:
        yield made


class Place:
    """A farm's side: its rows, and targets over them."""

    def __init__(self, folder: Path, tool: Tool, **policy: Any) -> None:
        self.folder, self.tool, self.clock = folder, tool, SystemClock()
        self.store: Store = prepared(f"sqlite:///{folder}/farm.db")
        self.policy = WebhookTarget(
            **{"url": f"{tool.url}/deploy", "secret": "HANDOVER", "callback": True, "timeout": SECOND, **policy}
        )
        self.book = StoredHandovers(self.store, self.clock, lambda: Vault(b"k" * 32), "http://farm")
        with self.store.writing() as connection:
            now = self.clock.now()
            repository = rows.a_repository(connection, now)
            self.lane = rows.a_lane(connection, repository, now)
            self.candidate = rows.a_candidate(connection, repository, sha(1), now)
        self.known: set[int] = set()

    def package(self, number: int) -> Package:
        if number not in self.known:
            self.known.add(number)
            with self.store.writing() as connection:
                state, now = states.Rollout.GOOD, self.clock.now()
                rows.a_rollout(connection, self.lane, self.candidate, number, state, now, id=number)
        return Package(number, sha(number), {"app": f"sha256:{number:064x}"}, self.policy)

    def make(self, death: Death | None = None) -> HandedOverTarget:
        book, ask = self.book, web.ask
        if death is not None:
            book, ask = Dying(self, death), death.wrap(ask)
        return HandedOverTarget(
            book, Fence(self.folder), self.clock, "farm", {"HANDOVER": SECRET, "TOKEN": "t0ken-1"}.__getitem__, ask
        )

    def order(self, number: int = 2, old: int | None = 1, epoch: int = 1) -> Order:
        return Order("shop/production", epoch, self.package(number), self.package(old) if old else None)


class Dying(StoredHandovers):
    """The rows, of a controller that dies at an effect."""

    def __init__(self, place: Place, death: Death) -> None:
        super().__init__(place.store, place.clock, lambda: Vault(b"k" * 32), "http://farm")
        for name in ("begin", "answered", "looked", "over"):
            setattr(self, name, death.wrap(getattr(self, name)))


class OneWave(Rig):
    def steps(self, package: Package) -> tuple[Step, ...]:
        first, *_, last, end = super().steps(package)
        return first, last, end


class TestHandedOver(TargetContract, DeathContract):
    """To a tool that takes everything or nothing."""

    @pytest.fixture
    def rig(self, tmp_path: Path, tool: Tool) -> Rig:
        place = Place(tmp_path, tool)
        return OneWave(place.make, place.package, lambda: tool.live or "", dying=place.make)


class TestHandedOverByShares(TargetContract):
    """To one that takes shares."""

    @pytest.fixture
    def rig(self, tmp_path: Path, tool: Tool) -> Rig:
        place = Place(tmp_path, tool, shares=True)
        return Rig(place.make, place.package, lambda: tool.live or "")


# --- sending ---


def test_what_is_sent_is_signed_and_says_what_to_deploy_and_where_to_call_back(tmp_path: Path, tool: Tool) -> None:
    place = Place(tmp_path, tool)
    assert place.make().shift(place.order(epoch=7), 100).ended is Ended.DONE
    (method, path, headers, body) = tool.requests[0]
    assert (method, path, headers["webhook-id"]) == ("POST", "/deploy", "farm-2-shift-100")
    told = json.loads(body)
    assert told["type"] == "rollout.shift"
    data = told["data"]
    callback = data.pop("callback")
    assert callback.startswith("http://farm/api/handovers/1/7/")
    assert data == {
        "delivery": "farm-2-shift-100",
        "lane": "shop/production",
        "rollout": 2,
        "epoch": 7,
        "share": 100,
        "sha": sha(2),
        "artifacts": {"app": f"sha256:{2:064x}"},
        "previous": {"sha": sha(1), "artifacts": {"app": f"sha256:{1:064x}"}},
    }


@pytest.mark.parametrize("fault", ["dies before", "dies after", "hangs", 500, 503, 302, 404, 401])
def test_what_was_not_taken_is_missing_infrastructure_and_sent_again_with_the_same_key(
    tmp_path: Path, tool: Tool, fault: Any
) -> None:
    place = Place(tmp_path, tool, timeout=timedelta(seconds=0.5))
    tool.faults = [fault]
    with pytest.raises(TargetError) as told:
        place.make().shift(place.order(), 100)
    assert SECRET.removeprefix("whsec_") not in str(told.value)
    if fault == 302:
        assert "redirects are not followed" in str(told.value)
        assert len(tool.requests) == 1
    assert place.make().shift(place.order(epoch=2), 100).ended is Ended.DONE
    assert {headers["webhook-id"] for _, _, headers, _ in tool.requests} == {"farm-2-shift-100"}
    assert tool.deployments == 1


def test_a_tool_that_knows_a_newer_epoch_refuses_ours(tmp_path: Path, tool: Tool) -> None:
    place = Place(tmp_path, tool)
    tool.epoch = 9
    with pytest.raises(StaleEpoch, match="epoch 9"):
        place.make().shift(place.order(epoch=8), 100)
    assert tool.live is None


def test_a_controller_that_was_followed_by_another_does_not_send(tmp_path: Path, tool: Tool) -> None:
    place = Place(tmp_path, tool)
    place.package(2)
    place.book.begin(2, "shift-100", "d", 5, SECOND)
    with pytest.raises(StaleEpoch):
        place.make().shift(place.order(epoch=4), 100)
    assert tool.requests == []


def test_an_answer_that_is_not_signed_says_that_it_was_taken_and_no_more(tmp_path: Path, tool: Tool) -> None:
    place = Place(tmp_path, tool)
    tool.faults = [b'{"state": "failed", "text": "forged"}']
    outcome = place.make().shift(place.order(), 100)
    assert (outcome.ended, outcome.words) == (Ended.GOES_ON, "handed over")


@pytest.mark.parametrize("said", [b"", b"<html>", b"[" * 100_000, b'{"state": NaN}', b"\xff"])
def test_nonsense_in_an_answer_is_no_more_than_taken(tmp_path: Path, tool: Tool, said: bytes) -> None:
    place = Place(tmp_path, tool)
    tool.faults = [said]
    assert place.make().shift(place.order(), 100).ended is Ended.GOES_ON


def test_an_answer_without_an_end_is_not_read_to_its_end(tmp_path: Path, tool: Tool) -> None:
    place = Place(tmp_path, tool, timeout=timedelta(seconds=20))
    tool.faults = [b"x" * (5 * 2**20)]
    with pytest.raises(TargetError, match="more than"):
        place.make().shift(place.order(), 100)


def test_a_tool_of_another_form_gets_the_body_and_the_headers_that_the_policy_writes(
    tmp_path: Path, tool: Tool
) -> None:
    url = f"{tool.url}/apps/{{{{application}}}}/sync?env={{{{environment}}}}"
    body = {
        "revision": "{{sha}}",
        "share": "{{share}}",
        "note": "{{step}} of {{rollout}}",
        "deep": [{"x": "{{previous_sha}}"}],
    }
    headers = {"Authorization": "Bearer {{secret.TOKEN}}"}
    place = Place(tmp_path, tool, url=url, body=body, headers=headers, secret=None, callback=False)
    tool.faults = [200]
    assert place.make().shift(place.order(), 100).ended is Ended.GOES_ON
    _, path, headers, sent = tool.requests[0]
    assert path == "/apps/shop/sync?env=production"
    assert headers["authorization"] == "Bearer t0ken-1"
    assert "webhook-signature" not in headers
    assert json.loads(sent) == {"revision": sha(2), "share": 100, "note": "shift of 2", "deep": [{"x": sha(1)}]}
    form = place.policy.model_copy(update={"body": None, "form": {"SHA": "{{sha}}", "ODD": "a&b={{rollout}}"}})
    package = replace(place.package(3), target=form)
    tool.faults = [200]
    place.make().shift(replace(place.order(3), new=package), 100)
    assert tool.requests[-1][3] == f"SHA={sha(3)}&ODD=a%26b%3D3".encode()


def test_what_a_tool_says_back_is_shown_without_our_secrets(tmp_path: Path, tool: Tool) -> None:
    headers = {"Authorization": "Bearer {{secret.TOKEN}}"}
    place = Place(tmp_path, tool, body={}, headers=headers)
    tool.faults = [500]
    with pytest.raises(TargetError) as told:
        place.make().shift(place.order(), 100)
    assert "Bearer ***" in str(told.value)
    assert "t0ken-1" not in str(told.value)


# --- following ---


def followed(tmp_path: Path, tool: Tool, **policy: Any) -> Place:
    tool.begins = {"state": "goes on"}
    status = policy.pop("status", Status(url=f"{tool.url}/status/{{{{delivery}}}}"))
    place = Place(tmp_path, tool, status=status, **policy)
    assert place.make().shift(place.order(), 100).ended is Ended.GOES_ON
    return place


def test_a_signed_status_is_followed_to_its_end_with_its_words_and_its_link(tmp_path: Path, tool: Tool) -> None:
    place = followed(tmp_path, tool)
    stands = tool.stands["farm-2-shift-100"]
    stands.update({"share": 40.9, "text": "canary\x07 is well", "url": "https://tool.example.org/runs/7"})
    outcome = place.make().shift(place.order(epoch=2), 100)
    figures = {"tellings": 0, "link": "https://tool.example.org/runs/7", "served": 40}
    assert outcome == Outcome(Ended.GOES_ON, "canary  is well", figures)
    stands.update({"state": "failed", "text": "pods crash"})
    assert place.make().shift(place.order(epoch=3), 100).ended is Ended.FAILED
    stands.update({"state": "done"})
    assert place.make().shift(place.order(epoch=3), 100).words == "pods crash"  # what ended stays so
    assert tool.deployments == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dies before", "cannot be asked"),
        ("hangs", "did not answer within"),
        (500, "answered 500"),
        (302, "redirects are not followed"),
        (b'{"state": "done"}', "without a good signature"),
        (b"", "without a good signature"),
        (b"x" * (5 * 2**20), "more than"),
    ],
)
def test_a_look_that_learns_nothing_ends_nothing(tmp_path: Path, tool: Tool, fault: Any, words: str) -> None:
    place = followed(tmp_path, tool, timeout=timedelta(seconds=0.5))
    tool.faults = [fault]
    outcome = place.make().shift(place.order(), 100)
    assert outcome.ended is Ended.GOES_ON
    assert outcome.figures["unknown"]
    assert words in outcome.words


@pytest.mark.parametrize(
    "told", [{"state": "finished"}, {"state": "done", "share": float("nan")}, {"state": "done", "share": 101}, {}, []]
)
def test_signed_nonsense_ends_nothing_either(tmp_path: Path, tool: Tool, told: Any) -> None:
    place = followed(tmp_path, tool)
    tool.stands["farm-2-shift-100"] = told
    outcome = place.make().shift(place.order(), 100)
    assert (outcome.ended, outcome.figures["unknown"]) == (Ended.GOES_ON, True)
    assert "tells nonsense" in outcome.words


def test_a_status_signed_for_another_delivery_is_not_believed(tmp_path: Path, tool: Tool) -> None:
    """Or a recorded answer could end any rollout of the lane."""
    place = followed(tmp_path, tool, status=Status(url=f"{tool.url}/status/other"))
    tool.stands["other"] = {"state": "done"}
    assert place.make().shift(place.order(), 100).figures["unknown"]


def test_a_share_that_the_tool_reached_ends_the_wave(tmp_path: Path, tool: Tool) -> None:
    tool.begins = {"state": "goes on", "share": 0}
    place = Place(tmp_path, tool, status=Status(url=f"{tool.url}/status/{{{{delivery}}}}"), shares=True)
    assert place.make().shift(place.order(), 20).ended is Ended.GOES_ON
    tool.stands["farm-2-shift-20"]["share"] = 20
    assert place.make().shift(place.order(), 20).ended is Ended.DONE


def test_what_does_not_end_in_its_time_cannot_be_told(tmp_path: Path, tool: Tool) -> None:
    from farmgate.store import handovers

    place = followed(tmp_path, tool, within=timedelta(0))
    with place.store.writing() as connection:
        assert handovers.any_late(connection, place.clock.now())
        handovers.end_late(connection, place.clock.now())
    outcome = place.make().shift(place.order(), 100)
    assert outcome.ended is Ended.UNTOLD
    assert "did not end in its time" in outcome.words


# --- back ---


def test_a_restore_hands_the_old_release_over_and_ends_the_new_ones(tmp_path: Path, tool: Tool) -> None:
    place = followed(tmp_path, tool)
    tool.begins = {"state": "done"}
    assert place.make().restore(place.order(epoch=2)).ended is Ended.DONE
    assert tool.live == sha(1)
    told = json.loads(tool.requests[-1][3])
    assert (told["type"], told["data"]["sha"], told["data"]["previous"]["sha"]) == ("rollout.restore", sha(1), sha(2))
    row = place.book.of(2, "shift-100")
    assert row is not None
    assert row.state is states.Handover.OVER


def test_a_restore_makes_the_call_that_the_policy_has_for_it(tmp_path: Path, tool: Tool) -> None:
    call = Call(url=f"{tool.url}/abort/{{{{previous_sha}}}}", method="PUT", body={"to": "{{sha}}"})
    place = Place(tmp_path, tool, restore=call, body={"sha": "{{sha}}"})
    tool.faults = [202, 202]
    place.make().shift(place.order(), 100)
    assert place.make().restore(place.order()).ended is Ended.GOES_ON
    method, path, _, body = tool.requests[-1]
    assert (method, path, json.loads(body)) == ("PUT", f"/abort/{sha(2)}", {"to": sha(1)})


def test_without_anything_to_go_back_to_a_foreign_tool_needs_a_call_for_it(tmp_path: Path, tool: Tool) -> None:
    place = Place(tmp_path, tool, body={"sha": "{{sha}}"})
    tool.faults = [202]
    place.make().shift(place.order(old=None), 100)
    outcome = place.make().restore(place.order(old=None))
    assert outcome.ended is Ended.FAILED
    assert "take it down by hand" in outcome.words


# --- what answers of other forms mean ---

ARGO = Status(
    url="https://argocd.example.org/api/v1/applications/shop",
    ours={"/status/operationState/syncResult/revision": "{{sha}}"},
    done=({"/status/operationState/phase": "Succeeded", "/status/health/status": "Healthy"},),
    failed=(
        {"/status/operationState/phase": ("Failed", "Error")},
        {"/status/operationState/phase": "Succeeded", "/status/health/status": "Degraded"},
    ),
    text="/status/operationState/message",
)


def argo(phase: str, health: str, revision: str = "abc") -> dict[str, Any]:
    operation = {"phase": phase, "message": f"{phase}!", "syncResult": {"revision": revision}}
    return {"status": {"operationState": operation, "health": {"status": health}}}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (argo("Running", "Progressing"), states.Handover.TAKEN),
        (argo("Succeeded", "Progressing"), states.Handover.TAKEN),
        (argo("Succeeded", "Healthy"), states.Handover.DONE),
        (argo("Succeeded", "Degraded"), states.Handover.FAILED),
        (argo("Error", "Healthy"), states.Handover.FAILED),
        (argo("Succeeded", "Healthy", "older"), None),
        ({"status": {}}, None),
        ([], None),
        (None, None),
    ],
)
def test_conditions_on_the_answer_of_a_real_tool(answer: Any, state: states.Handover | None) -> None:
    if state is None:
        with pytest.raises(handing.Unknown, match="not of this release yet"):
            handing.read(ARGO, answer, {"sha": "abc"})
        return
    assert handing.read(ARGO, answer, {"sha": "abc"}).state is state


def test_what_fits_none_of_the_named_states_is_unknown() -> None:
    status = Status(url="https://x/", done=({"/s": "OK"},), failed=({"/s": "BAD"},), goes_on=({"/s": ["RUN", None]},))
    assert handing.read(status, {"s": None}, {}).state is states.Handover.TAKEN
    for answer in ({"s": "ODD"}, {}, {"s": 1}, {"s": ["OK"]}):
        with pytest.raises(handing.Unknown, match="fits nothing"):
            handing.read(status, answer, {})


def test_a_bool_is_no_number_and_a_share_may_be_text() -> None:
    status = Status(url="https://x/", done=({"/s": 1},), failed=({"/s": False},), share="/p")
    assert handing.read(status, {"s": 1, "p": "35 %"}, {}).share == 35
    assert handing.read(status, {"s": False}, {}).state is states.Handover.FAILED
    assert handing.read(status, {"s": True}, {}).state is states.Handover.TAKEN
    with pytest.raises(handing.Unknown, match="nonsense"):
        handing.read(status, {"s": 1, "p": "NaN"}, {})


def test_values_cannot_leave_their_place() -> None:
    values: dict[str, str | int | None] = {"sha": 'a/../b?x=1&"', "rollout": 7}
    assert handing.address("https://x/{{sha}}", values) == "https://x/a%2F..%2Fb%3Fx%3D1%26%22"
    assert handing.document({"a": "{{ sha }}", "b": "{{rollout}}", "c": "n{{rollout}}"}, values) == {
        "a": 'a/../b?x=1&"',
        "b": 7,
        "c": "n7",
    }


def test_a_location_counts_on_the_host_that_was_asked() -> None:
    status = Status(url="{{location}}api/json", done=({"/result": "SUCCESS"},), failed=({"/result": "FAILURE"},))
    kept = handing.kept(status, None, "/queue/item/7/", "https://ci.example.org/job/x/build")
    assert kept == {"location": "https://ci.example.org/queue/item/7/"}
    assert handing.address(status.url, kept) == "https://ci.example.org/queue/item/7/api/json"
    assert handing.kept(status, None, "https://evil.example.org/", "https://ci.example.org/job") == {}
    with pytest.raises(handing.Unknown, match="no Location"):
        handing.address(status.url, {})


def test_what_the_answer_said_is_a_part_of_the_status_address() -> None:
    status = Status(
        url="https://gate/x?eventId={{answer.eventId}}", done=({"/0/status": "S"},), failed=({"/0/status": "T"},)
    )
    assert handing.kept(status, {"eventId": "a b&c"}, None, "https://gate/w") == {"answer.eventId": "a b&c"}
    assert handing.address(status.url, {"answer.eventId": "a b&c"}) == "https://gate/x?eventId=a%20b%26c"
    assert handing.kept(status, {"eventId": {"x": 1}}, None, "https://gate/w") == {}
    with pytest.raises(handing.Unknown, match="had no eventId"):
        handing.address(status.url, {})


# --- policies ---


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "how is the end known?"),
        ("callback: true", "callbacks are signed: name the 'secret'"),
        ("status: {url: https://x/s}", "a status in our own form is signed"),
        ("secret: S, callback: true, body: {a: 1}, form: {a: b}", "'body' (JSON) and 'form' are two bodies"),
        ("secret: S, callback: true, body: {a: '{{sah}}'}", "{{sah}} stands for nothing here"),
        ("secret: S, callback: true, body: {a: '{{secret.X}}'}", "{{secret.X}} stands for nothing here"),
        ("secret: S, callback: true, headers: {Host: x}", "'Host' is not a header that can be set here"),
        ("secret: S, callback: true, headers: {A: '{{secret.a b}}'}", "names no secret"),
        ("status: {url: https://x/s, done: {/a: 1}}", "'done' and 'failed' go together"),
        ("status: {url: https://x/s, text: /a}", "'text' reads an answer of another form"),
        ("status: {url: https://x/s, done: {a: 1}, failed: {/a: 2}}", "is not a JSON pointer"),
        ("status: {url: 'https://{{sha}}/s', done: {/a: 1}, failed: {/a: 2}}", "the host of an address is written out"),
        ("secret: S, callback: true, every: 0s", "must be more than 0s"),
    ],
)
def test_what_contradicts_itself_is_refused(keys: str, told: str) -> None:
    comma = ", " if keys else ""
    text = f"application: shop\ntarget: {{type: webhook, url: https://x/h{comma}{keys}}}\nlanes: {{production: {{}}}}\n"
    with pytest.raises(BadDocument) as refused:
        parse(text)
    assert told in str(refused.value.problems[0])


def test_a_tool_that_takes_no_shares_has_one_wave() -> None:
    waves = "waves: [{share: 20}, {share: 100}]"
    target = "{type: webhook, url: https://x/h, secret: S, callback: true%s}"
    text = "application: shop\ntarget: " + target + "\nlanes: {production: {%s}}\n"
    with pytest.raises(BadDocument, match="one wave, of 100"):
        parse(text % ("", waves))
    (policy,) = parse(text % (", shares: true", waves))
    assert policy.target.words == "handed over to x, followed by callback"
