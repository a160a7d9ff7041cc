"""A client of a Docker engine: this host's, or another's by a socket or over the network.

Rules:
1. Over the network both sides show certificates; the engine's has to be good for the name it is called by.
2. The private key is opened when it is needed, and lies in memory only: a file without a name holds it for the library.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

from farmgate.errors import TargetError
from farmgate.policy.targets.engines import Engine

ASK_SECONDS: Final = 5
"""How long an engine may take to say that it is there."""
_REACH_SECONDS: Final = 2
_WORK_SECONDS: Final = 60


def connect(name: str, engine: Engine, secret: Callable[[str], str]) -> Any:
    """A client of a host's engine. Raises TargetError, and what the client library raises."""
    import docker
    from docker.constants import MINIMUM_DOCKER_API_VERSION
    from docker.tls import TLSConfig

    if engine.engine.startswith("unix://"):
        client = docker.DockerClient(base_url=engine.engine, timeout=ASK_SECONDS)
        client.api.timeout = _WORK_SECONDS
        return client
    if engine.key is None or engine.certificate is None or engine.ca is None:
        raise TargetError(f"the host {name} has no certificates in the policy")
    where = urlsplit(engine.engine)
    with socket.create_connection((where.hostname, where.port), timeout=_REACH_SECONDS):
        pass  # a host that is off is silent: that is found out sooner than an engine may take for its first answer
    with ExitStack() as until:
        pems = (engine.ca, engine.certificate, secret(engine.key))
        ca, certificate, key = (_unnamed(text, until) for text in pems)
        url = engine.engine.replace("tcp://", "https://")
        tls = TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=True)

        def asked_as(version: str) -> Any:
            made = docker.DockerClient(base_url=url, tls=tls, timeout=ASK_SECONDS, version=version)
            made.api.trust_env = False  # else this process's own authorities would count instead of the policy's
            return made

        asking = asked_as(MINIMUM_DOCKER_API_VERSION)
        try:
            speaks = asking.api.version(api_version=False)["ApiVersion"]
        finally:
            asking.close()
        found = asked_as(speaks)
        found.api.timeout = _WORK_SECONDS
        weakref.finalize(found, until.pop_all().close)  # it reads the files for each connection
    return found


def _unnamed(text: str, until: ExitStack) -> str:
    """The path of a file that only this process has, as long as `until` is open."""
    if not hasattr(os, "memfd_create"):
        raise TargetError("engines at tcp:// are reached from Linux only: a key would lie on the disk elsewhere")
    file = until.enter_context(os.fdopen(os.memfd_create("farmgate"), "w"))
    file.write(text)
    file.flush()
    return f"/proc/self/fd/{file.fileno()}"
