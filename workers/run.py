"""The life of an attempt on a node: claim, workspace, container, log, artifacts, result; then nothing of it is left.

Rules:
1. A claim that is lost ends silently: someone else has the job, or nobody needs it any more.
2. The mark of holding comes before anything is made, and goes after everything is removed.
3. The image and the container are made ready while the mirror is fetched and the workspace filled.
4. A stopped attempt (time, cancellation, a lost lease, a refusal) is killed until it is over. A refused one uploads
   nothing more.
5. The result is told before the container and the folder are removed, so that nobody waits for the cleaning.
6. No text leaves the node unmasked: the output, what we say in the log, the result's reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from farmgate.clock import random_token, stopwatch
from farmgate.errors import EngineError, FarmgateError, LostRace, NoSpace, NotInRepository, StaleAttempt
from farmgate.git.node import NodeMirror
from farmgate.masks import Masks
from farmgate.messages import Claim, Claimed, Result
from farmgate.node_folder import Key
from farmgate.pipeline import JobSpec
from farmgate.registries import Registry
from workers import around, services, verdict
from workers.artifacts import Workspace
from workers.bench import Bench
from workers.engines.engine import Ended, Engine, Limits, Order, ServiceOrder
from workers.given import given, hand_over, hidden, registry
from workers.logs import LogStream, Rest, while_it_may_speak
from workers.output import Output
from workers.script import write_scripts
from workers.segments import Segment, segments
from workers.stop import Ending, Stop
from workers.timings import Timings
from workers.watch import watched
from workers.workspace import give_away, make_folder, no_space_named, owner, remove_folder

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
    images = registry(claimed)
    password = [images.password.encode()] if images is not None and images.password else []
    masks = Masks([*hidden(given(claimed).values()), *password])

    def say(line: str) -> None:
        stream.write(masks.text(f"{line}\n").encode())

    try:
        try:
            spec = JobSpec.model_validate(claimed.spec)
            for notice in claimed.notices:
                say(f"farmgate: {notice}")
            if claimed.refused is not None:
                result = Result(outcome="error", reason=claimed.refused)
            else:
                result = _prepare_and_run(bench, claimed, spec, key, stop, stream, timings, masks, say)
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
                say(f"farmgate: {result.reason}")
        try:
            with timings.phase("log"):  # what of it was still on its way
                rest = stream.close(claimed.result_carries_bytes)
        except StaleAttempt:
            raise
        except FarmgateError as error:
            result, rest = Result(outcome="lost", reason=f"the log could not be sent: {error}"), Rest((), 0, b"")
        reason = masks.text(result.reason) if result.reason else None
        end = {"steps": rest.reports, "log_offset": rest.offset, "log": rest.data}
        return result.model_copy(update={"log_bytes": stream.length + len(rest.data), "reason": reason, **end})
    finally:
        stream.abandon()


def _timeout(claimed: Claimed) -> timedelta:
    return TypeAdapter(timedelta).validate_python(claimed.spec.get("timeout", 0))


def _prepare_and_run(
    bench: Bench,
    claimed: Claimed,
    spec: JobSpec,
    key: Key,
    stop: Stop,
    stream: LogStream,
    timings: Timings,
    masks: Masks,
    say: Callable[[str], None],
) -> Result:
    with timings.phase("folder"):
        folder = make_folder(bench.folder, key, bench.settings.workspace_limit_bytes)
        mirror = NodeMirror(bench.folder.mirrors / str(claimed.repository_id))
        order = _order(bench, claimed, spec, key, folder, mirror)
        parts = segments(spec.steps, order.image, isolates=bench.engine.isolates)
        orders = [replace(order, image=one.image, part=one.part, script=one.script) for one in parts]
    beside = services.orders(spec.services, key, bench.settings)
    ready = bench.beside.submit(_ready, bench, orders, beside, stop, timings, registry(claimed))
    try:
        with timings.phase("mirror"):
            headers = {"Authorization": f"Bearer {claimed.token}"}
            mirror.ensure(claimed.git_url, claimed.sha, headers, also=claimed.newest)
        nonce, places = random_token(), bench.engine.places(folder)
        job = around.Around(bench, claimed, spec, key, folder, places, stop, timings, say, masks)
        with timings.phase("checkout"), no_space_named(folder):
            _check_out(mirror, claimed.sha, folder / "workspace")
        with no_space_named(folder):
            around.before(job)
        with timings.phase("scripts"), no_space_named(folder):
            give_away(folder, order.user)
            write_scripts(
                folder / "steps", spec.steps, parts, nonce, places.steps, places.workspace, given=bool(order.given)
            )
    finally:
        with timings.phase("waited"):
            _wait(ready)
    ready.result()
    if spec.services:
        with timings.phase("services"):
            services.wait(job)
    with Workspace(folder / "workspace") as workspace:
        output = Output(spec.steps, nonce, stream, bench.clock, lambda: timings.mark("first_step"), masks)
        if not bench.engine.isolates:
            output(f"farmgate: plain processes, no container: the image {order.image!r} is ignored\n".encode())
        with watched(bench.clock, stop, spec.timeout, partial(bench.engine.kill, key)):
            with timings.phase("steps"):
                result = _run(bench, orders, parts, output, stop, timings)
            result = result.model_copy(update=_images(bench.engine, orders, spec))
            if stop.ending is None:
                result = around.build(job, workspace, result)
        if stop.ending is None:
            result = around.after(job, workspace, result)
        elif stop.ending is Ending.TIMEOUT:  # what it left says where it hung
            around.after(job, workspace, result.model_copy(update={"outcome": "failed"}))
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
        given=hand_over(given(claimed)),
    )


def _images(engine: Engine, orders: Sequence[Order], spec: JobSpec) -> dict[str, Any]:
    """What the images were: the job's own, and the others by name."""
    names = {order.image for order in orders} | {service.image for service in spec.services}
    found = {name: digest for name in sorted(names) if (digest := engine.image_id(name)) is not None}
    first = found.pop(orders[0].image, None) if spec.image is None else engine.image_id(spec.image)
    found.pop(spec.image or orders[0].image, None)
    return {"image_digest": first, "image_digests": found}


def _ready(
    bench: Bench,
    orders: Sequence[Order],
    beside: Sequence[ServiceOrder],
    stop: Stop,
    timings: Timings,
    images: Registry | None,
) -> None:
    """Every image there, services started, the first container made; what is missing is known before anything runs."""
    with timings.phase("image"):
        for image in (*(order.image for order in orders), *(service.image for service in beside)):
            bench.engine.prepare(image, images)
    for service in beside:
        if not stop.event.is_set():
            with timings.phase("start_services"):
                bench.engine.serve(service)
    if not stop.event.is_set():
        with timings.phase("reserve"):
            bench.engine.reserve(orders[0])


def _wait(ready: Future[None]) -> None:
    """Until it is over, however: what it makes must be there to be removed."""
    ready.exception()


def _run(
    bench: Bench, orders: Sequence[Order], parts: Sequence[Segment], output: Output, stop: Stop, timings: Timings
) -> Result:
    """Run the scripts, one after the other; the next container is made while the one before it runs."""
    ended, part, order = Ended(137), parts[0], orders[0]
    for part, order in zip(parts, orders, strict=True):
        if stop.event.is_set():
            ended = Ended(137)
            break
        following = orders[part.part + 1 : part.part + 2]
        made = [bench.beside.submit(bench.engine.reserve, one) for one in following]
        try:
            ended = bench.engine.run(order, output)
        finally:
            for one in made:
                _wait(one)
        timings.seconds.setdefault("container", round(ended.start_seconds, 4))
        if ended.exit_code or output.steps.done < part.last:
            break
    output.over(ended.exit_code)
    full = bench.folder.free_bytes() < FULL_BYTES
    memory = order.limits.memory_bytes
    return verdict.of_script(ended, output.steps, part, memory, full, output.tail())
