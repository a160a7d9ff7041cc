"""GitLab CI: `.gitlab-ci.yml`, with the files that it includes where they were given.

Rules:
1. `extends`, `default` and `!reference` are followed, as GitLab does; hidden jobs are only what others take from.
2. A stage is what the jobs of the stages before it are: needs, with their artifacts. `needs` wins.
3. `before_script`, `script` run in one shell: steps, as `farmgate.importing.commands` cuts them. A job that a person starts
   waits for a job that asks.
"""  # noqa: E501

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Document, Location, as_written
from farmgate.errors import Problem
from farmgate.importing.account import Account, Kind, Part, flat
from farmgate.importing.draft import (
    Draft,
    Drafts,
    good_variable,
    put_variables,
)
from farmgate.importing.gitlab_jobs import VARIABLES, JobReader
from farmgate.importing.shell import literal
from farmgate.importing.sources import REFERENCE

_GLOBAL: Final = frozenset(
    {
        "stages",
        "variables",
        "default",
        "include",
        "workflow",
        "image",
        "services",
        "before_script",
        "after_script",
        "cache",
        "types",
        "spec",
        "pages_",
    }
)


@dataclass(slots=True)
class Pipeline:
    """All given files as one, as GitLab sees them."""

    root: Part
    drafts: Drafts
    places: dict[str, Problem]
    others: Mapping[str, Document] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)  # where each job stands
    made: dict[str, list[Draft]] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        return self.root.account

    def convert(self) -> None:
        root = self.root
        self.include()
        for document in (*self.others.values(), root.document):
            for key, value in document.data.items():
                if isinstance(value, dict) and isinstance(self.raw.get(key), dict) and key in ("variables", "default"):
                    value = {**self.raw[key], **value}
                self.raw[key] = value
                self.documents[key] = document
        stages = [
            word for _, one in flat(self.raw.get("stages") or self.raw.get("types"), ()) if (word := as_written(one))
        ]
        stages = [".pre", *(stages or ["build", "test", "deploy"]), ".post"]
        root.take("stages"), root.take("types"), root.take("spec")
        self.workflow()
        self.variables(root)
        for key in ("default", "image", "services", "before_script", "after_script", "cache"):
            root.take(key)
        order: list[tuple[int, str]] = []
        for name, value in self.raw.items():
            if name in _GLOBAL:
                continue
            root.take(name)
            if name.startswith("."):
                continue
            if not isinstance(value, dict):
                root.left(name, f"{name} is no job", "write it by hand")
                continue
            merged = self.extended(name, value, frozenset())
            stage = as_written(merged.get("stage")) or "test"
            place = stages.index(stage) if stage in stages else stages.index("test") if "test" in stages else 1
            order.append((place, name))
            JobReader(self, name, merged).convert()
        self.connect(order)
        root.close("the file")

    def include(self) -> None:
        for at, one in self.root.listed("include"):
            path = one.get("local") if isinstance(one, dict) else one
            if (
                isinstance(path, str)
                and not path.startswith("http")
                and any(known.endswith(path.lstrip("/")) for known in self.others)
            ):
                self.root.say(Kind.NEEDLESS, at, f"include of {path}: read", None)
                continue
            what = (
                next(
                    (
                        f"{key} {str(one[key])[:60]}"
                        for key in ("local", "project", "remote", "template", "component", "file")
                        if key in one
                    ),
                    "a file",
                )
                if isinstance(one, dict)
                else str(one)[:80]
            )
            local = isinstance(path, str) and not path.startswith("http")
            self.root.say(
                Kind.LEFT,
                at,
                f"includes {what}",
                "give that file to the importer, too" if local else "its jobs by hand, or as a template",
            )

    def workflow(self) -> None:
        workflow = self.root.part("workflow")
        if workflow is None:
            return
        workflow.needless("name", "a run is called by its commit")
        workflow.needless("auto_cancel", "superseded runs are cancelled by themselves")
        if "rules" in workflow:
            workflow.look(
                "rules",
                "which pipelines run: Farmgate has one run for each push, tag and pull request",
                "'when' of the jobs",
            )
        workflow.close("workflow")

    def variables(self, root: Part) -> None:
        value = self.raw.get("variables")
        root.take("variables")
        for name, one in (value if isinstance(value, dict) else {}).items():
            text = as_written(one.get("value")) if isinstance(one, dict) else as_written(one)
            self.variable(root, (*root.at, "variables", name), name, text or "", self.drafts.environment, self.exports)

    exports: list[str] = field(default_factory=list)

    def variable(
        self, part: Part, at: Location, name: str, text: str, into: dict[str, str], exports: list[str]
    ) -> None:
        if name.startswith(
            (
                "GIT_",
                "FF_",
                "SECURE_",
                "DOCKER_TLS",
                "KUBERNETES_",
                "TRANSFER_METER",
                "ARTIFACT_",
                "CACHE_COMPRESSION",
                "FASTZIP",
            )
        ) and name not in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
            part.say(Kind.NEEDLESS, at, f"{name}: a setting of GitLab's own runner", None, key=True)
            return
        if not good_variable(name):
            put_variables(into, {name: text}, lambda _, why: part.say(Kind.LEFT, at, why, "rename it", key=True))
        elif re.search(r"\$[A-Za-z_{(]", text.replace("$$", "")) and "\n" not in text:
            plain = re.sub(r"\$\{?(CI_\w+|GITLAB_CI)\}?", lambda m: VARIABLES.get(m[1], m[0]).replace('\\"', '"'), text)
            exports.append(
                'export {}="{}"'.format(name, re.sub(r'(?<!\\)"', '\\\\"', plain) if "$(" not in plain else plain)
            )
        else:
            into[name] = literal(text.replace("$$", "$") if "$" in text else text)

    # --- what a job takes from others ---------------------------------------------------------------------------------

    def extended(self, name: str, value: dict[str, Any], seen: frozenset[str]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for base in (as_written(one) or "" for _, one in flat(value.get("extends"), ())):
            below = self.raw.get(base)
            if isinstance(below, dict) and base not in seen and len(seen) < 12:
                merged = _merged(merged, self.extended(base, below, seen | {name}))
            else:
                document = self.documents.get(name, self.root.document)
                self.account.say(
                    Kind.LEFT,
                    document,
                    (name, "extends"),
                    f"extends {base[:60]!r}, which is not here",
                    "give the file that has it to the importer, too",
                    key=True,
                )
        return _merged(merged, {key: below for key, below in value.items() if key != "extends"})

    def followed(self, value: Any, depth: int = 0) -> Any:
        """`!reference [job, key]` replaced by what it names."""
        if isinstance(value, list):
            if value and value[0] == REFERENCE:
                below: Any = self.raw
                for part in value[1:]:
                    if isinstance(below, dict) and isinstance(part, str) and part in below:
                        below = below[part]
                        if isinstance(below, dict) and "extends" in below:
                            below = self.extended(part, below, frozenset())
                    else:
                        return [f"!reference {value[1:]}"] if depth else None
                return self.followed(below, depth + 1) if depth < 10 else None
            found = []
            for one in value:
                below = self.followed(one, depth + 1) if depth < 30 else one
                found += (
                    below
                    if isinstance(one, list) and one and one[0] == REFERENCE and isinstance(below, list)
                    else [below]
                )
            return found
        if isinstance(value, dict) and depth < 30:
            return {key: self.followed(below, depth + 1) for key, below in value.items()}
        return value

    # --- order --------------------------------------------------------------------------------------------------------

    def connect(self, order: list[tuple[int, str]]) -> None:
        by_stage: dict[int, list[str]] = {}
        for place, name in order:
            by_stage.setdefault(place, []).append(name)
        places = sorted(by_stage)
        for place, name in order:
            for draft in self.made.get(name, []):
                explicit = draft.rest.pop("_needs", None)
                mine = list(self.made[name])
                if explicit is not None:
                    for needed, artifacts in explicit.items():
                        for one in self.made.get(needed, []):
                            if one.approve is None and one not in mine:
                                draft.needs[one.name] = artifacts
                    continue
                before = [one for one in places if one < place]
                if not before or (draft.approve is None and any(other.approve for other in mine) and draft.needs):  # noqa: SIM102
                    if not before:
                        continue
                fetch = draft.rest.pop("_dependencies", None)
                for earlier in by_stage[before[-1]]:
                    for one in self.made.get(earlier, []):
                        if one.approve is None and not one.rest.get("_manual"):
                            draft.needs.setdefault(
                                one.name, bool(one.artifacts) and (fetch is None or earlier in fetch)
                            )
                for earlier in itertools.chain.from_iterable(by_stage[one] for one in before[:-1]):
                    for one in self.made.get(earlier, []):
                        if one.artifacts and (fetch is None or earlier in fetch) and not one.rest.get("_manual"):
                            draft.needs.setdefault(one.name, True)
        for draft in self.drafts.jobs:
            for key in ("_needs", "_dependencies", "_manual"):
                draft.rest.pop(key, None)
        ordered = [draft for _, name in sorted(order, key=lambda one: one[0]) for draft in self.made.get(name, [])]
        self.drafts.jobs = ordered


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        found[key] = (
            _merged(found[key], value)
            if isinstance(value, dict)
            and isinstance(found.get(key), dict)
            and key not in ("rules", "script", "cache", "image")
            else value
        )
    return found


def convert(documents: Sequence[Document], drafts: Drafts, account: Account, places: dict[str, Problem]) -> None:
    """The jobs of the files. The first is the file itself; the others are what it includes."""
    first, *others = sorted(documents, key=lambda one: not one.source.endswith((".gitlab-ci.yml", ".gitlab-ci.yaml")))
    Pipeline(Part(account, first, (), first.data), drafts, places, {one.source: one for one in others}).convert()
    for draft in drafts.jobs:
        if draft.rest.pop("_never", False):
            draft.when = {"event": "person"}
