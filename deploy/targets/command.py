"""Anything that programs can drive: a program to shift, one to restore, perhaps one to look, one to follow.

Rules:
1. A program ends with 0 for done, 1 for failed, 2 for cannot tell. Anything else, a signal or no end in time is also
   'cannot tell': it may have done half of it.
2. It is told what to do by its environment: FARMGATE_SHA, FARMGATE_SHARE, FARMGATE_PREVIOUS_SHA, FARMGATE_ARTIFACT (the
   artifact's file, as it was built), FARMGATE_PREVIOUS_ARTIFACT, FARMGATE_ROLLOUT, FARMGATE_EPOCH. An epoch that is
   older than one it has seen should be refused by what it drives; ours is, before it starts.
   Secrets that the policy names are variables as well, of it alone; what it writes is shown without their values.
3. It runs beside the deploy loop in a session of its own, or in a container of the target's image.
4. Where the target has a `status`, a shift is done once that says so: its last line is `in review`, `phased at 20 %`,
   `rejected: why` or `done`. Whether the shift itself was done is kept in a file, so that no restart repeats it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.targets import contents, given
from deploy.targets.fence import Fence
from deploy.targets.programs import ContainerPrograms, LocalPrograms, Programs, Said
from deploy.targets.protocol import Ended, Instance, Observed, Order, Outcome, Package, Target
from deploy.targets.site import Site
from farmgate.blobs import Blobs
from farmgate.errors import TargetError
from farmgate.policy import CommandTarget

_ENDS: Final = {0: Ended.DONE, 1: Ended.FAILED}
_STATUS: Final = re.compile(
    r"(?P<word>done|in review|rejected|phased(?: at)? (?P<share>[0-9]{1,3}) ?%?)(?:\s*[:,;-]\s*(?P<why>.*))?",
    re.IGNORECASE,
)


class CommandRunTarget:
    """The programs of a lane; artifacts are kept below `folder`, one folder per rollout."""

    def __init__(
        self,
        folder: Path,
        blobs: Blobs,
        fence: Fence,
        programs: Programs | None = None,
        *,
        secret: Callable[[str], str] = given.nothing,
        digest: given.Digest | None = None,
    ) -> None:
        self._secret = secret
        self._digest = digest
        self._folder = folder.resolve() / "releases"
        self._blobs = blobs
        self._fence = fence
        self._programs = programs or LocalPrograms(folder)

    def ready(self, order: Order) -> Sequence[str]:
        return contents.lacking(self._blobs, order.old) if order.old is not None else ()

    def prepare(self, order: Order) -> Outcome:
        self._fence.enter(order.epoch)
        self._fetch(order.new)
        told = given.told(order.new.target, self._secret, self._digest)
        return Outcome(words="the artifact is at hand" if order.new.target.artifact else "", figures=told)

    def shift(self, order: Order, share: int) -> Outcome:
        self._fence.enter(order.epoch)
        share = share if order.old is not None else 100
        target = _command(order.new)
        if target.status is None:
            return self._run(order, target.shift, share)
        mark = self._folder / str(order.new.rollout_id) / f"shifted-{share}"
        if not mark.exists():
            outcome = self._run(order, target.shift, share)
            if outcome.ended is not Ended.DONE:
                return outcome
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch()
        return self._follow(order, target, target.status.command, share)

    def observe(self, order: Order) -> Observed:
        target = _command(order.new)
        if target.observe is None:
            return Observed()
        said = self._said(order, target, target.observe, None)
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
        self._programs.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, order: Order, argv: Sequence[str], share: int) -> Outcome:
        target = _command(order.new)
        said = self._said(order, target, argv, share, order.epoch)
        words = said.tail
        if said.code is None:
            words = f"{argv[0]} did not end within {target.timeout.total_seconds():g} s; {said.tail}".rstrip("; ")
        elif said.code not in (0, 1, 2):
            words = f"{argv[0]} ended with {said.code}; {said.tail}".rstrip("; ")
        figures = {"exit_code": said.code, "share": share}
        return Outcome(_ENDS.get(-1 if said.code is None else said.code, Ended.UNTOLD), words, figures)

    def _follow(self, order: Order, target: CommandTarget, argv: Sequence[str], share: int) -> Outcome:
        """What the status program says of a shift that took place. Trouble in asking says nothing of the change."""
        try:
            said = self._said(order, target, argv, share, order.epoch)
        except TargetError as error:
            return Outcome(Ended.GOES_ON, f"its status cannot be asked: {error}", {"unknown": True})
        return told(said, share)

    def _said(
        self, order: Order, target: CommandTarget, argv: Sequence[str], share: int | None, epoch: int | None = None
    ) -> Said:
        ours = {
            "FARMGATE_LANE": order.lane,
            "FARMGATE_SHA": order.new.sha,
            "FARMGATE_PREVIOUS_SHA": order.old.sha if order.old is not None else "",
            "FARMGATE_ARTIFACT": "",
            "FARMGATE_PREVIOUS_ARTIFACT": "",
            "FARMGATE_ROLLOUT": str(order.new.rollout_id),
            "FARMGATE_EPOCH": str(order.epoch),
        }
        if share is not None:
            ours["FARMGATE_SHARE"] = str(share)
        packages = {"FARMGATE_ARTIFACT": order.new, "FARMGATE_PREVIOUS_ARTIFACT": order.old}
        files = {name: path for name, each in packages.items() if each is not None and (path := self._fetch(each))}
        if epoch is not None:
            self._fence.check(epoch)
        secrets = given.opened(target, self._secret)
        said = self._programs.run(argv, {**target.environment, **ours}, files, target.timeout, secrets)
        return replace(said, tail=given.masks(target, self._secret).text(said.tail))

    def _fetch(self, package: Package) -> Path | None:
        """The artifact's file; None if the target names none."""
        digest = contents.digest_of(package)
        if digest is None:
            return None
        place = (
            self._folder / str(package.rollout_id) / "artifact" / (package.target.artifact or digest).replace("/", "_")
        )
        if not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside = place.with_name(place.name + ".new")
            with contents.opened(self._blobs, digest) as stream, aside.open("wb") as file:
                shutil.copyfileobj(stream, file)
            aside.replace(place)
        return place


def told(said: Said, share: int) -> Outcome:
    """What a status program's words mean for a shift to `share` percent."""
    last = said.tail.splitlines()[-1].strip() if said.tail else ""
    found = _STATUS.fullmatch(last) if said.code == 0 else None
    if found is None:
        how = "did not end in time" if said.code is None else f"ended with {said.code}"
        words = f"its status cannot be told: the program {how} and wrote {last or 'nothing'!r}"
        return Outcome(Ended.GOES_ON, words, {"unknown": True})
    word, why = found["word"].lower(), (found["why"] or "").strip()
    served = int(found["share"]) if found["share"] else 100 if word == "done" else 0
    figures = {"served": min(served, 100)}
    if word == "rejected":
        return Outcome(Ended.FAILED, f"rejected: {why}" if why else "rejected, without a reason", figures)
    if served >= share:
        return Outcome(Ended.DONE, last, figures)
    return Outcome(Ended.GOES_ON, last, figures)


def _command(package: Package) -> CommandTarget:
    if not isinstance(package.target, CommandTarget):
        raise TargetError(f"release {package.sha[:12]} was made for a {package.target.type} target, not for programs")
    return package.target


def make(site: Site) -> Target:
    """The target of a lane."""
    target = site.policy.target
    programs: Programs = LocalPrograms(site.folder)
    if isinstance(target, CommandTarget) and target.image is not None:
        programs = ContainerPrograms(
            site.farm, str(site.lane_id), target.image, target.memory_bytes, target.cpus, site.registry
        )
    return CommandRunTarget(site.folder, site.blobs, site.fence, programs, secret=site.secret, digest=site.digest)
