"""The compose file on a real engine, with images made on this machine: no registry is asked.

What takes minutes (laying out a Debian, building the images) is done once for the session, and kept by name.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.embedded import LOOK_AGAIN
from tests.compose.farm import IMAGE, Farm, run

pytestmark = [
    pytest.mark.needs("docker", "compose", "debootstrap", "root"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


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
    farm.compose("up", "-d", "scheduler")
    clock, deadline = SystemClock(), stopwatch() + 60
    while "(healthy)" not in farm.compose("ps", "scheduler"):
        assert stopwatch() < deadline, farm.compose("logs", "--tail", "50", "scheduler")
        clock.sleep(LOOK_AGAIN)
