"""The compose file on a real engine, with images made on this machine: no registry is asked.

What takes minutes (laying out a Debian, building the images) is done once for the session, and kept by name.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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
