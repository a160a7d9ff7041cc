"""What a value of the policy file may be: spans, paths, programs, addresses."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from farmgate.quantities import Duration
from farmgate.refs import HEADS, is_ref

_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\]|\*):(?P<port>[0-9]{1,5})")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH: Final = re.compile(r"/[!-~]*")
_URL: Final = re.compile(r"https?://[!-~]+")
LONGEST: Final = timedelta(days=30)


def _address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if not found or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"{text[:80]!r} is not an address to listen on, such as 127.0.0.1:8101")
    return f"{found['host'] or '127.0.0.1'}:{int(found['port'])}"


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a path, such as /healthz")
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a URL, such as https://example.org/hook")
    return text


def _path_or_url(text: str) -> str:
    if not (_PATH.fullmatch(text) or _URL.fullmatch(text)):
        raise ValueError(f"{text[:80]!r} is neither a path, such as /healthz, nor a URL")
    return text


def _repository(text: str) -> str:
    if not _REPOSITORY.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not the name of a repository")
    return text


def _branch(text: str) -> str:
    if not is_ref(HEADS + text) or text.startswith("refs/"):
        raise ValueError(f"{text[:80]!r} is not the name of a branch, such as main")
    return text


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command can")
    return text


def _bounded(span: timedelta) -> timedelta:
    if span > LONGEST:
        raise ValueError("is longer than 30d")
    return span


def _some(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        raise ValueError("must be more than 0s")
    return span


Address = Annotated[str, AfterValidator(_address)]
Branch = Annotated[str, AfterValidator(_branch)]
RepositoryName = Annotated[str, AfterValidator(_repository)]
Path = Annotated[str, AfterValidator(_path)]
Url = Annotated[str, Field(max_length=2000), AfterValidator(_url)]
PathOrUrl = Annotated[str, AfterValidator(_path_or_url)]
Span = Annotated[Duration, AfterValidator(_bounded)]
SomeSpan = Annotated[Duration, AfterValidator(_bounded), AfterValidator(_some)]
Argv = Annotated[tuple[Annotated[str, AfterValidator(_argument)], ...], Field(min_length=1, max_length=1000)]
ArtifactName = Annotated[str, Field(min_length=1, max_length=1024)]
Count = Annotated[int, Field(ge=1)]


class Written(BaseModel):
    """A mapping of the file: what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Frozen(BaseModel):
    """What rows store: round-trips through JSON, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
