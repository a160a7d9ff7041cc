"""`python -m workers`: the node's Celery worker, started by its agent; `python -m workers sweep`: remove orphans.

`sweep` removes what nobody holds; `sweep --all` what dead workers held as well; `sweep JOB-ATTEMPT...` ends these too.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys

from farmgate.clock import SystemClock
from farmgate.errors import FarmgateError
from farmgate.node_folder import Key, NodeFolder
from farmgate.process_log import set_up
from farmgate.settings import NodeSettings, WorkerSettings, read


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("serve", "sweep"), default="serve")
    parser.add_argument("over", nargs="*", metavar="JOB-ATTEMPT", help="attempts that are over although held")
    parser.add_argument("--all", action="store_true", help="the worker is dead: nothing is held")
    given = parser.parse_args(arguments)
    try:
        if given.command == "sweep":
            over = frozenset(key for text in given.over if (key := Key.read(text)) is not None)
            return sweep(read(NodeSettings), over, everything=given.all)
        settings = read(WorkerSettings)
        set_up(settings.log_format)
        from workers.tasks import serve

        return serve(settings, SystemClock(), agent_pipe=0 if stat.S_ISFIFO(os.fstat(0).st_mode) else None)
    except FarmgateError as error:
        print(f"farmgate worker: {error}", file=sys.stderr)  # noqa: T201 - the agent shows it
        return 2


def sweep(settings: NodeSettings, over: frozenset[Key] = frozenset(), *, everything: bool = False) -> int:
    """Remove what nobody holds: containers or processes first, then their folders and marks."""
    set_up(settings.log_format)
    import structlog

    from workers.engines import make_engine
    from workers.workspace import sweep_folders

    folder = NodeFolder(settings.node_data)
    engine = make_engine(settings, folder)

    def keep() -> frozenset[Key]:
        return frozenset() if everything else folder.held() - over

    removed = set(engine.sweep(keep))
    if everything or not over:  # a living worker removes the folder of what it sees ended
        removed |= sweep_folders(folder, keep)
    if everything:
        for key in folder.held():
            folder.release(key)
    if removed:
        structlog.get_logger().info("orphans removed", attempts=sorted(str(key) for key in removed))
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
