"""All given files as one, as GitLab sees them.

Rules:
1. The file itself wins over what it includes; the variables and defaults of all files are merged.
2. An include that was not given is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem
from farmgate.importing.account import Account, Kind, Part, flat
from farmgate.importing.draft import Drafts
from farmgate.importing.gitlab import inheriting, variables
from farmgate.importing.gitlab.jobs import JobReader
from farmgate.importing.gitlab.order import Made, connect

_SHARED: Final = ("default", "image", "services", "before_script", "after_script", "cache")
_GLOBAL: Final = frozenset((*_SHARED, "stages", "types", "spec", "variables", "include", "workflow", "pages_"))
_INCLUDED: Final = ("local", "project", "remote", "template", "component", "file")


@dataclass(slots=True)
class Pipeline:
    """All given files as one."""

    root: Part
    drafts: Drafts
    places: dict[str, Problem]
    raw: dict[str, Any] = field(default_factory=dict)  # every key of every file
    documents: dict[str, Document] = field(default_factory=dict)  # where each key stands
    exports: list[str] = field(default_factory=list)  # variables that the shell works out

    @property
    def account(self) -> Account:
        """Where it is told what became of everything."""
        return self.root.account

    def extended(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """A job with all that it takes from others."""
        return inheriting.extended(name, value, self.raw, self.documents, self.account)


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files. The first is the file itself; the others are what it includes."""
    first, *others = sorted(documents, key=lambda one: not one.source.endswith((".gitlab-ci.yml", ".gitlab-ci.yaml")))
    root = Part(account, first, (), first.data)
    pipeline = Pipeline(root, drafts, places)
    _include(root, [other.source for other in others])
    for document in (*others, first):
        _merge(pipeline, document)
    stages = [
        word
        for _, one in flat(pipeline.raw.get("stages") or pipeline.raw.get("types"), ())
        if (word := as_written(one))
    ]
    stages = [".pre", *(stages or ["build", "test", "deploy"]), ".post"]
    for key in ("stages", "types", "spec", "variables", *_SHARED):
        root.take(key)
    _workflow(root)
    value = pipeline.raw.get("variables")
    for name, one in (value if isinstance(value, dict) else {}).items():
        text = as_written(one.get("value")) if isinstance(one, dict) else as_written(one)
        variables.read(root, ("variables", name), name, text or "", drafts.environment, pipeline.exports)
    drafts.jobs = connect(_jobs(pipeline, stages))
    root.close("the file")


def _merge(pipeline: Pipeline, document: Document) -> None:
    """Rule 1."""
    for key, value in document.data.items():
        if isinstance(value, dict) and isinstance(pipeline.raw.get(key), dict) and key in ("variables", "default"):
            value = {**pipeline.raw[key], **value}
        pipeline.raw[key] = value
        pipeline.documents[key] = document


def _jobs(pipeline: Pipeline, stages: list[str]) -> Mapping[str, Made]:
    made: dict[str, Made] = {}
    for name, value in pipeline.raw.items():
        if name in _GLOBAL:
            continue
        pipeline.root.take(name)
        if name.startswith("."):
            continue
        if not isinstance(value, dict):
            pipeline.root.left(name, f"{name} is no job", "write it by hand")
            continue
        merged = pipeline.extended(name, value)
        stage = as_written(merged.get("stage")) or "test"
        place = stages.index(stage) if stage in stages else stages.index("test") if "test" in stages else 1
        made[name] = JobReader(pipeline, name, merged).convert(place)
    return made


def _include(root: Part, others: list[str]) -> None:
    for at, one in root.listed("include"):
        path = one.get("local") if isinstance(one, dict) else one
        local = isinstance(path, str) and not path.startswith("http")
        if local and any(known.endswith(str(path).lstrip("/")) for known in others):
            root.say(Kind.NEEDLESS, at, f"include of {path}: read", None)
        else:
            _not_given(root, at, one, local=local)


def _not_given(root: Part, at: Location, one: Any, *, local: bool) -> None:
    """Rule 2."""
    what = str(one)[:80]
    if isinstance(one, dict):
        what = next((f"{key} {str(one[key])[:60]}" for key in _INCLUDED if key in one), "a file")
    remedy = "give that file to the importer, too" if local else "its jobs by hand, or as a template"
    root.say(Kind.LEFT, at, f"includes {what}", remedy)


def _workflow(root: Part) -> None:
    workflow = root.part("workflow")
    if workflow is None:
        return
    workflow.needless("name", "a run is called by its commit")
    workflow.needless("auto_cancel", "superseded runs are cancelled by themselves")
    if "rules" in workflow:
        message = "which pipelines run: Farmgate has one run for each push, tag and pull request"
        workflow.look("rules", message, "'when' of the jobs")
    workflow.close("workflow")
