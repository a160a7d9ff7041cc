"""A job's steps, cut where the image changes. Pure.

Rules:
1. Steps that follow each other in the same image share a container; a step with an image of its own ends the run of
   those before it. Numbers go on: the third step is the third, whatever contains it.
2. Where the engine does not isolate, images mean nothing and there is one segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farmgate.pipeline import StepSpec


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps `first` to `last`, counted from 1, in one container of `image`."""

    part: int  # from 0
    image: str
    first: int
    last: int

    @property
    def script(self) -> str:
        """The name of its script, in the folder of the steps."""
        return f"job-{self.part}.sh" if self.part else "job.sh"


def segments(steps: Sequence[StepSpec], image: str, *, isolates: bool = True) -> tuple[Segment, ...]:
    """In order; at least one, and together all steps."""
    found: list[Segment] = []
    for number, step in enumerate(steps, start=1):
        wanted = (step.image or image) if isolates else image
        if found and found[-1].image == wanted:
            found[-1] = Segment(found[-1].part, wanted, found[-1].first, number)
        else:
            found.append(Segment(len(found), wanted, number, number))
    return tuple(found)
