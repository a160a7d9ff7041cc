"""Secrets that deliveries are given: they reach the programs, and nothing that anybody can look at."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from deploy.__main__ import make_context
from deploy.context import AtOnce, Context
from deploy.loop import Deployer
from deploy.switch import Switch
from deploy.targets import docker_hosts, given
from deploy.targets.command import CommandRunTarget
from deploy.targets.docker import DockerRunner
from deploy.targets.fence import Fence
from deploy.targets.given import GivenSecrets
from deploy.targets.process import ProcessRunner
from deploy.targets.programs import ContainerPrograms
from deploy.targets.protocol import Ended, Order, Package
from deploy.targets.scripted import Place, ScriptedProber
from deploy.targets.switched import SwitchedTarget
from deploy.targets.webhook import HandedOverTarget
from farmgate.blobs import MemoryBlobs
from farmgate.broker import LocalSignals
from farmgate.clock import SystemClock, random_token, stopwatch
from farmgate.errors import BadDocument, TargetError
from farmgate.policy import CommandTarget, DockerTarget, LanePolicy, ProcessTarget, parse
from farmgate.policy.targets import from_row, with_digests
from farmgate.policy.targets.webhook import WebhookTarget
from farmgate.settings import DeploySettings
from farmgate.store import repositories, secrets
from farmgate.store.schema import metadata
from farmgate.vault import load
from tests.deploy import rows
from tests.deploy.engines import SecondHost, lane_site, two_hosts
from tests.deploy.parts import SERVICE, archive
from tests.scheduler.farm import Farm

VALUE = "s3cr3t value \"of\" $HOME 'now'"
PAUSE = timedelta(milliseconds=50)


def until(true: Any, within: float = 30) -> None:
    deadline = stopwatch() + within
    while not true():
        assert stopwatch() < deadline
        SystemClock().sleep(PAUSE)


# --- policies ---


def test_a_policy_names_secrets_and_a_row_keeps_their_names() -> None:
    text = "application: shop\ntarget: {type: command, shift: [s], restore: [r], secrets: [A, B]}\nlanes: {store: {}}\n"
    (policy,) = parse(text)
    assert policy.target.secret_names == ("A", "B")
    row = policy.target.model_dump(mode="json")
    assert row["secrets"] == {"A": "", "B": ""}
    assert from_row(row) == policy.target
    released = with_digests(row, {"A": "keyed:1", "X": "keyed:2"})
    assert released["secrets"] == {"A": "keyed:1", "B": ""}
    assert from_row(released).secret_names == ("A", "B")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("secrets: [A, A]", "the secret A stands here twice"),
        ("secrets: [A], environment: {A: x}", "A is in 'environment' and in 'secrets'"),
        ("secrets: [PORT]", "no secret can be called PORT"),
        ("secrets: [FARMGATE_X]", "is reserved"),
        ("secrets: ['A=B']", "is not the name of a variable"),
    ],
)
def test_names_that_cannot_be_are_refused(keys: str, told: str) -> None:
    text = f"application: shop\ntarget: {{type: command, shift: [s], restore: [r], {keys}}}\nlanes: {{store: {{}}}}\n"
    with pytest.raises(BadDocument) as refused:
        parse(text)
    assert told in str(refused.value.problems[0])


# --- programs ---


def test_a_program_beside_the_loop_has_its_secrets_and_what_it_tells_is_masked(tmp_path: Path) -> None:
    policy = CommandTarget(shift=("sh", "-c", 'echo "it is $TOKEN"'), restore=("true",), secrets={"TOKEN": ""})
    target = CommandRunTarget(tmp_path, MemoryBlobs(), Fence(tmp_path), secret={"TOKEN": VALUE}.__getitem__)
    outcome = target.shift(Order("shop/store", 1, Package(1, "a" * 40, {}, policy), None), 100)
    assert (outcome.ended, outcome.words) == (Ended.DONE, "it is ***")


def test_a_secret_that_is_not_there_is_no_fault_of_the_change(tmp_path: Path) -> None:
    policy = CommandTarget(shift=("true",), restore=("true",), secrets={"TOKEN": ""})
    target = CommandRunTarget(tmp_path, MemoryBlobs(), Fence(tmp_path))
    with pytest.raises(TargetError, match="no secret TOKEN"):
        target.shift(Order("shop/store", 1, Package(1, "a" * 40, {}, policy), None), 100)


@pytest.mark.needs("docker")
def test_a_program_in_a_container_has_them_as_variables_and_files(busybox_image: str) -> None:
    programs = ContainerPrograms(
        "t" + random_token()[:7].lower().replace("-", "x").replace("_", "x"), "1", busybox_image
    )
    script = 'echo "$TOKEN"; cat "$TOKEN_FILE"; echo; env | grep -c FARMGATE_; stat -f -c %T /run/secrets'
    said = programs.run(("sh", "-c", script), {"G": "h"}, {}, timedelta(minutes=1), {"TOKEN": VALUE})
    assert said.tail.splitlines() == [VALUE, VALUE, "0", "tmpfs"]


# --- processes ---


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[ProcessRunner, Package]]:
    blobs = MemoryBlobs()
    service = SERVICE.replace('open("version").read()', 'os.environ["TOKEN"]')
    digest = blobs.put([archive(app_py=service)]).sha256
    policy = ProcessTarget(command=("python3", "app.py"), artifact="a.tgz", secrets={"TOKEN": ""})
    package = Package(1, "a" * 40, {"a.tgz": f"sha256:{digest}"}, policy)
    runner = ProcessRunner(tmp_path, blobs, SystemClock(), {"TOKEN": VALUE}.__getitem__)
    yield runner, package
    runner.remove(1)


def test_a_process_has_its_secret_in_memory_alone_and_again_when_it_is_started_again(
    tmp_path: Path, processes: tuple[ProcessRunner, Package]
) -> None:
    runner, package = processes

    def answered() -> str:
        import urllib.request

        try:
            (instance,) = runner.ensure(package)
            with urllib.request.urlopen(f"http://{instance.address}/", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    until(lambda: answered() == VALUE)
    state = json.loads((tmp_path / "releases/1/0.state").read_text())
    for pid in (state["keeper"], state["child"]):
        assert VALUE.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and VALUE.encode() in path.read_bytes()]
    assert written == []
    assert b"TOKEN" not in Path(f"/proc/{state['keeper']}/environ").read_bytes()
    os.kill(state["child"], signal.SIGKILL)
    until(lambda: json.loads((tmp_path / "releases/1/0.state").read_text())["child"] != state["child"])
    until(lambda: answered() == VALUE)


# --- containers ---


@pytest.mark.needs("docker")
def test_a_container_has_its_secret_on_a_tmpfs_and_docker_inspect_does_not(tmp_path: Path, busybox_image: str) -> None:
    import docker

    farm = "t" + "".join(letter for letter in random_token().lower() if letter.isalnum())[:7]
    asked: list[str] = []

    def secret(name: str) -> str:
        asked.append(name)
        return VALUE

    script = 'mkdir -p www; printf %s "$TOKEN" >www/index.html; cat "$TOKEN_FILE"; echo; exec httpd -f -p $PORT -h www'
    policy = DockerTarget(image=busybox_image, command=("sh", "-c", script), port=8080, secrets={"TOKEN": ""})
    package = Package(1, "a" * 40, {}, policy)

    def runner() -> DockerRunner:
        return DockerRunner(farm, "1", MemoryBlobs(), secret=secret, folder=tmp_path)

    client = docker.from_env()
    try:
        runner().ensure(package)
        until(lambda: VALUE in runner().log_tail(package, 0))
        (container,) = client.containers.list(filters={"label": f"farmgate.farm={farm}"})
        assert VALUE not in json.dumps(container.attrs)
        assert container.exec_run(["stat", "-f", "-c", "%T", "/run/secrets"]).output == b"tmpfs\n"
        runner().ensure(package)
        assert asked == ["TOKEN"]  # who has them is not given them again
        container.restart(timeout=1)
        runner().ensure(package)
        assert asked == ["TOKEN", "TOKEN"]
        until(lambda: runner().log_tail(package, 0).count(VALUE) == 2)
        switched = SwitchedTarget(
            runner(), Switch(tmp_path, SystemClock()), Fence(tmp_path), "", SystemClock(), secret=secret
        )
        log = b"".join(switched.log(package, None))
        assert VALUE.encode() not in log
        assert b"***" in log
        assert not any(VALUE.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    finally:
        runner().remove(1)
        client.close()


@pytest.mark.needs("docker", "hosts")
def test_a_container_on_another_host_has_its_secret_by_the_same_way(
    tmp_path: Path, busybox_image: str, second_host: SecondHost
) -> None:
    script = 'test "$TOKEN" = "$(cat "$TOKEN_FILE")" && echo "has $TOKEN"; exec sleep 60'
    hosts = {"far": two_hosts(second_host)["b"]}
    common = {"image": busybox_image, "command": ("sh", "-c", script), "port": 8080, "hosts": hosts}
    package = Package(1, "a" * 40, {}, DockerTarget(**common, secrets={"TOKEN": ""}))
    site = lane_site("t" + tmp_path.name[-7:], tmp_path, 1, DockerTarget(**common), MemoryBlobs(), second_host)
    runner = docker_hosts.runner_of(site)
    try:
        runner.ensure(package)
        until(lambda: "has " + site.secret("TOKEN") in runner.log_tail(package, 0))
        (container,) = second_host.client().containers.list()
        assert site.secret("TOKEN") not in json.dumps(container.attrs)
    finally:
        runner.remove(1)
    assert not any(site.secret("KEY").encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.needs("docker")
def test_an_image_without_a_shell_says_what_it_needs(tmp_path: Path, busybox_image: str) -> None:
    import docker

    client = docker.from_env()
    farm = "t" + "".join(letter for letter in random_token().lower() if letter.isalnum())[:7]
    name = f"farmgate-test/shell-less-{farm}"
    client.api.import_image_from_data(archive(readme="nothing"), repository=name, tag="1")
    policy = DockerTarget(image=f"{name}:1", command=("/x",), port=8080, secrets={"TOKEN": ""})
    runner = DockerRunner(farm, "1", MemoryBlobs(), secret=lambda name: VALUE, folder=tmp_path)
    try:
        with pytest.raises(TargetError, match="needs sh, cat, mv and sleep"):
            runner.ensure(Package(1, "a" * 40, {}, policy))
    finally:
        runner.remove(1)
        client.images.remove(f"{name}:1", force=True)
        client.close()


# --- the ledger ---

POLICY = """
application: shop
target: {type: command, shift: [sh, -c, 'echo "with $TOKEN"'], restore: ["true"], secrets: [TOKEN]}
lanes:
  production: {}
"""


class Lane:
    """A real command target in a real loop."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.given = GivenSecrets(farm.store, lambda: farm.vault.keyring)
        signals, prober = LocalSignals(farm.clock), ScriptedProber(Place())
        self.deployer = Deployer(
            Context(farm.store, self, prober, farm.clock, signals, AtOnce(), "first", asks_scheduler=False)
        )
        with farm.store.writing() as connection:
            rows.connect(connection, farm.clock.now())
            rows.apply(connection, POLICY, farm.clock.now())

    def of(self, lane_id: int, policy: LanePolicy) -> CommandRunTarget:
        folder = self.farm.folder / "lane"
        return CommandRunTarget(
            folder,
            MemoryBlobs(),
            Fence(folder),
            secret=lambda name: self.given.of(policy, name),
            digest=lambda name, value: self.farm.vault.digest(f"{policy.name} {name}", value),
        )

    def put(self, value: str) -> None:
        with self.farm.store.writing() as connection:
            repository = repositories.by_name(connection, "shop")
            secrets.put(
                connection, self.farm.vault.keyring, repository.id, "TOKEN", value, "ada", self.farm.clock.now()
            )

    def deliver(self, position: int) -> dict[str, Any]:
        with self.farm.store.writing() as connection:
            rows.push(connection, repositories.by_name(connection, "shop"), [position], self.farm.clock.now())
        for _ in range(8):
            self.deployer.tick()
            self.farm.clock.advance(timedelta(seconds=1))
        answer = self.farm.http.get(f"/api/lanes/shop/production/rollouts/{position}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["state"] == "good", found["journal"]
        return found


def test_a_release_tells_that_a_secret_changed_and_never_its_value(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    lane = Lane(farm)
    lane.put("first value")
    lane.deliver(1)
    assert lane.deliver(2)["config_changes"] == []
    lane.put("second value")
    (change,) = lane.deliver(3)["config_changes"]
    assert change["path"] == "secrets.TOKEN"
    assert change["before"].startswith("keyed:")
    assert change["after"] not in ("", change["before"])
    with farm.store.reading() as connection:
        for table in metadata.tables.values():
            for row in connection.execute(select(table)):
                assert "first value" not in str(row), table.name
                assert "second value" not in str(row), table.name
    detail = {each["key"]: each for each in lane.deliver(4)["journal"]}
    assert detail["wave-0/shift"]["detail"]["words"] == "with ***"
    farm.close()


def test_what_is_not_there_any_more_cannot_be_masked_and_hinders_nobody() -> None:
    policy = CommandTarget(shift=("s",), restore=("r",), secrets={"GONE": ""})
    assert given.masks(policy, given.nothing).text("as it is") == "as it is"


def test_the_deploy_process_hands_its_targets_secrets_digests_and_hand_overs(tmp_path: Path) -> None:
    """Through what `python -m deploy` builds: the embedded farm's processes, and another tool."""
    context = make_context(DeploySettings(data=tmp_path, embedded=True))
    now, keys = context.clock.now(), load(DeploySettings(data=tmp_path))
    with context.store.writing() as connection:
        repository = rows.connect(connection, now)
        secrets.put(connection, keys.keyring, repository.id, "TOKEN", VALUE, "ada", now, environment="production")
        rows.push(connection, repository, [1], now)
    lane = {"application": "shop", "environment": "production", "repository": "shop", "branch": "main"}
    failing = ProcessTarget(command=("false",), secrets={"TOKEN": ""}, start_within=timedelta(0))
    policy = LanePolicy(**lane, listen="127.0.0.1:1", target=failing)
    target = context.targets.of(1, policy)
    outcome = target.prepare(Order("shop/production", 1, Package(1, "a" * 40, {}, failing), None))
    assert outcome.ended is Ended.FAILED
    assert outcome.figures["secrets"]["TOKEN"].startswith("keyed:")
    assert VALUE not in str(outcome)
    target.remove(2)
    tool = WebhookTarget(url="https://x.example.org/h", secret="HANDOVER", callback=True)
    assert isinstance(context.targets.of(2, policy.model_copy(update={"target": tool})), HandedOverTarget)
    context.store.close()
