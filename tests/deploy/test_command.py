"""Programs as a target: the contract with a death at each of them, what a status says, and containers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.targets.command import CommandRunTarget, told
from deploy.targets.contract import Death, DeathContract, Rig, TargetContract, sha
from deploy.targets.fence import Fence
from deploy.targets.programs import NO_SECRETS, ContainerPrograms, LocalPrograms, Said, run
from deploy.targets.protocol import Ended, Order, Package
from farmgate.blobs import MemoryBlobs
from farmgate.clock import random_token, stopwatch
from farmgate.errors import BadDocument, TargetError
from farmgate.policy import CommandTarget, parse
from farmgate.policy.targets.command import Status

MINUTE = timedelta(minutes=1)


class Stage:
    """A place that programs drive, in memory: it stands for the scripts and for what they act on."""

    def __init__(self) -> None:
        self.live, self.shares, self.files = "", list[str](), list[str]()
        self.status = Said(0, "done")

    def run(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        files: Mapping[str, Path],
        timeout: timedelta,
        secrets: Mapping[str, str] = NO_SECRETS,
    ) -> Said:
        match argv[0]:
            case "shift":
                assert files["FARMGATE_ARTIFACT"].read_bytes() == b"the artifact"
                self.live = environment["FARMGATE_SHA"]
                self.shares.append(environment["FARMGATE_SHARE"])
            case "restore":
                self.live = environment["FARMGATE_PREVIOUS_SHA"]
            case "status":
                return self.status
            case other:
                raise TargetError(f"{other} cannot be started")
        return Said(0, "")

    def end(self) -> None: ...


class Dying(Stage):
    """The same stage for one controller, which dies at an effect."""

    def __init__(self, stage: Stage, death: Death) -> None:
        self.run = death.wrap(stage.run)  # type: ignore[method-assign]


class TestPrograms(TargetContract, DeathContract):
    """With and without a status to follow."""

    @pytest.fixture(params=[False, True], ids=["plain", "followed"])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
        blobs, stage = MemoryBlobs(), Stage()
        artifacts = {"a.bin": f"sha256:{blobs.put([b'the artifact']).sha256}"}
        status = Status(command=("status",)) if request.param else None
        target = CommandTarget(shift=("shift",), restore=("restore",), status=status, artifact="a.bin")

        def of(programs: Stage) -> CommandRunTarget:
            return CommandRunTarget(tmp_path, blobs, Fence(tmp_path), programs)

        return Rig(
            make=lambda: of(stage),
            package=lambda number: Package(number, sha(number), artifacts, target),
            live=lambda: stage.live,
            dying=lambda death: of(Dying(stage, death)),
        )


@pytest.mark.parametrize(
    ("said", "share", "ended", "words", "served"),
    [
        (Said(0, "uploading\nin review"), 100, Ended.GOES_ON, "in review", 0),
        (Said(0, "In Review: since monday"), 100, Ended.GOES_ON, "In Review: since monday", 0),
        (Said(0, "phased at 20 %"), 100, Ended.GOES_ON, "phased at 20 %", 20),
        (Said(0, "phased 20"), 20, Ended.DONE, "phased 20", 20),
        (Said(0, "phased at 20 %"), 10, Ended.DONE, "phased at 20 %", 20),
        (Said(0, "done"), 100, Ended.DONE, "done", 100),
        (Said(0, "rejected: no icon"), 100, Ended.FAILED, "rejected: no icon", 0),
        (Said(0, "rejected"), 100, Ended.FAILED, "rejected, without a reason", 0),
        (Said(0, "donezo"), 100, Ended.GOES_ON, "wrote 'donezo'", None),
        (Said(1, "done"), 100, Ended.GOES_ON, "ended with 1", None),
        (Said(None, ""), 100, Ended.GOES_ON, "did not end in time and wrote 'nothing'", None),
    ],
)
def test_what_a_status_says(said: Said, share: int, ended: Ended, words: str, served: int | None) -> None:
    outcome = told(said, share)
    assert outcome.ended is ended
    assert words in outcome.words
    assert outcome.figures.get("served") == served
    assert bool(outcome.figures.get("unknown")) is (served is None)


def test_a_shift_that_is_followed_is_done_once_and_only_looked_at_from_then_on(tmp_path: Path) -> None:
    stage = Stage()
    stage.status = Said(0, "in review")
    policy = CommandTarget(shift=("shift",), restore=("restore",), status=Status(command=("status",)), artifact="a")
    blobs = MemoryBlobs()
    package = Package(1, sha(1), {"a": f"sha256:{blobs.put([b'the artifact']).sha256}"}, policy)
    order = Order("shop/store", 1, package, None)
    for _ in range(3):
        target = CommandRunTarget(tmp_path, blobs, Fence(tmp_path), stage)  # a restart each time
        assert target.shift(order, 100).ended is Ended.GOES_ON
    assert stage.shares == ["100"]
    stage.status = Said(0, "done")
    assert target.shift(order, 100).ended is Ended.DONE


def test_a_status_program_that_cannot_be_started_says_nothing_of_the_change(tmp_path: Path) -> None:
    policy = CommandTarget(shift=("true",), restore=("true",), status=Status(command=("/no/such/program",)))
    target = CommandRunTarget(tmp_path, MemoryBlobs(), Fence(tmp_path))
    outcome = target.shift(Order("x/y", 1, Package(1, sha(1), {}, policy), None), 100)
    assert outcome.ended is Ended.GOES_ON
    assert outcome.figures["unknown"]
    assert "/no/such/program cannot be started" in outcome.words


def test_a_program_that_a_dead_controller_left_running_is_ended_before_the_next(tmp_path: Path) -> None:
    left = os.fork()
    if left == 0:  # a controller that dies while its program runs
        os.setsid()
        child = os.fork()
        if child == 0:
            try:
                run(("sleep", "600"), {}, MINUTE, tmp_path / "program.json")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os._exit(0)
    import json
    import signal

    deadline = stopwatch() + 30
    while not (tmp_path / "program.json").exists() or not (tmp_path / "program.json").read_text():
        assert stopwatch() < deadline
    pid = json.loads((tmp_path / "program.json").read_text())["pid"]
    os.killpg(left, signal.SIGKILL)
    os.waitpid(left, 0)
    assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")
    assert LocalPrograms(tmp_path).run(("true",), {}, {}, MINUTE).code == 0
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert stopwatch() < deadline


@pytest.mark.needs("docker")
def test_programs_run_in_containers_with_their_files_and_end_as_they_say(busybox_image: str, tmp_path: Path) -> None:
    import docker

    farm = "t" + "".join(letter for letter in random_token().lower() if letter.isalnum())[:7]
    programs = ContainerPrograms(farm, "1", busybox_image)
    artifact = tmp_path / "app.bin"
    artifact.write_bytes(b"the artifact")
    files = {"FARMGATE_ARTIFACT": artifact}
    script = 'cat "$FARMGATE_ARTIFACT"; echo; echo "$GREETING"; test ! -e /var/run/docker.sock; exit 2'
    said = programs.run(("sh", "-c", script), {"GREETING": "hello"}, files, MINUTE)
    assert said == Said(2, "the artifact\nhello")
    assert programs.run(("sleep", "60"), {}, {}, timedelta(seconds=1)).code is None
    assert programs.run(("/no/such/program",), {}, {}, MINUTE).code == 127
    client = docker.from_env()
    labels = {"farmgate.farm": farm, "farmgate.program": "1"}
    client.containers.run(busybox_image, ["sleep", "600"], labels=labels, detach=True)  # a dead controller's
    assert programs.run(("true",), {}, {}, MINUTE).code == 0
    assert client.containers.list(all=True, filters={"label": f"farmgate.farm={farm}"}) == []
    client.close()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("when_newer: replace", "'when_newer' needs 'status'"),
        ("memory: 1g", "'memory' and 'cpus' bound a container: they need 'image'"),
        ("status: {command: [s], every: 0s}", "must be at least 1s"),
        ("status: {every: 5m}", "needs 'command'"),
        ("status: {command: [s]}, when_newer: ask", "is not one of 'wait' or 'replace'"),
    ],
)
def test_what_contradicts_itself_is_refused(keys: str, told: str) -> None:
    text = f"application: shop\ntarget: {{type: command, shift: [s], restore: [r], {keys}}}\nlanes: {{store: {{}}}}\n"
    with pytest.raises(BadDocument) as refused:
        parse(text)
    assert told in str(refused.value.problems[0])
