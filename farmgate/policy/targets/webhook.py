"""Another tool that takes a release over: how it is asked, and how its end is known.

Rules:
1. `{{name}}` stands for a value of the rollout: in an address it is percent-encoded, in a body it is a value, never a
   part of the structure. `{{secret.NAME}}` is for headers alone. `{{answer.key}}` (a JSON pointer below the tool's
   answer, its slashes as dots) and `{{location}}` are for the status address.
2. What is sent to which host stands in the policy: no value can be in the host of an address.
3. An end must be knowable: by callback, by status, or both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from farmgate.documents import Location
from farmgate.pipeline.values import Variable
from farmgate.policy.checks import SLOT, slots
from farmgate.policy.targets.base import Kind, TargetFile, TargetPolicy
from farmgate.policy.values import Frozen, SomeSpan, Url, Written

if TYPE_CHECKING:
    from farmgate.policy.models import LanePolicy

VALUES: Final = (
    "sha",
    "previous_sha",
    "artifact",
    "previous_artifact",
    "rollout",
    "epoch",
    "share",
    "step",
    "application",
    "environment",
    "delivery",
    "callback",
)
SECRET: Final = "secret."  # noqa: S105  # the beginning of a slot
ANSWER: Final = "answer."
LOCATION: Final = "location"
_DEEPEST: Final = 20
_OURS: Final = ("content-length", "host", "transfer-encoding", "connection", "webhook-")


def _known(text: str, *, more: tuple[str, ...] = ()) -> str:
    for name in slots(text):
        if name not in VALUES and not any(name == each or (each[-1] == "." and name.startswith(each)) for each in more):
            known = ", ".join((*VALUES, *more))
            raise ValueError(f"{{{{{name[:60]}}}}} stands for nothing here; there are {known}")
    return text


def _address(text: str) -> str:
    host = re.match(r"https?://[^/?#]*", text)
    if host is not None and ("{{" in host[0] or "@" in host[0]):
        raise ValueError("the host of an address is written out, without a user: a token goes into 'headers'")
    return text


def _plain_address(text: str) -> str:
    return _known(_address(text))


def _status_address(text: str) -> str:
    if text.startswith("{{location}}"):  # whole, as the tool said: on the host that was asked, the target sees to it
        return _known(text, more=(LOCATION,))
    return _known(_address(text), more=(ANSWER,))


def _headers(given: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name) or name.lower().startswith(_OURS):
            raise ValueError(f"{name[:60]!r} is not a header that can be set here")
        if not re.fullmatch(r"[ -~]{0,2000}", value):
            raise ValueError(f"the header {name} holds more than plain text")
        _known(value, more=(SECRET,))
        for slot in slots(value):
            if slot.startswith(SECRET) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", slot[len(SECRET) :]):
                raise ValueError(f"{{{{{slot[:60]}}}}} names no secret, such as {{{{secret.DEPLOY_TOKEN}}}}")
    return given


def _values_in(value: JsonValue, depth: int = 0) -> JsonValue:
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} deep")
    match value:
        case str():
            _known(value)
        case dict():
            for each in value.values():
                _values_in(each, depth + 1)
        case list():
            for each in value:
                _values_in(each, depth + 1)
    return value


def _pointer(text: str) -> str:
    if not re.fullmatch(r"(/[^\x00-\x1f]{0,200}){1,20}", text):
        raise ValueError(f"{text[:60]!r} is not a JSON pointer, such as /status/phase")
    return text


Address = Annotated[Url, AfterValidator(_plain_address)]
StatusAddress = Annotated[
    str, Field(max_length=2000, pattern=r"^(https?://|\{\{location\}\})[!-~]*$"), AfterValidator(_status_address)
]
Headers = Annotated[Mapping[str, str], Field(max_length=50), AfterValidator(_headers)]
Body = Annotated[Mapping[str, JsonValue], AfterValidator(_values_in)]
Form = Annotated[
    Mapping[Annotated[str, Field(min_length=1, max_length=200)], Annotated[str, AfterValidator(_known)]],
    Field(max_length=200),
]
Pointer = Annotated[str, AfterValidator(_pointer)]
Scalar = str | int | float | bool | None
Wanted = Annotated[Mapping[Pointer, Scalar | tuple[Scalar, ...]], Field(min_length=1, max_length=20)]
"""All of these at once: what stands at a pointer is the value, or one of them."""


def _several(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


AnyWanted = Annotated[tuple[Wanted, ...], Field(min_length=1, max_length=20), BeforeValidator(_several)]
"""Any of these."""


class CallFile(Written):
    """A request as people write it."""

    url: Address
    method: Literal["POST", "PUT", "PATCH"] | None = None
    headers: Headers | None = None
    body: Body | None = None
    form: Form | None = None

    @model_validator(mode="after")
    def _one_body(self) -> CallFile:
        if self.body is not None and self.form is not None:
            raise ValueError("'body' (JSON) and 'form' are two bodies: leave one out")
        return self


class StatusFile(Written):
    """How to look, as people write it. Without `done`, the answer has our own form and is signed."""

    url: StatusAddress
    headers: Headers | None = None
    ours: Wanted | None = None
    done: AnyWanted | None = None
    failed: AnyWanted | None = None
    goes_on: AnyWanted | None = None
    share: Pointer | None = None
    text: Pointer | None = None
    link: Pointer | None = None

    @model_validator(mode="after")
    def _together(self) -> StatusFile:
        if (self.done is None) != (self.failed is None):
            raise ValueError("'done' and 'failed' go together: what else would a tool that fails look like?")
        reads = ("ours", "goes_on", "share", "text", "link")
        if self.done is None and (extra := [name for name in reads if getattr(self, name) is not None]):
            raise ValueError(f"{extra[0]!r} reads an answer of another form: say with 'done' and 'failed' how it ends")
        return self


class WebhookFile(TargetFile):
    """As people write it."""

    url: Address
    method: Literal["POST", "PUT", "PATCH"] | None = None
    headers: Headers | None = None
    body: Body | None = None
    form: Form | None = None
    secret: Variable | None = None
    callback: bool | None = None
    status: StatusFile | None = None
    restore: CallFile | None = None
    shares: bool | None = None
    when_newer: Literal["wait", "replace"] | None = None
    every: SomeSpan | None = None
    within: SomeSpan | None = None
    timeout: SomeSpan | None = None

    @model_validator(mode="after")
    def _together(self) -> WebhookFile:
        if self.body is not None and self.form is not None:
            raise ValueError("'body' (JSON) and 'form' are two bodies: leave one out")
        return self


class Call(Frozen):
    """A request. Without `body` and `form` it is our own, in the form of Standard Webhooks."""

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: Mapping[str, JsonValue] | None = None
    form: Mapping[str, str] | None = None

    @property
    def is_ours(self) -> bool:
        return self.body is None and self.form is None


Held = Mapping[str, Scalar | tuple[Scalar, ...]]


class Status(Frozen):
    """How to look. `done`, `failed`, `goes_on`: any of these; without `done` the answer has our own form, signed."""

    url: str
    headers: Mapping[str, str] = Field(default_factory=dict)
    ours: Held | None = None
    done: tuple[Held, ...] | None = None
    failed: tuple[Held, ...] | None = None
    goes_on: tuple[Held, ...] | None = None
    share: str | None = None
    text: str | None = None
    link: str | None = None


class WebhookTarget(TargetPolicy):
    """Another tool. `secret`: the name of the secret that signs what goes there and what comes back."""

    type: Literal["webhook"] = "webhook"
    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: Mapping[str, str] = Field(default_factory=dict)
    body: Mapping[str, JsonValue] | None = None
    form: Mapping[str, str] | None = None
    secret: str | None = None
    callback: bool = False
    status: Status | None = None
    restore: Call | None = None  # None: the old release is handed over as the new one was
    shares: bool = False  # the tool takes shares: a wave is a hand-over
    when_newer: Literal["wait", "replace"] = "wait"
    every: timedelta = timedelta(seconds=30)
    within: timedelta = timedelta(hours=2)
    timeout: timedelta = timedelta(seconds=30)

    @property
    def call(self) -> Call:
        return Call(url=self.url, method=self.method, headers=self.headers, body=self.body, form=self.form)

    @property
    def allowed(self) -> timedelta:
        return self.timeout

    @property
    def goes_on_for(self) -> timedelta:
        return self.within

    @property
    def look_every(self) -> timedelta:
        return self.every

    @property
    def replaced_by_newer(self) -> bool:
        return self.when_newer == "replace"

    @property
    def words(self) -> str:
        host = SLOT.sub("", self.url).split("/")[2]
        how = " and ".join(
            word for word, there in (("callback", self.callback), ("status", self.status is not None)) if there
        )
        return f"handed over to {host}, followed by {how}"

    def contradictions(self, lane: LanePolicy) -> Iterator[tuple[Location, str]]:
        if not self.callback and self.status is None:
            yield ("target",), "how is the end known? say `callback: true`, or with 'status' where to look"
        if self.callback and self.secret is None:
            yield ("target",), "callbacks are signed: name the 'secret' that both sides know"
        if self.status is not None and self.status.done is None and self.secret is None:
            yield ("target",), "a status in our own form is signed: name the 'secret', or say how it ends with 'done'"
        if not self.shares and len(lane.waves) > 1:
            said = "a tool that does not take shares has everything or nothing: one wave, of 100, or `shares: true`"
            yield ("waves", 1, "share"), said


KIND = Kind("webhook", WebhookFile, WebhookTarget, "deploy.targets.webhook:make")
