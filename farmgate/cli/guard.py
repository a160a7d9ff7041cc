"""A process that ends with the one that started it, however that one ends.

    python -m farmgate.cli.guard PARENT SIGNAL PROGRAM ARGUMENT...

asks the kernel for SIGNAL at the death of its parent, checks that PARENT still is the parent, and becomes PROGRAM. The
wish outlives the exec. Where the kernel cannot (not Linux), the program starts without it.
The kernel means the parent's *thread*: whoever starts guarded processes does so from a thread that stays.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def line(program: list[str], signal: int) -> list[str]:
    """The command line that runs `program` guarded by this process. -P: the user's folder shadows no module."""
    return [sys.executable, "-P", "-m", "farmgate.cli.guard", str(os.getpid()), str(int(signal)), *program]


def main() -> None:
    """Ask for the signal, then become the program."""
    parent, signal, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before we asked
            sys.exit(0)
    os.execv(Path(program[0]), program)  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main()
