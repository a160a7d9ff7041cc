"""`python -m agents`: the node's daemon. Joins on its first start, with FARMGATE_JOIN_TOKEN."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from datetime import timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from agents.agent import Agent
from agents.credential import Credential, join, load
from agents.worker_process import Sweep, WorkerProcess
from farmgate.client.node import NodeClient
from farmgate.clock import Clock, SystemClock, stopwatch
from farmgate.errors import BadSettings, FarmgateError, FolderInUse, ServerUnreachable, Unauthorised
from farmgate.node_folder import NodeFolder
from farmgate.process_log import set_up
from farmgate.settings import NodeSettings, WorkerSettings, read

JOIN_AGAIN: Final = timedelta(seconds=1)
LOOK_AGAIN: Final = timedelta(milliseconds=20)
TOKEN_WITHIN: Final = 60.0  # seconds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    parser.add_argument("role", nargs="?", choices=("agent",), default="agent")
    parser.parse_args(arguments)
    try:
        settings = read(NodeSettings)
        set_up(settings.log_format)
        run(settings, SystemClock())
    except Unauthorised as error:
        print(f"farmgate agent: {error}", file=sys.stderr)  # noqa: T201 - a person reads it
        return 3
    except FarmgateError as error:
        print(f"farmgate agent: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run(settings: NodeSettings, clock: Clock) -> None:
    """Join if need be, then run the agent until a signal ends it."""
    if settings.engine == "process" and not settings.embedded:
        raise BadSettings("FARMGATE_ENGINE: `process` is allowed only on the embedded farm (farmgate up)")
    folder = NodeFolder(settings.node_data)
    lock = _lock(folder)
    try:
        credential = _credential(folder, settings, clock)
        broker = settings.broker_url or credential.broker_url
        given = {name: value for name, value in settings.model_dump().items() if name != "join_token"}
        given |= {
            "node": credential.node,
            "credential": credential.credential,
            "broker_url": SecretStr(broker.get_secret_value()),
        }
        worker = WorkerProcess(read(WorkerSettings, **given))
        with NodeClient(settings.server, credential.credential.get_secret_value(), connections=2) as client:
            agent = Agent(settings, folder, credential, client, clock, worker, Sweep(settings))
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: agent.ask_to_end())
            structlog.get_logger().info(
                "agent ready", node=credential.name, server=settings.server, engine=settings.engine
            )
            agent.run()
    finally:
        os.close(lock)


def _lock(folder: NodeFolder) -> int:
    lock = os.open(folder.root / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise FolderInUse(
            f"another agent works in {folder.root}: stop it, or give this one another folder (FARMGATE_NODE_DATA)"
        ) from None
    return lock


def _credential(folder: NodeFolder, settings: NodeSettings, clock: Clock) -> Credential:
    stored = load(folder)
    if stored is not None:
        return stored
    if settings.embedded and settings.join_token is None:
        settings = settings.model_copy(update={"join_token": handed(folder, clock)})
    with NodeClient(settings.server, connections=1) as client:
        said = False
        while True:
            try:
                joined = join(folder, settings, client)
                folder.join_token.unlink(missing_ok=True)
                return joined
            except ServerUnreachable as error:
                if not said:
                    structlog.get_logger().warning("waiting for the server", error=str(error))
                said = True
                clock.sleep(JOIN_AGAIN)


def handed(folder: NodeFolder, clock: Clock) -> SecretStr | None:
    """The token that the embedded farm writes once its server is up; None if it does not come."""
    deadline = stopwatch() + TOKEN_WITHIN
    while not folder.join_token.exists():
        if stopwatch() > deadline:
            return None
        clock.sleep(LOOK_AGAIN)
    return SecretStr(folder.join_token.read_text())


if __name__ == "__main__":
    sys.exit(main())
