"""The user's manifests on Kubernetes clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from farmgate.documents import Location
from farmgate.policy.targets.base import Kind, TargetFile, TargetPolicy
from farmgate.policy.values import ArtifactName, SomeSpan

if TYPE_CHECKING:
    from farmgate.policy.checks import Check
    from farmgate.policy.models import LanePolicy

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
ImageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}$")]
Word = Annotated[str, Field(min_length=1, max_length=253)]


class KubernetesFile(TargetFile):
    """As people write it."""

    artifact: ArtifactName
    path: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    namespace: Label
    namespaces: Annotated[tuple[Label, ...], Field(max_length=50)] | None = None
    cluster_objects: bool | None = None
    kubeconfig: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    contexts: Annotated[tuple[Word, ...], Field(min_length=1, max_length=50)] | None = None
    images: Annotated[Mapping[ImageName, ArtifactName], Field(max_length=100)] | None = None
    canary: Literal["pods", "route"] | None = None
    deployment: Name | None = None
    take_over: Annotated[tuple[Word, ...], Field(max_length=20)] | None = None
    start_within: SomeSpan | None = None
    restarts: Annotated[int, Field(ge=0, le=100)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None


class KubernetesTarget(TargetPolicy):
    """Objects in a namespace of one or several clusters."""

    HAS_ADDRESSES: ClassVar[bool] = True

    type: Literal["kubernetes"] = "kubernetes"
    artifact: str
    path: str | None = None  # a file or folder of the artifact
    namespace: str
    namespaces: tuple[str, ...] = ()  # others that its objects may be in
    cluster_objects: bool = False  # objects that belong to no namespace
    kubeconfig: str | None = None  # on the machine of the deploy loop; None: the cluster that it runs in
    contexts: tuple[str, ...] = ()  # of the kubeconfig: the clusters, in the order of waves; none: the current one
    images: Mapping[str, str] = Field(default_factory=dict)  # an image's name -> the candidate's artifact
    canary: Literal["pods", "route"] | None = None
    deployment: str | None = None  # the one that gets a canary, where there are several
    take_over: tuple[str, ...] = ()  # field managers from which fields may be taken
    start_within: timedelta = timedelta(minutes=10)
    restarts: int = 0  # how often a new container may end by itself before it counts
    port: int | None = None  # of a pod, where the deploy loop reaches pods

    @property
    def allowed(self) -> timedelta:
        return self.start_within * max(1, len(self.contexts))

    @property
    def words(self) -> str:
        where = f"kubernetes, namespace {self.namespace}"
        if len(self.contexts) > 1:
            where += f" of {len(self.contexts)} clusters"
        return f"{where}, canary by {self.canary}" if self.canary else where

    def contradictions(self, lane: LanePolicy) -> Iterator[tuple[Location, str]]:
        for index, wave in enumerate(lane.waves):
            if self.canary == "pods" and 50 < wave.share < 100:
                said = (
                    f"a canary by pods beside all that run takes at most half, not {wave.share} %: use `canary: route`"
                )
                yield ("waves", index, "share"), said
        if len(lane.waves) > 1 and self.canary is None and len(self.contexts) < 2:
            said = (
                "one cluster without a canary has everything or nothing: one wave of 100, or `canary`, or more contexts"
            )
            yield ("waves", 1, "share"), said
        if self.port is None:
            asked: list[tuple[Location, Check]] = [
                (("checks", index), check) for index, check in enumerate(lane.checks)
            ]
            for number, wave in enumerate(lane.waves):
                asked += [(("waves", number, "checks", index), check) for index, check in enumerate(wave.checks)]
            for place, check in asked:
                if check.needs == "addresses":
                    said = "no pod can be asked without `port` in the target: write a whole URL, a command, or the port"
                    yield place, said
        if len(set(self.contexts)) < len(self.contexts):
            yield ("target", "contexts"), "a context stands here twice"
        if self.contexts and self.kubeconfig is None:
            yield ("target", "contexts"), "contexts are those of a `kubeconfig`, which is missing"


KIND = Kind("kubernetes", KubernetesFile, KubernetesTarget, "deploy.targets.kube.target:make")
