"""Leases, renewed together."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.errors import ServerUnreachable
from farmgate.messages import Held, Renewed
from farmgate.node_folder import Key
from workers.leases import Leases
from workers.stop import Ending, Stop

A, B = Key(1, 1), Key(2, 3)


class Server:
    """Answers renewals."""

    def __init__(self) -> None:
        self.asked: list[tuple[Held, ...]] = []
        self.answer = Renewed(lease_seconds=0.6)
        self.away = False
        self.changed = threading.Condition()

    def renew(self, held: tuple[Held, ...], *, timeout_seconds: float | None = None) -> Renewed:
        with self.changed:
            self.asked.append(held)
            self.changed.notify_all()
        if self.away:
            raise ServerUnreachable("away")
        return self.answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def leases(server: Server) -> Iterator[Leases]:
    leases = Leases(server, SystemClock())
    leases.start()
    yield leases
    leases.close()


def hold(leases: Leases, key: Key, seconds: float = 0.6) -> Stop:
    stop = Stop()
    leases.hold(key, seconds, stopwatch(), stop)
    return stop


def test_all_leases_are_renewed_in_one_call_and_last(leases: Leases, server: Server) -> None:
    stops = [hold(leases, A), hold(leases, B)]
    with server.changed:
        assert server.changed.wait_for(lambda: len(server.asked) >= 5, timeout=10)
    assert {tuple(asked) for asked in server.asked} == {(A.held, B.held)}
    assert [stop.ending for stop in stops] == [None, None]


def test_a_lease_that_cannot_be_renewed_ends_its_attempt_before_the_server_gives_it_away(
    leases: Leases, server: Server
) -> None:
    server.away = True
    began = stopwatch()
    stop = hold(leases, A)
    assert stop.event.wait(5)
    assert stop.ending is Ending.LEASE
    assert stopwatch() - began < 0.6
    assert len(server.asked) > 1


def test_a_server_that_comes_back_in_time_is_no_loss(leases: Leases, server: Server) -> None:
    server.away = True
    stop = hold(leases, A, 2.0)
    with server.changed:
        assert server.changed.wait_for(lambda: server.asked, timeout=10)
    server.away = False
    with server.changed:
        assert server.changed.wait_for(lambda: len(server.asked) >= 6, timeout=10)
    assert stop.ending is None


def test_the_answer_names_what_to_give_up(leases: Leases, server: Server) -> None:
    server.answer = Renewed(lease_seconds=0.6, cancelled=(A.held,), lost=(B.held,))
    cancelled, lost = hold(leases, A), hold(leases, B)
    assert cancelled.event.wait(5)
    assert lost.event.wait(5)
    assert (cancelled.ending, lost.ending) == (Ending.CANCELLED, Ending.STALE)


def test_what_was_released_is_not_renewed(leases: Leases, server: Server) -> None:
    hold(leases, A)
    hold(leases, B)
    leases.release(A)
    with server.changed:
        assert server.changed.wait_for(lambda: server.asked and server.asked[-1] == (B.held,), timeout=10)
