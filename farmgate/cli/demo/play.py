"""The demo itself: what is done, in order.

Rules:
1. Everything goes the way a user's own work would: the API, git, signed webhooks, HTTP.
2. Each scene waits for a fact with a deadline. What does not come is a Broken scene: which, why, the log's last lines.
3. Commits are pushed faster than they can be rolled out; nobody waits for a rollout but the author of the revert, who
   waits until the culprit has been found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from farmgate.cli.demo import files, image, narrator, picture
from farmgate.cli.demo.forge import BRANCH, Forge
from farmgate.cli.demo.picture import LANES, Picture
from farmgate.cli.demo.screen import Screen
from farmgate.cli.demo.story import NAME, Change, Part, story
from farmgate.cli.demo.verdict import Promise, promises
from farmgate.cli.demo.visitors import Counted, Visitors
from farmgate.cli.own_farm import OwnFarm, is_free
from farmgate.cli.processes import last_lines
from farmgate.cli.show import short
from farmgate.client.api import Api
from farmgate.clock import stopwatch
from farmgate.errors import FarmgateError, ImageMissing, PortTaken, ServerUnreachable

LOOK_AGAIN = timedelta(milliseconds=250)
FIRST_LIVE_WITHIN, FOUND_WITHIN, END_WITHIN = 120.0, 240.0, 240.0
BEATS = (0.9, 0.3, 1.5, 0.6)  # seconds between pushes, again and again


class Broken(FarmgateError):
    """A scene of the demo did not come about."""


@dataclass(slots=True)
class Play:
    """The demo under way."""

    farm: OwnFarm
    screen: Screen
    changes: tuple[Change, ...] = ()
    began: float = field(default_factory=stopwatch)
    seen: Picture = field(default_factory=picture.nothing)
    forge: Forge | None = None
    visitors: Visitors | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    kept: tuple[Promise, ...] = ()
    first_build: float | None = None  # seconds from the start

    @property
    def took(self) -> float:
        """Seconds since the start."""
        return stopwatch() - self.began

    def run(self, commits: int) -> None:
        """The whole demo. Raises FarmgateError; `kept` says what came of it."""
        with ThreadPoolExecutor(1, thread_name_prefix="image") as pool:
            made = pool.submit(image.ensure) if self.farm.engine == "docker" else None
            self.farm.start()
            self.screen.say(f"The farm is up at {self.farm.address}, its data in {self.farm.data}")
            place = self._place(made)
        self.changes = story(commits, files.repository_files(place))
        with self.farm.api() as api:
            forge = self._connect(api, place)
            self._open_the_shop(api, forge)
            self._push_quickly(api, forge)
            self._revert(api, forge)
            self._end(api)

    def close(self) -> None:
        """End what runs in this process."""
        if self.visitors is not None and self.visitors.started:
            self.visitors.stop()
        if self.forge is not None:
            self.forge.close()

    # --- scenes ---

    def _place(self, made: Future[str] | None) -> files.Place:
        name: str | None = None
        if made is not None:
            try:
                name = made.result()
            except ImageMissing as error:
                raise Broken(f"{error}; --engine process runs the demo without containers") from error
        ports = _free_ports(8471, len(LANES))
        self.addresses = {lane: f"127.0.0.1:{port}" for lane, port in zip(LANES, ports, strict=True)}
        if name is not None:
            self.screen.say(f"Jobs and the shop run in containers of {name}, made of this machine's own Python")
        else:
            self.screen.say(f"{self.farm.no_docker}: jobs and the shop run as plain processes of this user")
        return files.Place(name, *(self.addresses[lane] for lane in LANES))

    def _connect(self, api: Api, place: files.Place) -> Forge:
        with scene("connecting the repository", self.farm, "scheduler"):
            forge = self.forge = Forge(self.farm.data / "demo", NAME, self.farm.clock)
            row = api.add_repository(NAME, str(forge.bare), forge="github", branch=BRANCH)
            forge.connect(row["webhook_url"], row["secret"])
            api.apply_policy(files.policy(place), files.POLICY)
        self.screen.say(
            f"Repository {forge.bare} is connected by webhook; lanes staging and production have their policy"
        )
        return forge

    def _open_the_shop(self, api: Api, forge: Forge) -> None:
        with scene("the first commit's way to production", self.farm, "scheduler", "agents", "deploy"):
            self._push(forge, [self.changes[0]])
            head = forge.pushed[0].sha
            self._until(
                api,
                lambda seen: seen.production.live == head,
                FIRST_LIVE_WITHIN,
                lambda seen: f"{short(head)} is not live in production: {_where(seen, head)}",
                give_up=lambda seen: seen.answered(head) and seen.runs[head].state != "passed",
            )
        self.visitors = Visitors(f"http://{self.addresses['production']}/", self.farm.clock)
        self.visitors.start()
        self.screen.say(
            f"The shop is open at http://{self.addresses['production']}/; a visitor looks at it 20 times a second"
        )

    def _push_quickly(self, api: Api, forge: Forge) -> None:
        self.screen.say("Now commits come faster than they can be rolled out")
        with scene("pushing quickly", self.farm, "scheduler"):
            for number, change in enumerate(self.changes[1:-1]):
                self._push(forge, [change])
                until = stopwatch() + BEATS[number % len(BEATS)]
                while stopwatch() < until:
                    with suppress(ServerUnreachable):  # being started again: commits go on meanwhile
                        self._look(api)
                    self.farm.clock.sleep(LOOK_AGAIN)

    def _revert(self, api: Api, forge: Forge) -> None:
        culprit = next(one.sha for one in forge.pushed if one.change.part is Part.BREAKS_PRODUCTION)
        with scene("finding the commit that breaks production", self.farm, "deploy"):
            self._until(
                api,
                lambda seen: culprit in seen.production.banned,
                FOUND_WITHIN,
                lambda seen: f"{short(culprit)} was not found: {_where(seen, culprit)}",
            )
            self.screen.say("Its author reverts it; what was pushed since then rides along")
            self._push(forge, [self.changes[-1]])

    def _end(self, api: Api) -> None:
        forge, visitors = self.forge, self.visitors
        assert forge is not None
        assert visitors is not None
        head = forge.pushed[-1].sha
        with scene("the last commit's way to production", self.farm, "scheduler", "deploy"):
            self._until(
                api,
                lambda seen: (
                    all(lane.live == head and lane.active is None for lane in seen.lanes.values())
                    and all(seen.answered(one.sha) for one in forge.pushed)
                    and visitors.counted.version == head
                ),
                END_WITHIN,
                lambda seen: f"{short(head)} is not live everywhere: {_where(seen, head)}",
            )
        self.kept = promises(self.seen, forge.pushed, visitors.counted, violations(api))

    # --- how ---

    def _push(self, forge: Forge, changes: list[Change]) -> None:
        for one in forge.push(changes):
            told = "" if one.change.part in (Part.GOOD, Part.OPENS) else f"  ({one.change.part})"
            self.screen.say(f"push       {short(one.sha)} {one.change.title!r} by {one.change.author[0]}{told}")

    def _look(self, api: Api) -> Picture:
        assert self.forge is not None
        now = picture.read(api, self.forge.pushed)
        titles = {one.sha: one.change.title for one in self.forge.pushed}
        for line in narrator.changes(self.seen, now, titles):
            self.screen.say(line)
        if self.first_build is None and any(run.finished_at for run in now.runs.values()):
            self.first_build = self.took
            self.screen.say(f"The first build was finished {self.first_build:.1f} s after the start")
        self.seen = now
        counted = self.visitors.counted if self.visitors is not None else Counted()
        self.screen.draw(now, self.forge.pushed, counted, self.took)
        return now

    def _until(
        self,
        api: Api,
        fact: Callable[[Picture], bool],
        within: float,
        otherwise: Callable[[Picture], str],
        *,
        give_up: Callable[[Picture], bool] = lambda _: False,
    ) -> None:
        deadline, away = stopwatch() + within, 0
        while True:
            try:
                seen = self._look(api)
                away = 0
            except ServerUnreachable:
                away += 1  # a process that was killed is started again: look once more, but not for ever
                if away > 40:
                    raise
            else:
                if fact(seen):
                    return
                if stopwatch() > deadline or give_up(seen):
                    raise Broken(otherwise(seen))
            self.farm.clock.sleep(LOOK_AGAIN)


@contextmanager
def scene(name: str, farm: OwnFarm, *logs: str) -> Iterator[None]:
    """Whatever fails inside is told with the scene's name and the ends of the logs that know more."""
    try:
        yield
    except FarmgateError as error:
        told = [f"{name}: {error}"]
        for log in logs:
            told += [f"  the end of {farm.log_of(log)}:", *(f"    {line}" for line in last_lines(farm.log_of(log), 8))]
        raise Broken("\n".join(told)) from error


def violations(api: Api) -> list[str]:
    """What the farm's own doctor has to say."""
    answer = api.doctor()
    return [f"{row.get('invariant')} {row.get('subject')}: {row.get('text')}" for row in answer.get("violations", ())]


def _where(seen: Picture, sha: str) -> str:
    run = seen.runs.get(sha)
    told = [f"its run is {run.state} {run.reason}".strip() if run else "it has no run yet"]
    for name, lane in seen.lanes.items():
        active = lane.active
        why = lane.problem or lane.waiting.get(sha) or (f"rollout {active.number} {active.state}" if active else "idle")
        told.append(f"{name} {lane.word(sha) or why}")
    return "; ".join(told)


def _free_ports(first: int, count: int) -> list[int]:
    found = [port for port in range(first, first + 500) if is_free("127.0.0.1", port)][:count]
    if len(found) < count:
        raise PortTaken(f"no {count} free ports from {first} on for the shop")
    return found
