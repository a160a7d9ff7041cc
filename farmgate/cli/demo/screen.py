"""What the user sees: a live table on a terminal, plain lines elsewhere, and the summary at the end."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from farmgate.cli import show
from farmgate.cli.demo.forge import Pushed
from farmgate.cli.demo.picture import LANES, LaneSeen, Picture
from farmgate.cli.demo.verdict import Delay, Promise, answers, green_to_live
from farmgate.cli.demo.visitors import Counted

SHOWN = 16
INDENT = 11  # of what is said after its first word
_LANE_STYLES = (
    ("live", "bold green"),
    ("batch", "green"),
    ("rolling", "cyan"),
    ("going back", "yellow"),
    ("taken back", "yellow"),
    ("banned", "bold red"),
    ("stuck", "bold red"),
)


class Screen:
    """Also a context manager; outside of it lines are just printed."""

    def __init__(self, *, err: bool = False) -> None:
        self.console: Console = show.console(err=err)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str, *, style: str = "") -> None:
        """One line of what happens; on a terminal what does not fit stands below what it belongs to."""
        if "\n" in text:
            self.console.print(text, style=style or None, soft_wrap=True)
            return
        self.console.print("\n".join(self._lines(show.clean(text))), style=style or None)

    def _lines(self, text: str) -> list[str]:
        if not self.console.is_terminal:
            return [text]
        first = re.match(r"\S* +", text)
        hang = INDENT if first is not None and first.end() == INDENT else 0
        return textwrap.wrap(
            text, self.console.width, subsequent_indent=" " * hang, break_long_words=False, break_on_hyphens=False
        )

    def draw(self, picture: Picture, pushed: Sequence[Pushed], counted: Counted, took: float) -> None:
        """The table as it stands now; nothing without a terminal."""
        if self._live is not None:
            self._live.update(
                Group(Text(""), _commits(picture, pushed, self.console.width), _below(picture, counted, took))
            )


def _commits(picture: Picture, pushed: Sequence[Pushed], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    room = max(8, width - 3 - 10 - 13 - 10 * len(LANES) - 2 * (3 + len(LANES)))
    for heading in ("", "commit", "title", "tests", *LANES):  # a long title gives way, nothing else
        table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=room if heading == "title" else None)
    first = max(0, len(pushed) - SHOWN)
    for number, one in enumerate(pushed[first:], start=first + 1):
        table.add_row(
            str(number),
            show.short(one.sha),
            Text(one.change.title),
            _answer(picture, one.sha),
            *(_word(picture.lanes[name], one.sha) for name in LANES),
        )
    return table


def _answer(picture: Picture, sha: str) -> Text:
    run = picture.runs.get(sha)
    if run is None:
        return Text("pushed", style="dim")
    text = show.state(run.state)
    if run.finished_at and run.pushed_at:
        text.append(f" {show.span(run.finished_at - run.pushed_at)}", style="dim")
    return text


def _word(lane: LaneSeen, sha: str) -> Text:
    word = lane.word(sha)
    return Text(word, style=next((style for start, style in _LANE_STYLES if word.startswith(start)), ""))


def _below(picture: Picture, counted: Counted, took: float) -> Group:
    lines = [Text("")]
    for name, lane in picture.lanes.items():
        active = lane.active
        text = Text(f"{name:12}{show.short(lane.live) + ' live' if lane.live else 'nothing live yet'}")
        if active is not None:
            many = len(active.commits)
            text.append(
                f", rollout {active.number} ({active.kind}, {many} commit{'s' if many != 1 else ''}) {active.state}, "
                f"wave {active.wave + 1}",
                style="cyan",
            )
        if lane.problem:
            text.append(f", {show.clean(lane.problem)}", style="yellow")
        lines.append(text)
    failed = Text(f", {counted.failed} failed", style="bold red" if counted.failed else "green")
    served = Text(f"{'visitors':12}{counted.version[:10] or '-'} served; {counted.served} requests")
    lines.append(served.append_text(failed))
    lines.append(Text(f"{'time':12}{show.span(timedelta(seconds=took))}", style="dim"))
    return Group(*lines)


def summary(
    screen: Screen, picture: Picture, pushed: Sequence[Pushed], counted: Counted, kept: Sequence[Promise]
) -> None:
    """What was done, with its figures, and which promises were kept."""
    titles = {one.sha: one.change.title for one in pushed}
    out = screen.console
    states: dict[str, int] = {}
    for run in picture.runs.values():
        states[run.state] = states.get(run.state, 0) + 1
    counts = ", ".join(f"{count} {word}" for word, count in sorted(states.items()))
    out.print(f"\n{len(pushed)} commits, {len(picture.runs)} runs: {counts}")
    for name in LANES:
        _lane_summary(out, picture.lanes[name], titles)
    for sha in sorted(picture.production.ever_banned):
        out.print(
            f"\nculprit     {show.short(sha)} {titles.get(sha, '')!r}, found and banned, then reverted by its author"
        )
    out.print(f"\npush -> answer        {_delay(answers(picture))}")
    for name in LANES:
        out.print(f"green -> {name:12} {_delay(green_to_live(picture, picture.lanes[name]))}")
    slow = show.span(timedelta(seconds=counted.slowest))
    out.print(f"visitors              {counted.served} requests served, {counted.failed} failed, the slowest {slow}\n")
    for promise in kept:
        mark, style = ("kept", "green") if promise.kept else ("BROKEN", "bold red")
        out.print(Text.assemble((f"{mark:8}", style), promise.sentence))
        for line in promise.against:
            out.print(f"        {show.clean(line)}")


def _lane_summary(out: Console, lane: LaneSeen, titles: Any) -> None:
    out.print(f"\n{lane.environment}: {show.short(lane.live)} {titles.get(lane.live, '')!r} is live")
    for one in lane.rollouts:
        took = show.span(one.finished_at - one.began) if one.finished_at and one.began else "-"
        many = len(one.commits)
        carried = ", ".join(titles.get(sha, show.short(sha)) for sha in one.commits[:8])
        more = f" and {many - 8} more" if many > 8 else ""
        kind = "" if one.kind == "forward" else f" ({one.kind})"
        commits = f"{many} commit{'s' if many != 1 else ''}{kind}"
        line = show.clean(f"  {one.number:3} {one.state:9} {took:>7}  {commits}: {carried}{more}")
        out.print("\n".join(textwrap.wrap(line, out.width, subsequent_indent=" " * 25)) if out.is_terminal else line)


def _delay(delay: Delay) -> str:
    if delay.middle is None or delay.longest is None:
        return "-"
    return f"p50 {show.span(delay.middle)}, max {show.span(delay.longest)} ({delay.count} commits)"
