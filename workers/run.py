"""The life of an attempt on a node: claim, workspace, container, log, artifacts, result; then nothing of it is left.

Rules:
1. A claim that is lost ends silently: someone else has the job, or nobody needs it any more.
2. The mark of holding comes before anything is made, and goes after everything is removed.
3. The image and the container are made ready while the mirror is fetched and the workspace filled.
4. A stopped attempt (time, cancellation, a lost lease, a refusal) is killed until it is over. A refused one uploads
   nothing more.
5. The result is told before the container and the folder are removed, so that nobody waits for the cleaning.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from pydantic import TypeAdapter

from farmgate.clock import random_token, stopwatch
from farmgate.errors import EngineError, FarmgateError, LostRace, NoSpace, NotInRepository, StaleAttempt
from farmgate.git.node import NodeMirror
from farmgate.messages import Claim, Claimed, Result
from farmgate.node_folder import Key
from farmgate.pipeline import JobSpec
from workers import around, verdict
from workers.artifacts import Workspace
from workers.bench import Bench
from workers.engines.engine import Ended, Limits, Order
from workers.logs import LogStream, while_it_may_speak
from workers.output import Output
from workers.script import write_script
from workers.stop import Ending, Stop
from workers.timings import Timings
from workers.workspace import give_away, make_folder, no_space_named, owner, remove_folder

KILL_AGAIN: Final = timedelta(milliseconds=300)
FULL_BYTES: Final = 16 * 2**20  # less free space than this, and a failed step is the disk's fault

log = structlog.get_logger()


def run_attempt(bench: Bench, key: Key) -> Result | None:
    """Run it from claim to clean-up; gives what was reported, None if nothing was."""
    timings = Timings()
    since = stopwatch()
    try:
        with timings.phase("claim"):
            claimed = bench.client.claim(Claim(job=key.job, attempt=key.attempt))
    except LostRace:
        return None
    except FarmgateError as error:  # the bell is rung again
        log.warning("claim failed", job=key.job, attempt=key.attempt, error=str(error))
        return None
    stop = Stop()
    said = log.bind(job=key.job, attempt=key.attempt, run=claimed.run)
    try:
        bench.folder.hold(key)
        bench.leases.hold(key, claimed.lease_seconds, since, stop)
        result = _work(bench, claimed, key, stop, timings)
        if result is None:
            said.info("attempt given up", why=stop.ending.value if stop.ending else "refused")
            return None
        return _report(bench, claimed, result, stop, timings)
    except StaleAttempt:
        said.info("attempt refused")
        return None
    except FarmgateError as error:  # the lease runs out by itself, and the job gets a new attempt
        said.warning("result could not be told", error=str(error))
        return None
    finally:
        if stop.ending is Ending.ORPHANED:  # the mark stays: the next agent finds it, and tells what was held
            bench.leases.release(key)
        else:
            _clean_up(bench, key)


def _report(bench: Bench, claimed: Claimed, result: Result, stop: Stop, timings: Timings) -> Result:
    timings.mark("total")
    full = result.model_copy(update={"timings": timings.seconds})
    while_it_may_speak(stop, lambda: bench.client.result(claimed, full))
    return full


def _clean_up(bench: Bench, key: Key) -> None:
    bench.leases.release(key)
    try:
        with contextlib.suppress(FarmgateError):  # the sweep finds what stays
            bench.engine.discard(key)
        remove_folder(bench.folder.attempts / str(key))
    except OSError as error:
        log.warning("workspace not removed", job=key.job, error=str(error))
    finally:
        with contextlib.suppress(OSError):
            bench.folder.release(key)


def _work(bench: Bench, claimed: Claimed, key: Key, stop: Stop, timings: Timings) -> Result | None:
    """Everything between claim and result. None: say nothing."""
    stream = LogStream(bench.client, claimed, stop)
    try:
        try:
            spec = JobSpec.model_validate(claimed.spec)
            result = _prepare_and_run(bench, claimed, spec, key, stop, stream, timings)
        except StaleAttempt:
            raise
        except (FarmgateError, OSError) as error:
            if isinstance(error, EngineError):
                bench.folder.report_problem(str(error))
            if isinstance(error, NoSpace):
                remove_folder(bench.folder.attempts / str(key))  # first, so that the problem can be written
                bench.folder.report_problem(str(error))
            result = verdict.of_error(error)
        except Exception as error:
            log.exception("attempt crashed", job=key.job, attempt=key.attempt)
            result = Result(outcome="lost", reason=f"the worker failed: {error!r}")
        if stop.ending is not None:
            stopped = verdict.of_stop(stop.ending, _timeout(claimed))
            if stopped is None:
                return None
            result = stopped.model_copy(update={"exit_code": result.exit_code})
        with contextlib.suppress(StaleAttempt):
            if result.reason and result.outcome != "cancelled":
                stream.write(f"farmgate: {result.reason}\n".encode())
        try:
            stream.close()
        except StaleAttempt:
            raise
        except FarmgateError as error:
            result = Result(outcome="lost", reason=f"the log could not be sent: {error}")
        return result.model_copy(update={"log_bytes": stream.length})
    finally:
        stream.abandon()


def _timeout(claimed: Claimed) -> timedelta:
    return TypeAdapter(timedelta).validate_python(claimed.spec.get("timeout", 0))


def _prepare_and_run(
    bench: Bench, claimed: Claimed, spec: JobSpec, key: Key, stop: Stop, stream: LogStream, timings: Timings
) -> Result:
    folder = make_folder(bench.folder, key, bench.settings.workspace_limit_bytes)
    mirror = NodeMirror(bench.folder.mirrors / str(claimed.repository_id))
    order = _order(bench, claimed, spec, key, folder, mirror)
    ready = bench.beside.submit(_ready, bench, order, stop, timings)
    try:
        with timings.phase("mirror"):
            mirror.ensure(claimed.git_url, claimed.sha, {"Authorization": f"Bearer {claimed.token}"})
        nonce, places = random_token(), bench.engine.places(folder)
        job = around.Around(
            bench, claimed, spec, key, folder, places, stop, timings, lambda line: stream.write(f"{line}\n".encode())
        )
        with timings.phase("checkout"), no_space_named(folder):
            _check_out(mirror, claimed.sha, folder / "workspace")
            around.before(job)
            give_away(folder, order.user)
            write_script(folder / "steps", spec.steps, nonce, places.steps, places.workspace)
    finally:
        _wait(ready)
    ready.result()
    with Workspace(folder / "workspace") as workspace:
        output = Output(spec.steps, nonce, stream, bench.clock, lambda: timings.mark("first_step"))
        if not bench.engine.isolates:
            output(f"farmgate: plain processes, no container: the image {order.image!r} is ignored\n".encode())
        with timings.phase("steps"):
            ended = _run(bench, order, spec.timeout, output, stop)
        timings.seconds["container"] = round(ended.start_seconds, 4)
        output.over(ended.exit_code)
        full = bench.folder.free_bytes() < FULL_BYTES
        result = verdict.of_script(ended, output.steps, order.image, order.limits.memory_bytes, full, output.tail())
        if stop.ending is None:
            result = around.after(job, workspace, result)
    return result


def _check_out(mirror: NodeMirror, sha: str, workspace: Path) -> None:
    try:
        mirror.checkout(sha, workspace)
    except NotInRepository as error:
        if "unable to write" in str(error):  # git does not always say why; the folder is ours
            raise NoSpace(f"no space left for {workspace}: {error}") from None
        raise


def _order(bench: Bench, claimed: Claimed, spec: JobSpec, key: Key, folder: Path, mirror: NodeMirror) -> Order:
    settings, places = bench.settings, bench.engine.places(folder)
    environment = {
        "LANG": "C.UTF-8",
        "HOME": places.home,
        "TMPDIR": places.temporary,
        **spec.environment,
        "CI": "true",
        "FARMGATE": "true",
        "FARMGATE_JOB": claimed.name,
        "FARMGATE_ATTEMPT": str(claimed.attempt),
        **claimed.variables,
        "FARMGATE_WORKSPACE": places.workspace,
    }
    (mirror.path / "objects").mkdir(parents=True, exist_ok=True)  # the engine would make it as root
    return Order(
        key=key,
        image=spec.image or settings.default_image,
        folder=folder,
        environment=environment,
        limits=Limits(
            memory_bytes=spec.memory_bytes or settings.default_memory_bytes,
            cpus=spec.cpus or settings.default_cpus,
            pids=settings.pids_limit,
        ),
        user=owner() if bench.engine.isolates else None,
        network=settings.network == "bridge",
        read_only=(mirror.path / "objects",),
    )


def _ready(bench: Bench, order: Order, stop: Stop, timings: Timings) -> None:
    with timings.phase("image"):
        bench.engine.prepare(order.image)
    if not stop.event.is_set():
        with timings.phase("reserve"):
            bench.engine.reserve(order)


def _wait(ready: Future[None]) -> None:
    """Until it is over, however: what it makes must be there to be removed."""
    ready.exception()


def _run(bench: Bench, order: Order, timeout: timedelta, output: Output, stop: Stop) -> Ended:
    """Run the script, and kill it when it is stopped or its time is over."""
    if stop.event.is_set():
        return Ended(137)
    done = threading.Event()

    def watch() -> None:
        if not bench.clock.wait(stop.event, timeout) and not done.is_set():
            stop.set(Ending.TIMEOUT)
        while not done.is_set():
            with contextlib.suppress(FarmgateError):
                bench.engine.kill(order.key)
            bench.clock.wait(done, KILL_AGAIN)

    watcher = threading.Thread(target=watch, name=f"watch-{order.key}", daemon=True)
    watcher.start()
    try:
        return bench.engine.run(order, output)
    finally:
        done.set()
        stop.event.set()  # lets the watcher go
