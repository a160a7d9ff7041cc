"""What a run is compared with, and what of its jobs is left out because of that.

Rules:
1. A commit of a branch is compared with the branch's commit before it that has a run of its own, else with its first
   parent; a pull request with the merge base of its head and the branch that it goes into; a tag with the first parent.
2. What cannot be told (a first commit, a history that is not there, too many paths) is unknown: every path counts as
   changed. Git is asked only where a job's `when.paths` wants to know.
3. A job that is left out for its paths alone leans on the commit compared with: what that commit's jobs said and made
   still stands. So a run with such jobs is good only if that commit is (`scheduler.handing_over`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from farmgate.errors import FarmgateError
from farmgate.git import History
from farmgate.models import Trigger
from farmgate.pipeline import JobSpec
from farmgate.pipeline.conditions import Facts, unmet
from farmgate.refs import TAGS, branch_of
from farmgate.store.runs import LEFT_OUT

MOST_PATHS = 20_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's commit stands. `before`: the commit to compare with, where it is known; `base`: the branch that a
    pull request goes into, as a full ref; `tip_only`: nothing is known of what was before."""

    ref: str
    trigger: Trigger
    before: str | None = None
    base: str | None = None
    tip_only: bool = False


def compared_with(history: History, sha: str, place: Place) -> str | None:
    """Rule 1; None: unknown."""
    if place.tip_only:
        return None
    try:
        if place.trigger is Trigger.PULL:
            tip = history.refs().get(place.base) if place.base is not None else None
            return None if tip is None else history.merge_base(sha, tip)
        if place.before is not None:
            history.commit(place.before)
            return place.before
        return next(iter(history.commit(sha).parents), None)
    except FarmgateError:
        return None


def facts_of(history: History, sha: str, place: Place, specs: Iterable[JobSpec]) -> tuple[Facts, str | None]:
    """What conditions look at, and the commit that `changed` is counted from."""
    branch = place.base if place.trigger is Trigger.PULL else place.ref
    of = branch_of(branch) if branch is not None else None
    facts = Facts(
        branch=of,
        tag=place.ref.removeprefix(TAGS) if place.ref.startswith(TAGS) else None,
        event=str(place.trigger),
        changed=None,
    )
    if all(spec.when.paths is None for spec in specs):
        return facts, None
    since = compared_with(history, sha, place)
    return replace(facts, changed=_changed(history, since, sha)), since


def _changed(history: History, since: str | None, sha: str) -> Sequence[str] | None:
    if since is None:
        return None
    try:
        changed = history.changed_paths(since, sha)
    except FarmgateError:
        return None
    return None if len(changed) > MOST_PATHS else changed


def left_out(spec: JobSpec, facts: Facts) -> str | None:
    """Why the job's own condition does not hold, in words."""
    why = unmet(spec.when, facts)
    return None if why is None else LEFT_OUT + why


def origin_of(specs: Iterable[JobSpec], facts: Facts, since: str | None) -> dict[str, str]:
    """What a run keeps of it: `compared_with`, and `leans_on` if a job is left out for its paths alone (rule 3)."""
    if since is None:
        return {}
    leaning = any(
        spec.when.paths is not None
        and unmet(spec.when, facts) is not None
        and unmet(spec.when.model_copy(update={"paths": None}), facts) is None
        for spec in specs
    )
    return {"compared_with": since, "leans_on": since} if leaning else {"compared_with": since}
