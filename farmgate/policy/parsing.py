"""From a policy file to the policies of its lanes, or to everything that is wrong with it, each at its place.

Rules:
1. All or nothing: one problem anywhere and no lane is changed.
2. What contradicts itself is refused here, before it could stop a lane at night: a lane that follows itself or nobody,
   shares that do not rise to 100, a soak that nothing watches, one address for two lanes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from farmgate.documents import Document, Location, nearest, read, validate
from farmgate.errors import Problem
from farmgate.policy.files import LaneFile, PolicyFile, TargetFile
from farmgate.policy.models import Check, CommandTarget, DockerTarget, LanePolicy, ProcessTarget, Target, Wave

_INSTANCES: Final = ("artifact", "command", "port", "environment", "instances", "health", "start_within", "drain")
_KEYS: Final = {
    "docker": (*_INSTANCES, "image", "memory", "cpus"),
    "process": _INSTANCES,
    "command": ("artifact", "environment", "shift", "restore", "observe", "timeout"),
}
_NEEDED: Final = {
    "docker": ("image", "command", "port"),
    "process": ("command",),
    "command": ("shift", "restore"),
}


def parse(text: str | bytes, source: str = "delivery.yml") -> tuple[LanePolicy, ...]:
    """The policies of a file, in its order. Raises BadDocument with every problem."""
    document = read(text, source)
    file = validate(document, PolicyFile)
    document.refuse(_problems(document, file))
    return tuple(_lane(file, name, lane) for name, lane in file.lanes.items())


def _lane(file: PolicyFile, name: str, lane: LaneFile) -> LanePolicy:
    return LanePolicy(
        application=file.application,
        environment=name,
        repository=file.repository or file.application,
        branch=lane.branch,
        follows=lane.follows,
        listen=lane.listen,
        settle=lane.settle,
        minimum_interval=lane.minimum_interval,
        max_commits=lane.max_commits,
        waves=tuple(Wave(share=wave.share, soak=wave.soak) for wave in lane.waves),
        checks=tuple(Check(**check.model_dump()) for check in lane.checks),
        ask_for=lane.ask_for,
        target=_target(_merged(file.target, lane.target)),
    )


def _merged(default: TargetFile | None, own: TargetFile | None) -> dict[str, Any]:
    """The fields that are set; where the lane names another type, only those of the default that the type knows."""
    base = default.model_dump(exclude_unset=True, exclude_none=True) if default is not None else {}
    over = own.model_dump(exclude_unset=True, exclude_none=True) if own is not None else {}
    kind = over.get("type", base.get("type"))
    if kind is not None and kind != base.get("type"):
        base = {name: value for name, value in base.items() if name in _KEYS[kind]}
    merged = base | over
    if "environment" in base and "environment" in over:
        merged["environment"] = {**base["environment"], **over["environment"]}
    return merged


def _target(fields: dict[str, Any]) -> Target:
    values = {("memory_bytes" if name == "memory" else name): value for name, value in fields.items()}
    match values["type"]:
        case "docker":
            return DockerTarget(**values)
        case "process":
            return ProcessTarget(**values)
        case _:
            return CommandTarget(**values)


def _problems(document: Document, file: PolicyFile) -> Iterator[Problem]:
    yield from _following(document, file)
    addresses: dict[str, str] = {}
    for name, lane in file.lanes.items():
        at: Location = ("lanes", name)
        yield from _target_problems(document, file, name, lane)
        yield from _wave_problems(document, at, lane)
        if lane.listen is not None:
            other = addresses.setdefault(lane.listen, name)
            if other != name:
                yield document.problem((*at, "listen"), f"{lane.listen} is the address of {other} already")


def _target_problems(document: Document, file: PolicyFile, name: str, lane: LaneFile) -> Iterator[Problem]:
    own = lane.target is not None
    place: Location = ("lanes", name, "target") if own else ("target",) if file.target else ("lanes", name)
    fields = _merged(file.target, lane.target)
    kind = fields.get("type")
    if kind is None:
        yield document.problem(place, f"the target of {name} needs 'type'", "docker, process or command", key=True)
        return
    for key in _NEEDED[kind]:
        if key not in fields:
            yield document.problem(place, f"the {kind} target of {name} needs {key!r}", key=True)
    for key in fields:
        if key != "type" and key not in _KEYS[kind]:
            where = lane.target if own and lane.target is not None and key in lane.target.model_fields_set else None
            exact: Location = ("lanes", name, "target", key) if where is not None else ("target", key)
            yield document.problem(exact, f"a {kind} target knows no {key!r}", nearest(key, _KEYS[kind]), key=True)
    at: Location = ("lanes", name)
    if kind == "command":
        if lane.listen is not None:
            yield document.problem((*at, "listen"), "a command target has no switch that could listen", key=True)
        for index, check in enumerate(lane.checks):
            if check.http is not None and check.http.startswith("/"):
                said = "a command target has no instances to ask: write a whole URL, or a command"
                yield document.problem((*at, "checks", index, "http"), said)
    elif lane.listen is None:
        yield document.problem(at, f"lane {name} needs 'listen': where its switch takes requests", key=True)


def _wave_problems(document: Document, at: Location, lane: LaneFile) -> Iterator[Problem]:
    shares = [wave.share for wave in lane.waves]
    for index, (before, after) in enumerate(itertools.pairwise(shares)):
        if after <= before:
            place = (*at, "waves", index + 1, "share")
            yield document.problem(place, f"a share must rise from wave to wave: {after} follows {before}")
    if shares[-1] != 100:
        place = (*at, "waves", len(shares) - 1, "share")
        yield document.problem(place, f"the last wave must take everyone: 100, not {shares[-1]}")
    if not lane.checks:
        for index, wave in enumerate(lane.waves):
            if wave.soak > timedelta(0):
                said = "nothing watches this soak: the lane has no checks"
                yield document.problem((*at, "waves", index, "soak"), said, "add checks, or take the soak away")


def _following(document: Document, file: PolicyFile) -> Iterator[Problem]:
    for name, lane in file.lanes.items():
        for index, followed in enumerate(lane.follows):
            place: Location = ("lanes", name, "follows", index)
            if followed == name:
                yield document.problem(place, f"{name} follows itself")
            elif followed not in file.lanes:
                yield document.problem(place, f"no lane {followed!r} here", nearest(followed, file.lanes))
            elif file.lanes[followed].branch != lane.branch:
                said = f"{name} and {followed} are on different branches: what one verifies says nothing of the other"
                yield document.problem(place, said)
            elif followed in lane.follows[:index]:
                yield document.problem(place, f"{followed} stands here twice")
    for circle in _circles(file):
        path = " -> ".join((*circle, circle[0]))
        yield document.problem(("lanes", circle[0], "follows"), f"lanes follow each other in a circle: {path}")


def _circles(file: PolicyFile) -> Iterator[tuple[str, ...]]:
    done: set[str] = set()
    for start in file.lanes:
        path: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, depth = stack.pop()
            del path[depth:]
            if name in path:
                circle = tuple(path[path.index(name) :])
                if len(circle) > 1 and not done & set(circle):
                    yield circle
                done |= set(circle)
                continue
            if name in done or name not in file.lanes:
                continue
            path.append(name)
            stack.extend((after, depth + 1) for after in file.lanes[name].follows)
        done |= set(path)
