"""Steps with a folder, a shell, variables or an image of their own, on real engines."""

from __future__ import annotations

import subprocess

import docker
import pytest

from farmgate.messages import Result
from farmgate.pipeline import StepSpec
from tests.conftest import BUSYBOX
from tests.workers.conftest import Node
from workers.script import BadShell, words
from workers.segments import Segment, segments

OTHER = "farmgate-test/other:latest"
NASTY = 'it\'s "$HOME" `id`; $(exit 3)\n\nlast \\ line\n'


@pytest.fixture
def other_image(busybox_image: str) -> str:
    """The same image by another name, with a mark of its own."""
    client = docker.from_env()
    try:
        made = client.containers.create(busybox_image, ["sh", "-c", "echo other > /etc/mark"])
        made.start()
        made.wait()
        made.commit("farmgate-test/other", "latest")
        made.remove()
    finally:
        client.close()
    return OTHER


def step(run: str, **more: object) -> StepSpec:
    return StepSpec.model_validate({"name": run[:40], "run": run, **more})


def passed(result: Result | None, log: bytearray) -> None:
    assert result is not None
    assert result.outcome == "passed", (result, log.decode(errors="replace"))


def test_a_step_runs_in_its_folder_and_the_next_in_the_workspace_again(node: Node) -> None:
    result, record = node.run(step("cat a.txt", working_directory="src"), step("cat README"))
    passed(result, record.log)
    assert record.log.endswith(b"a\nhello\n")


def test_a_folder_that_is_not_there_fails_its_step_in_words(node: Node) -> None:
    result, record = node.run("true", step("true", working_directory="no/such"))
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 1)
    assert b"working_directory is no folder" in record.log


def test_a_steps_variables_are_values_over_the_jobs_and_for_this_step_only(node: Node) -> None:
    show = 'printf "%s|%s" "$NASTY" "$COLOUR"'
    result, record = node.run(
        step(show, environment={"NASTY": NASTY, "COLOUR": "blue"}), show, environment={"NASTY": "job", "COLOUR": "red"}
    )
    passed(result, record.log)
    assert record.log.endswith(f"{NASTY}|blue\njob|red\n".encode())


def test_a_step_is_given_as_a_file_to_the_shell_that_it_names(process_node: Node) -> None:
    result, record = process_node.run(
        step("import sys, os\nprint(sys.version_info[0], os.environ['X'])", shell="python3", environment={"X": "1"}),
        step("echo ${BASH_VERSION:+bash}; set -o | grep pipefail", shell="bash"),
        step("one two", shell="cat -n"),
    )
    passed(result, record.log)
    assert b"3 1\nbash\npipefail" in record.log
    assert record.log.split()[-3:] == [b"1", b"one", b"two"]


def test_a_program_that_a_step_installs_for_its_user_is_on_the_path_of_the_next_behind_the_images(node: Node) -> None:
    result, record = node.run(
        'mkdir -p ~/.local/bin; printf "#!/bin/sh\\necho mine\\n" | tee ~/.local/bin/ls > ~/.local/bin/linter',
        "chmod +x ~/.local/bin/*",
        "linter",
        "ls README",
    )
    passed(result, record.log)
    assert record.log.endswith(b"mine\nREADME\n")


def test_a_shell_that_the_image_lacks_fails_the_step_in_its_own_words(node: Node) -> None:
    result, record = node.run(step("true", shell="no-such-shell -x"))
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 127)
    assert b"no-such-shell" in record.log


def test_a_shell_that_is_no_line_of_words_is_an_error(node: Node) -> None:
    result, _ = node.run(step("true", shell="bash 'half"))
    assert result is not None
    assert result.outcome == "error"
    assert "cannot be read" in (result.reason or "")


def test_a_bare_shell_stops_at_the_first_error_and_words_are_taken_as_they_are() -> None:
    assert words("bash") == ("bash", "-e", "-o", "pipefail")
    assert words("sh") == ("sh", "-e")
    assert words("bash -x") == ("bash", "-x")
    assert words("perl -w 'a b'") == ("perl", "-w", "a b")
    for bad in ("'", "", "a 'b\nc'"):
        with pytest.raises(BadShell):
            words(bad)


def test_a_step_with_an_image_has_a_container_of_its_own_on_the_same_files(docker_node: Node, other_image: str) -> None:
    docker_node.bench.engine.warm_up()
    result, record = docker_node.run(
        'echo kept > file; echo home > "$HOME/file"; ip -o -4 addr show eth0 | tee address; test ! -e /etc/mark',
        step("cat /etc/mark file; cat ~/file; ip -o -4 addr show eth0 | cmp - address", image=other_image),
        "test ! -e /etc/mark; echo end",
    )
    passed(result, record.log)
    assert record.log.endswith(b"other\nkept\nhome\nend\n")
    assert [one["state"] for one in record.last_steps.values()] == ["passed"] * 3
    offsets = [one["log_offset"] for one in record.last_steps.values()]
    assert record.log[offsets[1] :].startswith(b"other\n")
    assert record.log[offsets[2] :] == b"end\n"
    left, node = docker.from_env(), f"farmgate.node={docker_node.bench.folder.identity()}"
    assert left.containers.list(all=True, filters={"label": [f"farmgate.job={docker_node.jobs}", node]}) == []
    left.close()


def test_a_failure_in_the_second_container_skips_the_third(docker_node: Node, other_image: str) -> None:
    result, record = docker_node.run("true", step("exit 4", image=other_image), "echo never")
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 4)
    assert [one["state"] for one in record.last_steps.values()] == ["passed", "failed", "skipped"]


def test_a_missing_image_of_a_later_step_is_known_before_anything_runs(docker_node: Node) -> None:
    result, record = docker_node.run("echo ran", step("true", image="127.0.0.1:1/none:1"))
    assert result is not None
    assert result.outcome == "lost"  # a registry that does not answer is no fault of the commit
    assert b"ran" not in record.log


def test_the_result_says_what_the_image_was(docker_node: Node) -> None:
    result, _ = docker_node.run("true")
    assert result is not None
    done = subprocess.run(["docker", "inspect", "-f", "{{.Id}}", BUSYBOX], check=True, capture_output=True, text=True)
    assert result.image_digest == done.stdout.strip()


def test_steps_are_cut_where_the_image_changes() -> None:
    steps = [step("1"), step("2", image="b"), step("3", image="b"), step("4", image="a"), step("5")]
    assert segments(steps, "a") == (Segment(0, "a", 1, 1), Segment(1, "b", 2, 3), Segment(2, "a", 4, 5))
    assert segments(steps, "a", isolates=False) == (Segment(0, "a", 1, 5),)
