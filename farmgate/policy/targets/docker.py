"""Containers on the Docker engines of one or several hosts, behind the switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from farmgate.documents import Location
from farmgate.pipeline.values import Image
from farmgate.policy.targets.base import Kind
from farmgate.policy.targets.engines import PORTS, Engine, EngineFiles, Ports, wrong
from farmgate.policy.targets.instances import InstancesFile, InstancesTarget
from farmgate.policy.values import Argv
from farmgate.quantities import SizeBytes

if TYPE_CHECKING:
    from farmgate.policy.models import LanePolicy


class DockerFile(InstancesFile):
    """As people write it."""

    image: Image | None = None
    built: Image | None = None
    command: Argv | None = None  # type: ignore[assignment]  # a built image knows its own
    port: Annotated[int, Field(ge=1, le=65535)]
    memory: Annotated[SizeBytes, Field(ge=6 * 2**20)] | None = Field(None, serialization_alias="memory_bytes")
    cpus: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)] | None = None
    hosts: EngineFiles | None = None
    ports: Ports | None = None


class DockerTarget(InstancesTarget):
    """Containers; the artifact is at /app. Either `image` or `built` is there.

    Instance i is on host i modulo the number of `hosts`, by their names; without any, on the deploy loop's own host.
    """

    type: Literal["docker"] = "docker"
    image: str | None = None
    built: str | None = None  # the name of an image that the commit's jobs built
    command: tuple[str, ...] = ()  # none: the built image's own
    port: int
    memory_bytes: int | None = None
    cpus: float | None = None
    hosts: Mapping[str, Engine] = Field(default_factory=dict)
    ports: str = f"{PORTS[0]}-{PORTS[1]}"  # which instances are given on hosts

    @property
    def words(self) -> str:
        hosts = f" on {len(self.hosts)} host{'' if len(self.hosts) == 1 else 's'}" if self.hosts else ""
        return f"{super().words}{hosts}"

    def contradictions(self, lane: LanePolicy) -> Iterator[tuple[Location, str]]:
        if self.image is None and self.built is None:
            yield ("target",), "say what runs: 'image', or 'built' for an image that a job builds"
        if self.image is not None and self.built is not None:
            yield ("target",), "'image' and 'built' are two images: leave one out"
        if self.image is not None and not self.command:
            yield ("target",), "'command' must be there: only an image that a job built brings its own"
        yield from wrong(self)
        if self.command == () and self.artifact is not None:
            yield ("target",), "the artifact lies at /app: say with 'command' what starts it"


KIND = Kind("docker", DockerFile, DockerTarget, "deploy.targets.docker_hosts:make")
