"""The private Redis: what must hold when it starts, stops, dies, and when its folder is odd."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from farmgate import broker, embedded
from farmgate.clock import SystemClock, stopwatch
from farmgate.embedded import EmbeddedRedis, find_haproxy, find_redis, socket_path
from farmgate.errors import BrokerUnreachable, FolderInUse, MissingProgram

pytestmark = pytest.mark.needs("redis")


def connect(server: EmbeddedRedis) -> redis.Redis:
    return broker.connect(server.url)


def die(server: EmbeddedRedis) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    deadline = stopwatch() + 10
    while server.alive:
        assert stopwatch() < deadline
        SystemClock().sleep(embedded.LOOK_AGAIN)


def test_it_answers_on_a_socket_only_its_owner_can_open_and_on_no_port(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        with connect(server) as client:
            assert client.ping() is True
            assert client.config_get("port") == {"port": "0"}
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    assert not server.socket.exists()


def test_kombu_takes_its_url_as_it_is(redis_url: str) -> None:
    from kombu import Connection

    with Connection(redis_url) as connection, connection.SimpleQueue("bell") as queue:
        queue.put({"id": 1})
        message = queue.get(timeout=5)
        assert message.payload == {"id": 1}
        message.ack()


def test_what_was_written_a_second_ago_survives_kill_9_and_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        with connect(server) as client:
            client.lpush("queue", "a")
            client.config_set("appendfsync", "always")
            client.lpush("queue", "b")
        die(server)
        server.start()
        with connect(server) as client:
            assert client.lrange("queue", 0, -1) == [b"b", b"a"]


def test_a_second_one_in_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as first:
        with pytest.raises(FolderInUse, match="another farm works in"):
            EmbeddedRedis(tmp_path / "redis").start()
        with connect(first) as client:
            assert client.ping() is True


def test_a_redis_that_outlived_its_farm_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    script = (
        "import os, pathlib, signal, sys; from farmgate.embedded import EmbeddedRedis\n"
        f"server = EmbeddedRedis(pathlib.Path({str(folder)!r})); server.start(); print(server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    farm = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    orphan = int(farm.stdout)
    os.kill(orphan, 0)  # it did outlive the farm
    with EmbeddedRedis(folder) as server:
        assert server.pid != orphan
        with connect(server) as client:
            assert client.ping() is True


def test_a_data_folder_with_a_long_name_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / "redis"
    with EmbeddedRedis(folder) as server:
        assert not server.socket.is_relative_to(folder)
        assert len(os.fsencode(server.socket)) <= embedded.SOCKET_PATH_LIMIT
        assert socket_path(folder) == server.socket
        with connect(server) as client:
            assert client.ping() is True
    server.socket.parent.rmdir()


def test_files_that_cannot_be_read_are_moved_aside(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    with EmbeddedRedis(folder) as server, connect(server) as client:
        client.set("a", "b")
    for file in (folder / "appendonlydir").glob("*.aof"):
        file.write_bytes(b"*3\r\nthis is no append only file\r\n" * 50)
    with EmbeddedRedis(folder) as server, connect(server) as client:
        assert client.dbsize() == 0
    assert (folder / "unreadable").is_dir()


def test_a_redis_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_redis", lambda: Path("/bin/false"))
    with pytest.raises(BrokerUnreachable, match="/bin/false ended at once"):
        EmbeddedRedis(tmp_path / "redis").start()
    monkeypatch.undo()
    with EmbeddedRedis(tmp_path / "redis") as server:  # the folder is free again
        assert server.alive


def test_the_wheels_serve_where_the_path_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_on_path", lambda name: None)
    assert find_redis().name == "valkey-server"
    version = subprocess.run([find_haproxy(), "-v"], capture_output=True, check=True).stdout
    assert version.startswith(b"HAProxy version")


def test_the_wheels_redis_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_on_path", lambda name: None)
    with EmbeddedRedis(tmp_path / "redis") as server, connect(server) as client:
        assert client.ping() is True


def test_without_any_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_on_path", lambda name: None)
    monkeypatch.setattr(embedded, "_in_wheel", lambda package, inside: None)
    with pytest.raises(MissingProgram, match="apt-get install redis-server"):
        find_redis()
    with pytest.raises(MissingProgram, match="apt-get install haproxy"):
        find_haproxy()
