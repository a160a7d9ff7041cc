"""The whole file: what all its jobs share, and the order of its stages.

Rules:
1. Every job of a stage needs every job of the stage before.
2. A stage's own condition is a condition of each of its jobs.

Follows "Build Stages" of Travis' documentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from farmgate.documents import Document, as_written
from farmgate.errors import Problem
from farmgate.importing.account import Account, Part
from farmgate.importing.draft import Draft, Drafts
from farmgate.importing.travis import combinations, conditions, jobs
from farmgate.importing.travis.environment import Environment
from farmgate.importing.travis.needless import NEEDLESS
from farmgate.importing.travis.phases import PHASES

_NO_IMAGE = ("before_install_osx", "xcode_project", "xcode_scheme", "podfile", "android")
Stages = list[tuple[str, list[Draft]]]


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files."""
    for document in documents:
        _convert(Part(account, document, (), document.data), drafts, places)


def _convert(root: Part, drafts: Drafts, places: dict[str, Problem]) -> None:
    for key, why in NEEDLESS.items():
        root.needless(key, why)
    for key in root.names():
        if key.startswith((".", "_", "x-")):
            root.needless(key, "a place for anchors")
    when = conditions.of_file(root)
    environment = Environment()
    environment.read(root)
    combos = combinations.combinations(root, environment)
    for key in _NO_IMAGE:
        root.left(key, f"{key}: no image has it", "use an image of your own")
    groups = combinations.groups(combos)
    stages: Stages = []
    for group in groups:
        draft = jobs.job(jobs.File(root, drafts, places, environment, len(groups)), group)
        draft.when = {**when, **draft.when}
        stage = group[0].stage.lower()
        if not any(name == stage for name, _ in stages):
            stages.append((stage, []))
        next(found for name, found in stages if name == stage).append(draft)
    drafts.jobs = _in_order(root, stages)
    for key in PHASES:
        root.take(key)
    root.close("the file")


def _in_order(root: Part, stages: Stages) -> list[Draft]:
    wanted: list[str] = []
    for at, value in root.listed("stages"):
        name = as_written(value)
        if isinstance(value, dict):
            part = Part(root.account, root.document, at, value)
            name = part.text("name")
            found = _condition_of_stage(part, name)
            for stage, drafts in stages:
                for draft in drafts if stage == (name or "").lower() else ():
                    draft.when.update(found)
        if name:
            wanted.append(name.lower())
    ordered = sorted(stages, key=lambda one: wanted.index(one[0]) if one[0] in wanted else len(wanted))
    for (_, before), (_, drafts) in itertools.pairwise(ordered):
        for draft in drafts:
            draft.needs = {needed.name: False for needed in before}
    return [draft for _, drafts in ordered for draft in drafts]


def _condition_of_stage(part: Part, name: str | None) -> dict[str, Any]:
    """Rule 2."""
    if "if" not in part:
        return {}
    found = conditions.condition(str(part.take("if")))
    if found is None:
        part.left("if", f"condition of the stage {name!r}", "write 'when' of its jobs by hand")
    return found or {}
