"""A team's farm on a real engine, from a push to an answer over HTTP: two nodes, and any part killed."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from farmgate.client.api import Api
from farmgate.clock import SystemClock, random_token, stopwatch
from farmgate.errors import FarmgateError
from tests.compose.farm import PROJECT, Farm, run
from tests.git.repositories import RealRepository

pytestmark = [
    pytest.mark.needs("docker", "compose", "debootstrap", "root", "git"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]
SOON = timedelta(milliseconds=200)
PIPELINE = """
image: farmgate-test/busybox:latest
jobs:
  build:
    steps:
      - mkdir site
      - cp version site/index.html
      - tar -cf site.tar -C site index.html
    artifacts: [site.tar]
"""
POLICY = """
application: site
repository: site
target:
  type: docker
  image: farmgate-test/busybox:latest
  artifact: site.tar
  command: [httpd, -f, -p, "8080", -h, /app]
  port: 8080
  instances: 2
  health: /index.html
lanes:
  production:
    branch: main
    listen: 0.0.0.0:{port}
    waves: [{{share: 100, soak: 1s}}]
    checks: [{{http: /index.html, every: 1s}}]
"""
LIST_BLOBS = (
    "import boto3\n"
    "from farmgate import settings\n"
    "s = settings.read(settings.SchedulerSettings)\n"
    "keys = {'aws_access_key_id': s.s3_access_key.get_secret_value()}\n"
    "keys['aws_secret_access_key'] = s.s3_secret_key.get_secret_value()\n"
    "s3 = boto3.client('s3', endpoint_url=s.s3_endpoint, region_name=s.s3_region, **keys)\n"
    "for found in s3.list_objects_v2(Bucket='farmgate').get('Contents', []): print(found['Key'])\n"
)
USE_SECRETS = (
    "import boto3, redis, sqlalchemy\n"
    "from farmgate import broker, settings\n"
    "s = settings.read(settings.SchedulerSettings)\n"
    "with sqlalchemy.create_engine(s.database_url.get_secret_value()).connect() as c:\n"
    "    print(c.execute(sqlalchemy.text('select current_user')).scalar())\n"
    "print(broker.connect(s.broker_url.get_secret_value()).ping())\n"
    "keys = {'aws_access_key_id': s.s3_access_key.get_secret_value()}\n"
    "keys['aws_secret_access_key'] = s.s3_secret_key.get_secret_value()\n"
    "s3 = boto3.client('s3', endpoint_url=s.s3_endpoint, region_name=s.s3_region, **keys)\n"
    "print(s3.list_buckets()['Buckets'][0]['Name'])\n"
    "try: redis.Redis('redis').ping()\n"
    "except redis.AuthenticationError: print('refused')\n"
    "try: sqlalchemy.create_engine('postgresql+psycopg://farmgate:wrong@postgres/farmgate').connect()\n"
    "except sqlalchemy.exc.OperationalError: print('refused')\n"
)


class Site:
    """A repository that the farm fetches over the network, and what is delivered from it."""

    def __init__(self, farm: Farm, folder: Path, port: int) -> None:
        self.farm = farm
        self.port = port
        self.api: Api = farm.api()
        self.repository = RealRepository(folder / "site.git")
        self.secret = ""

    def call_again(self) -> None:
        """A container that was started again is published at another port."""
        self.api.close()
        self.until(lambda: bool(self.farm.containers("scheduler")), "there is no scheduler")
        self.api = self.farm.api()
        self.until(self.api.ready, "the scheduler does not answer")

    def connect(self, url: str) -> None:
        self.push("version-1", told=False)
        self.secret = str(self.api.add_repository("site", url)["secret"])
        self.api.apply_policy(POLICY.format(port=self.port), "delivery.yml")

    def push(self, version: str, *, told: bool = True) -> str:
        """One commit; told by a signed webhook, again until the scheduler takes it, as a forge's user would."""
        before = self.repository.git("for-each-ref", "--format=%(objectname)", "refs/heads/main")
        sha = self.repository.add(version, {".farmgate.yml": PIPELINE, "version": version})
        if told:
            body = json.dumps({"ref": "refs/heads/main", "before": before, "after": sha}).encode()
            headers = {
                "Content-Type": "application/json",
                "X-Farmgate-Event": "push",
                "X-Farmgate-Delivery": random_token(),
                "X-Farmgate-Signature": f"sha256={hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}",
            }

            def taken() -> bool:
                address = f"http://{self.farm.compose('port', 'scheduler', '8470').strip()}"
                return httpx.post(f"{address}/hooks/site", content=body, headers=headers).status_code == 202

            self.until(taken, "the webhook was not taken")
        return sha

    def serves(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/index.html", timeout=3).text.strip()

    def live(self, version: str) -> None:
        self.until(lambda: self.serves() == version, f"{version} is not live")

    def until(self, fact: Callable[[], bool], otherwise: str, seconds: float = 90) -> None:
        deadline = stopwatch() + seconds
        while True:
            with suppress(httpx.HTTPError, FarmgateError):
                if fact():
                    return
            if stopwatch() > deadline:
                said = self.farm.compose("logs", "--tail", "25", "scheduler", "worker", "deploy")
                raise AssertionError(f"{otherwise}\n{self.farm.compose('ps')}{said}")
            SystemClock().sleep(SOON)

    def nodes(self) -> list[dict[str, Any]]:
        return [dict(node) for node in self.api.nodes()]

    def ready_nodes(self) -> int:
        return sum(node["state"] == "ready" for node in self.nodes())


@pytest.fixture
def site(farm: Farm, tmp_path: Path, busybox_image: str, free_port: int) -> Iterator[Site]:
    """A farm with two nodes, and beside it a git server that has no password and no name outside."""
    farm.compose("up", "-d", "--scale", "worker=2")
    site = Site(farm, tmp_path / "git", free_port)
    server = ["run", "--rm", "-d", "--network", f"{PROJECT}_control", "--network-alias", "git", "--user", "0"]
    server += [
        "--volume",
        f"{site.repository.path.parent}:/git:ro",
        "--entrypoint",
        "git",
        farm.environment["FARMGATE_IMAGE"],
    ]
    served = run("docker", *server, "daemon", "--base-path=/git", "--export-all", "--reuseaddr").strip()
    try:
        site.connect("git://git/site.git")
        yield site
    finally:
        site.api.close()
        subprocess.run(["docker", "rm", "-f", served], capture_output=True, check=False)
        farm.compose("stop", "deploy")
        farm.compose("run", "--rm", "-T", "deploy", "deploy", "retire")


def test_a_commit_goes_from_a_push_to_its_users_whatever_part_is_killed(site: Site) -> None:
    farm = site.farm
    site.until(lambda: site.ready_nodes() == 2, "two nodes did not join")
    assert "(healthy)" in farm.compose("ps", "scheduler")
    said = farm.in_image("scheduler", USE_SECRETS)
    assert said.split() == ["farmgate", "True", "farmgate", "refused", "refused"]
    site.live("version-1")
    sha = site.push("version-2")
    site.live("version-2")
    (artifact,) = site.api.commit("site", sha)["candidate"].values()
    assert artifact.removeprefix("sha256:") in farm.compose("exec", "-T", "scheduler", "python", "-c", LIST_BLOBS)

    killed = [farm.containers(service)[0] for service in ("worker", "scheduler", "redis")]
    for container in killed:
        farm.kill(container)
    site.push("version-3")
    site.live("version-3")
    assert [farm.state(container)["restarts"] for container in killed] == [1, 1, 1]
    site.call_again()
    site.until(lambda: site.ready_nodes() == 2, "the killed node is not back")
    assert len(site.nodes()) == 2

    farm.kill(farm.containers("deploy")[0])  # and with it the switch that serves
    site.live("version-3")
    for service in ("worker", "deploy"):
        for container in farm.containers(service):
            site.until(
                lambda c=container: farm.state(c)["Health"]["Status"] == "healthy",  # type: ignore[misc]
                f"{service} is not healthy",
            )

    marks = [(folder / "identity").read_text() for folder in farm.work.iterdir()]
    assert len(marks) == 2
    farm.compose("stop", "worker")
    assert site.nodes() == []
    assert list(farm.work.iterdir()) == []
    for mark in marks:
        assert run("docker", "ps", "-aq", "--filter", f"label=farmgate.node={mark}") == ""
