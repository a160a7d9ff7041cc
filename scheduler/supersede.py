"""Work that something newer made needless. Pure.

Rules:
1. A new run of a branch or of a pull request ends the older open runs of the same ref, unless its file says
   `cancel_superseded: false`. One of the delivered branch does so only where its file says `true`; one of a tag never.
2. A re-run ends nobody, and nobody ends it: a person asked for just that commit, and may cancel it.
3. A run whose commit was handed over to delivery (a candidate), or stands on the delivered branch too, is not ended
   by what came to another ref.
4. Which runs those are is written with the new run, in one transaction (`store.superseding`): a run that ended at once
   supersedes as well. Their jobs are asked here, from the rows, until none is left that was not asked.
5. A running job that deploys is not ended in the middle: it ends by itself, the rest of its run is cancelled.
   Nor are its jobs that clean up after it (`when: {result: always}`), if something of it has begun.
6. In a group that says `cancel_older`, a job that is ready (or further) ends the jobs of older runs, as many as must go
   to make room for it; rules 2 and 5 hold here too, but for a re-run's being ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from farmgate import states
from farmgate.models import Trigger
from farmgate.pipeline.conditions import cleans_up
from farmgate.refs import HEADS
from farmgate.states import is_final
from scheduler.decisions import EndOlder, Supersede
from scheduler.groups import name_of
from scheduler.order import is_again
from scheduler.view import JobView, RunView, Snapshot

BEGUN = (states.Job.READY, states.Job.QUEUED, states.Job.RUNNING)


def ends_older(ref: str, default_branch: str, trigger: Trigger, said: bool | None, *, again: bool) -> bool:
    """Rules 1 and 2. `said`: `cancel_superseded` of its pipeline file."""
    if again or trigger is Trigger.TAG or not (ref.startswith(HEADS) or trigger is Trigger.PULL):
        return False
    if ref == HEADS + default_branch:
        return said is True
    return said is not False


def older_runs(snapshot: Snapshot, ended: frozenset[int]) -> Iterator[Supersede]:
    """Rules 4 and 5."""
    for run in snapshot.runs:
        if run.superseded_by is None:
            continue
        begun = run.state is states.Run.RUNNING and run.hold is None
        asked = tuple(
            job.id
            for job in run.jobs
            if job.id not in ended and _may_end(job) and not (begun and cleans_up(job.runs_when, job.needs, job.kind))
        )
        if asked:
            yield Supersede(run.id, run.superseded_by, asked, f"run {run.superseded_by} is newer")


def in_groups(snapshot: Snapshot, ended: frozenset[int]) -> Iterator[EndOlder]:
    """Rule 6."""
    groups: dict[str, list[tuple[JobView, RunView]]] = defaultdict(list)
    for run in snapshot.runs:
        for job in run.jobs:
            if job.exclusion is not None and job.id not in ended and not is_final(job.state):
                groups[job.exclusion].append((job, run))
    for group, members in groups.items():
        taking = [
            job
            for job, run in members
            if job.exclusion_cancels
            and job.state in BEGUN
            and job.cancel_asked is None
            and run.hold is None
            and not is_again(run)
        ]
        if not taking:
            continue
        newest = max(taking, key=lambda job: (job.run_id, job.id))
        older = sorted((job for job, _ in members if job.run_id < newest.run_id), key=lambda job: -job.id)
        for job in older[newest.exclusion_limit - 1 :]:
            if _may_end(job):
                yield EndOlder(job.id, f"superseded in group {name_of(group)} by run {newest.run_id}")


def _may_end(job: JobView) -> bool:
    """Rule 5."""
    if job.cancel_asked is not None or is_final(job.state):
        return False
    return job.state is not states.Job.RUNNING or job.deploys_to is None
