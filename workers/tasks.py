"""The Celery worker: hears the bell, and runs attempts.

Rules:
1. A task is only the bell: (job, attempt). It never fails and never retries; what became of it is told by HTTP.
2. Threads: a worker only drives containers and uploads. As many as the node has slots.
3. SIGTERM is a warm shutdown: nothing new is taken, what runs is finished. What takes longer than the drain time is
   killed and reported lost.
4. When the agent dies its pipe closes: then everything is killed and nothing reported, and this process ends. What it
   held stays marked, for the next agent to remove and to tell. Who ends claims nothing more, whatever it still hears.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

import structlog
from celery import Celery, signals

from farmgate.broker import make_app
from farmgate.client.node import NodeClient
from farmgate.clock import Clock, stopwatch
from farmgate.errors import FarmgateError
from farmgate.messages import TASK
from farmgate.node_folder import Key, NodeFolder
from farmgate.settings import WorkerSettings
from workers.bench import Bench
from workers.engines import make_engine
from workers.gate import Gate
from workers.leases import Leases
from workers.nudge import Nudge
from workers.run import run_attempt
from workers.stop import Ending
from workers.workspace import sweep_folders

ORPHANED: Final = 70  # exit code after the agent's death
ORPHAN_SECONDS: Final = 10.0
SWEEP_EVERY: Final = timedelta(minutes=1)

log = structlog.get_logger()


def make_bench(settings: WorkerSettings, clock: Clock) -> Bench:
    """All that attempts work with. Raises BadSettings."""
    folder = NodeFolder(settings.node_data)
    client = NodeClient(settings.server, settings.credential.get_secret_value(), connections=settings.slots * 4 + 4)
    leases = Leases(client, clock)
    return Bench(
        client=client,
        engine=make_engine(settings, folder),
        folder=folder,
        leases=leases,
        clock=clock,
        settings=settings,
        beside=ThreadPoolExecutor(settings.slots, thread_name_prefix="beside"),
    )


def make_worker_app(settings: WorkerSettings, bench: Bench, gate: Gate) -> Celery:
    """The Celery application with the one task."""
    app = make_app(settings.broker_url.get_secret_value(), settings.pool, settings.node)
    nudge = Nudge()
    app.steps["consumer"].add(nudge.step())

    @app.task(name=TASK, ignore_result=True)
    def run_job(job: int, attempt: int) -> None:
        nudge.give()  # this message is acknowledged: the next one may be fetched
        if gate.passes():
            hear(bench, job, attempt)

    return app


def hear(bench: Bench, job: int, attempt: int) -> None:
    """The bell rang. Whatever goes wrong here is told in the worker's log; the row tells the farm."""
    said, since = log.bind(job=job, attempt=attempt), stopwatch()
    try:
        result = run_attempt(bench, Key(job, attempt))
    except Exception:  # noqa: BLE001 - a bug of ours: the lease runs out and the job gets another attempt
        said.exception("attempt crashed")
        return
    if result is not None:
        said.info(result.outcome, reason=result.reason, seconds=round(stopwatch() - since, 3))


def serve(settings: WorkerSettings, clock: Clock, agent_pipe: int | None = None) -> int:
    """Work until SIGTERM; gives the exit code. `agent_pipe` is a descriptor that closes when the agent dies."""
    bench = make_bench(settings, clock)
    gate = Gate(bench.engine, bench.folder, bench.clock, settings.workspace_limit_bytes)
    app = make_worker_app(settings, bench, gate)
    bench.leases.start()
    patient = threading.Event()
    if agent_pipe is not None:
        threading.Thread(target=_obey_agent, args=(bench, gate, agent_pipe, patient), name="agent", daemon=True).start()
    threading.Thread(target=_sweep, args=(bench,), name="sweep", daemon=True).start()
    threading.Thread(target=_warm_up, args=(bench,), name="warm-up", daemon=True).start()

    @signals.worker_shutting_down.connect(weak=False)
    def draining(**_: Any) -> None:
        gate.close()
        if not patient.is_set():
            threading.Thread(target=_drain, args=(bench, settings), name="drain", daemon=True).start()

    # where we are root, jobs are not: see workers.workspace
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    worker = app.Worker(
        pool="threads",
        concurrency=settings.slots,
        hostname=f"farmgate-{settings.node}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
    )
    log.info("worker ready", node=settings.node, pool=settings.pool, slots=settings.slots, engine=settings.engine)
    try:
        worker.start()
    finally:
        bench.leases.close()
        bench.engine.close()
        bench.client.close()
    return int(worker.exitcode or 0)


def _warm_up(bench: Bench) -> None:
    """Connect to the engine before the first job needs it."""
    try:
        bench.engine.warm_up()
    except FarmgateError as error:
        log.warning("engine not ready", error=str(error))


def _drain(bench: Bench, settings: WorkerSettings) -> None:
    bench.clock.sleep(settings.drain)
    bench.leases.stop_all(Ending.DRAIN)


def _obey_agent(bench: Bench, gate: Gate, pipe: int, patient: threading.Event) -> None:
    """A byte asks to drain without a time limit; the end of the pipe is the agent's death."""
    while os.read(pipe, 1):
        patient.set()
        os.kill(os.getpid(), signal.SIGTERM)
    log.warning("the agent is gone")
    gate.close()
    threading.Timer(ORPHAN_SECONDS, os._exit, (ORPHANED,)).start()
    bench.leases.stop_all(Ending.ORPHANED)
    bench.engine.close()
    os._exit(ORPHANED)


def _sweep(bench: Bench) -> None:
    """Regularly: what an attempt of ours could not remove when it ended."""
    never = threading.Event()
    while not bench.clock.wait(never, SWEEP_EVERY):
        try:
            bench.engine.sweep(bench.folder.held)
            sweep_folders(bench.folder, bench.folder.held)
        except (FarmgateError, OSError) as error:
            log.warning("sweep failed", error=str(error))
