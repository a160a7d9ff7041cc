"""The order of jobs: stages, `needs` and `dependencies`, as needs with or without artifacts.

Rules:
1. `needs` is all that a job waits for. Without it, a job needs every job of the stage before, and the artifacts of all
   stages before, as far as `dependencies` wants them.
2. Nobody waits for a job that a person starts; that job waits for the one that asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from farmgate.importing.draft import Draft


@dataclass(slots=True)
class Made:
    """What became of a job of GitLab."""

    stage: int
    job: Draft
    ask: Draft | None = None  # the job that a person is asked by (rule 2)
    needs: Mapping[str, bool] | None = None  # name of a job there -> with its artifacts
    dependencies: Sequence[str] | None = None

    @property
    def drafts(self) -> list[Draft]:
        """Its jobs here, in their order."""
        return [self.job] if self.ask is None else [self.ask, self.job]

    def wants(self, name: str) -> bool:
        """True if it takes the artifacts of a job of an earlier stage."""
        return self.dependencies is None or name in self.dependencies


def connect(made: Mapping[str, Made]) -> list[Draft]:
    """Say the needs of all jobs; all jobs in the order of their stages."""
    for one in made.values():
        if one.needs is not None:
            _by_needs(one, made, one.needs)
        else:
            _by_stages(one, made)
    return [draft for one in sorted(made.values(), key=lambda one: one.stage) for draft in one.drafts]


def _by_needs(one: Made, made: Mapping[str, Made], needs: Mapping[str, bool]) -> None:
    for draft in one.drafts:
        for name, artifacts in needs.items():
            needed = made.get(name)
            if needed is not None and needed is not one:
                draft.needs[needed.job.name] = artifacts


def _by_stages(one: Made, made: Mapping[str, Made]) -> None:
    before = sorted({other.stage for other in made.values() if other.stage < one.stage}, reverse=True)
    for draft in one.drafts:
        for name, earlier in _of_stages(before[:1], made):
            draft.needs.setdefault(earlier.name, bool(earlier.artifacts) and one.wants(name))
        for name, earlier in _of_stages(reversed(before[1:]), made):
            if earlier.artifacts and one.wants(name):
                draft.needs.setdefault(earlier.name, True)


def _of_stages(stages: Iterable[int], made: Mapping[str, Made]) -> Iterator[tuple[str, Draft]]:
    """The jobs of some stages that start by themselves."""
    for stage in stages:
        for name, other in made.items():
            if other.stage == stage and other.ask is None:
                yield name, other.job
