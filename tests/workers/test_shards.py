"""`farmgate-split`: every test in exactly one shard, the same answer in each, balanced; in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farmgate.messages import TimedTest, Times
from farmgate.pipeline.models import ShardSpec
from tests.workers.conftest import Node, make_source
from workers.run import run_attempt
from workers.shards import write

SHELLS = [shell for shell in (("sh",), ("busybox", "sh")) if shutil.which(shell[0])]


def steps_with(folder: Path, *times: tuple[str, str, str, float]) -> Path:
    folder.mkdir(exist_ok=True)
    told = tuple(TimedTest(file=f, class_name=c, name=n, seconds=s) for f, c, n, s in times)
    write(folder, Times(tests=told))
    return folder


def split(
    steps: Path,
    shard: int,
    of: int,
    *arguments: str,
    names: Sequence[str] = (),
    shell: Sequence[str] = ("sh",),
    cwd: Path | None = None,
) -> list[str]:
    tools = steps / "tools"
    if shell[0] == "busybox" and not tools.exists():  # its own awk, sort and find, as in its image
        tools.mkdir()
        for tool in ("awk", "sort", "find", "mktemp", "rm"):
            (tools / tool).symlink_to(str(shutil.which("busybox")))
    done = subprocess.run(
        [*shell, str(steps / "bin" / "farmgate-split"), *arguments],
        input="".join(f"{name}\n" for name in names),
        env={
            "PATH": f"{tools}:{os.defpath}" if shell[0] == "busybox" else os.defpath,
            "FARMGATE_SHARD": str(shard),
            "FARMGATE_SHARDS": str(of),
        },
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


NAMES = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1, max_size=20)
    .map(str.strip)
    .filter(bool),
    unique=True,
    max_size=25,
)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=NAMES, of=st.integers(1, 5), seconds=st.lists(st.floats(0, 1000), min_size=25, max_size=25))
def test_every_name_is_in_exactly_one_shard_and_the_shards_are_balanced(
    tmp_path: Path, shell: Sequence[str], names: list[str], of: int, seconds: list[float]
) -> None:
    steps = steps_with(tmp_path / "steps", *(("", name, "", took) for name, took in zip(names, seconds, strict=False)))
    shares = [split(steps, number, of, "--by", "class", names=names, shell=shell) for number in range(1, of + 1)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    for share in shares:
        assert share == [name for name in names if name in set(share)], "in the order of the names"
    if names:
        took = {name: round(s * 1000) + 1 for name, s in zip(names, seconds, strict=False)}
        loads = [sum(took[name] for name in share) for share in shares]
        # What greedy longest-first promises: no shard is more than one test above another.
        assert max(loads) - min(loads) <= max(took.values())


def test_files_are_found_by_pattern_and_weighed_by_the_classes_in_them(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for name in (
        "tests/test_a.py",
        "tests/unit/test_b.py",
        "tests/unit/deep/test_c.py",
        "tests/helper.py",
        "x/test_d.py",
    ):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("")
    (work / ".git").mkdir()
    (work / ".git" / "test_x.py").write_text("")
    times = [("", "tests.test_a.TestOne", "t", 6.0), ("", "tests.test_a", "u", 4.0), ("", "unit.test_b", "t", 5.0)]
    steps = steps_with(tmp_path / "steps", *times, ("tests/unit/deep/test_c.py", "C", "t", 5.5))
    for shell in SHELLS:
        first, second = (split(steps, n, 2, "tests/**/test_*.py", shell=shell, cwd=work) for n in (1, 2))
        assert first == ["tests/test_a.py"]
        assert second == ["tests/unit/deep/test_c.py", "tests/unit/test_b.py"]
        everything = split(steps, 1, 1, "./tests/*.py", "x/test_[!a].py", shell=shell, cwd=work)
        assert everything == ["tests/helper.py", "tests/test_a.py", "x/test_d.py"]


def test_names_are_weighed_however_they_are_written(tmp_path: Path) -> None:
    steps = steps_with(
        tmp_path / "steps",
        ("", "tests.test_a.TestX", "test_slow", 9.0),
        ("", "tests.test_a", "test_b[1]", 2.0),
        ("", "pkg", "TestGo", 3.0),
    )
    names = ["tests/test_a.py::test_b[1]", "tests/test_a.py::TestX::test_slow", "TestGo", "new"]
    shares = [split(steps, n, 2, "--by=name", names=names) for n in (1, 2)]
    assert shares == [["tests/test_a.py::TestX::test_slow"], ["tests/test_a.py::test_b[1]", "TestGo", "new"]]


def test_without_times_names_are_dealt_out_evenly(tmp_path: Path) -> None:
    steps = steps_with(tmp_path / "steps")
    names = [f"t{n}" for n in range(10)]
    assert [len(split(steps, n, 3, names=names)) for n in (1, 2, 3)] == [4, 3, 3]
    (steps / "times").unlink()
    assert split(steps, 1, 1, names=names) == names


def test_more_shards_than_names_leave_some_empty(tmp_path: Path) -> None:
    steps = steps_with(tmp_path / "steps")
    assert [split(steps, n, 3, names=["a", "a", ""]) for n in (1, 2, 3)] == [["a"], [], []]


def test_what_it_does_not_know_is_refused(tmp_path: Path) -> None:
    steps = steps_with(tmp_path / "steps")
    for bad in (["--by", "size"], ["--shard", "x"], ["--shard", "3", "--of", "2"], ["--what"]):
        done = subprocess.run(
            ["sh", steps / "bin" / "farmgate-split", *bad], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith("usage: farmgate-split")


def test_patterns_that_no_file_fits_are_an_error(tmp_path: Path) -> None:
    program = steps_with(tmp_path / "steps") / "bin" / "farmgate-split"
    done = subprocess.run(["sh", program, "tests/**"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "farmgate-split: no file fits: tests/**\n"


def test_names_with_tabs_and_line_ends_stay_one_line_each(tmp_path: Path) -> None:
    steps = steps_with(tmp_path / "steps", ("a\tb", "c\nd", "$(touch x)`id`", 1.0))
    assert (steps / "times").read_text() == "a b\tc d\t$(touch x)`id`\t1000\n"


def test_a_shard_runs_its_share_in_a_container(node: Node, tmp_path: Path) -> None:
    source = make_source(tmp_path / "tests", {f"t/test_{name}.sh": b"" for name in "abcd"})
    said = []
    for number in (1, 2):
        shard = ShardSpec(number=number, of=2)
        variables = {"FARMGATE_SHARD": str(number), "FARMGATE_SHARDS": "2"}
        key = node.offer(
            "farmgate-split 't/**/*.sh' > mine; cat mine", source=source, shard=shard, environment=variables
        )
        node.records[key].times = [{"file": "t/test_b.sh", "class_name": "", "name": "x", "seconds": 60.0}]
        result = run_attempt(node.bench, key)
        assert result is not None
        assert result.outcome == "passed", node.records[key].log.decode()
        log = node.records[key].log.decode()
        assert f"farmgate: shard {number} of 2, 1 tests with times" in log
        said.append([line for line in log.splitlines() if line.startswith("t/")])
    assert sorted(said[0] + said[1]) == ["t/test_a.sh", "t/test_b.sh", "t/test_c.sh", "t/test_d.sh"]
    assert [len(share) for share in said] == [2, 2]
