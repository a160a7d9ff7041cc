"""A job's services: started while the workspace is filled, waited for before the steps, looked at after them.

Rules:
1. The steps begin when every service is healthy: by its command, port or HTTP answer, else by its image's own check,
   else as soon as it runs.
2. A service that ends, or is not healthy in its time, ends the job in error, with the last of what it wrote in the log.
3. What each service wrote is kept as `farmgate-services/NAME.log`, masked, however the job ended, unless it was
   stopped.
4. A service that ended while the steps ran is told, and named in the reason of a job that failed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farmgate.clock import stopwatch
from farmgate.errors import FarmgateError, StaleAttempt
from farmgate.masks import Masking
from farmgate.messages import Result
from farmgate.node_folder import Key
from farmgate.pipeline.models import HealthSpec, ServiceSpec
from farmgate.quantities import show_duration
from farmgate.settings import NodeSettings
from workers.engines.engine import Engine, Limits, ServiceFailed, ServiceOrder, ServiceState
from workers.logs import while_it_may_speak
from workers.stop import Ending
from workers.upload import send_file

if TYPE_CHECKING:
    from workers.around import Around

FOLDER: Final = "farmgate-services"
OWN_CHECK: Final = HealthSpec(timeout=timedelta(minutes=2))
_FIRST_LOOK: Final = timedelta(milliseconds=50)
_ANSWER_SECONDS: Final = 2.0
_TAIL_LINES: Final = 20


def orders(services: Sequence[ServiceSpec], key: Key, settings: NodeSettings) -> tuple[ServiceOrder, ...]:
    """What the engine is asked for."""
    return tuple(
        ServiceOrder(
            key=key,
            name=one.name,
            image=one.image,
            environment=one.environment,
            limits=Limits(
                one.memory_bytes or settings.default_memory_bytes,
                one.cpus or settings.default_cpus,
                settings.pids_limit,
            ),
            command=one.command,
            entrypoint=one.entrypoint,
            own_check=one.health is None,
            outside=settings.network == "bridge",
        )
        for one in services
    )


def wait(around: Around) -> None:
    """Until every service is healthy, or the attempt is stopped. Raises ServiceFailed, EngineError."""
    begun = stopwatch()
    try:
        for spec in around.spec.services:
            _until_healthy(around, spec, begun)
    except ServiceFailed:
        with contextlib.suppress(FarmgateError, OSError):
            keep_logs(around)
        raise


def after(around: Around, result: Result) -> Result:
    """What became of them: logs are kept, and what ended too early is told. Raises StaleAttempt."""
    engine, key = around.bench.engine, around.key
    for spec in around.spec.services:
        try:
            state = engine.service(key, spec.name)
        except FarmgateError as error:
            around.say(f"farmgate: service {spec.name}: {error}")
            continue
        if not state.running:
            around.say(f"farmgate: service {spec.name} {_ended(state)} while the steps ran; its last lines:")
            _say_tail(around, spec)
            if result.outcome == "failed":
                reason = f"{result.reason}; the service {spec.name!r} {_ended(state)} before that"
                result = result.model_copy(update={"reason": reason})
    try:
        keep_logs(around)
    except StaleAttempt:
        raise
    except (FarmgateError, OSError) as error:
        around.say(f"farmgate: the services' logs could not be kept: {error}")
    return result


def keep_logs(around: Around) -> None:
    """Send what each of them wrote. Raises EngineError, OSError, what the client raises."""
    folder = around.folder / "services"
    folder.mkdir(exist_ok=True)
    for spec in around.spec.services:
        path = folder / f"{spec.name}.log"
        masking = Masking(around.masks)  # what a step told the service may come back in its log
        with path.open("wb") as file:
            for data in around.bench.engine.service_log(around.key, spec.name):
                file.write(masking.feed(data))
            file.write(masking.flush())
        _send(around, path, f"{FOLDER}/{spec.name}.log")


def _send(around: Around, path: Path, name: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        send = partial(send_file, around.bench.client, around.claimed, name, descriptor, kind="log")
        while_it_may_speak(around.stop, send)
    finally:
        os.close(descriptor)


def _until_healthy(around: Around, spec: ServiceSpec, begun: float) -> None:
    health, pause = spec.health or OWN_CHECK, _FIRST_LOOK
    while around.stop.ending is None:
        state = around.bench.engine.service(around.key, spec.name)
        if not state.running:
            _say_tail(around, spec)
            raise ServiceFailed(f"the service {spec.name!r} {_ended(state)} before it was healthy")
        if _healthy(around.bench.engine, around.key, spec, state):
            around.say(f"farmgate: service {spec.name} is healthy after {stopwatch() - begun:.1f} s")
            return
        if stopwatch() - begun > health.timeout.total_seconds():
            _say_tail(around, spec)
            raise ServiceFailed(
                f"the service {spec.name!r} was not healthy within {show_duration(health.timeout)}: {_asked(spec)}"
            )
        around.bench.clock.wait(around.stop.event, pause)
        pause = min(pause * 2, health.interval)


def _healthy(engine: Engine, key: Key, spec: ServiceSpec, state: ServiceState) -> bool:
    health = spec.health
    if health is None:
        return state.health in ("", "healthy")
    if health.command is not None:
        return engine.ask_service(key, spec.name, health.command) == 0
    assert health.port is not None
    return answers(state.address, health.port, health.http)


def answers(address: str, port: int, path: str | None) -> bool:
    """True if a port takes connections, or a path answers with 2xx or 3xx."""
    if not address:
        return False
    try:
        if path is None:
            with socket.create_connection((address, port), timeout=_ANSWER_SECONDS):
                return True
        connection = http.client.HTTPConnection(address, port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _asked(spec: ServiceSpec) -> str:
    health = spec.health
    if health is None:
        return "its image's own check did not pass"
    if health.command is not None:
        return f"the command {health.command.splitlines()[0][:80]!r} did not end with 0"
    return f"port {health.port} did not answer" + (f" at {health.http[:80]}" if health.http else "")


def _ended(state: ServiceState) -> str:
    return f"ended with exit code {state.exit_code}" + (", out of memory," if state.out_of_memory else "")


def _say_tail(around: Around, spec: ServiceSpec) -> None:
    if around.stop.ending is not None and around.stop.ending is not Ending.TIMEOUT:
        return
    data, masking = b"", Masking(around.masks)  # masked before it is cut: the end of a value tells of it, too
    with contextlib.suppress(FarmgateError):
        for piece in around.bench.engine.service_log(around.key, spec.name):
            data = (data + masking.feed(piece))[-8192:]
    data += masking.flush()
    for line in data.decode(errors="replace").splitlines()[-_TAIL_LINES:]:
        around.say(f"{spec.name} | {line}")
