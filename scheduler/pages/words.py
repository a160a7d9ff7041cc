"""What people read instead of states, seconds and bytes. Pure.

Rules:
1. A state is shown as a word with an icon; the tone (a colour) only repeats what they say.
2. Spans have at most two units; `static/live.js` says the same words, so that a page does not jump when it ticks.
3. What needs a person is said with what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown. `tone` is one of good, bad, busy, wait, ask, quiet; `icon` names a symbol of the page."""

    word: str
    icon: str
    tone: str


_QUIET = Look("unknown", "dot", "quiet")
LOOKS: dict[str, Look] = {
    # runs, jobs, attempts, steps
    "pending": Look("pending", "clock", "wait"),
    "waiting": Look("waiting", "clock", "wait"),
    "ready": Look("ready", "clock", "wait"),
    "queued": Look("queued", "clock", "wait"),
    "running": Look("running", "spin", "busy"),
    "passed": Look("passed", "check", "good"),
    "failed": Look("failed", "cross", "bad"),
    "error": Look("error", "alert", "bad"),
    "lost": Look("lost", "unplug", "ask"),
    "cancelled": Look("cancelled", "stop", "quiet"),
    "skipped": Look("skipped", "skip", "quiet"),
    # rollouts
    "asking": Look("asks a person", "hand", "ask"),
    "finishing": Look("finishing", "spin", "busy"),
    "restoring": Look("restoring", "back", "bad"),
    "good": Look("good", "check", "good"),
    "sick": Look("sick, taken back", "cross", "bad"),
    "stuck": Look("stuck", "alert", "bad"),
    # checks
    "healthy": Look("healthy", "check", "good"),
    "cannot tell": Look("cannot tell", "hand", "ask"),
    "done": Look("done", "check", "good"),
    "aborted": Look("aborted", "stop", "ask"),
    "begun": Look("under way", "spin", "busy"),
    # in the hands of another tool
    "sending": Look("being handed over to another tool", "clock", "wait"),
    "taken": Look("in the hands of another tool", "spin", "busy"),
    "untold": Look("the other tool cannot tell", "hand", "ask"),
    "over": Look("not waited for any more", "skip", "quiet"),
    # searches
    "open": Look("searching", "search", "ask"),
    "found": Look("culprit found", "check", "good"),
    "abandoned": Look("abandoned", "stop", "quiet"),
    # commits that Farmgate makes
    "asked": Look("to be made", "clock", "wait"),
    "testing": Look("being tested", "spin", "busy"),
    "delivering": Look("on its way", "spin", "busy"),
    "needless": Look("needless", "skip", "quiet"),
    # nodes
    "node ready": Look("ready", "check", "good"),
    "draining": Look("draining", "stop", "ask"),
    "silent": Look("silent", "unplug", "bad"),
    "removed": Look("removed", "stop", "quiet"),
    # lanes
    "held": Look("held", "hand", "ask"),
    "banned": Look("banned", "ban", "bad"),
    "green": Look("green", "check", "good"),
    "red": Look("red", "cross", "bad"),
    "live": Look("live", "live", "good"),
    "gone": Look("dropped by a forced push", "skip", "quiet"),
}


def look(state: object) -> Look:
    """How to show a state; an unknown one is shown by its own word."""
    word = str(state)
    return LOOKS.get(word) or Look(word, _QUIET.icon, _QUIET.tone)


def span(seconds: float | timedelta | None) -> str:
    """A length of time: 0.42 s, 12 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    if seconds is None:
        return ""
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    total = max(0.0, total)
    if total < 0.9995:
        return f"{total * 1000:.0f} ms"
    if total < 10:
        return f"{total:.1f} s"
    whole = int(total)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def distance(when: datetime, now: datetime) -> str:
    """How far a time is away, coarsely: just now, 12 s ago, in 3 min."""
    seconds = (now - when).total_seconds()
    size = abs(seconds)
    if size < 5:
        return "just now" if seconds >= 0 else "now"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if size >= length:
            told = f"{int(size // length)} {unit}"
            return f"{told} ago" if seconds >= 0 else f"in {told}"
    return "just now"


def exact(when: datetime) -> str:
    """A time to the second, in UTC; the page rewrites it in its reader's zone."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: int | None) -> str:
    """Bytes: 812 B, 14.2 kB, 3.1 MB."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{int(amount)} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return ""


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 commit, 2 commits."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def short(sha: str | None) -> str:
    """A sha as people say it."""
    return (sha or "")[:8]


def branch(ref: str | None) -> str:
    """A ref as people say it: main, v1, pull request 7."""
    ref = ref or ""
    if ref.startswith("refs/pull/"):
        return f"pull request {ref.split('/')[2]}"
    for prefix in ("refs/heads/", "refs/tags/"):
        if ref.startswith(prefix):
            return ref[len(prefix) :]
    return ref
