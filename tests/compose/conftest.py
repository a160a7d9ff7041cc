"""The image, once a session; a farm with its secrets drawn, taken down at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.farm import BASE, IMAGE, LABEL, ROOT, Farm, run
from tests.conftest import need


@pytest.fixture(scope="session")
def image() -> str:
    """Farmgate's own image, built by its Dockerfile on a base made here."""
    need("docker", "debootstrap", "root")
    run(ROOT / "tests" / "compose" / "base", BASE)
    build = ["docker", "build", "--network", "host", "--build-arg", f"BASE={BASE}", "--label", LABEL]
    run(*build, "--tag", IMAGE, ".", environment={**os.environ, "DOCKER_BUILDKIT": "0"})
    run("docker", "image", "prune", "--force", "--filter", f"label={LABEL}")  # what an earlier session built
    return IMAGE


@pytest.fixture(scope="session")
def stand_ins(image: str) -> None:
    """Images under the names that compose.yaml asks for."""
    run(ROOT / "tests" / "compose" / "stand-ins", BASE)


@pytest.fixture
def farm(tmp_path: Path, image: str, stand_ins: None, free_port: int) -> Iterator[Farm]:
    need("compose")
    made = Farm(tmp_path, image, free_port)
    made.draw_secrets()
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "30")
