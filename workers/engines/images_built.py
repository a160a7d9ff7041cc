"""Images that jobs build, with the engine's own builder.

Rules:
1. A build is one request whose answer is its output; closing it ends the build, on the engine's side too.
2. Its commands are limited in memory and processors, and reach a network only where the node's jobs do.
3. The layers stay as the node's cache: of what was built here, the newest `KEPT` images and what they stand on.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, BinaryIO, Final

from docker import auth
from docker.errors import APIError, NotFound

from farmgate.errors import EngineError
from farmgate.node_folder import Key
from workers.engines.engine import BuildFailed, BuildOrder, Sink
from workers.engines.images import no_answer, registry_is_silent
from workers.engines.under_way import UnderWay

LABEL: Final = "farmgate.built"
KEPT: Final = 20
_PERIOD: Final = 100_000


class Builder:
    """The builds of one engine. What the client library raises, passes."""

    def __init__(self) -> None:
        self._under_way = UnderWay()

    def build(self, api: Any, order: BuildOrder, network: str, context: BinaryIO, sink: Sink) -> str:
        params = {
            "dockerfile": order.dockerfile,
            "rm": True,
            "forcerm": True,
            "networkmode": network,
            "memory": order.limits.memory_bytes,
            "memswap": order.limits.memory_bytes,
            "cpuperiod": _PERIOD,
            "cpuquota": int(order.limits.cpus * _PERIOD),
            "buildargs": json.dumps(dict(order.arguments)),
            "labels": json.dumps({LABEL: "true"}),
        }
        if order.target is not None:
            params["target"] = order.target
        answer = api._post(
            api._url("/build"),
            data=context,
            params=params,
            headers={"Content-Type": "application/x-tar", **_logins(order)},
            stream=True,
            timeout=None,
        )
        with self._under_way.this(order.key, answer):
            _checked(api, answer)
            return _follow(api, answer, sink)

    def kill(self, api: Any, key: Key) -> None:
        """Close the request, if there is one."""
        self._under_way.kill(api, key)

    def bound(self, api: Any) -> None:
        """Rule 3."""
        built = sorted(api.images(filters={"label": LABEL}), key=lambda one: int(one["Created"]), reverse=True)
        for one in built[KEPT:]:
            with contextlib.suppress(NotFound, APIError):  # in use, or another worker was first
                api.remove_image(one["Id"], force=True)


def _logins(order: BuildOrder) -> dict[str, bytes]:
    """For the images that this one stands on."""
    registry = order.registry
    login = registry.login_of(registry.address + "/image") if registry is not None else None
    return {"X-Registry-Config": auth.encode_header({login["serveraddress"]: login})} if login is not None else {}


def _checked(api: Any, answer: Any) -> None:
    try:
        api._raise_for_status(answer)
    except APIError as error:
        said = str(error.explanation)
        if (error.status_code or 500) >= 500 and "dockerfile" not in said.lower():
            raise
        raise BuildFailed(f"the image cannot be built: {error.explanation}") from None


def _follow(api: Any, answer: Any, sink: Sink) -> str:
    image = ""
    for line in api._stream_helper(answer, decode=True):
        if "stream" in line:
            sink(str(line["stream"]).encode())
        elif "aux" in line:
            image = str(line["aux"].get("ID") or image)
        elif "error" in line:
            said = str(line["error"]).strip()
            if registry_is_silent(said):
                raise no_answer("an image that the build stands on", said)
            raise BuildFailed(f"the image cannot be built: {said}")
    if not image:
        raise EngineError("the Docker engine ended a build without saying what became of it")
    return image
