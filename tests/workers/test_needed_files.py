"""What needed jobs left comes into the workspace; what a job leaves is kept by how it ended."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farmgate.messages import Needed, NeededArtifact
from farmgate.pipeline.models import ArtifactSpec, FetchSpec
from tests.workers.conftest import Node, make_source
from tests.workers.server import AttemptRecord
from workers.artifacts import MOST_FILES
from workers.fetch import choose, fits
from workers.run import run_attempt


def offers(record: AttemptRecord, path: str, data: bytes, job: str = "build", **more: Any) -> None:
    digest = hashlib.sha256(data).hexdigest()
    record.needed.append({"job": job, "path": path, "sha256": digest, "size_bytes": len(data), **more})
    record.blobs[digest] = data


def fetching(node: Node, *steps: str, patterns: tuple[str, ...] | None = None, **more: Any) -> tuple[Any, Any]:
    key = node.offer(*steps, fetch=(FetchSpec(job="build", patterns=patterns),), **more)
    return key, node.records[key]


def test_needed_files_are_in_the_workspace_before_the_first_step(node: Node) -> None:
    key, record = fetching(node, "./dist/tool; cat dist/a/b README; test ! -x dist/a/b")
    offers(record, "dist/tool", b"#!/bin/sh\necho tool\n", executable=True)
    offers(record, "dist/a/b", b"deep\n")
    offers(record, "README", b"over the checkout\n")
    offers(record, "elsewhere", b"not asked for", job="other")
    result = run_attempt(node.bench, key)
    assert result is not None
    assert result.outcome == "passed", record.log
    assert record.log.endswith(b"tool\ndeep\nover the checkout\n")
    assert b"3 files" in record.log
    assert "fetch" in result.timings


def test_a_large_needed_file_and_many_small_ones_arrive_whole(process_node: Node) -> None:
    key, record = fetching(process_node, "sha256sum big; ls many | wc -l")
    big = bytes(range(256)) * 65536
    offers(record, "big", big)
    for number in range(200):
        offers(record, f"many/{number}", str(number).encode())
    result = run_attempt(process_node.bench, key)
    assert result is not None
    assert result.outcome == "passed", record.log
    assert hashlib.sha256(big).hexdigest().encode() in record.log
    assert record.log.split()[-1] == b"200"


def test_a_damaged_file_is_asked_for_again_and_never_seen(process_node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.fetch.PATIENCE", timedelta(seconds=1))
    key, record = fetching(process_node, "ls -a; echo ran")
    offers(record, "file", b"good")
    record.blobs[hashlib.sha256(b"good").hexdigest()] = b"evil"
    result = run_attempt(process_node.bench, key)
    assert result is not None
    assert result.outcome == "lost"
    assert "arrived damaged" in (result.reason or "")
    assert b"ran" not in record.log


def test_a_needed_file_that_is_not_kept_any_more_is_an_error_that_says_so(process_node: Node) -> None:
    key, record = fetching(process_node, "true")
    offers(record, "file", b"good")
    record.blobs.clear()
    result = run_attempt(process_node.bench, key)
    assert result is not None
    assert (result.outcome, result.reason) == ("error", "gone")


@pytest.mark.parametrize("path", ["out/file", "/etc/hostile", "../hostile", ".git/hooks/x", "src", "README/x"])
def test_a_file_that_would_leave_the_workspace_or_go_through_a_link_is_refused(
    process_node: Node, tmp_path: Path, path: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    source = make_source(tmp_path / "hostile", {"README": b"x\n", "src/a": b"a\n"})
    repository = source.path
    (repository / "out").symlink_to(outside)
    who = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*who, "add", "-A"], cwd=repository, check=True)
    subprocess.run([*who, "commit", "-qm", "link"], cwd=repository, check=True)
    done = subprocess.run([*who, "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True)
    source.sha = done.stdout.strip()
    key, record = fetching(process_node, "true", source=source)
    offers(record, path, b"hostile")
    result = run_attempt(process_node.bench, key)
    assert result is not None
    assert result.outcome == "error"
    assert path in (result.reason or "")
    assert list(outside.iterdir()) == []
    assert process_node.left() == []


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(process_node: Node, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    source = make_source(tmp_path / "linked", {"README": b"x\n"})
    (source.path / "file").symlink_to(target)
    who = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*who, "add", "-A"], cwd=source.path, check=True)
    subprocess.run([*who, "commit", "-qm", "link"], cwd=source.path, check=True)
    done = subprocess.run([*who, "rev-parse", "HEAD"], cwd=source.path, check=True, capture_output=True, text=True)
    source.sha = done.stdout.strip()
    key, record = fetching(process_node, "cat file; test ! -L file", source=source)
    offers(record, "file", b"theirs")
    result = run_attempt(process_node.bench, key)
    assert result is not None
    assert result.outcome == "passed", record.log
    assert target.read_text() == "mine"


def test_patterns_choose_and_the_later_job_wins_a_path() -> None:
    made = [
        NeededArtifact(job=job, path=path, sha256=str(number), size_bytes=1)
        for number, (job, path) in enumerate([("a", "dist/x.gz"), ("a", "notes"), ("b", "dist/x.gz"), ("c", "z")])
    ]
    chosen = choose(Needed(artifacts=tuple(made)), [FetchSpec(job="a", patterns=("dist/*.gz",)), FetchSpec(job="b")])
    assert [(one.job, one.path) for one in chosen] == [("b", "dist/x.gz")]
    assert fits("dist", "dist/a/b")
    assert fits("**/*.txt", "a.txt")
    assert fits("**/*.txt", "a/b/c.txt")
    assert fits("[ab]?", "b1")
    assert not fits("[!ab]?", "b1")
    assert not fits("*.txt", "a/b.txt")
    assert not fits("dis", "dist/a")


def keeps(*paths: str, **more: Any) -> ArtifactSpec:
    return ArtifactSpec(paths=paths, **more)


def test_what_is_kept_depends_on_how_the_job_ended(node: Node) -> None:
    artifacts = [keeps("good"), keeps("test.log", when="failed"), keeps("always", when="always")]
    made = "echo 1 > good; echo 2 > test.log; echo 3 > always"
    _, green = node.run(made, artifacts=artifacts)
    result, red = node.run(f"{made}; exit 3", artifacts=[*artifacts, keeps("absent", when="failed")])
    assert sorted(green.artifacts) == ["always", "good"]
    assert sorted(red.artifacts) == ["always", "test.log"]
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 3)
    assert b"no file matches the artifact 'absent'" in red.log


def test_a_job_that_ran_out_of_time_keeps_its_logs(node: Node) -> None:
    result, record = node.run(
        "echo hung > test.log; sleep 60", artifacts=[keeps("test.log", when="failed")], timeout=timedelta(seconds=2)
    )
    assert result is not None
    assert result.outcome == "failed"
    assert "timed out" in (result.reason or "")
    assert record.artifacts == {"test.log": b"hung\n"}


def test_what_is_optional_may_be_missing_and_an_executable_says_that_it_is_one(process_node: Node) -> None:
    result, record = process_node.run(
        "echo x > tool; chmod +x tool; echo y > plain",
        artifacts=[keeps("none/*", optional=True), keeps("tool", "plain")],
    )
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert record.told["tool"]["executable"] == "true"
    assert "executable" not in record.told["plain"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("mkdir d; printf x > \"$(printf 'd/a\\nb')\"", "no plain text"),
        (f"mkdir d; cd d; seq {MOST_FILES + 1} | xargs touch", f"more than {MOST_FILES} files"),
        ("mkdir d; python3 -c \"open(b'd/\\xff', 'w')\"", "no plain text"),
    ],
)
def test_a_set_that_nobody_could_use_is_an_error_in_words(process_node: Node, step: str, said: str) -> None:
    result, record = process_node.run(step, artifacts=["d"])
    assert result is not None
    assert result.outcome == "error"
    assert said in (result.reason or "")
    assert record.artifacts == {}


def test_the_file_of_further_jobs_goes_with_the_result(process_node: Node) -> None:
    result, _ = process_node.run("echo 'jobs: {}' > more.yml", emits="more.yml")
    assert result is not None
    assert (result.outcome, result.emitted) == ("passed", "jobs: {}\n")


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        ("true", "failed"),
        ("dd if=/dev/zero of=more.yml bs=1048576 count=3 2>/dev/null", "error"),
        ("ln -s /etc/passwd more.yml", "error"),
        ("mkfifo more.yml", "failed"),
        ("printf '\\377' > more.yml", "error"),
    ],
)
def test_a_bad_file_of_further_jobs_is_no_green_job(process_node: Node, step: str, outcome: str) -> None:
    result, _ = process_node.run(step, emits="more.yml")
    assert result is not None
    assert (result.outcome, result.emitted) == (outcome, None)
    assert "more.yml" in (result.reason or "")
