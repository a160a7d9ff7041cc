"""Pipelines: the file in the repository, what it becomes, and the graph of its jobs. Pure."""

from __future__ import annotations

from farmgate.pipeline.models import JobSpec, Pipeline, StepSpec
from farmgate.pipeline.parsing import FILE_NAME, order, parse, parse_emitted
from farmgate.pipeline.standing import JOB_LIMIT

__all__ = ["FILE_NAME", "JOB_LIMIT", "JobSpec", "Pipeline", "StepSpec", "order", "parse", "parse_emitted"]
