"""Exit codes, and the one place where an error becomes a line and a code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn

from farmgate import errors


class Exit(IntEnum):
    """What `farmgate` says to the shell."""

    OK = 0  # it worked, and what was asked about is well
    FAILED = 1  # it worked, and the answer is bad: a failed run, a sick rollout, a file with problems
    USAGE = 2  # the command line itself is wrong
    UNREACHABLE = 3  # no farm answers
    UNAUTHORISED = 4  # no token, a wrong one, or one without this right
    NOT_FOUND = 5  # no such repository, run, lane, node...
    REFUSED = 6  # the farm would not do it: it contradicts what is there, or the input is bad
    MACHINE = 7  # this machine lacks something: a program, a port, space, a free data folder, a usable setting
    INTERRUPTED = 130  # Ctrl-C


MEANINGS = {
    Exit.OK: "it worked, and what was asked about is well",
    Exit.FAILED: "it worked, and the answer is bad: a failed run, a sick rollout, a file with problems",
    Exit.USAGE: "the command line itself is wrong",
    Exit.UNREACHABLE: "no farm answers",
    Exit.UNAUTHORISED: "no token, a wrong one, or one without this right",
    Exit.NOT_FOUND: "no such repository, run, lane, node...",
    Exit.REFUSED: "the farm would not do it: it contradicts what is there, or the input is bad",
    Exit.MACHINE: "this machine lacks something: a program, a port, space, a free data folder, a usable setting",
    Exit.INTERRUPTED: "Ctrl-C",
}

_CODES: tuple[tuple[type[errors.FarmgateError], Exit], ...] = (
    (errors.ServerUnreachable, Exit.UNREACHABLE),
    (errors.Unauthorised, Exit.UNAUTHORISED),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.Conflict, Exit.REFUSED),
    (errors.Refused, Exit.REFUSED),
    (errors.BadDocument, Exit.FAILED),
    (errors.FarmgateError, Exit.MACHINE),
)


def code_of(error: errors.FarmgateError) -> Exit:
    """The exit code of an error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def leave(code: Exit) -> NoReturn:
    """End the process with a code, from inside a command."""
    import typer

    raise typer.Exit(int(code))


def guarded(run: Callable[[], None]) -> None:
    """Run the command line; turn every error of ours into one line and its code."""
    try:
        run()
    except errors.FarmgateError as error:
        code = code_of(error)
        if "--json" in sys.argv:
            print(json.dumps({"error": str(error), "kind": type(error).__name__, "exit": int(code)}), file=sys.stderr)
        else:
            print(f"farmgate: {error}", file=sys.stderr)
        sys.exit(int(code))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        sys.exit(int(Exit.INTERRUPTED))
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does. Nothing is wrong; say nothing at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(int(Exit.OK))
