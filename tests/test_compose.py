"""The compose file on a real engine, with images made on this machine: no registry is asked.

What takes minutes (laying out a Debian, building the images) is done once for the session, and kept by name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.embedded import LOOK_AGAIN
from tests.conftest import need

ROOT = Path(__file__).parent.parent
IMAGE = "farmgate-test/farmgate:latest"
BASE = "farmgate-base:bookworm"
PROJECT = "farmgatetest"
LABEL = "farmgate.test=image"

pytestmark = [
    pytest.mark.needs("docker", "compose", "debootstrap", "root"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


def run(*line: str | Path, environment: dict[str, str] | None = None, folder: Path = ROOT) -> str:
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def image() -> str:
    """Farmgate's own image, built by its Dockerfile on a base made here."""
    need("docker", "debootstrap", "root")
    run(ROOT / "tests" / "compose" / "base", BASE)
    build = [
        "docker",
        "build",
        "--network",
        "host",
        "--build-arg",
        f"BASE={BASE}",
        "--label",
        LABEL,
        "--tag",
        IMAGE,
        ".",
    ]
    run(*build, environment={**os.environ, "DOCKER_BUILDKIT": "0"})
    run("docker", "image", "prune", "--force", "--filter", f"label={LABEL}")  # what an earlier session built
    return IMAGE


class Farm:
    """The compose file in a folder of its own, with secrets of its own."""

    def __init__(self, folder: Path, image: str) -> None:
        self.folder = folder
        (folder / "compose").mkdir()
        shutil.copy(ROOT / "compose.yaml", folder / "compose.yaml")
        shutil.copy(ROOT / "compose" / "secrets", folder / "compose" / "secrets")
        self.environment = {
            **os.environ,
            "FARMGATE_IMAGE": image,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "FARMGATE_PORT": "0",
        }

    def compose(self, *arguments: str) -> str:
        return run("docker-compose", *arguments, environment=self.environment, folder=self.folder)

    def draw_secrets(self) -> None:
        run(self.folder / "compose" / "secrets", self.folder / "work", folder=self.folder)

    def in_image(self, service: str, program: str) -> str:
        """Run a line of Python with the image, networks, settings and secrets of a service."""
        return self.compose("run", "--rm", "-T", "--entrypoint", "python", service, "-c", program)


@pytest.fixture
def farm(tmp_path: Path, image: str) -> Iterator[Farm]:
    need("compose")
    made = Farm(tmp_path, image)
    made.draw_secrets()
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def test_without_secrets_compose_says_what_to_run(tmp_path: Path) -> None:
    farm = Farm(tmp_path, IMAGE)
    line = ["docker-compose", "config"]
    done = subprocess.run(line, cwd=tmp_path, env=farm.environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "run compose/secrets first" in done.stderr


def test_the_image_holds_all_it_needs_and_runs_as_nobody_special(image: str) -> None:
    program = (
        "import os, subprocess, farmgate.embedded as e, scheduler, workers, agents, deploy\n"
        "assert os.getuid() == 10001\n"
        "subprocess.run([e.find_haproxy(), '-v'], check=True)\n"
        "subprocess.run([e.find_redis(), '--version'], check=True)\n"
        "subprocess.run(['git', '--version'], check=True)\n"
        "open('written', 'w').close()"
    )
    said = run("docker", "run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", program)
    assert "HAProxy version" in said
    assert "git version" in said


def test_the_services_are_up_and_their_passwords_are_asked_for(farm: Farm) -> None:
    run(ROOT / "tests" / "compose" / "stand-ins", BASE)
    farm.compose("up", "-d", "redis", "postgres", "s3")
    # The scheduler depends on all three being healthy, so this waits for them; then it uses its own secrets.
    said = farm.in_image(
        "scheduler",
        "import boto3, redis, sqlalchemy\n"
        "from farmgate import broker, settings\n"
        "s = settings.read(settings.SchedulerSettings)\n"
        "with sqlalchemy.create_engine(s.database_url.get_secret_value()).connect() as c:\n"
        "    print(c.execute(sqlalchemy.text('select current_user')).scalar())\n"
        "print(broker.connect(s.broker_url.get_secret_value()).ping())\n"
        "keys = {'aws_access_key_id': s.s3_access_key.get_secret_value()}\n"
        "keys['aws_secret_access_key'] = s.s3_secret_key.get_secret_value()\n"
        "s3 = boto3.client('s3', endpoint_url=s.s3_endpoint, region_name=s.s3_region, **keys)\n"
        "s3.create_bucket(Bucket='probe'); print(s3.list_buckets()['Buckets'][0]['Name'])\n"
        "try: redis.Redis('redis').ping()\n"
        "except redis.AuthenticationError: print('refused')\n"
        "try: sqlalchemy.create_engine('postgresql+psycopg://farmgate:wrong@postgres/farmgate').connect()\n"
        "except sqlalchemy.exc.OperationalError: print('refused')\n",
    )
    assert said.split() == ["farmgate", "True", "probe", "refused", "refused"]


def test_the_scheduler_comes_up_on_postgres_redis_and_the_store(farm: Farm) -> None:
    run(ROOT / "tests" / "compose" / "stand-ins", BASE)
    farm.compose("up", "-d", "scheduler")
    clock, deadline = SystemClock(), stopwatch() + 60
    while "(healthy)" not in farm.compose("ps", "scheduler"):
        assert stopwatch() < deadline, farm.compose("logs", "--tail", "50", "scheduler")
        clock.sleep(LOOK_AGAIN)
