"""What the tests of delivery share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.deploy.engines import SecondHost


@pytest.fixture(scope="session")
def second_host(busybox_image: str) -> Iterator[SecondHost]:
    """A second Docker host, switched on, with the small image. Who kills it starts it again."""
    need("hosts")
    folder = Path(tempfile.mkdtemp(prefix="farmgate-host-"))  # short: a unix path holds about 100 bytes
    host = SecondHost(folder)
    host.start()
    try:
        host.load(busybox_image)
        yield host
    finally:
        host.scrap()
        shutil.rmtree(folder, ignore_errors=True)
