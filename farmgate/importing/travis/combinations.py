"""The jobs that Travis would make: versions x environments, and what `jobs` includes, excludes and lets fail.

Rules:
1. `include` alone is all there is; beside axes it adds to their product.
2. What runs on another system or processor is left, as a step that was not converted.
3. Combinations that share commands, stage and kinds of values are one group: one job with a matrix.

Follows "Build Matrix" of Travis' documentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from farmgate.documents import as_written
from farmgate.importing.account import Kind, Part, kind_of
from farmgate.importing.travis.environment import Environment, literal, variables
from farmgate.importing.travis.languages import ALIASES, LANGUAGES, VERSIONS, Language
from farmgate.importing.travis.needless import NEEDLESS
from farmgate.importing.travis.phases import PHASES

_AXES: Final = (
    "os",
    "dist",
    "arch",
    "compiler",
    "osx_image",
    "gemfile",
    "jdk",
    "mono",
    "dotnet",
    "elixir",
    "otp_release",
)


_OWN: Final = frozenset(
    (
        *PHASES,
        "language",
        "services",
        "addons",
        "cache",
        "if",
        "before_deploy",
        "deploy",
        "after_failure",
        "workspaces",
    )
)


@dataclass(frozen=True, slots=True)
class Combination:
    """One job of Travis: its values (`env.NAME` for variables), and what it says for itself."""

    values: Mapping[str, str]
    own: Part | None = None
    stage: str = "test"
    name: str | None = None
    may_fail: bool = False

    @property
    def seen(self) -> Mapping[str, str]:
        """All that an entry of `allow_failures` may ask for."""
        return {**self.values, "name": self.name or "", "stage": self.stage}


def language_of(part: Part) -> Language:
    """The language of the file or of a job, with its defaults; a list's first."""
    word = as_written(part.take("language"))
    if isinstance(part.value.get("language"), list):
        words = part.texts("language")
        word = words[0] if words else None
        if len(words) > 1:
            part.left("language", f"several languages; the image is that of {word}", "use an image that has them all")
    if word is None:
        word = next(
            (VERSIONS[key] for key in part.names() if key in VERSIONS and key not in ("compiler", "jdk")), "ruby"
        )
    plain = word.strip().lower()
    plain = ALIASES.get(plain, plain)
    if plain not in LANGUAGES:
        part.left("language", f"language {word!r} has no image that the importer knows", "name the image of the jobs")
        plain = "generic"
    return LANGUAGES[plain]


def combinations(root: Part, environment: Environment) -> list[Combination]:
    """All jobs of Travis that run on Linux: the axes' product, with `include`, without `exclude`."""
    language = language_of(root)
    axes: dict[str, list[str]] = {}
    for key in _keys(language):
        if key not in root or key in axes or (key == "php" and language.key != "php"):
            continue
        versions = [text for text in root.texts(key) if text]
        if versions:
            axes[key] = versions
    unfolded = [
        Combination({**dict(zip(axes, values, strict=True)), **_as_values(cell)})
        for values in itertools.product(*axes.values())
        for cell in environment.cells or [{}]
    ]
    jobs = _jobs(root)
    found = unfolded if jobs is None else _with_jobs(jobs, language, axes, unfolded)
    return [one for one in found if _runs_here(root, one)]


def groups(combos: Sequence[Combination]) -> list[list[Combination]]:
    """Jobs that share commands, stage and kinds of values (rule 3)."""
    found: dict[Any, list[Combination]] = {}
    for number, one in enumerate(combos):
        kept = {key: value for key, value in one.values.items() if key not in ("os", "arch", "osx_image")}
        own = (number,) if one.own is not None else ()
        key = (own, one.stage.lower(), one.may_fail, tuple(sorted(kept)))
        found.setdefault(key, []).append(replace(one, values=kept))
    return list(found.values())


def fits(entry: Mapping[str, str], values: Mapping[str, str]) -> bool:
    """True if all that the entry says is so; what Travis leaves to its defaults fits Linux."""
    defaults = {"os": "linux", "arch": "amd64"}
    return all(
        values.get(key, defaults.get(key)) == value for key, value in entry.items() if key not in ("sudo", "group")
    )


def _keys(language: Language) -> list[str]:
    """The keys that hold versions or kinds of machines, the language's own first."""
    return [key for key in dict.fromkeys((language.key, *_AXES, *VERSIONS)) if key != "env"]


def _as_values(cell: Mapping[str, str]) -> dict[str, str]:
    return {f"env.{name}": value for name, value in cell.items()}


def _jobs(root: Part) -> Part | None:
    """`jobs`, or `matrix` as it was called: a mapping, or just the list that `include` would be."""
    part = None
    for key in ("jobs", "matrix"):
        value = root.take(key)
        if isinstance(value, dict):
            part = root.below(key, value)
        elif isinstance(value, list):
            part = Part(root.account, root.document, root.at, {key: value})
    return part


def _with_jobs(
    jobs: Part, language: Language, axes: Mapping[str, list[str]], unfolded: list[Combination]
) -> list[Combination]:
    """Rule 1."""
    jobs.needless("fast_finish", "a run tells as soon as it knows")
    for entry in _entries(jobs, "exclude"):
        unfolded = [one for one in unfolded if not fits(entry, one.values)]
    stage = "test"
    more: list[Combination] = []
    include = jobs.listed("include") or jobs.listed("jobs") or jobs.listed("matrix")
    for at, value in include:
        listed = jobs.at_part(at, value)
        if listed is None:
            continue
        stage = listed.text("stage") or stage
        more.append(_included(listed, language, axes, stage))
    if include and len(unfolded) == 1:  # nothing was unfolded: the listed jobs are all there are
        unfolded = []
    may_fail = _entries(jobs, "allow_failures")
    jobs.close("jobs")
    return [replace(one, may_fail=any(fits(entry, one.seen) for entry in may_fail)) for one in (*unfolded, *more)]


def _included(entry: Part, language: Language, axes: Mapping[str, list[str]], stage: str) -> Combination:
    values = {key: found[0] for key, found in axes.items()}
    for key in _keys(language):
        if key in entry and (found := entry.texts(key)):
            values[key] = found[0]
    env = entry.value.get("env")
    for at, one in entry.listed("env") if isinstance(env, list) else [((*entry.at, "env"), entry.take("env"))]:
        if one is not None:
            values.update(_as_values(literal(variables(entry, at, one))))
    name = entry.text("name")
    for key in ("sudo", "group", "git", "virt", "vm", "notifications"):
        entry.needless(key, NEEDLESS[key])
    speaks = not _OWN.isdisjoint(entry.names())
    for key in _OWN:
        entry.take(key)
    entry.close("a job")
    return Combination(values, entry if speaks else None, stage=stage, name=name)


def _entries(part: Part, key: str) -> list[dict[str, str]]:
    """What `exclude` or `allow_failures` ask for, one mapping of values each."""
    found = []
    for at, value in part.listed(key):
        if not isinstance(value, dict):
            part.say(Kind.LEFT, at, f"{key}: {kind_of(value)} where a mapping is wanted", "write it by hand")
            continue
        entry: dict[str, str] = {}
        for name, one in value.items():
            if name == "env":
                words = " ".join(map(str, one)) if isinstance(one, list) else one
                entry.update(_as_values(literal(variables(part, at, words))))
                continue
            text = as_written(one[0] if isinstance(one, list) and one else one)
            if text is not None:
                entry[name] = text
        if entry:
            found.append(entry)
    return found


def _runs_here(root: Part, one: Combination) -> bool:
    """Rule 2."""
    system, arch = one.values.get("os", "linux"), one.values.get("arch", "amd64")
    if not system.startswith("linux"):
        where, kind, remedy = "os", system, "nodes run Linux containers: keep that job where it is"
    elif arch not in ("amd64", "x86_64"):
        where, kind, remedy = "arch", arch, "add a node of that kind, and name its label in 'labels'"
    else:
        return True
    root.account.step_left(f"a job on {kind}")
    at = one.own.at if one.own else (*root.at, where)
    root.say(Kind.LEFT, at, f"a job on {kind}", remedy, key=True)
    return False
