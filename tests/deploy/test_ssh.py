"""Hosts as a target: the contract over real ssh, with deaths, a host that is away and one that is somebody else."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from deploy.targets.contract import Death, DeathContract, Rig, TargetContract, done, sha
from deploy.targets.fence import Fence
from deploy.targets.hosts import Hosts, Ran, SshHosts
from deploy.targets.protocol import Ended, Package
from deploy.targets.ssh import SshTargetRun
from farmgate.blobs import MemoryBlobs
from farmgate.clock import VirtualClock
from farmgate.errors import BadDocument, StaleEpoch, TargetError
from farmgate.policy import parse
from farmgate.policy.targets.ssh import SshTarget
from tests.deploy.parts import archive

RESTART = ("sh", "-c", 'test ! -e broken || { echo it broke; exit 1; }; cp version "$0"', "../../../running")
HEALTH = ("sh", "-c", "test ! -e ill || { echo so ill; exit 1; }")


class Shells:
    """Hosts that are folders of this machine, where scripts run as they would over ssh."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.seen: list[tuple[str, str]] = []

    def run(
        self, host: str, script: str, arguments: Sequence[str], timeout: timedelta, content: BinaryIO | None = None
    ) -> Ran:
        if host in self.away:
            raise TargetError(f"{host} cannot be reached: no route")
        base, *rest = arguments
        line = ["sh", "-c", script, "farmgate", f"{base}/{host.replace(':', '_')}", *rest]
        stdin: Any = content if content is not None else subprocess.DEVNULL
        ran = subprocess.run(line, stdin=stdin, capture_output=True, timeout=60, check=False)
        assert ran.returncode in (0, 75, 76, 77), ran
        return Ran(ran.returncode, ran.stdout.decode().strip())


class Dying(Shells):
    def __init__(self, shells: Shells, death: Death) -> None:
        self.run = death.wrap(shells.run)  # type: ignore[method-assign]


@dataclass
class Fleet:
    """Some hosts below a folder, and releases for them."""

    folder: Path
    hosts: tuple[str, ...]
    through: Hosts
    keys: dict[str, str] = field(default_factory=dict)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def policy(self, **more: Any) -> SshTarget:
        return SshTarget(
            artifact="a.tgz",
            hosts={"web": self.hosts},
            host_keys=self.keys,
            user="deploy",
            key="KEY",
            path=str(self.folder),
            restart=RESTART,
            health=HEALTH,
            start_within=timedelta(0),
            **more,
        )

    def package(self, number: int, *extra: str, **policy: Any) -> Package:
        files = {"version": sha(number), **dict.fromkeys(extra, "x")}
        artifacts = {"a.tgz": f"sha256:{self.blobs.put([archive(**files)]).sha256}"}
        return Package(number, sha(number), artifacts, self.policy(**policy))

    def target(self, through: Hosts | None = None) -> SshTargetRun:
        lane = self.folder / "lane"
        lane.mkdir(exist_ok=True)
        return SshTargetRun(self.policy(), through or self.through, self.blobs, Fence(lane), self.clock, lane)

    def running(self) -> list[str]:
        """What the service of each host was last started with."""
        files = [self.folder / host.replace(":", "_") / "running" for host in self.hosts]
        return [file.read_text() if file.exists() else "" for file in files]

    def live(self) -> str:
        (one,) = set(self.running())
        for host in self.hosts:
            assert (self.folder / host.replace(":", "_") / "current" / "version").read_text() == one
        return one

    def rig(self, **policy: Any) -> Rig:
        return Rig(
            make=self.target,
            package=lambda number: self.package(number, **policy),
            live=self.live,
        )


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, ("web1", "web2", "web3"), Shells())


class TestFleet(TargetContract):
    """Three hosts, two at once."""

    @pytest.fixture
    def rig(self, fleet: Fleet) -> Rig:
        return fleet.rig(at_once=2)


class TestDeaths(DeathContract):
    """One host, since each effect on it costs a whole rollout here."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        shells = Shells()
        fleet = Fleet(tmp_path, ("web1",), shells)
        made = fleet.rig()
        made.dying = lambda death: fleet.target(Dying(shells, death))
        return made


def test_a_share_takes_in_hosts_in_their_order_and_lets_none_go(fleet: Fleet) -> None:
    first = fleet.rig().bring_up(1, None)
    second, target = fleet.package(2), fleet.target()
    order = fleet.rig().order(second, first)
    done(target.prepare(order))
    assert fleet.running() == [first.sha] * 3
    for share, new in ((1, 1), (34, 2), (34, 2), (67, 3)):
        done(target.shift(order, share))
        assert fleet.running() == [second.sha] * new + [first.sha] * (3 - new)
        assert target.observe(order).shares[2] == round(100 * new / 3)


@pytest.mark.parametrize(("ill", "words"), [("broken", "it broke"), ("ill", "so ill")])
def test_the_first_host_that_is_not_well_stops_the_wave_and_is_the_evidence(fleet: Fleet, ill: str, words: str) -> None:
    first = fleet.rig().bring_up(1, None)
    second, target = fleet.package(2, ill), fleet.target()
    order = fleet.rig().order(second, first)
    done(target.prepare(order))
    outcome = target.shift(order, 100)
    assert outcome.ended is Ended.FAILED
    assert outcome.words.startswith("web1")
    assert words in outcome.words
    assert fleet.running()[1:] == [first.sha] * 2
    done(target.restore(order))
    assert fleet.live() == first.sha
    assert not (fleet.folder / "web1" / "releases" / "2").exists()


def test_a_host_that_is_away_is_infrastructure_and_is_brought_along_when_it_is_back(fleet: Fleet) -> None:
    shells = fleet.through
    assert isinstance(shells, Shells)
    first = fleet.rig().bring_up(1, None)
    second, target = fleet.package(2), fleet.target()
    order = fleet.rig().order(second, first)
    shells.away = {"web3"}
    with pytest.raises(TargetError, match="web3 cannot be reached"):
        target.prepare(order)
    shells.away = set()
    done(target.prepare(order))
    done(target.shift(order, 67))
    shells.away = {"web3"}
    with pytest.raises(TargetError, match="web3 cannot be reached"):
        target.shift(order, 100)
    assert "web3 cannot be reached" in target.observe(order).words
    shells.away = set()
    fleet.clock.advance(timedelta(hours=1))
    fleet.target().tend(second, 1)
    assert fleet.live() == second.sha


def test_a_host_itself_refuses_an_older_controller(fleet: Fleet, tmp_path: Path) -> None:
    first = fleet.rig().bring_up(1, None, epoch=7)
    (tmp_path / "lane" / "epoch").unlink()  # this farm lost its mark
    with pytest.raises(StaleEpoch, match="epoch 6 asked web1 to act, but epoch 7 has taken it"):
        fleet.target().shift(fleet.rig().order(fleet.package(2), first, epoch=6), 100)


def test_old_releases_are_kept_by_number(fleet: Fleet) -> None:
    live = None
    for number in (8, 9, 10, 11):
        live = fleet.rig(keep=2).bring_up(number, live)
    assert {each.name for each in (fleet.folder / "web1" / "releases").iterdir()} == {"9", "10", "11"}


# --- over ssh --------------------------------------------------------------------------------------------------------


@contextmanager
def sshd(folder: Path, host_key: Any, allowed: Any) -> Iterator[int]:
    """A server that runs what it is told, below a folder; its port."""
    import asyncssh

    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), list[int]()
    stops: list[Callable[[], object]] = []

    class Guarded(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: Any) -> bool:
            return username == "deploy" and bool(key == allowed)

    async def handle(process: Any) -> None:
        content = await process.stdin.read()
        line = ["sh", "-c", process.command]
        ran = await asyncio.to_thread(subprocess.run, line, input=content, capture_output=True, cwd=folder, check=False)
        process.stdout.write(ran.stdout)
        process.stderr.write(ran.stderr)
        process.exit(ran.returncode)

    async def serve() -> Any:
        return await asyncssh.create_server(
            Guarded, "127.0.0.1", 0, server_host_keys=[host_key], process_factory=handle, encoding=None
        )

    async def until_stopped() -> None:
        server, stopped = await serve(), asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(stopped.set))
        ports.append(server.get_port())
        ready.set()
        await stopped.wait()
        server.close()
        await server.wait_closed()

    def run() -> None:
        loop.run_until_complete(until_stopped())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield ports[0]
    finally:
        stops[0]()
        thread.join()


def _public(key: Any) -> str:
    return str(key.export_public_key().decode()).strip()


def test_over_ssh_a_rollout_goes_to_the_host_that_its_key_says_and_to_no_other(tmp_path: Path) -> None:
    import asyncssh

    ours, theirs, other = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
    pem = ours.export_private_key().decode()
    with sshd(tmp_path, theirs, ours.convert_to_public()) as port:
        host = f"127.0.0.1:{port}"
        keys = {host: " ".join(_public(theirs).split()[:2])}
        fleet = Fleet(tmp_path / "srv", (host,), SshHosts("deploy", pem, keys), keys)
        fleet.folder.mkdir()
        first = fleet.rig().bring_up(1, None)
        fleet.rig().bring_up(2, first)
        assert (fleet.folder / "current" / "version").read_text() == sha(2)
        assert fleet.target().observe(fleet.rig().order(first, None)).shares == {2: 100}
        order = fleet.rig().order(fleet.package(3), first)
        changed = SshHosts("deploy", pem, {host: " ".join(_public(other).split()[:2])})
        with pytest.raises(
            TargetError, match=r"another host key .* `ssh-keyscan -p \d+ 127.0.0.1` shows into 'host_keys'"
        ):
            fleet.target(changed).prepare(order)
        stranger = SshHosts("deploy", other.export_private_key().decode(), keys)
        with pytest.raises(TargetError, match="does not let deploy in"):
            fleet.target(stranger).prepare(order)
        with pytest.raises(TargetError, match=r"keys for .* cannot be read"):
            fleet.target(SshHosts("deploy", "no key", keys)).prepare(order)
        with pytest.raises(TargetError, match="did not end within"):
            SshHosts("deploy", pem, keys).run(host, "sleep 2", (), timedelta(milliseconds=300))
    with pytest.raises(TargetError, match="cannot be reached"):
        fleet.target().prepare(order)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE3pU0bZx0J0o6m5m1k2rjvW2cVf6q9y0b1n2m3k4l5p"
GOOD = f"""\
application: shop
target:
  type: ssh
  artifact: shop.tgz
  hosts: {{first: [web1], rest: [web2, "web3:2222"]}}
  host_keys: {{web1: {KEY}, web2: {KEY}, "web3:2222": {KEY}}}
  user: deploy
  key: DEPLOY_KEY
  path: /srv/shop
lanes:
  production: {{waves: [{{share: 30}}, {{share: 100}}]}}
"""


def test_hosts_come_in_the_order_of_their_groups() -> None:
    target = parse(GOOD)[0].target
    assert isinstance(target, SshTarget)
    assert target.all_hosts == ("web1", "web2", "web3:2222")
    assert target.words == "ssh, 3 hosts"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (f"web2: {KEY}, ", "", "'host_keys' has no key of web2: nobody is trusted at first sight"),
        ("[web2,", "[web1,", "web1 stands twice in 'hosts'"),
        ("[web1]", "['web1 -oProxyCommand=x']", "is not a host"),
        ("path: /srv/shop", "path: /srv", "is not a folder of its own"),
        ("path: /srv/shop", "path: /srv/../etc", "is not a folder of its own"),
        ("user: deploy", "user: -l", "should match pattern"),
        (f"web1: {KEY}", "web1: trust me", "is not a public host key"),
        ("production: {", "production: {checks: [{http: /up}], ", "has no 'port'"),
        ("  key: DEPLOY_KEY\n", "", "needs 'key'"),
    ],
)
def test_what_contradicts_itself_is_refused(old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(BadDocument) as refused:
        parse(GOOD.replace(old, new, 1))
    assert any(told in str(problem) for problem in refused.value.problems), refused.value.problems
