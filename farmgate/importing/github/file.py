"""Workflows: what their jobs share, and what their jobs are called.

Rules:
1. A name stands once: with several workflows, the workflow's file begins it.
2. Who uploads an artifact is known before any job is read: a later workflow's job may want it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from farmgate.documents import Document
from farmgate.errors import Problem
from farmgate.importing.account import Account, Kind, Part
from farmgate.importing.draft import Draft, Drafts
from farmgate.importing.github import limits, triggers
from farmgate.importing.github.jobs import JobReader


@dataclass(slots=True)
class Workflow:
    """One file, and what all its jobs share."""

    root: Part
    prefix: str
    starts: triggers.Trigger = field(default_factory=triggers.Trigger)
    concurrency: dict[str, Any] = field(default_factory=dict)
    identity: bool = False
    named: dict[str, Draft] = field(default_factory=dict)
    uploads: dict[str, list[str]] = field(default_factory=dict)  # name of an artifact -> jobs at GitHub


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of all workflows."""
    flows = []
    for document in documents:
        prefix = f"{PurePosixPath(document.source).stem}-" if len(documents) > 1 else ""
        flow = Workflow(Part(account, document, (), document.data), prefix)
        _head(flow)
        _name_jobs(flow, drafts, places)
        flows.append(flow)
    for flow in flows:
        for name, draft in flow.named.items():
            with account.noting(draft.notes):
                JobReader(flow, name, draft).convert()
        flow.root.close("the workflow")


def _head(flow: Workflow) -> None:
    root = flow.root
    root.needless("name", "jobs are called by the file's name")
    root.needless("run-name", "a run is called by its commit")
    flow.starts = triggers.trigger(root)
    root.part("env")  # each job reads it: farmgate.importing.github.environment
    flow.concurrency = limits.concurrency(root)
    flow.identity = limits.permissions(root)


def _name_jobs(flow: Workflow, drafts: Drafts, places: dict[str, Problem]) -> None:
    jobs = flow.root.part("jobs")
    for name, value in (jobs.value if jobs is not None else {}).items():
        if not isinstance(value, dict):
            flow.root.say(Kind.LEFT, ("jobs", name), "a job that is no mapping", "write it by hand")
            continue
        draft = drafts.add(f"{flow.prefix}{name}")
        flow.named[name] = draft
        places[draft.name] = flow.root.document.problem(("jobs", name), "", key=True)
        for called in _uploaded(value.get("steps")):
            flow.uploads.setdefault(called, []).append(name)


def _uploaded(steps: Any) -> list[str]:
    """The names of the artifacts that steps upload; `*` stands for what is computed."""
    found = []
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict) and str(step.get("uses", "")).startswith("actions/upload-artifact"):
            given = step.get("with")
            called = str(given.get("name", "artifact")) if isinstance(given, dict) else "artifact"
            found.append(re.sub(r"\$\{\{.*?\}\}", "*", called))
    return found
