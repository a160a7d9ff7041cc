"""Images: present, or fetched, or said to be missing.

Rules:
1. What was present a moment ago still is: the engine is asked again only after a while, and at once if it disagrees.
2. One fetch of an image at a time, whoever asks.
3. An image that is unknown or forbidden is missing at once, and the job in error. A registry that does not answer is
   tried again a few times; then the attempt is lost (`RegistryUnreachable`), with the engine's own words, since a
   misspelt registry looks just the same.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag
from requests.exceptions import ReadTimeout
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from farmgate.clock import stopwatch
from farmgate.errors import ImageMissing, RegistryUnreachable
from farmgate.registries import Registry

FRESH_SECONDS: Final = 60.0
_FINAL = ("not found", "denied", "unauthorized", "manifest unknown", "no matching manifest", "invalid reference")
_SILENT = (
    "dial tcp",
    "net/http",
    "toomanyrequests",
    "i/o timeout",
    "connection refused",
    "no such host",
    "unexpected eof",
)


class Images:
    """The images one engine was seen to have."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._ids: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def forget(self, image: str) -> None:
        self._seen.pop(image, None)

    def id_of(self, image: str) -> str | None:
        """The id that the image had when it was last prepared: sha256:..., the same on every node."""
        return self._ids.get(image)

    def prepare(self, api: Any, image: str, registry: Registry | None = None) -> None:
        """Raises ImageMissing, and what the client library raises where the engine does not answer."""
        if stopwatch() - self._seen.get(image, -FRESH_SECONDS) < FRESH_SECONDS:
            return
        with self._lock:
            own = self._locks.setdefault(image, threading.Lock())
        with own:
            if stopwatch() - self._seen.get(image, -FRESH_SECONDS) < FRESH_SECONDS:
                return
            try:
                known = api.inspect_image(image)
            except ImageNotFound:
                _fetch(api, image, registry.login_of(image) if registry is not None else None)
                known = api.inspect_image(image)
            except APIError as error:
                if error.status_code != 400:
                    raise
                raise ImageMissing(f"the image {image!r} cannot be had: {error.explanation}") from None
            self._ids[image] = str(known["Id"])
            self._seen[image] = stopwatch()


def _fetch(api: Any, image: str, login: dict[str, str] | None) -> None:
    repository, tag = parse_repository_tag(image)
    tries = Retrying(
        stop=stop_after_attempt(3),
        wait=wait_exponential_jitter(multiplier=0.5, max=4),
        retry=retry_if_exception_type((_NoAnswer, ReadTimeout)),
    )
    try:
        tries(_fetch_once, api, image, repository, tag or "latest", login)
    except RetryError as error:
        raise no_answer(f"the image {image!r}", error.last_attempt.exception()) from None


def no_answer(what: str, said: object) -> RegistryUnreachable:
    """The error, with what to look at."""
    return RegistryUnreachable(
        f"{what} could not be pulled: {said}. The registry does not answer this node: if its name is right, "
        "look at the node's network and the registry"
    )


def registry_is_silent(said: str) -> bool:
    """True if these words of a build are about a pull that found no registry, not about the image or a command."""
    text = said.lower()
    return any(sign in text for sign in _SILENT) and not (text.startswith("the command") or _is_final(text))


def _is_final(text: str) -> bool:
    return any(sign in text for sign in _FINAL)


class _NoAnswer(Exception):
    """The registry did not answer: worth another try."""


def _fetch_once(api: Any, image: str, repository: str, tag: str, login: dict[str, str] | None) -> None:
    said = None
    try:
        for line in api.pull(repository, tag=tag, stream=True, decode=True, auth_config=login):
            said = line.get("error") or said
    except APIError as error:
        said = str(error.explanation or error)
    if said is None:
        return
    if _is_final(said.lower()):
        remedy = f"let FARMGATE_REGISTRY_USER ({login['username']}) read it" if login else "`docker login` on the node"
        raise ImageMissing(
            f"the image {image!r} cannot be had: {said}. Check its name and tag; where the registry asks who you are, "
            f"{remedy}"
        )
    raise _NoAnswer(said)
