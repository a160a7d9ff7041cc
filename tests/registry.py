"""A registry of images on the loopback: the real one, with a user and a password."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from farmgate.clock import SystemClock, stopwatch
from farmgate.embedded import LOOK_AGAIN

USER, PASSWORD = "builder", "opens-the-registry-17"
# PASSWORD by bcrypt, the only way the registry takes it.
_ENTRY = f"{USER}:$2b$04$bo43xSZk/rwgslvm.ANXzeGFVJNlB.Ea25mJ8acV6d2a5Zk2//yfS\n"


@dataclass
class ImageRegistry:
    """Where it answers, and whether it does."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}/farm"

    def start(self) -> None:
        users = self.folder / "users"
        users.write_text(_ENTRY)
        config = self.folder / "config.yml"
        config.write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder / 'images'}}}}}\n"
            f"http: {{addr: 127.0.0.1:{self.port}}}\n"
            f"auth: {{htpasswd: {{realm: farm, path: {users}}}}}\n"
            "log: {accesslog: {disabled: true}}\n"
        )
        with (self.folder / "log").open("ab") as log:
            line: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", config]
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        clock, deadline = SystemClock(), stopwatch() + 30
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert stopwatch() < deadline, "the registry did not answer within 30 s"
            clock.sleep(LOOK_AGAIN)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def has(self, reference: str) -> bool:
        """Whether it has this image, by digest."""
        place, _, digest = reference.partition("@")
        path = place.partition("/")[2]
        accepted = "application/vnd.docker.distribution.manifest.v2+json"
        url = f"http://127.0.0.1:{self.port}/v2/{path}/manifests/{digest}"
        return httpx.head(url, auth=(USER, PASSWORD), headers={"Accept": accepted}).status_code == 200

    def forget(self) -> None:
        """Nothing in the engine is called by this registry any more."""
        import docker
        from docker.errors import APIError

        client = docker.from_env()
        ours = f"127.0.0.1:{self.port}/"
        for image in client.api.images():
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if name.startswith(ours):
                    with suppress(APIError):  # it went with another name of it
                        client.api.remove_image(name, force=True)
        client.close()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/v2/").status_code == 401
        except httpx.TransportError:
            return False


@contextmanager
def serving(folder: Path, port: int) -> Iterator[ImageRegistry]:
    """One for a test."""
    registry = ImageRegistry(folder, port)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
        registry.forget()
