"""The doorbell and the wake-up, over a real Redis that dies, forgets and freezes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any, cast

import pytest
from kombu import Consumer

from farmgate.broker import (
    SILENT_SECONDS,
    TRANSPORT,
    CeleryBell,
    LocalSignals,
    RedisSignals,
    celery_url,
    connect,
    make_app,
)
from farmgate.clock import SystemClock, VirtualClock, stopwatch
from farmgate.embedded import EmbeddedRedis
from farmgate.errors import BrokerUnreachable
from farmgate.messages import TASK, queue_of, queue_of_node

LONG = timedelta(seconds=3)
CLOCK = SystemClock()


def heard(server: EmbeddedRedis, pool: str = "default") -> list[tuple[Any, dict[str, Any]]]:
    """What lies in a pool's queue, oldest first: the arguments and the whole message."""
    client = connect(server.url)
    texts = cast(list[bytes], client.lrange(queue_of(pool), 0, -1))
    raw = [json.loads(text) for text in texts]
    client.close()
    return [(json.loads(base64.b64decode(message["body"]))[0], message) for message in reversed(raw)]


@contextmanager
def frozen(server: EmbeddedRedis) -> Iterator[None]:
    """Redis keeps its connections and answers nothing."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


# --- the bell --------------------------------------------------------------------------------------------------------


def test_a_message_names_a_job_and_its_attempt_and_nothing_else(redis_server: EmbeddedRedis) -> None:
    CeleryBell(redis_server.url).ring("default", 7, 2)
    ((arguments, message),) = heard(redis_server)
    assert arguments == [7, 2]
    assert message["headers"]["task"] == TASK
    assert message["content-type"] == "application/json"
    assert message["headers"]["eta"] is None
    assert message["headers"]["expires"] is None


def test_each_pool_has_its_own_bell(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 1, 1)
    bell.ring("big", 2, 1)
    assert [arguments for arguments, _ in heard(redis_server, "default")] == [[1, 1]]
    assert [arguments for arguments, _ in heard(redis_server, "big")] == [[2, 1]]


@contextmanager
def listening(server: EmbeddedRedis, node: int) -> Iterator[Callable[[], list[tuple[int, int]]]]:
    """A node's worker's ears, as its application has them: what it has heard since the last look."""
    app = make_app(server.url, "default", node)
    got: list[tuple[int, int]] = []

    def take(body: Any, message: Any) -> None:
        got.append(tuple(body[0]))
        message.ack()

    with (
        app.connection_for_read() as connection,
        Consumer(connection.channel(), list(app.amqp.queues.consume_from.values()), callbacks=[take], accept=["json"]),
    ):

        def look() -> list[tuple[int, int]]:
            with contextlib.suppress(TimeoutError):
                while True:
                    connection.drain_events(timeout=0.5)
            found = list(got)
            got.clear()
            return found

        yield look


def test_a_node_hears_its_pool_and_itself_and_never_another_node(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    with listening(redis_server, 1) as first, listening(redis_server, 2) as second:
        bell.ring("default", 7, 1, node=2)
        assert (first(), second()) == ([], [(7, 1)])
        bell.ring("default", 8, 1)
        assert sorted(first() + second()) == [(8, 1)], "one of the pool, and one alone"
        bell.ring("other", 9, 1)
        assert (first(), second()) == ([], [])


def test_a_nodes_own_bell_that_redis_forgot_is_heard_when_it_is_rung_again(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 7, 1, node=2)  # the node is away
    client = connect(redis_server.url)
    assert client.llen(queue_of_node(2)) == 1
    client.flushall()
    client.close()
    with listening(redis_server, 2) as second:
        assert second() == []
        bell.ring("default", 7, 1, node=2)
        assert second() == [(7, 1)]


def test_bells_are_heard_in_the_order_they_were_rung(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    for job in range(1, 6):
        bell.ring("default", job, 1)
    assert [arguments[0] for arguments, _ in heard(redis_server)] == [1, 2, 3, 4, 5]


def test_what_redis_forgets_is_heard_when_it_is_rung_again(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 1, 1)
    client = connect(redis_server.url)
    client.flushall()
    client.close()
    assert heard(redis_server) == []
    bell.ring("default", 1, 1)
    assert [arguments for arguments, _ in heard(redis_server)] == [[1, 1]]


def test_without_redis_the_bell_says_so_at_once_and_rings_again_after_it_is_back(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 1, 1)
    redis_server.stop()
    began = stopwatch()
    with pytest.raises(BrokerUnreachable, match="job 2"):
        bell.ring("default", 2, 1)
    assert stopwatch() - began < 5
    redis_server.start()
    bell.ring("default", 2, 1)
    assert [2, 1] in [arguments for arguments, _ in heard(redis_server)]


def test_a_redis_that_is_killed_is_noticed_and_found_again(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 1, 1)
    assert redis_server.pid is not None
    os.kill(redis_server.pid, signal.SIGKILL)
    deadline = stopwatch() + 10
    while redis_server.alive:
        assert stopwatch() < deadline
        SystemClock().sleep(timedelta(milliseconds=10))
    with pytest.raises(BrokerUnreachable):
        bell.ring("default", 2, 1)
    redis_server.start()
    bell.ring("default", 2, 1)
    assert [2, 1] in [arguments for arguments, _ in heard(redis_server)]


@pytest.mark.slow
def test_a_redis_that_freezes_does_not_freeze_the_loop(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 1, 1)
    began = stopwatch()
    with frozen(redis_server):
        with pytest.raises(BrokerUnreachable):
            bell.ring("default", 2, 1)
        waited = stopwatch() - began
    assert waited < 10
    CLOCK.sleep(timedelta(seconds=SILENT_SECONDS))
    bell.ring("default", 3, 1)
    assert [3, 1] in [arguments for arguments, _ in heard(redis_server)]


def test_celery_is_configured_to_keep_nothing_and_promise_nothing() -> None:
    conf = make_app("redis://127.0.0.1:1/0", "big").conf
    assert conf["result_backend"] is None
    assert conf.accept_content == ["json"]
    assert conf.task_acks_late is False
    assert [queue.name for queue in conf.task_queues] == ["farmgate.big"]
    assert {"socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"} <= set(TRANSPORT)


def test_a_unix_socket_is_spelled_as_each_library_wants_it() -> None:
    assert celery_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert celery_url("redis://:pw@redis:6379/0") == "redis://:pw@redis:6379/0"
    client = connect("redis+socket:///run/redis.sock")
    assert client.connection_pool.connection_kwargs["path"] == "/run/redis.sock"
    client.close()


# --- the wake-up -----------------------------------------------------------------------------------------------------


def waits(signals: RedisSignals | LocalSignals, span: timedelta = LONG) -> float:
    began = stopwatch()
    signals.wait("deploy", span)
    return stopwatch() - began


def test_a_loop_that_was_woken_does_not_wait(redis_server: EmbeddedRedis) -> None:
    clock = SystemClock()
    RedisSignals(redis_server.url, clock).wake("deploy")
    assert waits(RedisSignals(redis_server.url, clock)) < 2


def test_a_loop_that_waits_is_woken(redis_server: EmbeddedRedis) -> None:
    clock = SystemClock()
    signals, began = RedisSignals(redis_server.url, clock), stopwatch()
    waiting = Thread(target=signals.wait, args=("deploy", LONG))
    waiting.start()
    RedisSignals(redis_server.url, clock).wake("deploy")
    waiting.join(timeout=10)
    assert stopwatch() - began < 2


def test_many_signals_are_one(redis_server: EmbeddedRedis) -> None:
    signals = RedisSignals(redis_server.url, SystemClock())
    for _ in range(20):
        signals.wake("deploy")
    assert waits(signals) < 2
    assert waits(signals, timedelta(seconds=0.2)) >= 0.15, "a burst wakes the loop once, not twenty times"


def test_a_signal_wakes_its_own_loop_only(redis_server: EmbeddedRedis) -> None:
    signals = RedisSignals(redis_server.url, SystemClock())
    signals.wake("scheduler")
    assert waits(signals, timedelta(seconds=0.2)) >= 0.15


def test_without_redis_waking_is_harmless_and_waiting_just_waits(redis_server: EmbeddedRedis) -> None:
    clock = VirtualClock()
    signals = RedisSignals(redis_server.url, clock)
    redis_server.stop()
    signals.wake("deploy")
    before = clock.now()
    signals.wait("deploy", LONG)
    assert timedelta(0) < clock.now() - before <= LONG, "a loop without Redis must not spin"


def test_a_signal_that_redis_forgot_costs_a_pause_and_the_next_one_arrives(redis_server: EmbeddedRedis) -> None:
    signals = RedisSignals(redis_server.url, SystemClock())
    signals.wake("deploy")
    client = connect(redis_server.url)
    client.flushall()
    client.close()
    assert waits(signals, timedelta(seconds=0.2)) >= 0.15
    signals.wake("deploy")
    assert waits(signals) < 2


def test_signals_arrive_again_after_redis_was_killed(redis_server: EmbeddedRedis) -> None:
    signals = RedisSignals(redis_server.url, SystemClock())
    signals.wake("deploy")
    signals.wait("deploy", LONG)
    redis_server.stop()
    signals.wait("deploy", timedelta(seconds=0.01))
    redis_server.start()
    signals.wake("deploy")
    assert waits(signals) < 2


def test_threads_of_one_process_wake_each_other_without_redis() -> None:
    signals = LocalSignals(SystemClock())
    signals.wake("deploy")
    signals.wake("deploy")
    assert waits(signals) < 1
    began = stopwatch()
    waiting = Thread(target=signals.wait, args=("deploy", LONG))
    waiting.start()
    signals.wake("deploy")
    waiting.join(timeout=10)
    assert stopwatch() - began < 2


@pytest.mark.needs("redis")
def test_a_redis_that_hangs_holds_up_one_ring_and_not_the_next(redis_server: EmbeddedRedis) -> None:
    bell = CeleryBell(redis_server.url)
    bell.ring("default", 1, 1)
    with frozen(redis_server):
        with pytest.raises(BrokerUnreachable):
            bell.ring("default", 2, 1)
        since = stopwatch()
        for job in range(100):
            with pytest.raises(BrokerUnreachable):
                bell.ring("default", job, 1)
        assert stopwatch() - since < 1
