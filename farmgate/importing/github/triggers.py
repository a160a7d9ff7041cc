"""What starts a workflow (`on`), as the `when` of its jobs.

Rules:
1. A push, a tag, a pull request and a person are events of ours. A schedule, another workflow and the forge's own
   matters are left: jobs of a workflow that nothing else starts wait for a person, or are not converted.
2. `when` is one condition: branches and paths that differ between events are joined, and told to be looked at.

Follows "Events that trigger workflows" of the documentation of GitHub Actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.importing.account import Kind, Part

_EVENTS: Final = {
    "push": "push",
    "pull_request": "pull",
    "pull_request_target": "pull",
    "workflow_dispatch": "person",
    "merge_group": "pull",
}
_LEFT: Final = {
    "schedule": ("a schedule", "start the run by `farmgate run` from a timer"),
    "workflow_call": ("a workflow that others call", "its jobs stand for themselves here"),
    "workflow_run": ("starts after another workflow", "'needs' says what comes first"),
}
_TWO_JOBS: Final = "make two jobs where they should differ"


@dataclass(slots=True)
class Trigger:
    """What a workflow's jobs wait for. `sees`: something starts it that a farm knows of."""

    when: dict[str, Any] = field(default_factory=dict)
    sees: bool = True


@dataclass(slots=True)
class _Said:
    """What `on` says, event by event."""

    events: list[str] = field(default_factory=list)
    branches: dict[str, list[str]] = field(default_factory=dict)  # by event
    paths: list[list[str]] = field(default_factory=list)  # of each event that can have some
    tags: list[str] = field(default_factory=list)


def trigger(root: Part) -> Trigger:
    """Read `on` of a workflow."""
    value = root.take("on")
    if isinstance(value, str):
        value = {value: None}
    elif isinstance(value, list):
        value = {str(one): None for one in value if isinstance(one, str)}
    if not isinstance(value, dict):
        return Trigger()
    on = root.below("on", value)
    said = _Said()
    for event in on.names():
        _event(on, event, said)
    sees = bool(said.events) or not _LEFT.keys().isdisjoint(value)
    if not said.events and sees:
        said.events = ["person"]
    when = {**_branches(on, said), **_tags(on, said), **_paths(on, said)}
    return Trigger({**when, **_events(said)}, sees)


def _event(on: Part, event: str, said: _Said) -> None:
    body = on.take(event)
    part = on.below(event, body) if isinstance(body, dict) else None
    if event in ("push", "pull_request", "pull_request_target"):
        _commits(part, event, said)
    elif event in ("workflow_dispatch", "merge_group"):
        said.events.append(_EVENTS[event])
        if part and "inputs" in part:
            part.left("inputs", "inputs that a person gives", "'environment' with their defaults")
    elif event == "release":
        said.events.append("tag")
        on.look(event, "a release is a tag here")
    elif event in _LEFT:
        on.left(event, *_LEFT[event])
    else:
        on.left(event, f"starts at {event}, which is a matter of the forge", "keep this workflow where it is")


def _commits(part: Part | None, event: str, said: _Said) -> None:
    """A push or a pull request."""
    globs, files = _patterns(part, "branches"), _patterns(part, "paths")
    said.paths.append(files)
    if event == "push":
        said.tags = part.texts("tags") if part else []
        if part and "tags-ignore" in part:
            part.left("tags-ignore", "tags-ignore", "write it into 'when: {tag: ...}'")
        if globs or not said.tags:
            said.events.append("push")
        if said.tags or part is None:
            said.events.append("tag")
    else:
        said.events.append("pull")
    if globs:
        said.branches[_EVENTS[event]] = globs
    if part:
        part.needless("types", "a pull request runs when its commits change")
        part.close(event)


def _patterns(part: Part | None, key: str) -> list[str]:
    """`branches` and `branches-ignore` as patterns of ours."""
    only, but = (part.texts(key), part.texts(f"{key}-ignore")) if part else ([], [])
    return [*(only or (["**"] if but else [])), *(f"!{one}" for one in but)]


def _branches(on: Part, said: _Said) -> dict[str, Any]:
    if not said.branches:
        return {}
    first = next(iter(said.branches.values()))
    alike = len({tuple(globs) for globs in said.branches.values()}) == 1
    if not alike or (len(said.branches) == 1 and {"push", "pull"} <= set(said.events)):
        message = f"branches stand for push and pull requests alike here: {', '.join(first)[:100]}"
        on.say(Kind.LOOK, ("on",), message, _TWO_JOBS, key=True)
    return {"branch": first}


def _tags(on: Part, said: _Said) -> dict[str, Any]:
    if not said.tags:
        return {}
    at = ("on", "push", "tags")
    if said.branches:
        remedy = "a job of its own with 'when: {tag: ...}'"
        on.say(Kind.LEFT, at, "tags beside branches: a job has one condition", remedy, key=True)
        said.events = [event for event in said.events if event != "tag"]
    elif set(said.events) <= {"tag", "person"}:
        return {"tag": said.tags}
    else:
        on.say(Kind.LOOK, at, "runs at any tag here", "'when: {tag: ...}' of a job of its own", key=True)
    return {}


def _paths(on: Part, said: _Said) -> dict[str, Any]:
    files = [one for one in said.paths if one]
    if not files:
        return {}
    if len({tuple(one) for one in files}) > 1 or len(files) < len(said.paths):
        on.say(Kind.LOOK, ("on",), "paths stand for all events alike here", _TWO_JOBS, key=True)
    return {"paths": files[0]}


def _events(said: _Said) -> dict[str, Any]:
    """What is every event says nothing."""
    once = [event for event in ("push", "tag", "pull", "person") if event in said.events]
    if not once or {"push", "tag", "pull"} <= set(once):
        return {}
    return {"event": once if len(once) > 1 else once[0]}
