"""Anything that programs can drive: a program to shift, one to restore, perhaps one to look.

Rules:
1. A program ends with 0 for done, 1 for failed, 2 for cannot tell. Anything else, a signal or no end in time is also
   'cannot tell': it may have done half of it.
2. It is told what to do by its environment: FARMGATE_SHA, FARMGATE_SHARE, FARMGATE_PREVIOUS_SHA, FARMGATE_ARTIFACT (the
   artifact's file, as it was built), FARMGATE_PREVIOUS_ARTIFACT, FARMGATE_ROLLOUT, FARMGATE_EPOCH. An epoch that is
   older than one it has seen should be refused by what it drives; ours is, before it starts.
3. It runs in a session of its own, which is killed as a whole when the time is over.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Final

from deploy.targets import contents
from deploy.targets.fence import Fence
from deploy.targets.protocol import Ended, Instance, Observed, Order, Outcome, Package, Target
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.errors import TargetError
from farmgate.policy import CommandTarget
from farmgate.settings import environment_for_child

_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
_TAIL: Final = 600
_ENDS: Final = {0: Ended.DONE, 1: Ended.FAILED}


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended and what it wrote last. `code` is None when its time was over."""

    code: int | None
    tail: str


def run(argv: Sequence[str], environment: Mapping[str, str], timeout: timedelta, folder: Path | None = None) -> Said:
    """Run a program with just this environment (and PATH, HOME, LANG). Raises TargetError if it cannot be started."""
    kept = {name: value for name, value in environment_for_child().items() if name in _KEPT}
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(argv),
                cwd=folder,
                env={**kept, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise TargetError(f"{argv[0]} cannot be started: {error.strerror}") from error
        try:
            code: int | None = process.wait(timeout=timeout.total_seconds())
        except subprocess.TimeoutExpired:
            code = None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what it left behind
        process.wait()
        return Said(code, _tail(output))


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL))
    return output.read().decode(errors="replace").strip()


class CommandRunTarget:
    """The programs of a lane; artifacts are kept below `folder`, one folder per rollout."""

    def __init__(self, folder: Path, blobs: Blobs, fence: Fence) -> None:
        self._folder = folder.resolve() / "releases"
        self._blobs = blobs
        self._fence = fence

    def prepare(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        self._fetch(order.new)
        return Outcome(words="the artifact is at hand" if order.new.target.artifact else "")

    def shift(self, order: Order, share: int) -> Outcome:
        self._fence.enter(order.epoch)
        return self._run(order, _command(order.new).shift, share if order.old is not None else 100)

    def observe(self, order: Order) -> Observed:
        target = _command(order.new)
        if target.observe is None:
            return Observed()
        said = run(target.observe, self._environment(order, target, None), target.timeout)
        up = said.code == 0
        return Observed({order.new.rollout_id: (Instance(0, "", up, said.tail),)}, words=said.tail)

    def finish(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        for folder in self._folder.glob("[0-9]*"):
            if folder.name != str(order.new.rollout_id):
                shutil.rmtree(folder, ignore_errors=True)
        return Outcome()

    def restore(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        outcome = self._run(order, _command(order.new).restore, 100)
        if outcome.ended is Ended.DONE:
            shutil.rmtree(self._folder / str(order.new.rollout_id), ignore_errors=True)
        return outcome

    def tend(self, live: Package, epoch: int) -> None:
        """What programs drive looks after itself."""
        self._fence.check(epoch)

    def watch(self, epoch: int) -> bool:
        return False

    def remove(self, epoch: int) -> None:
        """Files of ours only: no program says how to take everything down."""
        self._fence.enter(epoch)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, order: Order, argv: Sequence[str], share: int) -> Outcome:
        target = _command(order.new)
        environment = self._environment(order, target, share)
        self._fence.check(order.epoch)
        said = run(argv, environment, target.timeout)
        words = said.tail
        if said.code is None:
            words = f"{argv[0]} did not end within {target.timeout.total_seconds():g} s; {said.tail}".rstrip("; ")
        elif said.code not in (0, 1, 2):
            words = f"{argv[0]} ended with {said.code}; {said.tail}".rstrip("; ")
        figures = {"exit_code": said.code, "share": share}
        return Outcome(_ENDS.get(-1 if said.code is None else said.code, Ended.UNTOLD), words, figures)

    def _environment(self, order: Order, target: CommandTarget, share: int | None) -> dict[str, str]:
        given = {
            "FARMGATE_LANE": order.lane,
            "FARMGATE_SHA": order.new.sha,
            "FARMGATE_PREVIOUS_SHA": order.old.sha if order.old is not None else "",
            "FARMGATE_ARTIFACT": self._fetch(order.new),
            "FARMGATE_PREVIOUS_ARTIFACT": self._fetch(order.old) if order.old is not None else "",
            "FARMGATE_ROLLOUT": str(order.new.rollout_id),
            "FARMGATE_EPOCH": str(order.epoch),
        }
        if share is not None:
            given["FARMGATE_SHARE"] = str(share)
        return {**target.environment, **given}

    def _fetch(self, package: Package) -> str:
        """The artifact's file; empty if the target names none."""
        digest = contents.digest_of(package)
        if digest is None:
            return ""
        place = self._folder / str(package.rollout_id) / (package.target.artifact or digest).replace("/", "_")
        if not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside = place.with_name(place.name + ".new")
            with contents.opened(self._blobs, digest) as stream, aside.open("wb") as file:
                shutil.copyfileobj(stream, file)
            aside.replace(place)
        return str(place)


def _command(package: Package) -> CommandTarget:
    if not isinstance(package.target, CommandTarget):
        raise TargetError(f"release {package.sha[:12]} was made for a {package.target.type} target, not for programs")
    return package.target


def make(site: Site) -> Target:
    """The target of a lane."""
    return CommandRunTarget(site.folder, site.blobs, site.fence)
