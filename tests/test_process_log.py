"""What a process says must never stop what it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from farmgate.settings import environment_for_child

SPEAKER = """
import logging, structlog
from farmgate.process_log import set_up
set_up({style!r})
for number in range(5000):
    structlog.get_logger().error("a tick failed", number=number, error="database or disk is full")
    logging.getLogger("other").warning("%s", "x" * 100)
try:
    raise OSError("inner")
except OSError:
    structlog.get_logger().exception("told with its traceback")
print("went on")
"""


def speak(style: str, errors: Path) -> str:
    with errors.open("ab") as stream:
        done = subprocess.run(
            [sys.executable, "-c", SPEAKER.format(style=style)],
            stdout=subprocess.PIPE,
            stderr=stream,
            env=environment_for_child(),
            text=True,
            timeout=60,
            check=False,
        )
    return done.stdout


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_full_disk_under_the_log_ends_nothing(style: str) -> None:
    assert speak(style, Path("/dev/full")) == "went on\n"


def test_where_there_is_room_every_line_is_written(tmp_path: Path) -> None:
    speak("json", tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()
    assert sum('"a tick failed"' in line for line in lines) == 5000
    assert sum("WARNING other" in line for line in lines) == 5000
