"""What a pipeline is, once its file has been read: every default applied, nothing left to guess.

Rules:
1. These models are what rows store and messages carry: they round-trip through JSON and refuse what they do not know.
2. `image`, `memory_bytes` and `cpus` are None where the file names none: the node's own default applies.
3. `needs` may only name jobs of the same pipeline, and never leads back to the job itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepSpec(_Frozen):
    """Commands of a job, run by `sh -e` in the workspace. `name` is what people see."""

    name: str
    run: str


class JobSpec(_Frozen):
    """A node of the graph. Units: `timeout` as timedelta, `memory_bytes` in bytes, `cpus` in processors."""

    name: str
    image: str | None
    needs: tuple[str, ...]
    steps: tuple[StepSpec, ...]
    timeout: timedelta
    environment: Mapping[str, str]
    artifacts: tuple[str, ...]
    memory_bytes: int | None
    cpus: float | None
    pool: str


class Pipeline(_Frozen):
    """The whole file: jobs by name, in the order of the file."""

    jobs: Mapping[str, JobSpec]
