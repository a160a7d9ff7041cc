"""Machines reached by ssh: releases in folders, one link that switches, a service that is started again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from farmgate.documents import Location
from farmgate.pipeline.values import Name, Variable
from farmgate.policy.targets.base import Kind, TargetFile, TargetPolicy
from farmgate.policy.values import Argv, ArtifactName, SomeSpan

if TYPE_CHECKING:
    from farmgate.policy.models import LanePolicy

HOST_LIMIT = 500


def _host(text: str) -> str:
    found = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:(?P<port>[0-9]{1,5}))?", text)
    if not found or not 0 < int(found["port"] or 22) < 65536:
        raise ValueError(f"{text[:80]!r} is not a host, such as web1.example.org or 10.0.0.7:2222")
    return text


def _folder(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._/-]{1,300}", text) or ".." in text.split("/") or text.rstrip("/").count("/") < 2:
        raise ValueError(f"{text[:80]!r} is not a folder of its own on the hosts, such as /srv/shop")
    return text.rstrip("/")


def _host_key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9@.-]* [A-Za-z0-9+/=]{32,3000}( [ -~]*)?", text):
        raise ValueError("is not a public host key, such as 'ssh-ed25519 AAAA...': ask the host with ssh-keyscan")
    return " ".join(text.split()[:2])


Host = Annotated[str, AfterValidator(_host)]
HostKey = Annotated[str, AfterValidator(_host_key)]
Group = Annotated[tuple[Host, ...], Field(min_length=1, max_length=HOST_LIMIT)]


class SshFile(TargetFile):
    """As people write it."""

    artifact: ArtifactName
    hosts: Annotated[Mapping[Name, Group], Field(min_length=1, max_length=100)]
    host_keys: Annotated[Mapping[Host, HostKey], Field(max_length=HOST_LIMIT)]
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
    key: Variable
    path: Annotated[str, AfterValidator(_folder)]
    restart: Argv | None = None
    stop: Argv | None = None
    health: Argv | None = None
    start_within: SomeSpan | None = None
    at_once: Annotated[int, Field(ge=1, le=50)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    keep: Annotated[int, Field(ge=1, le=100)] | None = None
    timeout: SomeSpan | None = None

    @model_validator(mode="after")
    def _together(self) -> SshFile:
        named = [host for group in self.hosts.values() for host in group]
        if len(named) > HOST_LIMIT:
            raise ValueError(f"has {len(named)} hosts, at most {HOST_LIMIT} are possible")
        twice = next((host for host in named if named.count(host) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} stands twice in 'hosts'")
        missing = [host for host in named if host not in self.host_keys]
        if missing:
            shown = ", ".join(missing[:5])
            raise ValueError(f"'host_keys' has no key of {shown}: nobody is trusted at first sight; see ssh-keyscan")
        return self


class SshTarget(TargetPolicy):
    """Groups of hosts, the first group first; shares are percent of all hosts. `key`: the name of a secret."""

    HAS_ADDRESSES: ClassVar[bool] = True

    type: Literal["ssh"] = "ssh"
    artifact: str
    hosts: Mapping[str, tuple[str, ...]]
    host_keys: Mapping[str, str]
    user: str
    key: str
    path: str
    restart: tuple[str, ...] | None = None
    stop: tuple[str, ...] | None = None
    health: tuple[str, ...] | None = None
    start_within: timedelta = timedelta(seconds=60)
    at_once: int = 1
    port: int | None = None
    keep: int = 3
    timeout: timedelta = timedelta(minutes=5)

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """In the order in which they are switched."""
        return tuple(host for group in self.hosts.values() for host in group)

    @property
    def allowed(self) -> timedelta:
        turns = -(-len(self.all_hosts) // self.at_once)
        return turns * (2 * self.timeout + self.start_within)

    @property
    def words(self) -> str:
        count = len(self.all_hosts)
        return f"ssh, {count} host{'' if count == 1 else 's'}"

    def contradictions(self, lane: LanePolicy) -> Iterator[tuple[Location, str]]:
        for index, check in enumerate(lane.checks):
            path = getattr(check, "http", None)
            if self.port is None and isinstance(path, str) and path.startswith("/"):
                yield ("checks", index, "http"), "the target has no 'port' at which its hosts could be asked this path"


KIND = Kind("ssh", SshFile, SshTarget, "deploy.targets.ssh:make")
