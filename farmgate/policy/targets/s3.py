"""A static site in an S3 bucket: releases by digest, one object that switches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from farmgate.documents import Location
from farmgate.pipeline.values import Variable
from farmgate.policy.targets.base import Kind, TargetFile, TargetPolicy
from farmgate.policy.values import ArtifactName, SomeSpan, Url

if TYPE_CHECKING:
    from farmgate.policy.models import LanePolicy


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise ValueError(f"{text[:80]!r} is not the name of a bucket")
    return text


def _prefix(text: str) -> str:
    inner = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._/-]{0,500}", inner) or ".." in inner.split("/") or "//" in inner:
        raise ValueError(f"{text[:80]!r} is not a folder in a bucket, such as sites/shop")
    return inner


def _header(text: str) -> str:
    if not re.fullmatch(r"[ -~]{1,500}", text):
        raise ValueError("is not the value of an HTTP header")
    return text


def _ending(text: str) -> str:
    if not re.fullmatch(r"\.[A-Za-z0-9_-]{1,30}", text):
        raise ValueError(f"{text[:80]!r} is not the ending of a file, such as .html")
    return text.lower()


Header = Annotated[str, AfterValidator(_header)]
Ending = Annotated[str, AfterValidator(_ending)]
FilePattern = Annotated[str, Field(min_length=1, max_length=500)]


class S3File(TargetFile):
    """As people write it."""

    artifact: ArtifactName
    bucket: Annotated[str, AfterValidator(_bucket)]
    prefix: Annotated[str, AfterValidator(_prefix)] | None = None
    endpoint: Url | None = None
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,50}$")] | None = None
    access_key: Variable | None = None
    secret_key: Variable | None = None
    switch: Literal["index", "pointer"] | None = None
    index: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = None
    keep: Annotated[int, Field(ge=1, le=100)] | None = None
    cache: Annotated[Mapping[FilePattern, Header], Field(max_length=100)] | None = None
    content_types: Annotated[Mapping[Ending, Header], Field(max_length=200)] | None = None
    timeout: SomeSpan | None = None

    @model_validator(mode="after")
    def _together(self) -> S3File:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("'access_key' and 'secret_key' name two secrets: write both, or neither")
        return self


class S3Target(TargetPolicy):
    """A static site. The keys are names of the repository's secrets; None: those of the deploy loop's machine."""

    TAKES_SHARES: ClassVar[bool] = False

    type: Literal["s3"] = "s3"
    artifact: str
    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    switch: Literal["index", "pointer"] = "index"
    index: str = "index.html"
    keep: int = 5
    cache: Mapping[str, str] = Field(default_factory=dict)
    content_types: Mapping[str, str] = Field(default_factory=dict)
    timeout: timedelta = timedelta(minutes=30)

    @property
    def allowed(self) -> timedelta:
        return self.timeout

    @property
    def words(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def contradictions(self, lane: LanePolicy) -> Iterator[tuple[Location, str]]:
        for pattern in self.cache:
            if pattern.startswith(("/", "!")):
                yield ("target",), f"{pattern!r} in 'cache' is no pattern of the site's files, such as assets/**"


KIND = Kind("s3", S3File, S3Target, "deploy.targets.s3:make")
