"""A Prometheus is asked for one number; whatever else it says, nobody can tell."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from deploy.checks import Answer, Question, RealProber, Subject, Verdict
from deploy.targets.protocol import Instance
from farmgate.errors import TargetError
from farmgate.policy import CanaryCheck, QueryCheck
from tests.deploy.engines import pem, private, signed

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NEW = Subject(8, "ee" * 20, (Instance(0, "10.0.0.8:80", True), Instance(1, "10.0.0.9:80", True)))
OLD = Subject(7, "00" * 20, (Instance(0, "10.0.0.7:80", True),))
Reply = Callable[[dict[str, str]], "bytes | tuple[int, bytes]"]


class Server:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Reply = lambda _: b""
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.elsewhere: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                outer.asked.append({"path": self.path, **form})
                outer.tokens.append(self.headers["authorization"])
                said = outer.reply(form)
                status, content = said if isinstance(said, tuple) else (200, said)
                self.send_response(status)
                if outer.elsewhere is not None:
                    self.send_header("location", outer.elsewhere)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._web.server_port}"
        self._thread = threading.Thread(target=self._web.serve_forever, args=(0.01,))
        self._thread.start()

    def over_tls(self, own: Path) -> None:
        """From the next connection on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own)
        self._web.socket = context.wrap_socket(self._web.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def close(self) -> None:
        self._web.shutdown()
        self._thread.join()
        self._web.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def vector(*values: str) -> bytes:
    series = [{"metric": {"i": str(at)}, "value": [1.0, value]} for at, value in enumerate(values)]
    return result("vector", series)


def result(kind: str, found: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": found}}).encode()


def ask(check: QueryCheck | CanaryCheck, **more: Any) -> Answer:
    asked = {"shifted_at": NOW - timedelta(minutes=10), "against": OLD, "share": 20, **more}
    return RealProber().ask(check, Question(NEW, NOW, **asked))


@pytest.mark.parametrize(
    ("value", "below", "above", "verdict"),
    [
        ("0.01", 0.02, None, "healthy"),
        ("0.02", 0.02, None, "sick"),
        ("0.5", None, 0.4, "healthy"),
        ("0.4", None, 0.4, "sick"),
        ("5", 10, 1, "healthy"),
        ("0", 10, 1, "sick"),
        ("-1e300", 0, None, "healthy"),
    ],
)
def test_a_number_within_its_bounds_is_healthy(
    server: Server, value: str, below: float | None, above: float | None, verdict: str
) -> None:
    server.reply = lambda _: vector(value)
    answer = ask(QueryCheck(query="x", url=server.url, below=below, above=above))
    assert answer.verdict == verdict
    assert answer.figures["value"] == float(value)


def test_a_scalar_is_a_number_too(server: Server) -> None:
    server.reply = lambda _: result("scalar", [1.0, "3"])
    assert ask(QueryCheck(query="scalar(x)", url=server.url, below=4)).verdict is Verdict.HEALTHY


NONSENSE: list[tuple[str, bytes | tuple[int, bytes], str]] = [
    ("not a number", vector("NaN"), "NaN"),
    ("infinite", vector("+Inf"), "infinite"),
    ("no series", vector(), "no series"),
    ("several series", vector("1", "2"), "2 series"),
    ("a page", b"<html>please log in</html>", "no JSON"),
    ("nothing", b"", "no JSON"),
    ("deep nonsense", b"[" * 100_000, "no JSON"),
    ("a redirect to a page", (302, b""), "302"),
    ("an error", (422, b'{"status": "error", "error": "parse error: unexpected end"}'), "parse error"),
    ("a string", result("string", [1.0, "fine"]), "string"),
    ("a matrix", result("matrix", []), "matrix"),
    ("no pair", result("vector", [{"metric": {}, "value": "1"}]), "no number"),
    ("a word for a number", vector("plenty"), "no number"),
    ("a list for a series", result("vector", [[]]), "no series"),
    ("no data", b'{"status": "success"}', "no result"),
    ("too much", b" " * (4 * 2**20 + 1), "4,194,304 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "words"), [row[1:] for row in NONSENSE], ids=[row[0] for row in NONSENSE])
def test_what_is_no_number_cannot_tell(server: Server, reply: bytes | tuple[int, bytes], words: str) -> None:
    server.reply = lambda _: reply
    answer = ask(QueryCheck(query="x", url=server.url, below=1))
    assert (answer.verdict, words in answer.words) == (Verdict.UNTOLD, True), answer.words


def test_one_that_hangs_or_is_not_there_cannot_tell(server: Server, free_port: int) -> None:
    over = threading.Event()

    def hang(_: dict[str, str]) -> bytes:
        over.wait(5)
        return vector("0")

    server.reply = hang
    late = ask(QueryCheck(query="x", url=server.url, below=1, timeout=timedelta(milliseconds=200)))
    over.set()
    assert (late.verdict, "within 0.2 s" in late.words) == (Verdict.UNTOLD, True)
    assert ask(QueryCheck(query="x", url=f"http://127.0.0.1:{free_port}", below=1)).verdict is Verdict.UNTOLD


def test_the_query_names_whom_it_is_about(server: Server) -> None:
    server.reply = lambda _: vector("0")
    ask(QueryCheck(query='e{i=~"{{instances}}",s="{{sha}}",r="{{ rollout }}"}', url=server.url, below=1))
    assert server.asked[0]["query"] == f'e{{i=~"10[.]0[.]0[.]8:80|10[.]0[.]0[.]9:80",s="{"ee" * 20}",r="8"}}'
    assert server.asked[0]["path"] == "/api/v1/query"
    assert float(server.asked[0]["time"]) == NOW.timestamp()


def test_without_instances_nobody_is_asked_about_them(server: Server) -> None:
    alone = Question(Subject(8, "ee"), NOW, NOW)
    answer = RealProber().ask(QueryCheck(query='e{i=~"{{instances}}"}', url=server.url, below=1), alone)
    assert (answer.verdict, server.asked) == (Verdict.UNTOLD, [])


# --- the canary ------------------------------------------------------------------------------------------------------

FAST = tuple(0.100 + 0.001 * (at * 7 % 12) for at in range(12))
CANARY = CanaryCheck(query='p90{r="{{rollout}}"}[1m]', url="", step=timedelta(seconds=30), samples=12)


def matrix(*values: float | str) -> bytes:
    return result("matrix", [{"metric": {}, "values": [[at, str(value)] for at, value in enumerate(values)]}])


def canary(server: Server, new: bytes, old: bytes, **more: Any) -> Answer:
    server.reply = lambda form: new if 'r="8"' in form["query"] else old
    changed = {name: more.pop(name) for name in ("share", "against") if name in more}
    return ask(CANARY.model_copy(update={"url": server.url, **more}), **changed)


def test_the_same_as_before_is_healthy_and_clearly_slower_is_sick(server: Server) -> None:
    same = canary(server, matrix(*FAST), matrix(*reversed(FAST)))
    slow = canary(server, matrix(*(value * 1.5 for value in FAST)), matrix(*FAST))
    assert (same.verdict, slow.verdict) == (Verdict.HEALTHY, Verdict.SICK)
    assert slow.figures["p"] < 0.0001
    assert slow.figures["superiority"] == 1.0
    assert slow.figures["test"].startswith("Mann-Whitney U")
    assert {"median", "old_median", "margin", "u", "samples", "old_samples"} <= slow.figures.keys()


def test_steadily_worse_by_less_than_is_borne_is_healthy(server: Server) -> None:
    a_little = matrix(*(value * 1.04 + 0.001 for value in FAST))
    assert canary(server, a_little, matrix(*FAST), tolerance=0.10).verdict is Verdict.HEALTHY
    narrow = tuple(0.100 + 0.0001 * at for at in range(12))
    slower = matrix(*(value + 0.004 for value in narrow))
    assert canary(server, slower, matrix(*narrow), tolerance=0.001, relative=False).verdict is Verdict.SICK
    assert canary(server, slower, matrix(*narrow), tolerance=0.005, relative=False).verdict is Verdict.HEALTHY


def test_a_few_wild_samples_are_not_worse(server: Server) -> None:
    assert canary(server, matrix(*FAST[:10], 9.0, 12.0), matrix(*FAST)).verdict is Verdict.HEALTHY


def test_where_lower_is_worse_less_is_sick(server: Server) -> None:
    fewer = matrix(*(value / 2 for value in FAST))
    assert canary(server, fewer, matrix(*FAST), worse="lower").verdict is Verdict.SICK
    assert canary(server, fewer, matrix(*FAST), worse="higher").verdict is Verdict.HEALTHY


def test_too_few_usable_samples_cannot_tell(server: Server) -> None:
    gaps = matrix(*FAST[:11], "NaN")
    for new, old, side in ((gaps, matrix(*FAST), "new"), (matrix(*FAST), gaps, "old"), (matrix(), gaps, "new")):
        answer = canary(server, new, old)
        assert (answer.verdict, f"of the {side} release" in answer.words) == (Verdict.UNTOLD, True)
    assert canary(server, result("matrix", []), matrix(*FAST)).verdict is Verdict.UNTOLD
    two = result("matrix", [{"metric": {}, "values": []}] * 2)
    assert "2 series" in canary(server, two, matrix(*FAST)).words


def test_a_first_release_passes_and_says_why(server: Server) -> None:
    answer = canary(server, matrix(), matrix(), against=None)
    assert (answer.verdict, answer.figures) == (Verdict.HEALTHY, {"compared": False})


def test_the_old_one_is_asked_at_the_same_time_and_before_the_wave_once_it_serves_nobody(server: Server) -> None:
    canary(server, matrix(*FAST), matrix(*FAST), share=20)
    canary(server, matrix(*FAST), matrix(*FAST), share=100)
    spans = [(float(each["start"]) - NOW.timestamp(), float(each["end"]) - NOW.timestamp()) for each in server.asked]
    assert spans == [(-540, 0), (-540, 0), (-540, 0), (-1140, -600)]
    assert {each["step"] for each in server.asked} == {"30"}


# --- the token -------------------------------------------------------------------------------------------------------

TOKEN = "glc_eyJvIjoiMTIzNDU2Nzg5"


def secret(name: str) -> str:
    if name != "PROMETHEUS":
        raise TargetError(f"there is no secret {name} for shop/production")
    return TOKEN


def test_the_token_goes_to_the_server_and_into_nothing_else(server: Server) -> None:
    told: list[Reply] = [
        lambda _: vector("0.5"),
        lambda _: (401, json.dumps({"status": "error", "error": f"no such token: {TOKEN}"}).encode()),
        lambda _: result(TOKEN, []),
    ]
    check = QueryCheck(query="up", url=server.url, below=1, token="PROMETHEUS")
    answers = []
    for server.reply in told:
        answers.append(ask(check, secret=secret))
    assert server.tokens == [f"Bearer {TOKEN}"] * 3
    assert [each.verdict for each in answers] == [Verdict.HEALTHY, Verdict.UNTOLD, Verdict.UNTOLD]
    assert "no such token: ***" in answers[1].words
    assert TOKEN not in f"{answers} {check} {check.model_dump()} {Question(NEW, NOW, NOW, secret=secret)}"
    canary = CanaryCheck(query='e{sha="{{sha}}"}', url=server.url, token="PROMETHEUS")
    ask(canary, secret=secret)
    assert server.tokens[-1] == f"Bearer {TOKEN}"


def test_a_redirect_is_no_answer_and_carries_the_token_nowhere(server: Server) -> None:
    other = Server()
    server.elsewhere, server.reply = f"{other.url}/api/v1/query", lambda _: (307, vector("0.5"))
    answer = ask(QueryCheck(query="up", url=server.url, below=1, token="PROMETHEUS"), secret=secret)
    other.close()
    assert answer.verdict is Verdict.UNTOLD
    assert "answered 307, a redirect, which is not followed" in answer.words
    assert (len(server.asked), other.asked) == (1, [])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTHER", "", "there is no secret OTHER"),
        ("PROMETHEUS", f"{TOKEN}\nx-admin: 1", "the secret PROMETHEUS is no token"),
        ("PROMETHEUS", f"{TOKEN}\u00e9", "the secret PROMETHEUS is no token"),
        ("PROMETHEUS", "", "the secret PROMETHEUS is no token"),
    ],
)
def test_without_a_token_that_can_be_sent_nobody_is_asked(server: Server, name: str, value: str, words: str) -> None:
    def given(wanted: str) -> str:
        return secret(wanted) and value

    answer = ask(QueryCheck(query="up", url=server.url, below=1, token=name), secret=given)
    assert answer.verdict is Verdict.UNTOLD
    assert words in answer.words
    assert TOKEN not in answer.words
    assert server.asked == []


def test_a_server_is_asked_over_tls_if_its_authority_vouches_for_it(server: Server, tmp_path: Path) -> None:
    authority, stranger = signed("authority", None), signed("stranger", None)
    key, own = signed("127.0.0.1", authority)
    (tmp_path / "server.pem").write_text(private(key) + pem(own))
    server.over_tls(tmp_path / "server.pem")
    server.reply = lambda _: vector("0.5")
    check = QueryCheck(query="up", url=server.url, below=1, token="PROMETHEUS", ca=pem(authority[1]))
    assert ask(check, secret=secret).verdict is Verdict.HEALTHY
    for ca in (pem(stranger[1]), None):
        answer = ask(check.model_copy(update={"ca": ca}), secret=secret)
        assert answer.verdict is Verdict.UNTOLD
        assert "certificate verify failed" in answer.words
    assert server.tokens == [f"Bearer {TOKEN}"], "who cannot show who it is gets none"
