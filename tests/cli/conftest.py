"""A farm made of canned answers, and the command line run against it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from farmgate.cli import door
from farmgate.cli.exits import guarded
from farmgate.client.api import Api
from farmgate.clock import VirtualClock

Answer = Any


@dataclass
class CannedFarm:
    """Answers by `METHOD /path`; remembers what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def api(self) -> Api:
        return Api("http://farm.test", "fgt_test", clock=VirtualClock(), transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        key = f"{request.method} {request.url.path}"
        given = self.answers.get(key)
        if callable(given):
            given = given(request)
        match given:
            case None:
                body = {"error": f"nothing at {key}", "where": request.url.path, "remedy": "look elsewhere"}
                return httpx.Response(404, json=body)
            case httpx.Response():
                return given
            case Exception():
                raise given
            case _:
                return httpx.Response(200, json=given)

    def body(self, at: int = -1) -> Any:
        return json.loads(self.asked[at].content)


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch) -> CannedFarm:
    canned = CannedFarm()
    monkeypatch.setattr(door, "connect", canned.api)
    return canned


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("lanes", "--json")` is `farmgate lanes --json`."""
    from farmgate.cli.app import app

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["farmgate", *arguments])
        with pytest.raises(SystemExit) as ended:
            guarded(lambda: app(list(arguments), prog_name="farmgate"))
        code = ended.value.code
        captured = capsys.readouterr()
        return Said(code if isinstance(code, int) else 0, captured.out, captured.err)

    return call
