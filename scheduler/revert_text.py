"""A commit without a culprit as a pull request: its title and its text, in Markdown. Pure.

Rules:
1. It says what is taken back and whose it was, what showed that, with figures, what was tested and whether that is
   live, and how to bring the commit to the branch.
2. What strangers wrote is one line each, cut, and never markup: it stands as code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from farmgate import states
from scheduler.lane_bodies import CheckBody
from scheduler.made_bodies import MadeBody

_TITLE: Final = 100
_WORDS: Final = 300
_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Tried:
    """A rollout that tells something of the culprit. `checks`: those of its waves that did not say healthy."""

    number: int
    kind: str
    state: str
    until_sha: str
    reason: str | None
    checks: Sequence[CheckBody] = ()


def title(made: MadeBody) -> str:
    """As git words a revert."""
    newest = made.picks[0]
    name = f'"{line(newest.title, _TITLE)}"' if newest.title else newest.sha[:12]
    more = len(made.picks) - 1
    return f"Revert {name}" + (f" and {more} more" if more else "")


def body(
    lane: str, branch: str, made: MadeBody, reasons: Sequence[str], tried: Sequence[Tried], answered: Sequence[str]
) -> str:
    """The text. `reasons`: of the bans; `answered`: what the branch has done about it already."""
    begins = f"{lane} goes on without {_some(made)}. Farmgate made a commit that takes {_it(made)} back"
    parts = [
        f"{begins} on top of `{made.onto[:12]}`, and offers it here.",
        _section("What is taken back", [_pick(pick.sha, pick.title, pick.author) for pick in made.picks]),
        _section("Why", [code(reason, _WORDS) for reason in reasons]),
        _section("What was tried", [_rollout(each) for each in tried[:_TOLD]]),
        _section("What was tested", _tested(made)),
    ]
    if made.sha is not None:
        command = f"farmgate lane revert-text {lane} {made.id} --patch | git am -3"
        name = f"revert-{made.id}"
        steps = ["git fetch origin", f"git switch -c {name} origin/{branch}", command, f"git push -u origin {name}"]
        parts.append("\n".join(["## How to bring it", "", *(f"    {step}" for step in steps)]))
        parts.append(
            f"As soon as {branch} has it, batches of {lane} go on as usual. A fix in place of it does as well: say "
            f"`Fixes-commit: {made.picks[0].sha}` in its message."
        )
    if answered:
        parts.append(_section("Not needed any more", answered))
    return "\n\n".join(part for part in parts if part) + "\n"


def line(text: str, most: int) -> str:
    """Rule 2."""
    told = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return told if len(told) <= most else f"{told[:most]}..."


def code(text: str, most: int) -> str:
    """As Markdown takes it for no markup."""
    return f"`{line(text, most).replace('`', chr(39))}`"


def _section(name: str, rows: Sequence[str]) -> str:
    return "\n".join([f"## {name}", "", *(f"- {row}" for row in rows)]) if rows else ""


def _some(made: MadeBody) -> str:
    return f"`{made.picks[0].sha[:12]}`" if len(made.picks) == 1 else f"{len(made.picks)} commits"


def _it(made: MadeBody) -> str:
    return "it" if len(made.picks) == 1 else "them"


def _pick(sha: str, of: str, author: str) -> str:
    return f"`{sha}` {code(of, _TITLE)}" + (f" by {code(author, _TITLE)}" if author else "")


def _rollout(each: Tried) -> str:
    told = f"rollout {each.number} ({each.kind}), up to `{each.until_sha[:12]}`: {each.state}"
    rows = [told + (f": {code(each.reason, _WORDS)}" if each.reason else "")]
    for check in each.checks:
        figures = "".join(f", {name} {_figure(value)}" for name, value in sorted(check.figures.items())[:_TOLD])
        said = f" {code(check.words, _WORDS)}" if check.words else ""
        asked = f"{check.healthy} of {check.asked} healthy{figures}"
        rows.append(f"  - wave {check.wave}, {code(check.check, _TITLE)}: {check.outcome or check.last}, {asked}{said}")
    return "\n".join(rows)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else line(str(value), _TITLE)


def _tested(made: MadeBody) -> list[str]:
    if made.sha is None:
        return [f"nothing: {code(made.problem or 'it is not made yet', _WORDS)}"]
    rows = [f"`{made.sha}`, in the farm's mirror as `{made.ref}`: run {made.run_id}"]
    told = {
        states.Made.LIVE: f"it is live since rollout {made.rollout}",
        states.Made.DELIVERING: f"rollout {made.rollout} delivers it",
        states.Made.ASKED: "it is not made yet",
        states.Made.TESTING: "its checks are under way",
        states.Made.READY: "its checks were green",
    }.get(made.state, f"it is {made.state}" + (f": {code(made.problem, _WORDS)}" if made.problem else ""))
    return [*rows, told]
