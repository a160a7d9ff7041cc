"""What tests share: what a machine must have, and real parts to test against.

Rules:
1. `@pytest.mark.needs("docker", "haproxy")` names what a test needs. Absent: skipped with the reason; where the
   environment variable CI is set: failed, because there it should have been installed.
2. Every part is private to the test run: its own folder, unix sockets, no fixed port.
3. A part that is shared by tests (PostgreSQL, an image) gives each test its own share of it.
4. The slow tests come first. xdist gives the first half of all to one process, and the other steals from its end:
   so they run one after another, beside quick ones, and none is left alone at the end.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farmgate import embedded
from farmgate.clock import SystemClock, stopwatch
from farmgate.embedded import LOOK_AGAIN, EmbeddedRedis
from farmgate.errors import MissingProgram
from tests.registry import ImageRegistry, serving

pytest.register_assert_rewrite("deploy.targets.contract")

BUSYBOX = "farmgate-test/busybox:latest"


# --- needs ---------------------------------------------------------------------------------------------------------


def _program(find: Callable[[], object]) -> str | None:
    try:
        find()
    except MissingProgram as error:
        return str(error)
    return None


def _docker() -> str | None:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=10)
    except DockerException as error:
        return f"no Docker engine answers: {error}"
    try:
        client.ping()
    except DockerException as error:
        return f"no Docker engine answers: {error}"
    finally:
        client.close()
    return None


def _postgres() -> str | None:
    return None if postgres_programs() else "no PostgreSQL server: apt-get install postgresql"


def _root() -> str | None:
    return None if os.geteuid() == 0 else "runs only as root"


def _hosts() -> str | None:
    """What it takes to have a second Docker host on this machine."""
    lacks = [name for name in ("dockerd", "ip", "unshare", "nsenter") if not shutil.which(name)]
    if lacks:
        return f"no {', no '.join(lacks)}: apt-get install docker.io iproute2 util-linux"
    return _root()


def _on_path(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"no {name}: apt-get install {name}"


PROBES: dict[str, Callable[[], str | None]] = {
    "docker": _docker,
    "redis": lambda: _program(embedded.find_redis),
    "postgres": _postgres,
    "haproxy": lambda: _program(embedded.find_haproxy),
    "chromium": _on_path("chromium"),
    "git": _on_path("git"),
    "root": _root,
    "compose": _on_path("docker-compose"),
    "hosts": _hosts,
    "debootstrap": _on_path("debootstrap"),
    "registry": lambda: None if shutil.which("docker-registry") else "no registry: apt-get install docker-registry",
}


@functools.cache
def what_is_missing(name: str) -> str | None:
    """None if this machine has it, else why not."""
    return PROBES[name]()


def need(*names: str) -> None:
    """Skip the test unless the machine has all of them; in CI fail it."""
    for name in names:
        missing = what_is_missing(name)
        if missing is None:
            continue
        if os.environ.get("CI"):
            pytest.fail(f"needs {name}: {missing}", pytrace=False)
        pytest.skip(f"needs {name}: {missing}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=20, help="how many seeds the random simulation tries")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("needs"):
            unknown = [name for name in mark.args if name not in PROBES]
            if unknown or not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: needs{mark.args} names none of {', '.join(PROBES)}")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # rule 4


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        need(*mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = os.environ.get("FARMGATE_CHECK_FAILED")
    if failed:
        terminalreporter.write_line(f"FAILED before the tests: {failed}", red=True)


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A private Redis; stop and start it at will."""
    need("redis")
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """As Celery, kombu and `farmgate.broker` take it."""
    return redis_server.url


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres: Debian keeps the servers off the PATH."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    found = shutil.which("initdb")
    on_path = [Path(found).resolve().parent] if found else []
    for folder in [*newest_first, *on_path]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL on a unix socket, for the whole session: the URL of its `postgres` database."""
    need("postgres")
    programs = postgres_programs()
    assert programs is not None
    base = Path(tempfile.mkdtemp(prefix="farmgate-pg-"))  # short: a unix path holds about 100 bytes
    prefix: list[str | Path] = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(base, "postgres", "postgres")
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "INT"]
    data = base / "data"
    log = base / "log"
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    subprocess.run([*prefix, *initdb, "--locale=C.UTF-8"], check=True, capture_output=True, cwd=base)
    quick = [
        "-c",
        "fsync=off",
        "-c",
        "full_page_writes=off",
        "-c",
        "autovacuum=off",
        "-c",
        "max_connections=200",
        "-c",
        "timezone=UTC",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*prefix, programs / "postgres", "-D", data, "-k", base, "-c", "listen_addresses=", *quick],
            cwd=base,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        clock, deadline = SystemClock(), stopwatch() + 30
        ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", base, "-U", "postgres"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert server.poll() is None, log.read_text(errors="replace")
            assert stopwatch() < deadline, "PostgreSQL did not answer within 30 s"
            clock.sleep(LOOK_AGAIN)
        yield f"postgresql+psycopg://postgres@/postgres?host={base}"
    finally:
        server.send_signal(2)  # SIGINT: end the sessions and shut down
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """A fresh, empty database: its SQLAlchemy URL."""
    with _postgres_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def shared_postgres(postgres_url: str) -> Iterator[str]:
    """A database with this version's tables, for the whole session; take `migrated_postgres`."""
    from farmgate.store.database import Store
    from farmgate.store.migrate import migrate

    with _postgres_database(postgres_url) as url:
        store = Store.at(url)
        migrate(store)
        store.close()
        yield url


@pytest.fixture
def migrated_postgres(shared_postgres: str) -> str:
    """A database with this version's tables, as migrated: its SQLAlchemy URL. What the last test left is gone."""
    from tests.databases import emptied

    emptied(shared_postgres)
    return shared_postgres


@contextmanager
def _postgres_database(server: str) -> Iterator[str]:
    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = server.replace("postgresql+psycopg", "postgresql", 1)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        yield server.replace("/postgres?", f"/{name}?", 1)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
def busybox_image() -> str:
    """A small image made from the machine's static busybox, no registry needed: its name."""
    need("docker")
    busybox = shutil.which("busybox")
    if busybox is None or b"/ld-linux" in Path(busybox).read_bytes()[:4096]:
        reason = "needs a static busybox: apt-get install busybox-static"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    import docker

    client = docker.from_env()
    try:
        client.api.import_image_from_data(
            _busybox_tree(Path(busybox)), repository="farmgate-test/busybox", tag="latest"
        )
    finally:
        client.close()
    return BUSYBOX


def _busybox_tree(busybox: Path) -> bytes:
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tree:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("work", 0o777)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tree.addfile(folder)
        files = {
            "bin/busybox": (busybox.read_bytes(), 0o755),
            "etc/passwd": (b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644),
            "etc/group": (b"root:x:0:\nnogroup:x:65534:\n", 0o644),
        }
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tree.addfile(entry, io.BytesIO(content))
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tree.addfile(link)
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path: Path, free_port: int) -> Iterator[ImageRegistry]:
    """A registry of images that asks who one is; stop and start it at will."""
    need("registry", "docker")
    folder = tmp_path / "registry"
    folder.mkdir()
    with serving(folder, free_port) as registry:
        yield registry


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
