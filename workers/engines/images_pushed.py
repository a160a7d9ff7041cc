"""Built images on their way to the farm's registry.

Rules:
1. The engine sends them itself. The login goes to it in a header of the request, over its socket: no argument, no file,
   no container has it.
2. What the registry took is called by its digest, as it said itself; the engine keeps the tag, as its cache.
3. A registry that does not answer, or has trouble of its own, is lost infrastructure. One that will not take the image
   from us is an error that names the setting.
"""

from __future__ import annotations

import re
from typing import Any, Final

from docker import auth
from docker.errors import APIError

from farmgate.errors import EngineError, RegistryRefused, RegistryUnreachable
from farmgate.node_folder import Key
from farmgate.registries import Registry
from workers.engines.under_way import UnderWay

_WHO: Final = ("unauthorized", "authentication required", "no basic auth", "denied", "forbidden")
_HOW: Final = ("server gave http response to https client", "x509:", "certificate")
_WHERE: Final = (
    "name unknown",
    "name invalid",
    "invalid reference",
    "method not allowed",
    "unsupported",
    "repository does not exist",
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Pusher:
    """The pushes of one engine. What the client library raises of the engine itself, passes."""

    def __init__(self) -> None:
        self._under_way = UnderWay()

    def push(self, api: Any, key: Key, image: str, place: str, tag: str, registry: Registry) -> str:
        """The digest. Raises RegistryRefused, RegistryUnreachable."""
        api.tag(image, place, tag)
        login = registry.login_of(place)
        header = auth.encode_header(login) if login is not None else _own(api, registry.host)
        answer = api._post(
            api._url("/images/{0}/push", place),
            params={"tag": tag},
            headers={"X-Registry-Auth": header},
            stream=True,
            timeout=None,
        )
        with self._under_way.this(key, answer):
            try:
                api._raise_for_status(answer)
            except APIError as error:
                if (error.status_code or 500) < 500:
                    raise
                raise refused(registry, f"{place}:{tag}", str(error.explanation or error)) from None
            return _digest(api, answer, registry, f"{place}:{tag}")

    def kill(self, api: Any, key: Key) -> None:
        """Close the request, if there is one."""
        self._under_way.kill(api, key)


def refused(registry: Registry, image: str, said: str) -> RegistryRefused | RegistryUnreachable:
    """What these words of an engine mean (rule 3)."""
    text, failed = said.lower(), f"the image {image} could not be pushed: {said}. "
    if any(sign in text for sign in _HOW):
        return RegistryRefused(
            f"{failed}The node's engine and the registry {registry.host} do not speak alike: give the registry a "
            "certificate that the engine trusts, or name it in the engine's `insecure-registries` (FARMGATE_REGISTRY)"
        )
    if any(sign in text for sign in _WHO):
        user = f"the user {registry.user!r}" if registry.user is not None else "the node's own login, or nobody,"
        return RegistryRefused(
            f"{failed}The registry does not let {user} push there: look at FARMGATE_REGISTRY_USER and "
            "FARMGATE_REGISTRY_PASSWORD of the scheduler, and at the user's rights"
        )
    if any(sign in text for sign in _WHERE):
        return RegistryRefused(f"{failed}Look at FARMGATE_REGISTRY of the scheduler: {registry.address}")
    return RegistryUnreachable(
        f"{failed}The registry does not answer this node: look at the registry, the node's network, FARMGATE_REGISTRY"
    )


def _digest(api: Any, answer: Any, registry: Registry, image: str) -> str:
    digest = ""
    for line in api._stream_helper(answer, decode=True):
        if "error" in line:
            raise refused(registry, image, str(line["error"]).strip())
        digest = str((line.get("aux") or {}).get("Digest") or digest)
    if _DIGEST.fullmatch(digest) is None:
        raise EngineError(f"the Docker engine ended the push of {image} without saying its digest")
    return digest


def _own(api: Any, host: str) -> bytes:
    """The engine's client's own login for this host (`docker login`); there may be none."""
    header: bytes | None = auth.get_config_header(api, host)
    return header or auth.encode_header({})
