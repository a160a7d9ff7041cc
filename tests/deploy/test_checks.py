"""What a check says: healthy, sick, or cannot tell; and how answers add up."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.checks import Answer, Question, RealProber, Subject, Verdict
from deploy.steps import added, unsteady
from deploy.targets.protocol import Instance
from farmgate.policy import Check, CommandCheck, HttpCheck

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def web() -> Iterator[Instance]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Instance(0, f"127.0.0.1:{server.server_port}", True)
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def speaking(words: bytes) -> Iterator[Instance]:
    """Something that answers with these bytes whatever it is asked; with none it says nothing until the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if words:
                    connection.sendall(words)
                over.wait(5 if not words else 0)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Instance(0, f"127.0.0.1:{server.getsockname()[1]}", True)
        over.set()
        thread.join()


@contextmanager
def trickling() -> Iterator[Instance]:
    """Something that sends one byte of a header after the other, without an end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
                while not over.wait(0.05):
                    connection.sendall(b"y")

        thread = threading.Thread(target=serve)
        thread.start()
        yield Instance(0, f"127.0.0.1:{server.getsockname()[1]}", True)
        over.set()
        thread.join()


def ask(check: Check, *instances: Instance) -> Answer:
    return RealProber().ask(check, Question(Subject(7, "c0ffee", instances), NOW, NOW))


@pytest.mark.parametrize(
    ("path", "expect", "verdict"),
    [("/200", 200, "healthy"), ("/204", 204, "healthy"), ("/204", 200, "sick"), ("/500", 200, "sick")],
)
def test_the_wanted_status_is_healthy_and_another_one_sick(web: Instance, path: str, expect: int, verdict: str) -> None:
    answer = ask(HttpCheck(http=path, expect=expect), web)
    assert (answer.verdict, answer.figures["status"]) == (verdict, int(path[1:]))


def test_one_sick_instance_of_several_makes_the_release_sick(web: Instance, free_port: int) -> None:
    answer = ask(HttpCheck(http="/200"), web, Instance(1, f"127.0.0.1:{free_port}", True))
    assert answer.verdict is Verdict.SICK
    assert str(free_port) in answer.words


def test_silence_and_nonsense_cannot_tell() -> None:
    check = HttpCheck(http="/", timeout=timedelta(milliseconds=200))
    with speaking(b"") as silent:
        assert ask(check, silent).verdict is Verdict.UNTOLD
    with speaking(b"good day\r\n\r\n") as odd:
        assert ask(check, odd).verdict is Verdict.UNTOLD


def test_an_answer_that_never_ends_is_silence() -> None:
    """One byte now and then keeps every single wait short, and the whole is as long as the other side likes."""
    check = HttpCheck(http="/", timeout=timedelta(milliseconds=300))
    with trickling() as endless:
        assert ask(check, endless).words.endswith("did not answer within 0.3 s")


def test_with_nobody_to_ask_nobody_can_tell() -> None:
    assert ask(HttpCheck(http="/")).verdict is Verdict.UNTOLD
    assert ask(HttpCheck(http="/"), Instance(0, "", True)).verdict is Verdict.UNTOLD


def test_a_whole_address_is_asked_itself(web: Instance) -> None:
    assert ask(HttpCheck(http=f"http://{web.address}/200")).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("program", "verdict"),
    [("exit(0)", "healthy"), ("exit(1)", "sick"), ("exit(2)", "cannot tell"), ("exit(77)", "cannot tell")],
)
def test_a_program_says_it_by_its_status(program: str, verdict: str) -> None:
    assert ask(CommandCheck(command=(sys.executable, "-c", program), timeout=timedelta(seconds=30))).verdict == verdict


def test_a_program_that_hangs_or_is_not_there_cannot_tell() -> None:
    hangs = CommandCheck(command=("sleep", "60"), timeout=timedelta(milliseconds=100))
    assert ask(hangs).words == "sleep 60 did not end in time"
    assert ask(CommandCheck(command=("/nowhere/at/all",))).verdict is Verdict.UNTOLD


def test_a_program_is_told_where_the_instances_are(web: Instance) -> None:
    program = "import os; print(os.environ['FARMGATE_INSTANCES'])"
    answer = ask(CommandCheck(command=(sys.executable, "-c", program), timeout=timedelta(seconds=30)), web)
    assert answer.words == web.address


def test_silence_breaks_no_run_of_sick_answers_and_a_healthy_one_does() -> None:
    check = HttpCheck(http="/")
    detail: dict[str, Any] = {}
    runs = []
    for verdict in (Verdict.SICK, Verdict.UNTOLD, Verdict.SICK, Verdict.HEALTHY, Verdict.UNTOLD, Verdict.UNTOLD):
        detail = added(detail, check, Answer(verdict, ""), NOW)
        runs.append((detail["sick_in_a_row"], detail["untold_in_a_row"]))
    assert runs == [(1, 0), (1, 1), (2, 0), (0, 0), (0, 1), (0, 2)]
    assert (detail["asked"], detail["healthy"]) == (6, 1)


def test_an_instance_that_ended_by_itself_is_sick_although_it_answers_again() -> None:
    assert unsteady([Instance(0, "a:1", True), Instance(1, "a:2", True)]) is None
    said = unsteady([Instance(0, "a:1", True), Instance(1, "a:2", True, restarts=3)])
    assert said is not None
    assert said.verdict is Verdict.SICK
    assert "instance 2 ended by itself" in said.words
