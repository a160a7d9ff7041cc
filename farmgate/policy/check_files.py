"""Checks as people write them, and what is wrong with them.

Rules:
1. Its first word tells a check's kind: `http`, `command` (with `image`: in a container), `prometheus`, `canary`, `log`
   or `ask`. One, and only one of them.
2. What could never answer is refused here: a comparison that asks the same of both sides, samples that overlap, a
   pattern that is none, two people's checks in one wave, instances where the target has none.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import re2
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from farmgate.documents import Document, Location
from farmgate.errors import Problem
from farmgate.pipeline.values import Environment, Image, Variable
from farmgate.policy import checks as kept
from farmgate.policy.targets import Target
from farmgate.policy.targets.engines import Pem
from farmgate.policy.values import Argv, PathOrUrl, SomeSpan, Span, Written
from farmgate.quantities import show_duration

LONGEST_WINDOW: Final = timedelta(hours=6)
LEAST_SAMPLES: Final = 6
_PERCENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text[:80]!r} is not the address of a Prometheus, such as http://prometheus:9090")
    if parts.username is not None:
        raise ValueError("holds a login, which everyone who reads the policy would see")
    return text.rstrip("/")


def _query(text: str) -> str:
    unknown = [name for name in kept.slots(text) if name not in kept.PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{{{name}}}}}" for name in kept.PLACEHOLDERS)
        raise ValueError(f"{{{{{unknown[0]}}}}} is not known here: {known}")
    return text


def _regular(text: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        told = error.args[0] if error.args else error
        words = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        raise ValueError(f"is not a pattern of RE2's language: {words}") from None
    return text


def _borne(value: object) -> object:
    if isinstance(value, str):
        found = _PERCENT.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value[:40]!r} is neither a number nor a percentage, such as 10%")
        return (float(found[1]) / 100, True)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (float(value), False)
    raise ValueError("must be a number, or a percentage such as 10%")


Number = Annotated[float, AfterValidator(_finite)]
Query = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_query)]
Server = Annotated[str, Field(max_length=1000), AfterValidator(_address)]
Who = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=50)]


class _Asked(Written):
    every: SomeSpan = timedelta(seconds=5)
    timeout: SomeSpan = timedelta(seconds=5)
    failures: Annotated[int, Field(ge=1, le=1000)] = 2

    @model_validator(mode="after")
    def _window(self) -> _Asked:
        window = getattr(self, "window", None)
        text = getattr(self, "prometheus", getattr(self, "canary", ""))
        if kept.looks_back(text, window) > LONGEST_WINDOW:
            raise ValueError(f"looks back further than {show_duration(LONGEST_WINDOW)}: no wave waits that long")
        return self


class HttpFile(_Asked):
    http: PathOrUrl
    expect: Annotated[int, Field(ge=100, le=599)] = 200

    def kept(self) -> kept.Check:
        return kept.HttpCheck(**self.model_dump())


class CommandFile(_Asked):
    command: Argv
    image: Image | None = None
    environment: Environment | None = None

    @model_validator(mode="after")
    def _in_a_container(self) -> CommandFile:
        if self.environment is not None and self.image is None:
            raise ValueError("'environment' is for a command in a container: give its 'image' as well")
        return self

    def kept(self) -> kept.Check:
        asked = {"every": self.every, "timeout": self.timeout, "failures": self.failures, "command": self.command}
        if self.image is None:
            return kept.CommandCheck(**asked)
        return kept.ContainerCheck(**asked, image=self.image, environment=self.environment or {})


class _AskedOfPrometheus(_Asked):
    url: Server
    token: Variable | None = None
    ca: Pem | None = None

    @model_validator(mode="after")
    def _kept_secret(self) -> _AskedOfPrometheus:
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return self
        if self.token is not None and not _here(parts.hostname or ""):
            raise ValueError(f"would send the secret {self.token} in the clear: its 'url' must begin with https://")
        if self.ca is not None:
            raise ValueError("'ca' is for an 'url' that begins with https://")
        return self


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class PrometheusFile(_AskedOfPrometheus):
    prometheus: Query
    below: Number | None = None
    above: Number | None = None
    window: Span | None = None
    every: SomeSpan = timedelta(seconds=15)

    @model_validator(mode="after")
    def _bounded(self) -> PrometheusFile:
        if self.below is None and self.above is None:
            raise ValueError("needs a bound: 'below' or 'above', or both")
        if self.below is not None and self.above is not None and self.above >= self.below:
            raise ValueError(f"no number is above {self.above:g} and below {self.below:g}")
        return self

    def kept(self) -> kept.Check:
        fields = self.model_dump()
        return kept.QueryCheck(query=fields.pop("prometheus"), **fields)


class CanaryFile(_AskedOfPrometheus):
    canary: Query
    worse: Literal["higher", "lower"] = "higher"
    tolerance: Annotated[tuple[Annotated[float, Field(ge=0, le=1e15)], bool], BeforeValidator(_borne)] = (0.1, True)
    samples: Annotated[int, Field(ge=LEAST_SAMPLES, le=200)] = 12
    step: SomeSpan | None = None
    significance: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    window: Span | None = None
    every: SomeSpan = timedelta(seconds=30)

    @model_validator(mode="after")
    def _comparable(self) -> CanaryFile:
        if not kept.names_its_subject(self.canary):
            known = ", ".join(f"{{{{{name}}}}}" for name in kept.PLACEHOLDERS)
            raise ValueError(f"asks the same of what is new and what is old: tell them apart by {known}")
        back = kept.looks_back(self.canary, self.window)
        if self.step is not None and self.step < back:
            said = f"samples every {show_duration(self.step)} that look back {show_duration(back)} overlap"
            raise ValueError(f"{said}: one event would count several times; make 'step' at least that long")
        if back + self._step() * (self.samples - 1) > LONGEST_WINDOW:
            raise ValueError(
                f"needs more than {show_duration(LONGEST_WINDOW)} for its samples: no wave waits that long"
            )
        return self

    def _step(self) -> timedelta:
        back = kept.looks_back(self.canary, self.window)
        return self.step if self.step is not None else max(timedelta(seconds=15), back)

    def kept(self) -> kept.Check:
        fields = self.model_dump()
        tolerance, relative = fields.pop("tolerance")
        fields["step"] = self._step()
        return kept.CanaryCheck(query=fields.pop("canary"), tolerance=tolerance, relative=relative, **fields)


class LogFile(_Asked):
    log: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_regular)]
    most: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    failures: Annotated[int, Field(ge=1, le=1000)] = 1

    def kept(self) -> kept.Check:
        fields = self.model_dump()
        return kept.LogCheck(pattern=fields.pop("log"), **fields)


class PersonFile(Written):
    ask: Who
    question: Annotated[str, Field(min_length=1, max_length=500)] = "is this well?"
    within: SomeSpan | None = None

    def kept(self) -> kept.Check:
        return kept.PersonCheck(who=self.ask, question=self.question, within=self.within)


_FIRST: Final = {
    "http": HttpFile,
    "command": CommandFile,
    "prometheus": PrometheusFile,
    "canary": CanaryFile,
    "log": LogFile,
    "ask": PersonFile,
}


def _kind(value: Any) -> str | None:
    if not isinstance(value, dict):
        kinds: dict[type, str] = {model: f"<{name}>" for name, model in _FIRST.items()}
        return kinds.get(type(value))
    named = [name for name in _FIRST if name in value]
    return f"<{named[0]}>" if len(named) == 1 else None


def _one_kind(value: object) -> object:
    if isinstance(value, dict):
        named = [name for name in _FIRST if name in value]
        if len(named) != 1:
            several = f", and only one of them: here are {' and '.join(map(repr, named))}" if named else ""
            raise ValueError(f"a check needs one of {', '.join(_FIRST)}{several}")
    elif not isinstance(value, Written):
        raise ValueError("a check is a mapping, such as {http: /healthz}")
    return value


CheckFile = Annotated[
    Annotated[
        Annotated[HttpFile, Tag("<http>")]
        | Annotated[CommandFile, Tag("<command>")]
        | Annotated[PrometheusFile, Tag("<prometheus>")]
        | Annotated[CanaryFile, Tag("<canary>")]
        | Annotated[LogFile, Tag("<log>")]
        | Annotated[PersonFile, Tag("<ask>")],
        Discriminator(_kind),
    ],
    BeforeValidator(_one_kind),
]
"""One check of the file."""
CheckFiles = Annotated[tuple[CheckFile, ...], Field(max_length=20)]


def problems(
    document: Document,
    lane: Location,
    checks: Sequence[CheckFile],
    waves: Sequence[Sequence[CheckFile]],
    target: Target,
) -> Iterator[Problem]:
    """What contradicts itself among the checks of a lane and those of its waves, for its target."""
    people = [index for index, check in enumerate(checks) if isinstance(check, PersonFile)]
    yield from _about_instances(document, (*lane, "checks"), checks, target)
    for index in people[1:]:
        yield document.problem((*lane, "checks", index), _TWO)
    for number, wave in enumerate(waves):
        at = (*lane, "waves", number, "checks")
        yield from _about_instances(document, at, wave, target)
        own = [index for index, check in enumerate(wave) if isinstance(check, PersonFile)]
        for index in own if people else own[1:]:
            yield document.problem((*at, index), _TWO)


_TWO: Final = "a wave asks people once: name all who may answer in one place"


def _about_instances(
    document: Document, at: Location, checks: Sequence[CheckFile], target: Target
) -> Iterator[Problem]:
    for index, check in enumerate(checks):
        needs = check.kept().needs
        if needs == "logs" and not target.KEEPS_LOGS:
            said = f"a {target.type} target keeps no logs that could be read: read them with a command"
            yield document.problem((*at, index, "log"), said)
        elif needs == "addresses" and not target.HAS_ADDRESSES:
            is_http = isinstance(check, HttpFile)
            key = "http" if is_http else "prometheus" if isinstance(check, PrometheusFile) else "canary"
            remedy = "write a whole URL, or a command" if is_http else "tell releases apart by {{sha}} or {{rollout}}"
            yield document.problem((*at, index, key), f"a {target.type} target has no instances to ask: {remedy}")
