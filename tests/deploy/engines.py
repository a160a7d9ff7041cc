"""A second Docker host, which really is one: an engine with its own network, its own processes, its own disk, reached
over TLS. Killing it is a power cut: everything that runs there is gone at once, and nothing says goodbye."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.targets.fence import Fence
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.clock import SystemClock, stopwatch
from farmgate.policy import DockerTarget, LanePolicy
from farmgate.policy.targets.engines import Engine

PORT = 2376


class SecondHost:
    """Needs root. `ca`, `certificate` and `key` are what a client of its engine has to show, as PEM."""

    def __init__(self, folder: Path) -> None:
        number = os.getpid() % 16_000
        net = f"10.213.{number // 64}."
        self._gateway, self.address = (f"{net}{number % 64 * 4 + last}" for last in (1, 2))
        self._wire = f"fgw{number}"  # it stays when the host dies: who asks for it there hears nothing
        self._plug = f"fgp{number}"
        self._folder = folder
        self._running: subprocess.Popen[bytes] | None = None
        self.farms: set[str] = set()
        """Whose lanes were on this host and on this machine's engine."""
        self._ca_key, self._ca = signed("farmgate test", None)
        self.ca = pem(self._ca)
        own_key, own = signed(self.address, (self._ca_key, self._ca))
        key, certificate = signed("deploy loop", (self._ca_key, self._ca))
        self.certificate, self.key = pem(certificate), private(key)
        for name, text in (("ca.pem", self.ca), ("cert.pem", pem(own)), ("key.pem", private(own_key))):
            (folder / name).write_text(text)

    @property
    def engine(self) -> str:
        """As a policy names it."""
        return f"tcp://{self.address}:{PORT}"

    def start(self) -> None:
        """Switch it on; what ran there when it was killed comes up again."""
        folder = self._folder
        (folder / "docker.pid").unlink(missing_ok=True)
        shutil.rmtree(folder / "run", ignore_errors=True)
        line: list[str | Path] = ["dockerd", "--data-root", folder / "data", "--exec-root", folder / "run"]
        line += ["-p", folder / "docker.pid", "-H", f"unix://{folder}/sock", "-H", f"tcp://0.0.0.0:{PORT}"]
        line += ["--tlsverify", "--tlscacert", folder / "ca.pem", "--tlscert", folder / "cert.pem"]
        line += ["--tlskey", folder / "key.pem", "--bridge", "none"]
        # The engine waits for its network: it publishes ports of what it starts again on that.
        waits = [
            "sh",
            "-c",
            'while ! ip addr show eth0 2>/dev/null | grep -q inet; do sleep 0.02; done; exec "$@"',
            "sh",
        ]
        with (folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                ["unshare", "--pid", "--net", "--mount", "--fork", "--kill-child", "--mount-proc", *waits, *line],
                stdout=log,
                stderr=log,
            )
        first = str(self._first())
        if not Path(f"/sys/class/net/{self._wire}").exists():
            _ip("link", "add", self._wire, "type", "bridge")
            _ip("addr", "add", f"{self._gateway}/30", "dev", self._wire)
            _ip("link", "set", self._wire, "up")
        _ip("link", "add", self._plug, "type", "veth", "peer", "name", "eth0", "netns", first)
        _ip("link", "set", self._plug, "master", self._wire, "up")
        inside = ("nsenter", "-t", first, "-n")
        _ip("link", "set", "lo", "up", before=inside)
        _ip("link", "set", "eth0", "up", before=inside)
        _ip("addr", "add", f"{self.address}/30", "dev", "eth0", before=inside)
        deadline = stopwatch() + 30
        while not self._answers():
            assert stopwatch() < deadline, (folder / "log").read_text()[-2000:]
            SystemClock().sleep(timedelta(milliseconds=50))

    def kill(self) -> None:
        """A power cut."""
        if self._running is None:
            return
        _ip("link", "del", self._plug)  # first of all: nobody hears its processes end
        os.kill(self._first(), signal.SIGKILL)
        self._running.wait()
        self._running = None

    def scrap(self) -> None:
        """For good, with the marks that its farms left beside it."""
        import docker

        self.kill()
        _ip("link", "del", self._wire)
        here = docker.from_env()
        for farm in self.farms:
            for mark in here.volumes.list(filters={"label": f"farmgate.farm={farm}"}):
                mark.remove()
        here.close()

    def load(self, image: str) -> None:
        """Take an image over from this machine's engine."""
        import docker

        here, there = docker.from_env(), self.client()
        try:
            there.api.load_image(b"".join(here.images.get(image).save(named=True)))
        finally:
            here.close()
            there.close()

    def client(self) -> Any:
        """Of its engine, by its socket."""
        import docker

        return docker.DockerClient(base_url=f"unix://{self._folder}/sock", timeout=10)

    def _first(self) -> int:
        """The process that is the host: all others there end with it."""
        assert self._running is not None
        children = Path(f"/proc/{self._running.pid}/task/{self._running.pid}/children")
        deadline = stopwatch() + 5
        while not (found := children.read_text().split()):
            assert stopwatch() < deadline
        return int(found[0])

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(str(self._folder / "sock"))
                asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return asking.recv(100).startswith(b"HTTP/1.0 200")
            except OSError:
                return False


def _ip(*arguments: str, before: tuple[str, ...] = ()) -> None:
    subprocess.run([*before, "ip", *arguments], check=True, capture_output=True)


def two_hosts(second: SecondHost) -> dict[str, Engine]:
    """This machine, and the second host."""
    far = Engine(engine=second.engine, address=second.address, ca=second.ca, certificate=second.certificate, key="KEY")
    return {"a": Engine(engine="unix:///var/run/docker.sock", address="127.0.0.1"), "b": far}


def lane_site(
    farm: str, folder: Path, port: int, target: DockerTarget, blobs: Blobs, second: SecondHost, copy: str = "lane"
) -> Site:
    """As the deploy loop hands it to a target of these hosts. `copy`: the folder that it keeps its files in."""
    listen, names = f"127.0.0.1:{port}", {"application": "shop", "environment": "production", "repository": "shop"}
    policy = LanePolicy(**names, branch="main", target=target, listen=listen)
    second.farms.add(farm)
    place = folder / copy
    place.mkdir(exist_ok=True)
    secrets = {"KEY": second.key, "TOKEN": "a value that nobody may see"}
    return Site(1, policy, place, Fence(place), blobs, SystemClock(), farm, secrets.__getitem__)


def signed(name: str, by: tuple[Any, Any] | None) -> tuple[Any, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[1].subject if by is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if name.startswith(("10.", "127.")):
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), critical=False)
    return key, made.sign(by[0] if by is not None else key, hashes.SHA256())


def pem(certificate: Any) -> str:
    return str(certificate.public_bytes(serialization.Encoding.PEM).decode())


def private(key: Any) -> str:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return str(text.decode())
