"""The daemon of a node: keeps its worker running, tells the server how it is, does what the server asks, cleans up.

Rules:
1. The worker is restarted when it ends, at once the first time and then ever more slowly; one that lived long is
   trusted again.
2. What a dead worker held is removed before the next one starts: containers or processes, folders, marks. Then the
   server is told which attempts ended with it, so that nobody waits for their leases.
3. The server's silence changes nothing here: work goes on, and the heartbeat is tried again.
4. A drained node keeps its heart beating and holds nothing. When the server lifts the drain, it works again.
5. A deaf worker (bells unanswered although slots are free) is replaced, after what it holds has ended.
6. SIGTERM drains and ends; a second one ends at once. A refused credential ends: the node was removed.
7. A passing node (a container that is not kept) leaves the farm at its end, and takes its folder along. One that the
   server did not hear stays in the farm, silent, until it comes back or a person removes it.
"""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from typing import Final

import structlog

from agents.credential import Credential
from agents.worker_process import Sweep, WorkerProcess
from farmgate import __version__
from farmgate.client.node import NodeClient
from farmgate.clock import Clock, stopwatch
from farmgate.errors import FarmgateError, Unauthorised
from farmgate.messages import Heard, Heartbeat
from farmgate.node_folder import Key, NodeFolder
from farmgate.settings import NodeSettings

TICK: Final = timedelta(milliseconds=200)
TRUSTED_SECONDS: Final = 60.0  # a worker that lived this long starts at once again
FIRST_BACKOFF: Final = 0.5
LAST_BACKOFF: Final = 30.0
GRACE_SECONDS: Final = 15.0  # for a worker to end once it has nothing left to wait for

log = structlog.get_logger()


class Agent:
    """Runs until `ask_to_end`."""

    def __init__(
        self,
        settings: NodeSettings,
        folder: NodeFolder,
        credential: Credential,
        client: NodeClient,
        clock: Clock,
        worker: WorkerProcess,
        sweep: Sweep,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._client = client
        self._clock = clock
        self._worker = worker
        self._sweep = sweep
        self._wake = threading.Event()
        self._asked = 0
        self._drained = False
        self._due = 0.0  # the next heartbeat, on the stopwatch
        self._every = credential.heartbeat_seconds
        self._start_at = 0.0  # the worker's next start, on the stopwatch
        self._backoff = 0.0
        self._idle_since: float | None = None
        self._unreachable = False
        self._buried: set[Key] = set()  # held by a dead worker, and being removed
        self._ended: set[Key] = set()  # removed, and not yet told

    def ask_to_end(self) -> None:
        """From a signal handler: once to drain, twice to end at once."""
        self._asked += 1
        self._wake.set()

    def run(self) -> None:
        """Raises Unauthorised if the server no longer knows the node."""
        try:
            self._begin()
            while not self._over():
                self._look_after_worker()
                self._look_after_sweep()
                if stopwatch() >= self._due:
                    self._beat()
                if self._clock.wait(self._wake, TICK):
                    self._wake.clear()
        finally:
            self._end()

    # --- the worker ---------------------------------

    def _begin(self) -> None:
        self._remove_what_is_left()

    def _remove_what_is_left(self, *, anyway: bool = False) -> None:
        """The worker is dead. A mark comes before anything else: without marks and folders there is nothing to find."""
        held = self._folder.held()
        self._buried |= held
        if anyway or held or any(self._folder.attempts.iterdir()):
            self._sweep.start("--all")

    def _look_after_sweep(self) -> None:
        if not self._buried or self._sweep.running:
            return
        if self._sweep.succeeded:  # otherwise something may still run: the leases tell
            self._ended |= self._buried
            self._due = 0.0
        self._buried.clear()

    def _over(self) -> bool:
        if self._asked == 0:
            return False
        if self._asked > 1 or not self._worker.alive:
            return True
        self._worker.stop()
        return False

    def _look_after_worker(self) -> None:
        if self._worker.pid is not None and not self._worker.alive:
            self._bury()
        if self._worker.alive:
            self._hurry()
        elif not (self._drained or self._asked or self._sweep.running) and stopwatch() >= self._start_at:
            self._worker.start()

    def _bury(self) -> None:
        """The worker ended: remove what it held, and decide when the next one starts."""
        code, asked = self._worker.exit_code, self._worker.stopping_since is not None
        if asked or stopwatch() - self._worker.started_at > TRUSTED_SECONDS:
            self._backoff = 0.0
        self._start_at = stopwatch() + self._backoff
        if not asked:
            log.warning("worker ended", exit_code=code, next_start_seconds=self._backoff)
        self._backoff = min(max(self._backoff * 2, FIRST_BACKOFF), LAST_BACKOFF)
        self._worker.kill()  # what is left of its session
        self._worker.reap()
        self._idle_since = None
        self._remove_what_is_left()

    def _hurry(self) -> None:
        """A worker that was asked to end and has nothing to wait for any more is killed."""
        since = self._worker.stopping_since
        if since is None:
            return
        now = stopwatch()
        if self._folder.held():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        idle = self._idle_since is not None and now - self._idle_since > GRACE_SECONDS
        late = not self._worker.patient and now - since > self._settings.drain.total_seconds() + GRACE_SECONDS
        if idle or late:
            log.warning("worker does not end: killed")
            self._worker.kill()

    def _end(self) -> None:
        self._worker.kill()
        # An engine also holds what no mark tells of: the networks that a killed worker had set up ahead.
        self._remove_what_is_left(anyway=self._settings.engine == "docker")
        self._sweep.wait()
        self._look_after_sweep()
        leaves = self._settings.passing
        with contextlib.suppress(FarmgateError):
            self._client.heartbeat(self._heartbeat(worker_alive=False, leaves=leaves))
            if leaves:
                self._folder.forget()

    # --- the server ---------------------------------

    def _heartbeat(self, *, worker_alive: bool, leaves: bool = False) -> Heartbeat:
        free, problem = self._folder.free_bytes(), self._folder.problem()
        if problem is None and free < self._settings.workspace_limit_bytes:
            needed = self._settings.workspace_limit_bytes
            problem = (
                f"nothing is claimed: the disk of {self._folder.root} is full ({free / 2**20:.1f} MiB are free, "
                f"{needed / 2**20:.1f} MiB are needed, FARMGATE_WORKSPACE_LIMIT_BYTES)"
            )
        return Heartbeat(
            slots=self._settings.slots,
            holding=tuple(key.held for key in sorted(self._folder.held())),
            worker_alive=worker_alive,
            free_disk_bytes=free,
            problem=problem,
            version=__version__,
            leaves=leaves,
            labels=self._settings.labels,
            ended=tuple(key.held for key in sorted(self._ended)),
        )

    def _beat(self) -> None:
        sent = self._heartbeat(worker_alive=self._worker.alive)
        try:
            heard = self._client.heartbeat(sent)
        except Unauthorised:
            raise
        except FarmgateError as error:
            if not self._unreachable:
                log.warning("the server does not hear us; work goes on", error=str(error))
            self._unreachable = True
            self._due = stopwatch() + self._every
            return
        if self._unreachable:
            log.info("the server hears us again")
        self._unreachable = False
        self._ended -= {Key(told.job, told.attempt) for told in sent.ended}
        if self._settings.alive_file is not None:
            self._settings.alive_file.touch()
        self._every = heard.heartbeat_seconds
        self._due = stopwatch() + self._every
        if sent.problem is not None and sent.free_disk_bytes >= self._settings.workspace_limit_bytes:
            self._folder.report_problem(None)  # told; if it lasts, the next job says so again
        self._obey(heard)

    def _obey(self, heard: Heard) -> None:
        if heard.drain != self._drained:
            log.info("drained: nothing new is taken" if heard.drain else "the drain is over")
        self._drained = heard.drain
        if heard.drain or heard.restart_worker:
            if heard.restart_worker and self._worker.alive and self._worker.stopping_since is None:
                log.warning("the worker does not hear the bell: it is replaced")
            self._worker.stop(patiently=True)
        over = [str(Key(held.job, held.attempt)) for held in heard.remove]
        if over and not self._sweep.running:
            log.info("over, and still held: ended", attempts=over)
            self._sweep.start(*over)
