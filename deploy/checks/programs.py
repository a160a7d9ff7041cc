"""`command`: a program says it by its exit status: 0 healthy, 1 sick, anything else, or no end in time: cannot tell.

Beside the deploy loop, or with `image` in a container of its own:
1. The container has no capability, no new privileges, a bound on memory and processes, and ends with its time. One that
   a dead deploy loop left behind is removed by the next that asks.
2. It is on the instances' network, and is told their addresses there. Instances that are plain processes are reached
   over this machine's own network.
3. An engine or an image that is not there cannot tell; it says nothing about the change.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from deploy.checks.questions import Question
from deploy.checks.verdicts import Answer, healthy, sick, untold
from deploy.targets.programs import run
from farmgate.clock import stopwatch
from farmgate.errors import TargetError
from farmgate.policy import CommandCheck, ContainerCheck

NETWORK: Final = "farmgate-deploy"
LABEL: Final = "farmgate.check.until"
_MEMORY_BYTES: Final = 512 * 2**20
_PIDS: Final = 512
_TAIL: Final = 600
_LATE_SECONDS: Final = 60


def ask(check: CommandCheck, question: Question) -> Answer:
    """Run the program here."""
    began = stopwatch()
    try:
        said = run(check.command, _told(question, question.about.addresses), check.timeout)
    except TargetError as error:
        return untold(str(error))
    return _meant(check.name, said.code, said.tail, began)


def ask_in_container(check: ContainerCheck, question: Question) -> Answer:
    """Run the program in its image."""
    import requests
    from docker.errors import DockerException, ImageNotFound

    began, until = stopwatch(), question.now + check.timeout
    try:
        client = _engine(check)
        _sweep(client, question.now)
        container = client.containers.create(check.image, **_options(check, question, until))
        try:
            container.start()
            code = _end_of(container, check)
            tail: bytes = container.logs(tail=20)
        finally:
            container.remove(force=True, v=True)
    except ImageNotFound:
        return untold(f"the image {check.image} is not on this host: pull it there, or name another one")
    except (DockerException, requests.RequestException, OSError) as error:
        return untold(f"the Docker engine: {str(error)[:_TAIL]}")
    return _meant(check.name, code, tail.decode(errors="replace")[-_TAIL:].strip(), began)


def _told(question: Question, addresses: tuple[str, ...]) -> dict[str, str]:
    about = question.about
    told = {"FARMGATE_INSTANCES": " ".join(addresses), "FARMGATE_SHA": about.sha}
    return {**told, "FARMGATE_ROLLOUT": str(about.rollout_id)}


def _engine(check: ContainerCheck) -> Any:
    import docker

    return docker.from_env(timeout=max(30, int(check.timeout.total_seconds()) + 5))


def _options(check: ContainerCheck, question: Question, until: datetime) -> dict[str, Any]:
    instances = question.about.instances
    inside = tuple(instance.inside for instance in instances if instance.inside)
    if instances and len(inside) == len(instances):
        network, addresses = NETWORK, inside
    else:
        network, addresses = ("host" if instances else "bridge"), question.about.addresses
    return {
        "command": list(check.command),
        "entrypoint": [],
        "environment": {**check.environment, **_told(question, addresses)},
        "labels": {LABEL: until.isoformat()},
        "network_mode": network,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": _MEMORY_BYTES,
        "pids_limit": _PIDS,
        "log_config": {"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}},
        "init": True,
    }


def _end_of(container: Any, check: ContainerCheck) -> int | None:
    import requests

    try:
        return int(container.wait(timeout=check.timeout.total_seconds())["StatusCode"])
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
        return None


def _sweep(client: Any, now: datetime) -> None:
    """Remove what other asks left, once its time is long over."""
    from docker.errors import DockerException

    for old in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
        with suppress(ValueError, DockerException):
            if (now - datetime.fromisoformat(old.labels[LABEL])).total_seconds() > _LATE_SECONDS:
                old.remove(force=True, v=True)


def _meant(name: str, code: int | None, tail: str, began: float) -> Answer:
    figures = {"seconds": round(stopwatch() - began, 4), "exit_code": code}
    match code:
        case 0:
            return healthy(tail, **figures)
        case 1:
            return sick(tail or f"{name} says no", **figures)
        case None:
            return untold(f"{name} did not end in time", **figures)
        case _:
            return untold(f"{name} ended with {code}: {tail}", **figures)
