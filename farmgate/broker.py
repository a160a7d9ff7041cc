"""Redis and Celery: the doorbell, and the wake-up of the loops.

Rules (each was measured):
1. Nothing depends on a message. A bell that cannot be rung is logged; the loop rings again.
2. Celery stays minimal: JSON, no result backend, no events, no ETA, no revoke; messages are acknowledged early, since
   the row and not the message is the work.
3. While Redis is silent (half-open connections hang for seconds), only the first ring of a few seconds waits for it:
   a loop with a hundred bells to ring goes on.
4. Every connection has socket timeouts, keepalive and health checks: a half-open connection heals in seconds.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, Protocol

import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from farmgate.clock import Clock, stopwatch
from farmgate.errors import BrokerUnreachable
from farmgate.messages import TASK, queue_of, queue_of_node

TRANSPORT: dict[str, Any] = {
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}

SILENT_SECONDS = 3.0
HANGS_SECONDS = 0.5

# For who only tells: a loop that rings or wakes must not hang for long.
TELLING: dict[str, Any] = TRANSPORT | {"socket_timeout": 2, "socket_connect_timeout": 2, "retry_on_timeout": False}


def make_app(url: str, pool: str | None = None, node: int | None = None) -> Celery:
    """A Celery application on the broker at `url`; with `pool`, one that listens to the pool's queue and to the
    node's own."""
    app = Celery("farmgate", broker=celery_url(url))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=TELLING if pool is None else TRANSPORT,
        broker_pool_limit=4,
        task_create_missing_queues=True,
    )
    if pool is not None:
        own = [] if node is None else [Queue(queue_of_node(node))]
        app.conf.task_queues = [*own, Queue(queue_of(pool))]
        app.conf.task_default_queue = queue_of(pool)
    return app


def celery_url(url: str) -> str:
    """kombu's spelling of a Redis URL: a unix socket is `redis+socket://`."""
    return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url


def connect(url: str, transport: dict[str, Any] = TRANSPORT) -> redis.Redis:
    """A Redis client with the settings of rule 4; it tries once, and again where the transport says so."""
    plain = url.replace("redis+socket://", "unix://", 1)
    on_socket = plain.startswith("unix://")
    options = {name: value for name, value in transport.items() if name != "socket_keepalive" or not on_socket}
    return redis.Redis.from_url(plain, retry=Retry(NoBackoff(), int(options["retry_on_timeout"])), **options)


def after(since: float) -> float:
    """Rule 3: when to ask again a Redis that failed us, asked at `since`; at once, if it said so at once."""
    now = stopwatch()
    return now + SILENT_SECONDS if now - since > HANGS_SECONDS else 0.0


class Bell(Protocol):
    """Tells a pool, or one node, that a job's attempt waits to be claimed. May be rung twice, may be lost."""

    def ring(self, pool: str, job: int, attempt: int, node: int | None = None) -> None:
        """Raises BrokerUnreachable."""
        ...


class CeleryBell:
    """The bell that Celery workers hear."""

    def __init__(self, url: str) -> None:
        self.app = make_app(url)
        self._silent_until = 0.0  # on the stopwatch

    def ring(self, pool: str, job: int, attempt: int, node: int | None = None) -> None:
        queue = queue_of(pool) if node is None else queue_of_node(node)
        if stopwatch() < self._silent_until:
            raise BrokerUnreachable(f"the bell for job {job} is not rung: Redis did not answer a moment ago")
        since = stopwatch()
        try:
            self.app.send_task(TASK, args=(job, attempt), queue=queue, retry=False, ignore_result=True)
        except (OperationalError, redis.RedisError, OSError) as error:
            self._silent_until = after(since)
            raise BrokerUnreachable(f"the bell for job {job} could not be rung: {error}") from error


class Signals(Protocol):
    """Dirty signals to the loops: 'look again'. Lost or doubled ones are harmless."""

    def wake(self, loop: str) -> None: ...

    def wait(self, loop: str, at_most: timedelta) -> None: ...


class LocalSignals:
    """Between the threads of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def _event(self, loop: str) -> threading.Event:
        with self._lock:
            return self._events.setdefault(loop, threading.Event())

    def wake(self, loop: str) -> None:
        self._event(loop).set()

    def wait(self, loop: str, at_most: timedelta) -> None:
        event = self._event(loop)
        self._clock.wait(event, at_most)
        event.clear()


class RedisSignals:
    """Between processes: a list of at most a few tokens per loop. Without Redis, `wait` just waits."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._client = connect(url)
        self._teller = connect(url, TELLING)
        self._clock = clock
        self._silent_until = 0.0

    def wake(self, loop: str) -> None:
        if stopwatch() < self._silent_until:
            return
        since = stopwatch()
        try:
            with self._teller.pipeline(transaction=False) as pipe:
                pipe.lpush(f"farmgate:wake:{loop}", 1)
                pipe.ltrim(f"farmgate:wake:{loop}", 0, 0)
                pipe.execute()
        except redis.RedisError:  # the loop looks again by itself
            self._silent_until = after(since)

    def wait(self, loop: str, at_most: timedelta) -> None:
        seconds = min(at_most.total_seconds(), 4.0)  # below the socket timeout
        try:
            self._client.blpop([f"farmgate:wake:{loop}"], timeout=seconds)
        except redis.RedisError:
            self._clock.sleep(min(at_most, timedelta(seconds=1)))
