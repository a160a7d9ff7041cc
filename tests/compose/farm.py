"""A farm from the compose file, in a folder of its own, with secrets of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from farmgate.client.api import Api

ROOT = Path(__file__).parents[2]
IMAGE = "farmgate-test/farmgate:latest"
BASE = "farmgate-base:bookworm"
PROJECT = "farmgatetest"
LABEL = "farmgate.test=image"


def run(*line: str | Path, environment: dict[str, str] | None = None, folder: Path = ROOT) -> str:
    """What a program says on standard output; it must succeed."""
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


class Farm:
    """The verbs of a test. `lane_port`: where what is delivered answers."""

    def __init__(self, folder: Path, image: str, lane_port: int = 0) -> None:
        self.folder = folder
        (folder / "compose").mkdir()
        shutil.copy(ROOT / "compose.yaml", folder / "compose.yaml")
        shutil.copy(ROOT / "compose" / "secrets", folder / "compose" / "secrets")
        self.environment = {
            **os.environ,
            "FARMGATE_IMAGE": image,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "FARMGATE_PORT": "0",
            "FARMGATE_LANE_PORTS": str(lane_port or 8480),
        }

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def compose(self, *arguments: str) -> str:
        return run("docker-compose", *arguments, environment=self.environment, folder=self.folder)

    def draw_secrets(self) -> None:
        for above in self.folder.parents[:3]:  # pytest's own folders: the nodes' user passes through
            if above.stat().st_mode & 0o007 == 0 and above != Path("/"):
                above.chmod(0o711)
        self.folder.chmod(0o711)
        run(self.folder / "compose" / "secrets", self.work, folder=self.folder)

    def in_image(self, service: str, program: str) -> str:
        """Run a line of Python with the image, networks, settings and secrets of a service."""
        return self.compose("run", "--rm", "-T", "--entrypoint", "python", service, "-c", program)

    def api(self) -> Api:
        """The API with the admin's token, as the README says."""
        address = self.compose("port", "scheduler", "8470").strip()
        token = self.compose("exec", "-T", "scheduler", "cat", "admin.token").strip()
        return Api(f"http://{address}", token)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def kill(self, container: str) -> None:
        """As a crash: the engine was not asked, so it starts the container again."""
        (said,) = json.loads(run("docker", "inspect", container))
        os.kill(said["State"]["Pid"], signal.SIGKILL)

    def state(self, container: str) -> dict[str, Any]:
        (said,) = json.loads(run("docker", "inspect", container))
        state: dict[str, Any] = said["State"] | {"restarts": said["RestartCount"]}
        return state
