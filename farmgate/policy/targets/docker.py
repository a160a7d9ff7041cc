"""Containers on a Docker engine, behind the switch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from farmgate.pipeline.values import Image
from farmgate.policy.targets.base import Kind
from farmgate.policy.targets.instances import InstancesFile, InstancesTarget
from farmgate.quantities import SizeBytes


class DockerFile(InstancesFile):
    """As people write it."""

    image: Image
    port: Annotated[int, Field(ge=1, le=65535)]
    memory: Annotated[SizeBytes, Field(ge=6 * 2**20)] | None = Field(None, serialization_alias="memory_bytes")
    cpus: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)] | None = None


class DockerTarget(InstancesTarget):
    """Containers on this host's Docker engine; the artifact is unpacked at /app."""

    type: Literal["docker"] = "docker"
    image: str
    port: int
    memory_bytes: int | None = None
    cpus: float | None = None


KIND = Kind("docker", DockerFile, DockerTarget, "deploy.targets.docker:make")
