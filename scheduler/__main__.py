"""`python -m scheduler`: the web application and the loop, in one process.

Rules:
1. Two schedulers on one SQLite file would not know of each other's threads: the folder is locked (FolderInUse). On
   PostgreSQL several may serve; one leads.
2. At the first start an administrator's token is written to `data/admin.token`, readable by its owner alone.
3. SIGTERM: no new request, the present tick and the background work end, the lease is given back.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import structlog
import uvicorn

from farmgate import blobs, process_log, settings, vault
from farmgate.broker import CeleryBell, LocalSignals, RedisSignals
from farmgate.clock import SystemClock
from farmgate.errors import BadSettings, FarmgateError, FolderInUse, PortTaken
from farmgate.models import TokenKind
from farmgate.settings import SchedulerSettings
from farmgate.store import events, repositories, tokens
from farmgate.store.database import Store
from farmgate.store.migrate import migrate
from scheduler.app import create_app
from scheduler.context import Context, GitMirrors
from scheduler.loop import RunningLoop

log = structlog.get_logger("farmgate.scheduler")
ADMIN = "admin"
BACKLOG = 2048


def database_url(given: SchedulerSettings) -> str:
    """The database of the settings: the one named, else SQLite in the data folder."""
    if given.database_url is not None:
        return given.database_url.get_secret_value()
    return f"sqlite:///{given.data.absolute() / 'farmgate.db'}"


@contextmanager
def locked(folder: Path) -> Iterator[TextIO]:
    """Hold the folder for this process. Raises FolderInUse."""
    path = folder / "scheduler.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise FolderInUse(
                f"another scheduler (process {holder}) works in {folder}: stop it, or choose another folder with "
                "FARMGATE_DATA"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield file


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, or asyncio leaves Nagle's algorithm on and answers wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # two may bind; the port is ours once we listen
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"{host}:{port} cannot be listened on ({error.strerror}): choose another with FARMGATE_PORT"
        ) from None
    return listener


def admin_token(context: Context) -> None:
    """Rule 2."""
    path = context.settings.data / "admin.token"
    now = context.clock.now()
    if path.exists():
        return
    with context.store.writing() as connection:
        plain = tokens.create(connection, context.vault, TokenKind.API, ADMIN, now, rights=("admin",))
        events.record(connection, now, "token.made", "farm", ADMIN, f"the first token, in {path.name}")
    aside = path.with_suffix(f".{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(plain + "\n")
    aside.rename(path)


def seal_logins(context: Context) -> None:
    """Of repositories that an older version connected."""
    with context.store.reading() as connection:
        left = repositories.with_login(connection)
    for repository in left:
        with context.store.writing() as connection:
            repositories.seal_login(connection, context.vault.keyring, repository)


def context_of(given: SchedulerSettings, store: Store) -> Context:
    """The real world of a scheduler. Raises BadSettings."""
    if given.broker_url is None:
        raise BadSettings("FARMGATE_BROKER_URL: name the Redis to use, or start the farm by `farmgate up`")
    given.images()
    broker = given.broker_url.get_secret_value()
    clock, keys = SystemClock(), vault.load(given)
    return Context(
        settings=given,
        store=store,
        blobs=blobs.at(given),
        vault=keys,
        clock=clock,
        bell=CeleryBell(broker),
        signals=LocalSignals(clock),
        deploy_signals=RedisSignals(broker, clock),
        mirrors=GitMirrors(given, keys.keyring),
    )


def serve(given: SchedulerSettings) -> None:
    """Until SIGTERM or SIGINT."""
    given.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        store = Store.at(database_url(given))
        stack.callback(store.close)
        if store.is_sqlite:
            stack.enter_context(locked(given.data))
        listener = stack.enter_context(listen(given.host, given.port))
        migrate(store)
        context = context_of(given, store)
        admin_token(context)
        seal_logins(context)
        running = RunningLoop(context)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(context),
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
                proxy_headers=False,
                server_header=False,
                ws="none",
                lifespan="off",
            )
        )

        def end(*_: object) -> None:
            server.should_exit = True

        # uvicorn raises the signal once more when it has ended; without handlers of ours that would be the end of us.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        # What was imported stays for good: a collection in the tick need not walk through it (a third of a large tick).
        gc.collect()
        gc.freeze()
        running.start()
        log.info("the scheduler serves", address=f"{given.host}:{given.port}", data=str(given.data))
        try:
            server.run(sockets=[listener])
        finally:
            running.stop()
            log.info("the scheduler ended")


def main() -> int:
    try:
        given = settings.read(SchedulerSettings)
        process_log.set_up(given.log_format)
        serve(given)
    except FarmgateError as error:
        print(f"scheduler: {error}", file=sys.stderr)  # noqa: T201  # before there is a log, and for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
