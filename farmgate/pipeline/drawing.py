"""A pipeline as a graph that people read: what runs beside what, after what, and under which conditions.

Rules:
1. A job of the file is one line, however many cells and shards it has.
2. Its stage is the longest way to it: what stands in one stage can run at the same time.
3. What decides about a job (conditions, groups, questions, what is allowed to fail) is said in words at its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farmgate.pipeline.graph import order
from farmgate.pipeline.models import JobSpec, Pipeline
from farmgate.quantities import show_duration


@dataclass(frozen=True, slots=True)
class Line:
    """A job of the file."""

    name: str
    stage: int  # from 1
    needs: tuple[str, ...]  # jobs of the file
    jobs: tuple[str, ...]  # what it becomes
    notes: tuple[str, ...]


def lines(pipeline: Pipeline) -> tuple[Line, ...]:
    """By stage, within a stage as they stand in the file."""
    families: dict[str, list[JobSpec]] = {}
    for job in pipeline.jobs.values():
        families.setdefault(job.family or job.name, []).append(job)
    family_of = {job.name: job.family or job.name for job in pipeline.jobs.values()}
    needs = {name: tuple(dict.fromkeys(family_of[need] for need in jobs[0].needs)) for name, jobs in families.items()}
    stage: dict[str, int] = {}
    for name in order(needs):
        stage[name] = 1 + max((stage[need] for need in needs[name]), default=0)
    found = [
        Line(name, stage[name], needs[name], tuple(job.name for job in jobs), tuple(_notes(jobs)))
        for name, jobs in families.items()
    ]
    return tuple(sorted(found, key=lambda line: line.stage))


def _notes(jobs: Sequence[JobSpec]) -> Iterator[str]:
    first = jobs[0]
    if len(jobs) > 1:
        limit = f", at most {first.family_at_once} at a time" if first.family_at_once else ""
        yield f"{len(jobs)} jobs{limit}"
    if first.approve is not None:
        who = f" of {', '.join(first.approve.by)}" if first.approve.by else ""
        yield f"asks a person{who}: {first.approve.text.splitlines()[0][:80]}"
    for word, patterns in (
        ("branch", first.when.branch),
        ("tag", first.when.tag),
        ("event", first.when.event),
        ("paths", first.when.paths),
    ):
        if patterns is not None:
            yield f"when {word} is {', '.join(patterns)}" if word != "paths" else f"when {', '.join(patterns)} changed"
    if first.when.result == "failed":
        yield "when what it needs failed"
    elif first.when.result == "always":
        yield "however what it needs ended"
    if first.concurrency is not None:
        group = first.concurrency
        over = " per branch" if group.scope == "ref" else ""
        full = "ends older ones" if group.when_full == "cancel_older" else "waits its turn"
        yield f"group {group.group}{over}: {group.limit} at a time, {full}"
    if first.allow_failure:
        yield "may fail"
    if first.retry is not None and first.retry.times:
        yield f"up to {first.retry.times} more tries"
    if first.deploys_to is not None:
        yield f"changes {first.deploys_to}"
    if first.emits is not None:
        yield f"emits jobs: {first.emits}"
    if first.pool != "default":
        yield f"pool {first.pool}"
    if first.inputs:
        yield "reused where its inputs are the same"


def as_text(pipeline: Pipeline) -> str:
    """A block for each stage."""
    found = lines(pipeline)
    width = max(len(line.name) for line in found)
    written: list[str] = []
    for at, line in enumerate(found):
        if at == 0 or found[at - 1].stage != line.stage:
            written.append(f"{'' if at == 0 else chr(10)}stage {line.stage}")
        after = f"  after {', '.join(line.needs)}" if line.needs else ""
        written.append(f"  {line.name:<{width}}{after}".rstrip())
        written += [f"  {'':<{width}}  · {note}" for note in line.notes]
    return "\n".join(written) + "\n"


def as_dot(pipeline: Pipeline) -> str:
    """For Graphviz."""
    written = ["digraph pipeline {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    found = lines(pipeline)
    for line in found:
        label = "\\n".join(_quoted(text) for text in (line.name, *line.notes))
        shape = ", shape=diamond" if any(note.startswith("asks a person") for note in line.notes) else ""
        written.append(f'  "{line.name}" [label="{label}"{shape}];')
    written += [f'  "{need}" -> "{line.name}";' for line in found for need in line.needs]
    return "\n".join([*written, "}"]) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def as_data(pipeline: Pipeline) -> Mapping[str, object]:
    """For tools."""
    found = lines(pipeline)
    return {
        "stages": [
            [line.name for line in found if line.stage == stage]
            for stage in range(1, max(line.stage for line in found) + 1)
        ],
        "jobs": [
            {
                "name": line.name,
                "stage": line.stage,
                "needs": list(line.needs),
                "jobs": list(line.jobs),
                "notes": list(line.notes),
                "timeout": show_duration(pipeline.jobs[line.jobs[0]].timeout),
            }
            for line in found
        ],
    }
