"""A shard's means to find its share of the tests: `farmgate-split` on its path, and the times of earlier runs.

Rules:
1. All shards of a run are told the same times, by the server; they are asked for before the steps.
2. Times that cannot be had cost balance, not the job: without them names are dealt out evenly.
3. What a test is called is data: tabs and line ends in it become spaces, and nothing of it is ever run.
"""

from __future__ import annotations

from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farmgate.messages import Times
from workers.logs import while_it_may_speak

if TYPE_CHECKING:
    from workers.around import Around

FOLDER: Final = "bin"
TIMES: Final = "times"
PROGRAM: Final = "farmgate-split"


def prepare(around: Around) -> None:
    """Put the program and the times beside the job's steps. Raises what the client raises, OSError."""
    if around.spec.shard is None:
        return
    times = while_it_may_speak(around.stop, partial(around.bench.client.times, around.claimed))
    write(around.folder / "steps", times)
    around.say(
        f"farmgate: shard {around.spec.shard.number} of {around.spec.shard.of}, {len(times.tests)} tests with times"
    )


def write(steps: Path, times: Times) -> None:
    """The files that a job in shards finds beside its steps."""
    folder = steps / FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    program = folder / PROGRAM
    program.write_bytes((resources.files("workers") / f"{PROGRAM}.sh").read_bytes())
    program.chmod(0o755)
    with (steps / TIMES).open("w", encoding="utf-8", newline="\n") as file:
        for one in times.tests:
            names = (_plain(one.file), _plain(one.class_name), _plain(one.name))
            file.write("\t".join((*names, str(round(one.seconds * 1000)))) + "\n")


def _plain(text: str) -> str:
    return " ".join(text.split())
