"""GitHub Actions: `.github/workflows/*.yml`.

Rules:
1. Several workflows become one pipeline: each job is then called by its workflow, too. What starts a workflow (`on:`)
   is the `when` of its jobs.
2. A step's `if` becomes the first line of its commands; a job's `if` becomes `when`, as far as `when` can say it.
3. What a step says by an expression that only GitHub can answer leaves that step; the rest of the job is converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from farmgate.documents import Document, as_written
from farmgate.errors import Problem
from farmgate.importing.account import Account, Kind, Part
from farmgate.importing.draft import (
    Draft,
    Drafts,
)
from farmgate.importing.github_jobs import JobReader, concurrency, permissions

_EVENTS: Final = {
    "push": "push",
    "pull_request": "pull",
    "pull_request_target": "pull",
    "workflow_dispatch": "person",
    "merge_group": "pull",
}


@dataclass(slots=True)
class Workflow:
    """One file, and what all its jobs share."""

    root: Part
    prefix: str
    when: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    concurrency: dict[str, Any] = field(default_factory=dict)
    identity: bool = False
    named: dict[str, Draft] = field(default_factory=dict)
    uploads: dict[str, list[str]] = field(default_factory=dict)  # name of an artifact -> jobs at GitHub
    starts: bool = True


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of all workflows."""
    flows = []
    for document in documents:
        root = Part(account, document, (), document.data)
        prefix = f"{PurePosixPath(document.source).stem}-" if len(documents) > 1 else ""
        flow = Workflow(root, prefix)
        _head(flow)
        _name_jobs(flow, drafts, places)
        flows.append(flow)
    for flow in flows:
        for name, draft in flow.named.items():
            with account.noting(draft.notes):
                JobReader(flow, name, draft, [*flows]).convert()
        flow.root.close("the workflow")


def _head(flow: Workflow) -> None:
    root = flow.root
    root.needless("name", "jobs are called by the file's name")
    root.needless("run-name", "a run is called by its commit")
    flow.when = _trigger(flow)
    env = root.part("env")
    if env is not None:
        flow.environment = {key: as_written(value) or "" for key, value in env.value.items()}
    flow.concurrency = concurrency(root)
    flow.identity = permissions(root)


def _name_jobs(flow: Workflow, drafts: Drafts, places: dict[str, Problem]) -> None:
    jobs = flow.root.part("jobs")
    for name, value in (jobs.value if jobs is not None else {}).items():
        if not isinstance(value, dict):
            flow.root.say(Kind.LEFT, ("jobs", name), "a job that is no mapping", "write it by hand")
            continue
        draft = drafts.add(f"{flow.prefix}{name}")
        flow.named[name] = draft
        places[draft.name] = flow.root.document.problem(("jobs", name), "", key=True)
        for step in value.get("steps") or [] if isinstance(value.get("steps"), list) else []:
            if isinstance(step, dict) and str(step.get("uses", "")).startswith("actions/upload-artifact"):
                given = step.get("with")
                called = str((given or {}).get("name", "artifact")) if isinstance(given, dict) else "artifact"
                flow.uploads.setdefault(re.sub(r"\$\{\{.*?\}\}", "*", called), []).append(name)


# --- what starts a workflow --------------------------------------------------------------------------------------------  # noqa: E501


def _trigger(flow: Workflow) -> dict[str, Any]:
    root = flow.root
    value = root.take("on")
    if isinstance(value, str):
        value = {value: None}
    elif isinstance(value, list):
        value = {str(one): None for one in value if isinstance(one, str)}
    if not isinstance(value, dict):
        return {}
    on = root.below("on", value)
    when: dict[str, Any] = {}
    events: list[str] = []
    branches: dict[str, list[str]] = {}
    paths: list[list[str]] = []
    tags: list[str] = []
    for event in on.names():
        body = on.take(event)
        part = on.below(event, body) if isinstance(body, dict) else None
        if event in ("push", "pull_request", "pull_request_target"):
            mine = _EVENTS[event]
            only, but = (part.texts("branches"), part.texts("branches-ignore")) if part else ([], [])
            globs = [*(only or (["**"] if but else [])), *(f"!{one}" for one in but)]
            files, not_files = (part.texts("paths"), part.texts("paths-ignore")) if part else ([], [])
            paths.append([*(files or (["**"] if not_files else [])), *(f"!{one}" for one in not_files)])
            if event == "push":
                tags = part.texts("tags") if part else []
                if part:
                    part.left(
                        "tags-ignore", "tags-ignore", "write it into 'when: {tag: ...}'"
                    ) if "tags-ignore" in part else None
                if globs or not tags:
                    events.append("push")
                if tags or (not globs and not paths[-1] and part is None):
                    events.append("tag")
            else:
                events.append(mine)
            if globs:
                branches[mine] = globs
            if part:
                part.needless("types", "a pull request runs when its commits change")
                part.close(event)
        elif event in ("workflow_dispatch", "merge_group"):
            events.append(_EVENTS[event])
            if part and "inputs" in part:
                part.left("inputs", "inputs that a person gives", "'environment' with their defaults")
        elif event == "schedule":
            on.left(event, "a schedule", "start the run by `farmgate run` from a timer")
        elif event == "release":
            events.append("tag")
            on.look(event, "a release is a tag here")
        elif event == "workflow_call":
            on.left(event, "a workflow that others call", "its jobs stand for themselves here")
        elif event == "workflow_run":
            on.left(event, "starts after another workflow", "'needs' says what comes first")
        else:
            on.left(event, f"starts at {event}, which is a matter of the forge", "keep this workflow where it is")
    flow.starts = bool(events) or any(event in value for event in ("workflow_call", "schedule", "workflow_run"))
    if not events and flow.starts:
        events = ["person"]
    different = {tuple(globs) for globs in branches.values()}
    if branches:
        when["branch"] = next(iter(branches.values()))
        if len(different) > 1 or (len(branches) == 1 and {"push", "pull"} <= set(events)):
            on.say(
                Kind.LOOK,
                ("on",),
                f"branches stand for push and pull requests alike here: {', '.join(when['branch'])[:100]}",
                "make two jobs where they should differ",
                key=True,
            )
    if tags and branches:
        on.say(
            Kind.LEFT,
            ("on", "push", "tags"),
            "tags beside branches: a job has one condition",
            "a job of its own with 'when: {tag: ...}'",
            key=True,
        )
        events = [event for event in events if event != "tag"]
    elif tags and "push" not in events and set(events) <= {"tag", "person"}:
        when["tag"] = tags
    elif tags:
        on.say(
            Kind.LOOK,
            ("on", "push", "tags"),
            "runs at any tag here",
            "'when: {tag: ...}' of a job of its own",
            key=True,
        )
    said = [one for one in paths if one]
    if said:
        when["paths"] = said[0]
        if len({tuple(one) for one in said}) > 1 or len(said) < len(paths):
            on.say(
                Kind.LOOK,
                ("on",),
                "paths stand for all events alike here",
                "make two jobs where they should differ",
                key=True,
            )
    once = [event for event in ("push", "tag", "pull", "person") if event in events]
    if "person" in once and len(once) > 1 and {"push", "pull", "tag"} <= set(once):
        once = []
    if once and set(once) != {"push", "tag", "pull"}:
        when["event"] = once if len(once) > 1 else once[0]
    return when


# --- one job -----------------------------------------------------------------------------------------------------------  # noqa: E501
