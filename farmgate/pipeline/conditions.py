"""When a job runs: its `when` against what is known of the run.

Rules:
1. Every key that stands must hold. The first that does not decides, and is told in words that a person can act on.
2. `branch` is the branch that was pushed; of a pull request the branch that it goes into. A run of a tag has no branch,
   a run of a branch has no tag: a condition on what is not there does not hold.
3. `paths` holds if at least one changed path fits. What changed may be unknown (a first commit, too many paths): then
   they count as touched, since a job too many is cheaper than one too few.
4. Patterns are read as `globs` says; for branches and tags `*` does not cross a `/`, `**` does.
5. `when.result` looks at other jobs and is decided where these are known: by the plan. A job that runs however these
   ended cleans up after them, also when their run is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farmgate.models import JobKind
from farmgate.pipeline import globs
from farmgate.pipeline.models import WhenSpec


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run. `event`: push, tag, pull, person. `changed`: paths; None: unknown."""

    branch: str | None
    tag: str | None
    event: str
    changed: Sequence[str] | None


def unmet(when: WhenSpec, facts: Facts) -> str | None:
    """The condition that decided against the job, in words; None: all hold."""
    if when.branch is not None and not (facts.branch and globs.fits(when.branch, facts.branch)):
        return f"`when.branch` wants {_listed(when.branch)}, this is {_ref(facts)}"
    if when.tag is not None and not (facts.tag and globs.fits(when.tag, facts.tag)):
        return f"`when.tag` wants {_listed(when.tag)}, this is {_ref(facts)}"
    if when.event is not None and facts.event not in when.event:
        return f"`when.event` wants {_listed(when.event)}, this is {facts.event}"
    if when.paths is None or facts.changed is None or any(inputs_match(when.paths, path) for path in facts.changed):
        return None
    return f"`when.paths` wants {_listed(when.paths)}, {_paths(facts.changed)}"


def inputs_match(patterns: Sequence[str], path: str) -> bool:
    """True if the patterns of `when.paths` or `inputs` take the path; no pattern takes nothing."""
    return bool(patterns) and globs.fits(patterns, path, folders=True)


def _ref(facts: Facts) -> str:
    if facts.branch:
        return facts.branch[:200]
    return f"tag {facts.tag[:200]}" if facts.tag else "neither a branch nor a tag"


def _listed(patterns: Sequence[str], most: int = 5) -> str:
    """`main or release/*, but not release/old`."""
    wanted = [pattern[:100] for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:101] for pattern in patterns if pattern.startswith("!")]
    said = _or(wanted, most) if wanted else "anything"
    return f"{said}, but not {_or(unwanted, most)}" if unwanted else said


def _or(names: Sequence[str], most: int) -> str:
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _paths(changed: Sequence[str], most: int = 3) -> str:
    if not changed:
        return "nothing changed"
    shown = ", ".join(path[:100] for path in changed[:most])
    return f"changed: {shown}" + (f" and {len(changed) - most} more" if len(changed) > most else "")


def cleans_up(runs_when: str, needs: Sequence[str], kind: JobKind) -> bool:
    """Rule 5. One that needs nothing is a job like any other, and nobody is asked about a run that was cancelled."""
    return runs_when == "always" and bool(needs) and kind is JobKind.WORK
