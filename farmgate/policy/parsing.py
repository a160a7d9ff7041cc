"""From a policy file to the policies of its lanes, or to everything that is wrong with it, each at its place.

Rules:
1. All or nothing: one problem anywhere and no lane is changed.
2. What contradicts itself is refused here, before it could stop a lane at night: a lane that follows itself or nobody,
   shares that do not rise to 100, a soak that nothing watches, one address for two lanes, a window that never opens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import timedelta

from farmgate.documents import Document, Location, nearest, read, validate
from farmgate.errors import Problem
from farmgate.policy import check_files, merging
from farmgate.policy.files import AdaptiveFile, LaneFile, PolicyFile, WaveFile
from farmgate.policy.models import Adaptive, Approvals, LanePolicy, Provenance, Vulnerabilities, Wave
from farmgate.policy.pace import Budget, freeze, window
from farmgate.policy.targets import Target


def parse(text: str | bytes, source: str = "delivery.yml") -> tuple[LanePolicy, ...]:
    """The policies of a file, in its order. Raises BadDocument with every problem."""
    document = read(text, source)
    file = validate(document, PolicyFile)
    targets: dict[str, Target] = {}
    problems: list[Problem] = []
    for name in file.lanes:
        made, wrong = merging.target_of(document, file, name)
        problems += wrong
        if made is not None:
            targets[name] = made
    document.refuse([*problems, *_problems(document, file, targets)])
    policies = tuple(_lane(file, name, lane, targets[name]) for name, lane in file.lanes.items())
    document.refuse(_contradictions(document, policies))
    return policies


def _lane(file: PolicyFile, name: str, lane: LaneFile, target: Target) -> LanePolicy:
    zone, size = lane.zone or file.zone, lane.max_commits
    return LanePolicy(
        application=file.application,
        environment=name,
        repository=file.repository or file.application,
        branch=lane.branch,
        follows=lane.follows,
        listen=lane.listen,
        settle=lane.settle,
        minimum_interval=lane.minimum_interval,
        max_commits=size if isinstance(size, int) else None,
        adaptive=Adaptive(**size.model_dump()) if isinstance(size, AdaptiveFile) else None,
        windows=tuple(window(each, zone) for each in lane.windows),
        freezes=tuple(freeze(each, zone) for each in lane.freezes),
        budget=Budget(**lane.budget.model_dump()) if lane.budget is not None else None,
        approvals=Approvals(**lane.approvals.model_dump()) if lane.approvals is not None else None,
        vulnerabilities=Vulnerabilities(**lane.vulnerabilities.model_dump()) if lane.vulnerabilities else None,
        provenance=Provenance(keys=lane.provenance.keys) if lane.provenance and lane.provenance.required else None,
        waves=tuple(_wave(wave) for wave in lane.waves),
        checks=tuple(check.kept() for check in lane.checks),
        ask_for=lane.ask_for,
        irreversible=lane.irreversible,
        on_late_red=lane.on_late_red,
        on_culprit=lane.on_culprit,
        target=target,
    )


def _wave(wave: WaveFile) -> Wave:
    return Wave(share=wave.share, soak=wave.soak, checks=tuple(check.kept() for check in wave.checks))


def _problems(document: Document, file: PolicyFile, targets: Mapping[str, Target]) -> Iterator[Problem]:
    yield from _following(document, file)
    addresses: dict[str, str] = {}
    for name, lane in file.lanes.items():
        at: Location = ("lanes", name)
        if name in targets:
            yield from _target_problems(document, at, lane, targets[name])
        yield from _wave_problems(document, at, lane)
        yield from _freeze_problems(document, at, file, lane)
        if lane.listen is not None:
            other = addresses.setdefault(lane.listen, name)
            if other != name:
                yield document.problem((*at, "listen"), f"{lane.listen} is the address of {other} already")


def _target_problems(document: Document, at: Location, lane: LaneFile, target: Target) -> Iterator[Problem]:
    kind = target.type
    if target.LISTENS and lane.listen is None:
        yield document.problem(at, f"lane {at[-1]} needs 'listen': where its switch takes requests", key=True)
    if not target.LISTENS and lane.listen is not None:
        yield document.problem((*at, "listen"), f"a {kind} target has no switch that could listen", key=True)
    yield from check_files.problems(document, at, lane.checks, [wave.checks for wave in lane.waves], target)
    if not target.TAKES_SHARES and len(lane.waves) > 1:
        said = f"a {kind} target has everything or nothing: one wave, of 100"
        yield document.problem((*at, "waves", 1, "share"), said)


def _contradictions(document: Document, policies: tuple[LanePolicy, ...]) -> Iterator[Problem]:
    for policy in policies:
        for place, said in policy.target.contradictions(policy):
            yield document.problem(_written_at(document, policy.environment, place), said)


def _written_at(document: Document, lane: str, place: Location) -> Location:
    """Of something in a lane: it may stand in the default target, where that is not overridden."""
    if place[0] == "target" and len(place) > 1:
        own, default = document.data["lanes"][lane].get("target") or {}, document.data.get("target") or {}
        if own.get(place[1]) is None and default.get(place[1]) is not None:
            return place
    return ("lanes", lane, *place)


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
            if wave.soak > timedelta(0) and not wave.checks:
                said = "nothing watches this soak: the lane has no checks"
                yield document.problem((*at, "waves", index, "soak"), said, "add checks, or take the soak away")


def _freeze_problems(document: Document, at: Location, file: PolicyFile, lane: LaneFile) -> Iterator[Problem]:
    for index, written in enumerate(lane.freezes):
        settled = freeze(written, lane.zone or file.zone)
        if settled.ends <= settled.begins:
            said = f"this freeze ends before it begins: {settled.begins:%F %H:%M} to {settled.ends:%F %H:%M}"
            yield document.problem((*at, "freezes", index, "to"), said)


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
