"""Over a real server: logs as they grow, changes, and git."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from farmgate.client.api import events_of
from farmgate.clock import stopwatch
from farmgate.settings import environment_for_child
from scheduler.__main__ import listen
from tests.scheduler.farm import Farm


@pytest.fixture
def served(shop: Farm) -> Iterator[str]:
    """The farm on a real port."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(shop.app, log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()


@contextmanager
def listening(url: str, farm: Farm, **headers: str) -> Iterator[Callable[[], tuple[str, dict[str, Any], str]]]:
    """An open stream of server-sent events; the function gives the next one."""
    with (
        httpx.Client(headers={"Authorization": f"Bearer {farm.token}"} | headers, timeout=10) as client,
        client.stream("GET", url) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        events = events_of(answer.iter_lines())

        def following() -> tuple[str, dict[str, Any], str]:
            kind, data, number = next(events)
            return kind, json.loads(data), number

        yield following


def test_a_viewer_sees_bytes_within_a_second_and_the_end(shop: Farm, served: str) -> None:
    held = shop.join().claim(1)
    with listening(f"{served}/api/jobs/1/log/stream", shop) as following:
        for word in ("one", "two", "three"):
            begun = stopwatch()
            length = held.log(shop_length(shop), f"{word}\n".encode()).json()["length"]
            kind, body, number = following()
            assert (kind, body["text"], number) == ("chunk", f"{word}\n", str(length))
            assert stopwatch() - begun < 1
        held.step(1, "passed", exit_code=0, log_offset=0)
        kind, body, _ = following()
        assert (kind, body["state"]) == ("step", "passed")
        held.end("passed")
        assert following()[:2] == ("end", {"state": "passed"})


def shop_length(farm: Farm) -> int:
    return len(farm.http.get("/api/jobs/1/log").content)


def test_a_viewer_resumes_where_it_stopped_even_inside_a_character(shop: Farm, served: str) -> None:
    held = shop.join().claim(1)
    held.log(0, "ab€".encode()[:4])
    with listening(f"{served}/api/jobs/1/log/stream", shop) as following:
        kind, body, number = following()
        assert (kind, body["text"], number) == ("chunk", "ab", "2")
    held.log(4, "€\n".encode()[2:])
    held.end()
    with listening(f"{served}/api/jobs/1/log/stream", shop, **{"Last-Event-ID": number}) as following:
        assert following()[1] | {"times": []} == {"offset": 2, "text": "€\n", "times": []}
        assert following()[0] == "end"


def test_bytes_that_are_not_text_are_shown_as_such(shop: Farm, served: str) -> None:
    held = shop.join().claim(1)
    held.log(0, b"\xff\xfe<b>")
    held.end()
    with listening(f"{served}/api/jobs/1/log/stream", shop) as following:
        assert following()[1]["text"] == "\ufffd\ufffd<b>"


def test_a_viewer_follows_a_job_into_its_next_attempt(shop: Farm, served: str) -> None:
    worker = shop.join()
    held = worker.claim(1)
    held.log(0, b"first try\n")
    with listening(f"{served}/api/jobs/1/log/stream", shop) as following:
        assert following()[1]["text"] == "first try\n"
        held.end("lost", reason="the engine died")
        second = worker.claim(1, 2)
        second.log(0, b"second try\n")
        assert following()[:2] == ("attempt", {"attempt": 2, "reason": "the engine died"})
        assert following()[1]["text"] == "second try\n"
        second.end()
        assert following()[:2] == ("end", {"state": "passed"})


def test_a_viewer_may_come_before_the_first_claim(shop: Farm, served: str) -> None:
    worker = shop.join()
    with listening(f"{served}/api/jobs/1/log/stream", shop) as following:
        held = worker.claim(1)
        held.log(0, b"hello")
        assert following()[1]["text"] == "hello"


def test_pages_hear_of_changes(shop: Farm, served: str) -> None:
    with listening(f"{served}/api/changes", shop) as following:
        assert following()[0] == "change"
        begun = stopwatch()
        shop.push("second")
        assert following()[0] == "change"
        assert stopwatch() - begun < 3


@pytest.mark.needs("git")
def test_a_live_attempt_fetches_its_repository_and_nobody_else_does(shop: Farm, served: str, tmp_path: Path) -> None:
    held = shop.join().claim(1)

    def clone(into: str, token: str) -> subprocess.CompletedProcess[bytes]:
        header = f"http.extraHeader=Authorization: Bearer {token}"
        command = ["git", "-c", header, "clone", "-q", f"{served}/git/shop", str(tmp_path / into)]
        child = environment_for_child(GIT_TERMINAL_PROMPT="0", GIT_CONFIG_NOSYSTEM="1")
        return subprocess.run(command, capture_output=True, check=False, env=child)

    assert clone("good", held.claimed["token"]).returncode == 0
    assert (tmp_path / "good" / ".farmgate.yml").exists()
    assert clone("wrong", "fga_wrong").returncode != 0
    assert clone("person", shop.token).returncode != 0
    held.end()
    assert clone("late", held.claimed["token"]).returncode != 0
