"""Lines of logs that match: counted, bounded, and never a reason to hang."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.checks import Answer, Question, RealProber, Subject, Verdict
from deploy.checks.logs import LONGEST_LINE_BYTES, lines
from deploy.targets import instance as keeper
from deploy.targets.process import ProcessRunner
from deploy.targets.protocol import Instance, Package
from farmgate.blobs import MemoryBlobs
from farmgate.clock import VirtualClock
from farmgate.errors import TargetError
from farmgate.policy import LogCheck, ProcessTarget

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UP = (Instance(0, "127.0.0.1:80", True),)


def ask(check: LogCheck, *pieces: bytes, instances: tuple[Instance, ...] = UP) -> Answer:
    return RealProber().ask(check, Question(Subject(8, "ee", instances, lambda _: pieces), NOW, NOW))


def test_lines_that_match_are_counted_against_their_bound() -> None:
    log = b"started\nERROR one\nfine\nERROR two\n"
    assert ask(LogCheck(pattern="ERROR", most=2), log).verdict is Verdict.HEALTHY
    answer = ask(LogCheck(pattern="ERROR", most=1), log)
    assert answer.verdict is Verdict.SICK
    assert dict(answer.figures) == {"lines": 4, "matched": 2, "most": 1}
    assert answer.words.endswith("the first: ERROR one")


def test_a_pattern_that_would_hang_another_engine_answers_at_once() -> None:
    evil = b"a" * 10_000 + b"!\n"
    assert ask(LogCheck(pattern=r"^(a+)+$", timeout=timedelta(seconds=30)), evil).verdict is Verdict.HEALTHY


def test_no_log_where_one_should_be_cannot_tell_and_an_empty_one_can() -> None:
    check = LogCheck(pattern="x")
    assert RealProber().ask(check, Question(Subject(8, "ee", UP), NOW, NOW)).verdict is Verdict.UNTOLD
    assert ask(check, b"x\n", instances=()).verdict is Verdict.UNTOLD
    assert ask(check).verdict is Verdict.HEALTHY

    def gone(_: datetime | None) -> Iterable[bytes]:
        raise TargetError("the engine is gone")

    answer = RealProber().ask(check, Question(Subject(8, "ee", UP, gone), NOW, NOW))
    assert (answer.verdict, answer.words) == (Verdict.UNTOLD, "the engine is gone")


def test_lines_come_whole_however_they_were_cut_and_long_ones_once() -> None:
    assert list(lines([b"a", b"b\nc", b"\n", b"\xff\xfe"])) == [b"ab", b"c", b"\xff\xfe"]
    endless = [b"x" * LONGEST_LINE_BYTES] * 5 + [b"\nnext\n"]
    assert [len(line) for line in lines(endless)] == [LONGEST_LINE_BYTES, 4]


@pytest.fixture
def runner(tmp_path: Path) -> ProcessRunner:
    return ProcessRunner(tmp_path, MemoryBlobs(), VirtualClock())


def test_a_process_log_is_read_from_a_time_on_by_its_keepers_marks(runner: ProcessRunner, tmp_path: Path) -> None:
    folder = tmp_path / "releases" / "7"
    folder.mkdir(parents=True)
    package = Package(7, "ee", {}, ProcessTarget(command=("x",)))
    spec, clock = {"log": str(folder / "0.log")}, VirtualClock(NOW)
    (folder / "0.old").write_bytes(b"long ago\n")
    (folder / "0.log").write_bytes(b"before\n")
    marked = keeper._mark(spec, clock, -1)
    clock.advance(timedelta(seconds=60))
    with (folder / "0.log").open("ab") as log:
        log.write(b"after\n")
    assert keeper._mark(spec, clock, marked) == 9 + 7 + 6

    def read(since: datetime | None) -> bytes:
        return b"".join(runner.log(package, 0, since))

    assert read(None) == b"long ago\nbefore\nafter\n"
    assert read(NOW - timedelta(seconds=1)) == b"long ago\nbefore\nafter\n"
    assert read(NOW + timedelta(seconds=30)) == b"after\n"
    assert read(NOW + timedelta(seconds=60)) == b""


def test_marks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_MARKS_LIMIT", 200)
    spec, clock, before = {"log": str(tmp_path / "0.log")}, VirtualClock(NOW), -1
    for _ in range(50):
        with Path(spec["log"]).open("ab") as log:
            log.write(b"line\n")
        before = keeper._mark(spec, clock, before)
        clock.advance(timedelta(seconds=1))
    kept = (tmp_path / "0.marks").read_text().splitlines()
    assert len("\n".join(kept)) < 300
    assert kept[-1].endswith(" 250")
    assert all(len(line.split()) == 2 for line in kept)


def test_more_than_may_be_read_is_its_newest_part(runner: ProcessRunner, tmp_path: Path) -> None:
    folder = tmp_path / "releases" / "7"
    folder.mkdir(parents=True)
    with (folder / "0.log").open("wb") as log:
        os.truncate(log.fileno(), 33 * 2**20)
        log.seek(33 * 2**20)
        log.write(b"\nthe end\n")
    package = Package(7, "ee", {}, ProcessTarget(command=("x",)))
    pieces = list(runner.log(package, 0, None))
    assert sum(map(len, pieces)) == 32 * 2**20
    assert pieces[-1].endswith(b"the end\n")
