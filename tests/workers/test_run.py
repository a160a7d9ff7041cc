"""An attempt's life on real engines, and what becomes of it when things go wrong."""

from __future__ import annotations

import contextlib
import gc
import io
import socket
import subprocess
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farmgate.clock import stopwatch
from farmgate.messages import Result
from farmgate.node_folder import Key
from farmgate.pipeline.models import ArtifactSpec, CacheSpec, ReportsSpec
from tests.workers.conftest import Node, close, make_source, node_with, settings_for
from tests.workers.server import FakeServer
from workers.engines.docker import DockerEngine
from workers.engines.fake import FOREVER, FakeEngine
from workers.logs import BUFFER_BYTES
from workers.run import run_attempt
from workers.stop import Ending


def in_background(node: Node, key: Key) -> tuple[threading.Thread, list[Result | None]]:
    results: list[Result | None] = []
    thread = threading.Thread(target=lambda: results.append(run_attempt(node.bench, key)))
    thread.start()
    return thread, results


def test_a_job_that_passes_tells_its_steps_and_its_log(node: Node) -> None:
    result, record = node.run("cat README", "printf 'no end of line'", 'echo "$FARMGATE_SHA" $CI')
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert record.result is not None
    assert record.result["outcome"] == "passed"
    text = record.log.decode()
    assert text.endswith(f"hello\nno end of line\n{node.source.sha} true\n")
    assert result.log_bytes == len(record.log)
    assert [step["state"] for step in record.last_steps.values()] == ["passed"] * 3
    offsets = [step["log_offset"] for step in record.last_steps.values()]
    assert record.log[offsets[1] :].startswith(b"no end of line")
    assert {"claim", "mirror", "checkout", "image", "container", "first_step", "steps", "total"} <= set(result.timings)
    assert node.left() == []


def test_the_end_of_a_short_job_goes_with_its_result(process_node: Node) -> None:
    result, record = process_node.run("echo one", "echo two")
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert record.log.endswith(b"one\ntwo\n")
    assert [step["state"] for step in record.last_steps.values()] == ["passed"] * 2
    assert b"two" in result.log
    assert process_node.server.calls["steps"] <= 2
    assert record.log_calls <= 2


def test_a_server_that_takes_no_log_with_a_result_is_sent_everything_before(process_node: Node) -> None:
    result, record = process_node.run("echo one", "echo two", claimed={"result_carries_bytes": 0})
    assert result is not None
    assert (result.log, result.steps) == (b"", ())
    assert record.log.endswith(b"one\ntwo\n")
    assert [step["state"] for step in record.last_steps.values()] == ["passed"] * 2


def test_a_step_that_fails_is_named_and_the_rest_is_skipped(node: Node) -> None:
    result, record = node.run("true", "exit 7", "echo never")
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 7)
    assert result.reason == "step 2 (exit 7) failed with exit code 7"
    assert {number: step["state"] for number, step in record.last_steps.items()} == {
        1: "passed",
        2: "failed",
        3: "skipped",
    }
    assert b"never" not in record.log


def test_a_steps_exit_folder_and_variables_do_not_reach_the_next(node: Node) -> None:
    result, record = node.run(
        "cd src; X=1; export X; exit 0", 'test -f README && echo "X=$X" && echo kept > file', "cat file"
    )
    assert result is not None
    assert result.outcome == "passed", record.log
    assert record.log.endswith(b"X=\nkept\n")


def test_a_failing_command_in_a_pipe_fails_the_step_where_the_shell_can_tell(docker_node: Node) -> None:
    result, _ = docker_node.run("false | cat")
    assert result is not None
    assert result.outcome == "failed"


def test_a_job_has_a_home_and_a_temporary_folder_that_it_can_write(node: Node) -> None:
    result, record = node.run('echo a > "$HOME/a"; echo b > "$TMPDIR/b"; cat "$HOME/a" "$TMPDIR/b"; id -u')
    assert result is not None
    assert result.outcome == "passed", record.log


def test_a_container_is_not_root_and_has_no_capability(docker_node: Node) -> None:
    _, record = docker_node.run(
        "id -u; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; test ! -e /var/run/docker.sock"
    )
    lines = record.log.decode().split()
    assert lines[0] != "0"
    assert "0000000000000000" in lines
    assert lines[-1] == "1"


def test_a_checkouts_borrowed_objects_can_be_read_and_not_written(docker_node: Node) -> None:
    key = docker_node.offer(
        'ls "$(cat .git/objects/info/alternates)/pack"; ! touch "$(cat .git/objects/info/alternates)/x"'
    )
    result = run_attempt(docker_node.bench, key)
    assert result is not None
    assert result.outcome == "passed", docker_node.records[key].log


def test_a_claim_that_is_lost_ends_silently(process_node: Node) -> None:
    assert run_attempt(process_node.bench, Key(404, 1)) is None
    assert process_node.left() == []


def test_a_bell_that_rings_twice_runs_the_job_once(process_node: Node) -> None:
    key = process_node.offer("echo once")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: run_attempt(process_node.bench, key), range(4)))
    assert sum(result is not None for result in results) == 1
    assert process_node.records[key].log.count(b"once\n") == 1


def test_a_registry_that_does_not_answer_is_lost_infrastructure_and_named(docker_node: Node) -> None:
    result, record = docker_node.run("true", image="127.0.0.1:1/no-such-image:1")
    assert result is not None
    assert result.outcome == "lost"
    assert "127.0.0.1:1/no-such-image:1" in (result.reason or "")
    assert "does not answer this node" in (result.reason or "")
    assert record.log.startswith(b"farmgate: ")
    assert docker_node.bench.folder.problem() is None, "the node itself is well"


@pytest.mark.parametrize("what", ["artifacts", "file"])
def test_a_server_without_room_is_lost_infrastructure_told_at_once(process_node: Node, what: str) -> None:
    process_node.server.full.add(what)
    artifacts = [ArtifactSpec(paths=("out",))]
    result, record = process_node.run("echo bytes > out", artifacts=artifacts, reports=ReportsSpec(junit=("out",)))
    assert result is not None
    assert result.outcome == "lost"
    assert "has no room for it: no space left" in (result.reason or "")
    assert (result.reason or "").encode() in record.log
    assert process_node.server.calls[what] == 1, "sending it again helps nobody"
    assert process_node.bench.folder.problem() is None, "it is not the node's disk"


def test_a_cache_for_which_the_server_has_no_room_costs_the_job_nothing(process_node: Node) -> None:
    process_node.server.full.add("caches")
    cache = CacheSpec(key="k", paths=("out",))
    result, record = process_node.run("echo bytes > out", caches=[cache])
    assert result is not None
    assert result.outcome == "passed"
    assert b"has no room for it" in record.log


def test_an_image_without_a_shell_is_an_error_that_says_so_and_its_entrypoint_is_not_asked(docker_node: Node) -> None:
    import docker

    client = docker.from_env()
    try:
        client.api.import_image_from_data(_empty_tar(), repository="farmgate-test/empty", tag="latest")
        failing = 'FROM farmgate-test/busybox:latest\nENTRYPOINT ["/bin/false"]\n'
        client.images.build(fileobj=io.BytesIO(failing.encode()), tag="farmgate-test/failing", rm=True)
    finally:
        client.close()
    result, record = docker_node.run("echo ran", image="farmgate-test/failing:latest")
    assert result is not None
    assert (result.outcome, b"ran\n" in record.log) == ("passed", True)
    result, _ = docker_node.run("true", image="farmgate-test/empty:latest")
    assert result is not None
    assert result.outcome == "error"
    assert "farmgate-test/empty" in (result.reason or "")
    assert "sh" in (result.reason or "")


def _empty_tar() -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tree:
        entry = tarfile.TarInfo("file")
        entry.size = 1
        tree.addfile(entry, io.BytesIO(b"x"))
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker-py leaves a failed socket open
def test_an_engine_that_is_away_is_lost_infrastructure(tmp_path: Path, server: FakeServer, docker_node: Node) -> None:
    engine = DockerEngine("gone", base_url=f"unix://{tmp_path}/none.sock")
    node = node_with(engine, settings_for(tmp_path / "other", server, "docker"), server, docker_node.source, "busybox")
    result, _ = node.run("true")
    assert result is not None
    assert result.outcome == "lost"
    assert "Docker engine" in (result.reason or "")
    assert node.left() == []
    close(node)
    gc.collect()


def test_a_mirror_that_cannot_be_fetched_is_lost_infrastructure(process_node: Node, tmp_path: Path) -> None:
    key = process_node.offer("true")
    process_node.records[key].claimed["git_url"] = (tmp_path / "nothing").as_uri()
    result = run_attempt(process_node.bench, key)
    assert result is not None
    assert result.outcome == "lost"


def test_a_memory_hog_is_killed_and_the_reason_names_the_limit(docker_node: Node) -> None:
    hog = "x=$(dd if=/dev/zero bs=1048576 count=200 2>/dev/null | tr '\\000' x); echo ${#x}"
    result, _ = docker_node.run(hog, memory_bytes=32 * 2**20)
    assert result is not None
    assert result.outcome == "failed"
    assert "killed for memory (limit 32 MiB)" in (result.reason or "")


def test_a_fork_bomb_is_bounded(tmp_path: Path, server: FakeServer, docker_node: Node) -> None:
    settings = settings_for(tmp_path / "other", server, "docker", pids_limit=40)
    node = node_with(None, settings, server, docker_node.source, docker_node.image)
    step = "i=0; while [ $i -lt 100 ]; do sleep 20 & i=$((i+1)); done; echo all"
    result, record = node.run(step, timeout=timedelta(seconds=10))
    assert result is not None
    assert result.outcome == "failed"
    assert b"fork" in record.log
    assert b"all" not in record.log
    assert node.left() == []
    close(node)


def test_a_job_over_its_time_is_killed_and_says_so(node: Node) -> None:
    began = stopwatch()
    result, record = node.run("echo begin; sleep 100", timeout=timedelta(seconds=1))
    assert result is not None
    assert (result.outcome, result.reason) == ("failed", "timed out after 1s")
    assert stopwatch() - began < 15
    assert record.last_steps[1]["state"] == "failed"
    assert b"begin\n" in record.log
    assert node.left() == []


def test_a_cancelled_job_is_killed_and_reported_cancelled(node: Node) -> None:
    node.server.lease_seconds = 1.5
    key = node.offer("echo up; sleep 100")
    thread, results = in_background(node, key)
    record = node.records[key]
    node.server.until(lambda: b"up\n" in record.log)
    record.cancelled = True
    thread.join(timeout=20)
    assert results[0] is not None
    assert results[0].outcome == "cancelled"
    assert node.left() == []


def test_a_refused_attempt_is_killed_and_uploads_nothing_more(node: Node) -> None:
    key = node.offer("echo up; while :; do echo more; sleep 0.05; done")
    thread, results = in_background(node, key)
    record = node.records[key]
    node.server.until(lambda: b"up\n" in record.log)
    record.state = "over"
    thread.join(timeout=20)
    assert results == [None]
    assert record.result is None
    assert node.left() == []


def test_a_lease_that_runs_out_kills_the_job_and_uploads_nothing(node: Node) -> None:
    node.server.lease_seconds = 1.0
    key = node.offer("echo up; sleep 100")
    thread, results = in_background(node, key)
    record = node.records[key]
    node.server.until(lambda: b"up\n" in record.log)
    node.server.away.set()
    thread.join(timeout=20)
    assert results == [None]
    assert record.result is None
    assert node.left() == []


def test_a_node_that_goes_down_reports_its_job_lost(process_node: Node) -> None:
    key = process_node.offer("echo up; sleep 100")
    thread, results = in_background(process_node, key)
    process_node.server.until(lambda: b"up\n" in process_node.records[key].log)
    process_node.bench.leases.stop_all(Ending.DRAIN)
    thread.join(timeout=20)
    assert results[0] is not None
    assert results[0].outcome == "lost"


def test_a_server_that_stumbles_gets_every_byte_and_the_result_once(process_node: Node) -> None:
    process_node.server.fail |= {"log": 2, "result": 2, "steps": 1}
    process_node.server.drop |= {"log": 1}
    result, record = process_node.run("for i in 1 2 3 4 5 6; do echo line $i; sleep 0.15; done", artifacts=["README"])
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert record.log.endswith(b"".join(b"line %d\n" % n for n in range(1, 7)))
    assert record.log.count(b"line 1\n") == 1
    assert record.result is not None
    assert process_node.server.calls["result"] == 3


def test_a_log_over_its_limit_is_cut_and_the_job_goes_on(process_node: Node) -> None:
    result, record = process_node.run("head -c 3000000 /dev/zero", claimed={"log_limit_bytes": 1000})
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert len(record.log) == 1000


@pytest.mark.slow
def test_a_line_of_200_mb_passes_through_bounded_memory(node: Node) -> None:
    line = "dd if=/dev/zero bs=1048576 count=200 2>/dev/null | tr '\\000' x"
    tracemalloc.start()
    try:
        result, record = node.run(line, claimed={"log_limit_bytes": 2**20})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert len(record.log) == 2**20
    assert peak < 8 * BUFFER_BYTES


def test_bytes_that_are_not_text_arrive_as_they_are(node: Node) -> None:
    _, record = node.run(r"printf '\377\376\000\001'")
    assert record.log.endswith(b"\xff\xfe\x00\x01\n")


def test_a_job_that_removes_its_workspace_ends_cleanly(node: Node) -> None:
    result, _ = node.run(
        'rm -rf "$FARMGATE_WORKSPACE"/* "$FARMGATE_WORKSPACE"/.git; rmdir "$FARMGATE_WORKSPACE" || true',
        artifacts=["README"],
    )
    assert result is not None
    assert result.outcome == "failed"
    assert result.reason == "no file matches the artifact 'README'"
    assert node.left() == []


def test_a_job_that_takes_its_own_rights_away_is_still_removed(node: Node) -> None:
    result, _ = node.run("mkdir -p deep/er; echo x > deep/er/file; chmod 000 deep/er deep")
    assert result is not None
    assert result.outcome == "passed"
    assert node.left() == []


def test_artifacts_arrive_whole(node: Node) -> None:
    result, record = node.run(
        "mkdir -p dist/sub; echo one > dist/one.txt; ln -s one.txt dist/link.txt",
        "head -c 300000 /dev/zero > dist/sub/two.bin",
        artifacts=["dist/*.txt", "dist/**/*.bin"],
    )
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert record.artifacts == {"dist/one.txt": b"one\n", "dist/link.txt": b"one\n", "dist/sub/two.bin": bytes(300000)}


@pytest.mark.parametrize(
    "step",
    [
        "mkdir dist; ln -s /etc/passwd dist/a",
        "ln -s /etc dist; true",
        "mkdir dist; ln -s ../../../../../../../etc/passwd dist/a",
        "ln -s .. dist",
    ],
)
def test_an_artifact_that_leads_outside_is_an_error_and_is_not_read(node: Node, step: str) -> None:
    result, record = node.run(step, artifacts=["dist/a", "dist/passwd"])
    assert result is not None
    assert result.outcome in ("error", "failed")
    assert result.outcome == "error" or "no file matches" in (result.reason or "")
    assert record.artifacts == {}


def test_a_pipe_is_no_artifact(node: Node) -> None:
    result, record = node.run("mkfifo pipe", artifacts=["pipe"])
    assert result is not None
    assert result.outcome == "failed"
    assert record.artifacts == {}


@pytest.mark.needs("root")
def test_a_full_disk_is_told_as_such(tmp_path: Path, server: FakeServer) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=True)
    try:
        big = make_source(tmp_path / "big", {"big": bytes(range(256)) * 32768})
        settings = settings_for(disk / "node", server, "process", workspace_limit_bytes=2**20)
        node = node_with(None, settings, server, big, None)
        result, _ = node.run("true")
        assert result is not None
        assert result.outcome == "lost"
        assert "space" in (result.reason or "") or "full" in (result.reason or "")
        assert str(disk) in (result.reason or "")
        assert node.bench.folder.problem() is not None
        assert node.left() == []
        close(node)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_below_the_floor_makes_no_workspace(tmp_path: Path, server: FakeServer, process_node: Node) -> None:
    settings = settings_for(tmp_path / "other", server, "process", workspace_limit_bytes=2**60)
    node = node_with(None, settings, server, process_node.source, None)
    result, _ = node.run("true")
    assert result is not None
    assert result.outcome == "lost"
    assert "is full" in (result.reason or "")
    close(node)


def test_an_engine_that_dies_under_a_job_costs_an_attempt_and_no_red_mark(
    tmp_path: Path, server: FakeServer, process_node: Node
) -> None:
    from farmgate.errors import EngineError

    engine = FakeEngine()
    settings: Any = settings_for(tmp_path / "other", server, "process")
    node = node_with(engine, settings, server, process_node.source, "any")
    engine.plays[Key(1, 1)] = (b"some\n", EngineError("the Docker engine was lost while the job ran"))
    result, record = node.run("true")
    assert result is not None
    assert result.outcome == "lost"
    assert record.log.startswith(b"some\n")
    engine.plays[Key(2, 1)] = (FOREVER,)
    result, _ = node.run("true", timeout=timedelta(milliseconds=100))
    assert result is not None
    assert result.outcome == "failed"
    close(node)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker-py leaves a failed socket open
def test_a_docker_engine_that_goes_away_under_a_job_costs_an_attempt(
    tmp_path: Path, server: FakeServer, docker_node: Node
) -> None:
    with Tunnel(tmp_path / "engine.sock") as tunnel:
        engine = DockerEngine(docker_node.bench.folder.identity(), base_url=f"unix://{tunnel.path}", timeout=5)
        settings = settings_for(tmp_path / "other", server, "docker")
        node = node_with(engine, settings, server, docker_node.source, docker_node.image)
        node.jobs = 50
        key = node.offer("echo up; sleep 100")
        thread, results = in_background(node, key)
        server.until(lambda: b"up\n" in node.records[key].log)
        tunnel.cut()
        thread.join(timeout=40)
        assert results[0] is not None
        assert results[0].outcome == "lost"
        assert "Docker engine" in (results[0].reason or "")
        assert node.bench.folder.problem() is not None
        assert docker_node.bench.engine.sweep(frozenset) == {key}
        close(node)
    gc.collect()


class Tunnel:
    """The Docker engine's socket, by a way that can be cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        for thread in self._threads:
            thread.join(timeout=5)
        for end in self._open:
            end.close()

    def cut(self) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect("/var/run/docker.sock")
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    thread = threading.Thread(target=self._copy, args=(one, other), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


def test_git_works_in_a_plain_process_too(process_node: Node) -> None:
    result, record = process_node.run('test "$(git rev-parse HEAD)" = "$FARMGATE_SHA"; git status --porcelain')
    assert result is not None
    assert result.outcome == "passed", record.log
