"""`log`: how many lines of a release's instances match a pattern.

Rules:
1. Patterns are RE2's: their time grows with the line and nothing else, so no pattern and no line can hang the loop.
2. Of a line the first LONGEST_LINE_BYTES are looked at. What is read is bounded by the target, and by the time.
3. No log where one should be cannot tell. An empty one is none that matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import re2

from deploy.checks.questions import Question
from deploy.checks.verdicts import Answer, healthy, sick, untold
from farmgate.clock import stopwatch
from farmgate.errors import TargetError
from farmgate.policy import LogCheck

LONGEST_LINE_BYTES: Final = 16 * 1024
_SHOWN: Final = 200
_LOOK_EVERY: Final = 1000


def ask(check: LogCheck, question: Question) -> Answer:
    """Count, and show the first line that matches."""
    about = question.about
    if about.log is None or not about.instances:
        return untold("there is no log to read")
    began, seconds = stopwatch(), check.timeout.total_seconds()
    pattern = _compiled(check.pattern)
    read = matched = 0
    first = ""
    try:
        for line in lines(about.log(question.log_since)):
            read += 1
            if pattern.search(line) is not None:
                matched += 1
                first = first or line.decode(errors="replace")[:_SHOWN]
            if read % _LOOK_EVERY == 0 and stopwatch() - began > seconds:
                return untold(f"the logs could not be read within {seconds:g} s", lines=read, matched=matched)
    except TargetError as error:
        return untold(str(error))
    figures = {"lines": read, "matched": matched, "most": check.most}
    if matched > check.most:
        return sick(f"{matched} lines match, and at most {check.most} may; the first: {first}", **figures)
    return healthy(f"{matched} of {read} lines match", **figures)


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, however the bytes were cut; of a long one its beginning."""
    rest, skips = b"", False
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if not skips:
                yield line[:LONGEST_LINE_BYTES]
            skips = False
        if len(rest) > LONGEST_LINE_BYTES:
            if not skips:
                yield rest[:LONGEST_LINE_BYTES]
            rest, skips = b"", True
    if rest and not skips:
        yield rest


def _compiled(pattern: str) -> re2._Regexp[bytes]:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern.encode(), options)
