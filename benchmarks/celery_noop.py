"""Celery's own no-op: how long a message takes to reach a worker and an answer to come back, and how many a second.

The worker is as lean as Farmgate's (threads, no gossip, mingle or events). The task answers with one LPUSH, so no
result backend is involved, as in Farmgate.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass

from farmgate.broker import connect, make_app
from farmgate.clock import stopwatch
from workers.nudge import Nudge

QUEUE, ANSWERS = "bench.noop", "bench:answers"


@dataclass(frozen=True, slots=True)
class Noop:
    """Round trip of a single message (median, seconds) and messages a second when many wait."""

    round_trip: float
    per_second: float


def measure(url: str, *, singles: int = 50, many: int = 1000) -> Noop:
    """Start a worker on the broker at `url`, measure, stop it."""
    client = connect(url)
    app = make_app(url)
    silent = subprocess.DEVNULL
    worker = subprocess.Popen((sys.executable, "-m", __spec__.name, url), stdout=silent, stderr=silent)
    try:
        app.send_task("bench.noop", queue=QUEUE)
        if client.blpop([ANSWERS], timeout=4) is None and client.blpop([ANSWERS], timeout=4) is None:
            raise RuntimeError("the no-op worker did not answer within 8 seconds")
        trips = []
        for _ in range(singles):
            began = stopwatch()
            app.send_task("bench.noop", queue=QUEUE)
            client.blpop([ANSWERS], timeout=4)
            trips.append(stopwatch() - began)
        began = stopwatch()
        for _ in range(many):
            app.send_task("bench.noop", queue=QUEUE)
        for _ in range(many):
            client.blpop([ANSWERS], timeout=4)
        return Noop(statistics.median(trips), many / (stopwatch() - began))
    finally:
        worker.terminate()
        worker.wait(20)


def serve(url: str) -> None:
    """The worker: answers each task with one LPUSH."""
    app = make_app(url)
    client = connect(url)
    nudge = Nudge()
    app.steps["consumer"].add(nudge.step())

    @app.task(name="bench.noop")
    def noop() -> None:
        nudge.give()
        client.lpush(ANSWERS, 1)

    app.worker_main(
        ["worker", "-Q", QUEUE, "-P", "threads", "-c", "2", "--without-gossip", "--without-mingle", "-l", "ERROR"]
    )


if __name__ == "__main__":
    serve(sys.argv[1])
