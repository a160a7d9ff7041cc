"""What a terminal of 80 columns shows, and what can be copied from it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from farmgate.cli import show
from farmgate.cli.demo.screen import Screen

RUNS = ("run", "state", "repository", "ref", "commit", "title", "author", "pushed", "took")
ROW = (
    "12",
    "passed",
    "shop",
    "main",
    "931dfa4fba",
    'Revert "Take card payments"',
    "Barbara Huberman",
    "14 min ago",
    "1 s",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(patch: pytest.MonkeyPatch) -> Terminal:
    """Standard output from now on; called in the test, since pytest sets its own before each."""
    out = Terminal()
    patch.setattr("sys.stdout", out)
    patch.setenv("COLUMNS", "80")
    patch.setenv("TERM", "dumb")
    return out


def test_a_wide_row_is_one_line_and_what_one_copies_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    show.table(RUNS, [ROW], empty="none", spare=("author", "repository", "ref"))
    heading, line = out.getvalue().splitlines()
    assert len(line) <= 80
    assert "931dfa4fba" in line
    assert "14 min ago" in line
    assert heading.endswith("took")
    assert "author" not in heading
    assert "title" in heading


def test_nothing_is_left_out_where_there_is_room() -> None:
    rows = [[Text(value) for value in ROW]]
    assert show.fitting(RUNS, rows, ("author",), 200) == list(range(len(RUNS)))


def test_a_reason_is_told_whole_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    show.table(("check", "why"), [("git", "because " * 30)], empty="none")
    assert out.getvalue().count("because") == 30


def test_a_long_link_is_never_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    out = terminal(monkeypatch)
    link = "http://127.0.0.1:8470/signin?code=" + "x" * 70
    show.whole(f"  sign in  {link}")
    assert link in out.getvalue()


def test_what_the_demo_says_hangs_below_its_subject() -> None:
    screen = Screen()
    screen.console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None, markup=False)
    screen.say("production rollout 3 takes 6 commits at once, up to 43eb96023c 'Take card payments'")
    file = screen.console.file
    assert isinstance(file, io.StringIO)
    first, *rest = file.getvalue().splitlines()
    assert first.startswith("production rollout 3")
    assert rest
    assert all(line.startswith(" " * 11 + line.strip()[0]) for line in rest)
