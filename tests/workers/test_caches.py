"""Caches on a node: found, told, never a reason to fail."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

from farmgate.pipeline.models import CacheSpec
from tests.workers.conftest import Node
from workers.caches import whole_key

PIP = CacheSpec(key="pip", files=("src/*.txt",), fallback=("pip",), paths=("deps", "~/.cache/pip"))
FILL = "mkdir -p deps ~/.cache/pip && echo $RANDOM > deps/one && echo two > ~/.cache/pip/two"
SEE = "cat deps/one ~/.cache/pip/two"


def test_what_one_job_saved_the_next_one_finds_without_fetching_it(node: Node) -> None:
    result, record = node.run(FILL, caches=[PIP])
    assert result is not None
    assert result.outcome == "passed"
    (key,) = node.server.caches
    assert key.startswith("pip-")
    assert b"saved: 2 files" in record.log
    result, record = node.run(SEE, caches=[PIP])
    assert result is not None
    assert result.outcome == "passed", record.log
    assert b"2 files" in record.log
    assert b"from this node" in record.log
    assert node.server.calls["cache bytes"] == 0
    assert list(node.server.caches) == [key]
    assert {"caches", "save_caches"} & set(result.timings) == {"caches"}


def test_another_node_fetches_it_once(node: Node) -> None:
    node.run(FILL, caches=[PIP])
    for path in node.bench.folder.caches.iterdir():  # as a node that never had it
        path.unlink()
    for _ in range(2):
        result, record = node.run(SEE, caches=[PIP])
        assert result is not None
        assert result.outcome == "passed", record.log
    assert node.server.calls["cache bytes"] == 1


def test_other_files_are_another_key_and_fall_back_to_the_newest(process_node: Node) -> None:
    process_node.server.caches["pip-older"] = made({"workspace/deps/one": b"old"})
    result, record = process_node.run("cat deps/one", caches=[PIP])
    assert result is not None
    assert result.outcome == "passed"
    assert b"old" in record.log
    assert b"from pip-older" in record.log
    assert len(process_node.server.caches) == 2, "it is saved under its own key"


def test_a_job_that_fails_saves_nothing(process_node: Node) -> None:
    process_node.run(f"{FILL}; exit 1", caches=[PIP])
    assert process_node.server.caches == {}


def test_a_fork_reads_and_never_writes(process_node: Node) -> None:
    fork = {"trust": "untrusted"}
    process_node.server.caches["pip-older"] = made({"workspace/deps/one": b"old"})
    result, record = process_node.run(f"cat deps/one; {FILL}", caches=[PIP], claimed=fork)
    assert result is not None
    assert result.outcome == "passed"
    assert b"old" in record.log
    assert b"not saved: this run comes from a fork" in record.log
    assert list(process_node.server.caches) == ["pip-older"]


def test_a_bad_cache_is_told_and_the_job_goes_on(process_node: Node) -> None:
    good = made({"workspace/deps/one": b"one"})
    bad: dict[str, tuple[bytes, str]] = {
        "of 0 bytes": (b"", "damaged"),
        "cut off": (good[: len(good) // 2], "damaged"),
        "noise": (b"noise" * 1000, "damaged"),
        "poisoned": (made({"workspace/deps/one": b"1", "/etc/cron.d/evil": b"evil"}), "no plain name"),
        "climbing": (made({"workspace/deps/../../steps/job.sh": b"evil"}), "no plain name"),
    }
    for name, (data, words) in bad.items():
        process_node.server.caches.clear()
        process_node.server.caches["pip-x"] = data
        result, record = process_node.run("test ! -e deps/one", caches=[PIP])
        assert result is not None, name
        assert result.outcome == "passed", (name, record.log)
        assert b"not restored" in record.log, name
        assert words.encode() in record.log, (name, record.log)
    assert not Path("/etc/cron.d/evil").exists()


def test_bytes_that_are_not_what_was_promised_are_a_miss(process_node: Node) -> None:
    process_node.server.caches["pip-x"] = made({"workspace/deps/one": b"one"})
    process_node.server.told_hash = "0" * 64
    result, record = process_node.run("test ! -e deps", caches=[PIP])
    assert result is not None
    assert result.outcome == "passed"
    assert b"not restored" in record.log


def test_a_cache_that_is_too_large_is_told_and_not_saved(process_node: Node) -> None:
    settings = process_node.bench.settings.model_copy(update={"cache_files_bytes": 10_000})
    object.__setattr__(process_node.bench, "settings", settings)
    result, record = process_node.run("mkdir deps; head -c 20000 /dev/zero > deps/big", caches=[PIP])
    assert result is not None
    assert result.outcome == "passed"
    assert b"not saved: its files have more than the 10000 bytes" in record.log


def test_a_server_that_takes_no_cache_costs_the_cache_alone(process_node: Node) -> None:
    process_node.server.fail["caches"] = 2
    result, record = process_node.run(FILL, caches=[PIP])
    assert result is not None
    assert result.outcome == "passed"
    assert len(process_node.server.caches) == 1, record.log


def test_a_path_that_is_a_link_outside_is_not_followed(process_node: Node, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("the key")
    result, record = process_node.run(f"ln -s {tmp_path}/secret deps", caches=[PIP])
    assert result is not None
    assert result.outcome == "passed"
    assert process_node.server.caches == {}
    assert b"not saved: no file is at deps" in record.log


def test_a_key_depends_on_the_names_and_the_contents_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    spec = CacheSpec(key="k", files=("a", "b"), paths=("x",))
    keys = {whole_key(spec, tmp_path)}
    (tmp_path / "a").write_text("2")
    keys.add(whole_key(spec, tmp_path))
    (tmp_path / "b").write_text("")
    keys.add(whole_key(spec, tmp_path))
    assert len(keys) == 3


def test_a_key_of_ten_thousand_characters_becomes_one_that_a_row_can_hold(tmp_path: Path) -> None:
    long, other = (CacheSpec(key="k" * 10_000 + end, paths=("x",)) for end in "ab")
    assert len(whole_key(long, tmp_path)) <= 512
    assert whole_key(long, tmp_path) != whole_key(other, tmp_path)


def made(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as squeezed, tarfile.open(fileobj=squeezed, mode="w|") as archive:
        for name, content in files.items():
            header: Any = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()
