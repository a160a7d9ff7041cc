"""From what was written to what is run: a job of the file, with every default applied.

Rules:
1. Variables: the file's, the job's over them, then the cell's MATRIX_NAME and the shard's FARMGATE_SHARD of
   FARMGATE_SHARDS.
2. A job brings the artifacts of what it needs into its workspace, unless it says otherwise.
3. A cache's own key is the beginning that it falls back to, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farmgate.pipeline.file import JobFile
from farmgate.pipeline.matrix import Unfolded
from farmgate.pipeline.models import (
    ApproveSpec,
    ArtifactSpec,
    BuildSpec,
    CacheSpec,
    ConcurrencySpec,
    FetchSpec,
    HealthSpec,
    JobSpec,
    ReportsSpec,
    RetrySpec,
    ServiceSpec,
    StepSpec,
    WhenSpec,
)
from farmgate.pipeline.parts import AllowFileFailure, CacheFile, NeedFile, ServiceFile, StepFile


@dataclass(frozen=True, slots=True)
class Base:
    """What the file says for all its jobs."""

    image: str | None
    environment: Mapping[str, str]


def job_spec(family: str, job: Unfolded, written: JobFile, base: Base, names: Mapping[str, tuple[str, ...]]) -> JobSpec:
    """`names`: the jobs of each job of the file."""
    own = {f"MATRIX_{name.upper()}": value for name, value in job.cell.items()}
    if job.shard is not None:
        own |= {"FARMGATE_SHARD": str(job.shard.number), "FARMGATE_SHARDS": str(job.shard.of)}
    return JobSpec(
        name=job.name,
        family=family,
        family_at_once=written.matrix.at_once if written.matrix else None,
        matrix=job.cell,
        shard=job.shard,
        image=written.image if written.image is not None else base.image,
        needs=tuple(name for need in written.needs for name in names[need.job]),
        fetch=tuple(_fetch(name, need) for need in written.needs for name in names[need.job] if need.artifacts),
        steps=tuple(_step(step) for step in written.steps),
        approve=None if written.approve is None else ApproveSpec(**dict(written.approve)),
        timeout=written.timeout,
        environment={**base.environment, **written.environment, **own},
        artifacts=tuple(ArtifactSpec(**dict(artifact)) for artifact in written.artifacts),
        memory_bytes=written.memory,
        cpus=written.cpus,
        pool=written.pool,
        labels=written.labels,
        priority=written.priority,
        retry=None if written.retry is None else RetrySpec(**dict(written.retry)),
        allow_failure=_allowed(written.allow_failure),
        when=WhenSpec() if written.when is None else WhenSpec(**dict(written.when)),
        concurrency=None if written.concurrency is None else ConcurrencySpec(**dict(written.concurrency)),
        services=tuple(_service(name, service) for name, service in written.services.items()),
        caches=tuple(_cache(cache) for cache in written.caches),
        reports=ReportsSpec() if written.reports is None else ReportsSpec(**dict(written.reports)),
        builds=tuple(BuildSpec(**dict(build)) for build in written.builds),
        secrets=written.secrets,
        identity={variable: identity.audience for variable, identity in written.identity.items()},
        inputs=written.inputs,
        reuse=written.reuse and written.deploys_to is None,
        deploys_to=written.deploys_to,
        emits=written.emits,
    )


def _step(step: StepFile) -> StepSpec:
    first = next(line.strip() for line in step.run.splitlines() if line.strip())
    name = step.name or (first if len(first) <= 80 else first[:79] + "…")
    return StepSpec(**{**dict(step), "name": name})


def _fetch(job: str, need: NeedFile) -> FetchSpec:
    return FetchSpec(job=job, patterns=need.artifacts if isinstance(need.artifacts, tuple) else None)


def _allowed(written: bool | AllowFileFailure) -> bool | tuple[int, ...]:
    return written.on_exit if isinstance(written, AllowFileFailure) else written


def _service(name: str, service: ServiceFile) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        image=service.image,
        environment=service.environment,
        command=service.command,
        entrypoint=service.entrypoint,
        health=None if service.health is None else HealthSpec(**dict(service.health)),
        memory_bytes=service.memory,
        cpus=service.cpus,
    )


def _cache(cache: CacheFile) -> CacheSpec:
    beginning = (cache.key,) if cache.files else ()  # without files the key itself is all there is
    fallback = beginning if cache.fallback is None else cache.fallback
    return CacheSpec(key=cache.key, files=cache.files, fallback=fallback, paths=cache.paths)
