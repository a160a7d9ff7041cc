"""One question to what a rollout brought up: healthy, sick, or cannot tell.

Rules:
1. `http` with a path asks every instance of the release itself, not the switch, which might have an older one answer.
   The wanted status is healthy; another one, or a refused connection, is sick.
2. A check that is silent, slow or answers nonsense cannot tell. Neither can one that had nobody to ask.
3. `command`: 0 healthy, 1 sick, anything else, or no end in time: cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import httpx

from deploy.targets.programs import run
from deploy.targets.protocol import Instance
from farmgate.clock import stopwatch
from farmgate.errors import TargetError
from farmgate.policy import Check


class Verdict(StrEnum):
    """What an answer, a check or a wave says."""

    HEALTHY = "healthy"
    SICK = "sick"
    UNTOLD = "cannot tell"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, in words and figures."""

    verdict: Verdict
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


class Prober(Protocol):
    """Asks a check of instances. Never raises."""

    def ask(self, check: Check, instances: Sequence[Instance]) -> Answer: ...


class RealProber:
    """HTTP and programs."""

    def ask(self, check: Check, instances: Sequence[Instance]) -> Answer:
        if check.command is not None:
            return _program(check, instances)
        if check.http is not None and not check.http.startswith("/"):
            return _ask(check, check.http)
        addresses = [instance.address for instance in instances if instance.address]
        if not addresses:
            return Answer(Verdict.UNTOLD, "there is no instance to ask")
        slowest: Answer | None = None
        for address in addresses:
            answer = _ask(check, f"http://{address}{check.http}")
            if answer.verdict is not Verdict.HEALTHY:
                return answer
            if slowest is None or answer.figures["seconds"] > slowest.figures["seconds"]:
                slowest = answer
        assert slowest is not None
        return slowest


_HOST: Final = {"user-agent": "farmgate"}


def _ask(check: Check, url: str) -> Answer:
    began = stopwatch()
    try:
        with (
            httpx.Client(timeout=check.timeout.total_seconds(), trust_env=False, headers=_HOST) as client,
            client.stream("GET", url) as answer,
        ):
            status = answer.status_code
    except httpx.ConnectError as error:
        return Answer(Verdict.SICK, f"{url}: {error}", {"seconds": _since(began)})
    except httpx.TimeoutException:
        words = f"{url} did not answer within {check.timeout.total_seconds():g} s"
        return Answer(Verdict.UNTOLD, words, {"seconds": _since(began)})
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Answer(Verdict.UNTOLD, f"{url} answered nonsense: {error}", {"seconds": _since(began)})
    figures = {"seconds": _since(began), "status": status}
    if status == check.expect:
        return Answer(Verdict.HEALTHY, f"{url} answered {status}", figures)
    return Answer(Verdict.SICK, f"{url} answered {status}, not {check.expect}", figures)


def _program(check: Check, instances: Sequence[Instance]) -> Answer:
    began = stopwatch()
    addresses = " ".join(instance.address for instance in instances if instance.address)
    try:
        said = run(check.command or (), {"FARMGATE_INSTANCES": addresses}, check.timeout)
    except TargetError as error:
        return Answer(Verdict.UNTOLD, str(error))
    figures = {"seconds": _since(began), "exit_code": said.code}
    match said.code:
        case 0:
            return Answer(Verdict.HEALTHY, said.tail, figures)
        case 1:
            return Answer(Verdict.SICK, said.tail or f"{check.name} says no", figures)
        case None:
            return Answer(Verdict.UNTOLD, f"{check.name} did not end in time", figures)
        case code:
            return Answer(Verdict.UNTOLD, f"{check.name} ended with {code}: {said.tail}", figures)


def _since(began: float) -> float:
    return round(stopwatch() - began, 4)
