"""The kinds of checks that a wave may ask, as rows keep them: one model per kind.

Rules:
1. A check is asked every `every` while a wave soaks, has `timeout` to answer, and is believed after `failures` answers
   of one kind in a row. One that cannot tell never passes for healthy.
2. `settles`: how long after a shift its answer begins to say something of what was shifted; it is not asked before.
3. `clears`: how long after a restore the same question says something of what was live before. None: it cannot be asked
   of that (a comparison has it in it already, a person has seen it).
4. `needs`: it asks the instances themselves, so the target must have some with addresses, or keep their logs.
5. In a query, {{sha}}, {{rollout}} and {{instances}} stand for those that are asked about: a commit, a number, and a
   pattern of all addresses. Nothing else is put in, and none of the three can hold a character that means something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, TypeAdapter

from farmgate.policy.values import Frozen

PLACEHOLDERS: Final = ("sha", "rollout", "instances")
SLOT: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_RANGE: Final = re.compile(r"\[((?:[0-9]+(?:ms|[smhdwy]))+)(?::[^\]]*)?\]")
_PART: Final = re.compile(r"([0-9]+)(ms|[smhdwy])")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


Needs = Literal["addresses", "logs"] | None


class _Asked(Frozen):
    every: timedelta = timedelta(seconds=5)
    timeout: timedelta = timedelta(seconds=5)
    failures: int = 2

    @property
    def settles(self) -> timedelta:
        return timedelta(0)

    @property
    def clears(self) -> timedelta | None:
        return timedelta(0)

    @property
    def needs(self) -> Needs:
        return None


class HttpCheck(_Asked):
    """A path, asked of every new instance, or a whole URL: another status than `expect` is sick."""

    kind: Literal["http"] = "http"
    http: str
    expect: int = 200

    @property
    def name(self) -> str:
        return f"http {self.http} = {self.expect}"

    @property
    def needs(self) -> Needs:
        return "addresses" if self.http.startswith("/") else None


class CommandCheck(_Asked):
    """A program beside the deploy loop: 0 healthy, 1 sick, anything else cannot tell."""

    kind: Literal["command"] = "command"
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        return " ".join(self.command)[:80]


class ContainerCheck(_Asked):
    """A program in a container of its own, with the same answers."""

    kind: Literal["container"] = "container"
    command: tuple[str, ...]
    image: str
    environment: Mapping[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.image}: {' '.join(self.command)}"[:80]


class QueryCheck(_Asked):
    """A Prometheus instant query with one number for an answer, which must stay below and above its bounds."""

    kind: Literal["query"] = "query"
    query: str
    url: str
    token: str | None = None  # the name of a secret, sent as a bearer's
    ca: str | None = None  # who vouches for the server, PEM; None: whom this machine trusts
    below: float | None = None
    above: float | None = None
    window: timedelta | None = None

    @property
    def name(self) -> str:
        below = [f"below {self.below:g}"] if self.below is not None else []
        bounds = [*below, f"above {self.above:g}"] if self.above is not None else below
        return f"{self.query[:60]} {' and '.join(bounds)}"

    @property
    def settles(self) -> timedelta:
        return looks_back(self.query, self.window)

    @property
    def clears(self) -> timedelta | None:
        return timedelta(0) if names_its_subject(self.query) else self.settles

    @property
    def needs(self) -> Needs:
        return "addresses" if "instances" in slots(self.query) else None


class CanaryCheck(_Asked):
    """The samples of a Prometheus range query for what is new against those for what was live before."""

    kind: Literal["canary"] = "canary"
    query: str
    url: str
    token: str | None = None
    ca: str | None = None
    worse: Literal["higher", "lower"] = "higher"
    tolerance: float = 0.1  # how much worse is borne: a share of the old median, or an amount of the query's unit
    relative: bool = True
    samples: int = 12
    step: timedelta = timedelta(seconds=15)
    significance: float = 0.01
    window: timedelta | None = None

    @property
    def name(self) -> str:
        borne = f"{self.tolerance:.3g}" if not self.relative else f"{self.tolerance:.3%}".replace(".000", "")
        return f"canary {self.query[:60]} not {self.worse} by {borne}"

    @property
    def settles(self) -> timedelta:
        return looks_back(self.query, self.window) + (self.samples - 1) * self.step

    @property
    def clears(self) -> timedelta | None:
        return None

    @property
    def needs(self) -> Needs:
        return "addresses" if "instances" in slots(self.query) else None


class LogCheck(_Asked):
    """How many lines of the new instances' logs may match a pattern (RE2: it cannot hang)."""

    kind: Literal["log"] = "log"
    pattern: str
    most: int = 0

    @property
    def name(self) -> str:
        return f"log /{self.pattern[:60]}/ at most {self.most}"

    @property
    def needs(self) -> Needs:
        return "logs"


class PersonCheck(_Asked):
    """A person looks when all else of the wave is well. `who` may answer; nobody named: whoever may write."""

    kind: Literal["person"] = "person"
    who: tuple[str, ...] = ()
    question: str = "is this well?"
    within: timedelta | None = None  # how long they may take; None: the lane's ask_for

    @property
    def name(self) -> str:
        return f"asks {', '.join(self.who) or 'a person'}"

    @property
    def clears(self) -> timedelta | None:
        return None


def _told(value: Any) -> Any:
    """Checks of rows that are older than the kinds: `http` and `command` stood side by side, one of them empty."""
    if isinstance(value, dict) and "kind" not in value:
        kind = "command" if value.get("command") is not None else "http"
        other = ("http", "expect") if kind == "command" else ("command",)
        return {"kind": kind, **{name: held for name, held in value.items() if name not in other}}
    return value


Check = Annotated[
    Annotated[
        HttpCheck | CommandCheck | ContainerCheck | QueryCheck | CanaryCheck | LogCheck | PersonCheck,
        Discriminator("kind"),
    ],
    BeforeValidator(_told),
]
"""What a wave is asked."""
_CHECK: TypeAdapter[Check] = TypeAdapter(Check)


def check_of(stored: Any) -> Check:
    """A check as a row or a journal has it."""
    return _CHECK.validate_python(stored)


def slots(query: str) -> tuple[str, ...]:
    """The names between double braces."""
    return tuple(SLOT.findall(query))


def names_its_subject(query: str) -> bool:
    """Whether it asks of some release, and not of whatever runs."""
    return bool(slots(query))


def filled(query: str, values: Mapping[str, str]) -> str:
    """The query about somebody."""
    return SLOT.sub(lambda found: values[found[1]], query)


def looks_back(query: str, window: timedelta | None) -> timedelta:
    """How far into the past an answer reaches: what the policy says, or the longest range in the query."""
    if window is not None:
        return window
    spans = [
        sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(found)) for found in _RANGE.findall(query)
    ]
    return timedelta(seconds=max(spans, default=0))
