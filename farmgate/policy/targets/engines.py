"""The hosts of a docker target: how the engine of each is reached, and where its instances are.

Rules:
1. An engine is as much as root on its host: beyond this machine it is reached with a certificate of ours, and shows
   one of its own.
2. The private key is a secret of the repository; what is not secret stands in the policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field

from farmgate.documents import Location
from farmgate.pipeline.values import Name, Variable
from farmgate.policy.values import Frozen, Written

if TYPE_CHECKING:
    from farmgate.policy.targets.docker import DockerTarget

ENGINE_LIMIT: Final = 32
PORTS: Final = (20000, 29999)
_UNIX: Final = re.compile(r"unix:///[A-Za-z0-9._/-]{1,90}")
_TCP: Final = re.compile(r"tcp://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:(?P<port>[0-9]{1,5})")
_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,2})")


def _engine(text: str) -> str:
    found = _TCP.fullmatch(text)
    if _UNIX.fullmatch(text) or (found and 0 < int(found["port"]) < 65536):
        return text
    raise ValueError(
        f"{text[:80]!r} is no engine that can be reached, such as tcp://10.0.0.12:2376 or unix:///run/docker.sock"
    )


def _ip(text: str) -> str:
    parts = text.split(".")
    if len(parts) != 4 or not all(_NUMBER.fullmatch(part) and int(part) < 256 for part in parts) or int(parts[0]) == 0:
        raise ValueError(f"{text[:80]!r} is no address of one host, such as 10.0.0.12")
    return text


def _ports(text: str) -> str:
    first, dash, last = text.partition("-")
    if not dash or not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise ValueError(f"{text[:80]!r} are no ports, such as 20000-29999")
    if not 1024 <= int(first) < int(last) < 65536 or int(last) - int(first) < 99:
        raise ValueError("ports are at least 100 in a row between 1024 and 65535")
    return text


def _pem(text: str) -> str:
    if not re.search(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", text):
        raise ValueError("is no certificate: it begins with -----BEGIN CERTIFICATE-----")
    if "PRIVATE KEY" in text:
        raise ValueError("holds a private key, which is a secret: farmgate secret set, and its name as 'key'")
    return text.strip() + "\n"


Pem = Annotated[str, Field(max_length=65536), AfterValidator(_pem)]
Ports = Annotated[str, AfterValidator(_ports)]


class EngineFile(Written):
    """As people write it."""

    engine: Annotated[str, AfterValidator(_engine)]
    address: Annotated[str, AfterValidator(_ip)]
    ca: Pem | None = None
    certificate: Pem | None = None
    key: Variable | None = None


class Engine(Frozen):
    """As rows keep it. Its instances are at `address`, which is the host's own; `key`: the name of a secret."""

    engine: str
    address: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


EngineFiles = Annotated[Mapping[Name, EngineFile], Field(min_length=1, max_length=ENGINE_LIMIT)]


def wrong(target: DockerTarget) -> Iterator[tuple[Location, str]]:
    """What the hosts of a target contradict: the place within the lane, and why."""
    if target.hosts and target.instances < len(target.hosts):
        idle = ", ".join(sorted(target.hosts)[target.instances :])
        words = f"{len(target.hosts)} hosts and {target.instances} instances: nothing would run on {idle}"
        yield ("target", "instances"), f"{words}; let 'instances' be {len(target.hosts)} or more"
    seen: dict[str, str] = {}
    for name, host in target.hosts.items():
        for key in ("engine", "address"):
            other = seen.setdefault(getattr(host, key), name)
            if other != name:
                yield ("target", "hosts", name, key), f"{other} has the same {key}: each host stands here once"
        for key in ("ca", "certificate", "key"):
            there = getattr(host, key) is not None
            if host.engine.startswith("tcp://") and not there:
                words = "an engine that is open to whoever reaches it gives away the whole host"
                yield ("target", "hosts", name), f"'{key}' must be there: {words}"
            if host.engine.startswith("unix://") and there:
                yield ("target", "hosts", name, key), "is for engines at tcp://; a socket has none"
