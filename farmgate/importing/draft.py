"""The jobs that are being made, in the words of the pipeline file.

Rules:
1. A job is written with its keys in the order of the reference, and only with those that say something.
2. A name is as close to the original as names allow, and stands once.
3. A value that the file would refuse is never put in: it is left, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.importing.writing import Noted

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
_PLACED: Final = re.compile(r"\$\{\{[^{}]*\}\}")


class Names:
    """Names of jobs, each once (rule 2)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, wanted: str) -> str:
        """A name near what is wanted."""
        base = name_of(wanted)
        found, number = base, 1
        while found in self._taken:
            number += 1
            found = f"{base[:58]}-{number}"
        self._taken.add(found)
        return found


def name_of(wanted: str) -> str:
    """Lower-case letters, digits, '-' and '_'."""
    plain = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_-]+", "-", wanted.lower())).strip("-_")
    return plain[:63].strip("-_") or "job"


def variable_of(wanted: str) -> str:
    """A variable's name near what is wanted: `python-version` is python_version."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", wanted)[:200]
    return plain if VARIABLE.fullmatch(plain) else f"_{plain}"


def good_variable(name: str) -> bool:
    """True if the file takes this name."""
    return VARIABLE.fullmatch(name) is not None and not name.startswith("FARMGATE_")


def good_image(image: str) -> bool:
    """True if the file takes this image, whatever its matrix puts in."""
    return IMAGE.fullmatch(_PLACED.sub("x", image)) is not None


def pattern_of(path: str) -> str | None:
    """A path of theirs as a pattern of ours, or None if it leaves the workspace."""
    plain = path.strip().strip("'\"")
    plain = re.sub(
        r"^(?:\$\{?(?:CI_PROJECT_DIR|GITHUB_WORKSPACE|TRAVIS_BUILD_DIR|CIRCLE_WORKING_DIRECTORY)\}?/)", "", plain
    )
    plain = re.sub(r"^(?:\./)+", "", plain)
    if plain in (".", "", "./", "**", "*"):
        return "**"
    if plain.endswith("/"):
        plain += "**"
    bad = (
        plain.startswith(("/", "~", "!", ".git/"))
        or "\\" in plain
        or ".." in plain.split("/")
        or "$" in _PLACED.sub("", plain)
    )
    if bad or re.match(r"[A-Za-z]:", plain) or any(ord(c) < 32 for c in plain) or plain == ".git" or len(plain) > 1000:
        return None
    return plain


def folder_patterns(path: str) -> list[str]:
    """A path that may be a file or a folder: `dist` is also `dist/**`."""
    if any(mark in path for mark in "*?") or re.search(r"\.[A-Za-z0-9]{1,5}$", path):
        return [path]
    return [path, f"{path}/**"]


def cache_path(path: str) -> str | None:
    """A path of a cache: in the workspace or below the home."""
    plain = path.strip()
    plain = re.sub(r"^(?:\$HOME|\$\{HOME\}|/home/(?:circleci|travis|runner)|/root)/", "~/", plain)
    if plain.startswith("~/"):
        below = pattern_of(plain[2:].rstrip("/"))
        return None if below is None or below == "**" else f"~/{below}"
    found = pattern_of(plain.rstrip("/"))
    return None if found == "**" else found


def duration_of(seconds: float) -> str:
    """As the file writes it, between a second and a day."""
    whole = max(1, min(int(seconds), 86_400))
    parts = []
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        number, whole = divmod(whole, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


@dataclass(slots=True)
class Draft:
    """A job that is being made."""

    name: str
    image: str | None = None
    needs: dict[str, bool | list[str]] = field(default_factory=dict)
    steps: list[Any] = field(default_factory=list)
    approve: str | None = None
    timeout: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)  # keys that stand for themselves
    when: dict[str, Any] = field(default_factory=dict)
    matrix: dict[str, Any] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    caches: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, list[str]] = field(default_factory=dict)
    builds: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # comments above the job
    pending: list[str] = field(default_factory=list)  # comments above the next step

    def step(self, run: str, **more: Any) -> None:
        """Add a step; `more` is what else it says."""
        run = run.strip("\n")
        said = {key: value for key, value in more.items() if value}
        whole: Any
        if said:
            first = {"name": said.pop("name")} if "name" in said else {}
            whole = {**first, "run": run + ("\n" if "\n" in run else ""), **said}
        else:
            whole = run + ("\n" if "\n" in run else "")
        if self.pending:
            whole = Noted(whole, tuple(self.pending))
            self.pending = []
        self.steps.append(whole)

    def artifact(self, paths: list[str], **more: Any) -> None:
        """Keep files."""
        once = list(dict.fromkeys(paths))
        if once:
            self.artifacts.append({"paths": once, **{key: value for key, value in more.items() if value}})

    def cache(
        self, key: str, paths: list[str], files: list[str] | None = None, fallback: list[str] | None = None
    ) -> None:
        """Keep folders from run to run; one cache of a key."""
        if not paths or any(cache["key"] == key for cache in self.caches):
            return
        made: dict[str, Any] = {"key": key}
        if files:
            made["files"] = files
        if fallback:
            made["fallback"] = fallback
        self.caches.append({**made, "paths": paths})

    def report(self, kind: str, paths: list[str]) -> None:
        """Read files as results."""
        known = self.reports.setdefault(kind, [])
        known += [path for path in paths if path not in known]

    @property
    def does_something(self) -> bool:
        """True if there is a job to write."""
        return bool(self.steps or self.builds or self.approve)

    def written(self) -> dict[str, Any]:
        """The job as the file has it (rule 1)."""
        needs = [
            name if artifacts is True else {"job": name, "artifacts": artifacts}
            for name, artifacts in self.needs.items()
        ]
        everything: dict[str, Any] = {
            "image": self.image,
            "needs": needs,
            "when": self.when,
            "matrix": self.matrix,
            "services": self.services,
            "environment": self.environment,
            "secrets": _short_secrets(self.secrets),
            "caches": self.caches,
            "approve": self.approve,
            "steps": [*self.steps],
            "builds": self.builds,
            "artifacts": [_short_artifact(one) for one in self.artifacts],
            "reports": self.reports,
            "timeout": self.timeout,
            **self.rest,
        }
        found = {key: value for key, value in everything.items() if value or value is False}
        if self.pending:
            self.notes += self.pending
            self.pending = []
        return found


def _short_secrets(secrets: Mapping[str, str]) -> Any:
    same = all(variable == name for variable, name in secrets.items())
    return list(secrets) if same else dict(secrets)


def _short_artifact(artifact: dict[str, Any]) -> Any:
    paths = artifact["paths"]
    return paths[0] if len(artifact) == 1 and len(paths) == 1 else artifact


@dataclass(slots=True)
class Drafts:
    """All jobs of the file that is being made, and what it says of all of them."""

    names: Names = field(default_factory=Names)
    jobs: list[Draft] = field(default_factory=list)
    image: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    cancel_superseded: bool | None = None
    notes: list[str] = field(default_factory=list)

    def add(self, wanted: str) -> Draft:
        """A new job, with a name of its own."""
        draft = Draft(self.names.make(wanted))
        self.jobs.append(draft)
        return draft


def put_variables(into: dict[str, str], variables: Mapping[str, str], refuse: Callable[[str, str], None]) -> None:
    """Variables that the file takes; the others go to `refuse`, with why."""
    for name, value in variables.items():
        if good_variable(name):
            into[name] = value
        elif name.startswith("FARMGATE_"):
            refuse(name, f"variable {name[:60]}: names that begin with FARMGATE_ are set by Farmgate")
        else:
            refuse(name, f"variable {name[:60]!r}: a name has letters, digits and '_', no digit first")
