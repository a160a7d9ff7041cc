"""The people's client: refusals by name, reading repeated, logs without gaps."""

from __future__ import annotations

import httpx
import pytest

from farmgate.client.api import Api, LogEnd, LogPiece, events_of
from farmgate.clock import VirtualClock
from farmgate.errors import Conflict, FarmgateError, NotFound, Refused, ServerUnreachable, Unauthorised
from tests.cli.conftest import CannedFarm


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorised), (403, Unauthorised), (404, NotFound), (409, Conflict), (422, Refused), (413, Refused)],
)
def test_a_refusal_becomes_the_error_that_names_it(farm: CannedFarm, status: int, kind: type[FarmgateError]) -> None:
    body = {"error": "that cannot be", "where": "delivery.yml:3:1", "remedy": "write something else"}
    farm.answers["GET /api/status"] = httpx.Response(status, json=body)
    with farm.api() as api, pytest.raises(kind, match=r"that cannot be \(delivery.yml:3:1\)\. write something else"):
        api.status()


def test_a_servers_failure_is_told_with_what_it_said(farm: CannedFarm) -> None:
    farm.answers["GET /api/status"] = httpx.Response(500, text="Internal Server Error")
    with farm.api() as api, pytest.raises(ServerUnreachable, match="Internal Server Error"):
        api.status()


def test_the_token_goes_along_and_stays_out_of_the_address(farm: CannedFarm) -> None:
    farm.answers["GET /api/status"] = {}
    with farm.api() as api:
        api.status()
    assert farm.asked[0].headers["Authorization"] == "Bearer fgt_test"
    assert "fgt_test" not in str(farm.asked[0].url)


def test_reading_is_repeated_when_the_connection_breaks(farm: CannedFarm) -> None:
    broken = iter([httpx.ReadError("reset"), httpx.RemoteProtocolError("closed")])
    farm.answers["GET /api/lanes"] = lambda _: next(broken, [{"application": "shop"}])
    with farm.api() as api:
        assert api.lanes() == [{"application": "shop"}]
    assert len(farm.asked) == 3


def test_writing_is_never_repeated(farm: CannedFarm) -> None:
    farm.answers["POST /api/runs/7/rerun"] = httpx.ReadError("reset")
    with farm.api() as api, pytest.raises(ServerUnreachable):
        api.rerun(7)
    assert len(farm.asked) == 1


def test_nobody_answering_says_how_to_start_a_farm() -> None:
    with Api("http://127.0.0.1:9", clock=VirtualClock()) as api, pytest.raises(ServerUnreachable, match="farmgate up"):
        api.status()


def test_names_of_others_cannot_leave_their_place_in_the_path(farm: CannedFarm) -> None:
    with farm.api() as api, pytest.raises(NotFound):
        api.repository("../tokens")
    assert farm.asked[0].url.raw_path == b"/api/repositories/..%2Ftokens"


def test_a_followed_log_goes_on_where_it_broke() -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) == 1:  # ends in the middle, as a connection does that is cut
            return httpx.Response(200, text='event: chunk\nid: 6\ndata: {"offset": 0, "text": "hello\\n"}\n\n')
        events = (
            'event: chunk\nid: 12\ndata: {"offset": 6, "text": "world\\n"}\n\nevent: end\ndata: {"state": "passed"}\n\n'
        )
        return httpx.Response(200, text=events)

    with Api("http://farm.test", clock=VirtualClock(), transport=httpx.MockTransport(answer)) as api:
        pieces = list(api.follow_log(3))
    assert pieces == [LogPiece("hello\n", 6), LogPiece("world\n", 12), LogEnd("passed")]
    assert calls[1].headers["Last-Event-ID"] == "6"


def test_a_log_that_stays_away_ends_in_an_error() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with (
        Api("http://farm.test", clock=VirtualClock(), transport=httpx.MockTransport(answer)) as api,
        pytest.raises(ServerUnreachable),
    ):
        list(api.follow_log(3))


def test_events_are_read_by_their_rules() -> None:
    lines = [": alive", "", "event: chunk", "data: a", "data:b", "id: 4", "", "data: c", ""]
    assert list(events_of(iter(lines))) == [("chunk", "a\nb", "4"), ("message", "c", "4")]
