"""All kinds of targets: our own, and those that others bring by the entry point group `farmgate.targets`.

Rules:
1. An entry point's name is the `type` that people write; it leads to a `Kind`. A built-in name is never taken over.
2. A kind is loaded when it is first named. One that cannot be loaded is told where it was written, and stops no other.
3. A row whose kind is not installed is kept as it is (`UnknownTarget`): pages go on, and only its lane cannot deliver.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, Final

from pydantic import PlainValidator, SerializeAsAny

from farmgate.policy.targets.base import Kind, TargetPolicy, UnknownTarget

GROUP: Final = "farmgate.targets"
_HERE: Final = "farmgate.policy.targets"
BUILT_IN: Final[Mapping[str, str]] = {
    "docker": f"{_HERE}.docker:KIND",
    "process": f"{_HERE}.process:KIND",
    "command": f"{_HERE}.command:KIND",
    "s3": f"{_HERE}.s3:KIND",
    "kubernetes": f"{_HERE}.kubernetes:KIND",
    "ssh": f"{_HERE}.ssh:KIND",
    "webhook": f"{_HERE}.webhook:KIND",
}


def names() -> tuple[str, ...]:
    """Every type that can be written, the built-in ones first."""
    return (*BUILT_IN, *sorted(set(_outside()) - set(BUILT_IN)))


def kind(name: str) -> Kind:
    """The kind of that name. Raises ValueError with what is wrong and what to do."""
    if name not in names():
        raise ValueError(f"no target type {name[:80]!r} is installed here; there are {', '.join(names())}")
    try:
        return _loaded(name)
    except Exception as error:
        raise ValueError(f"the target type {name!r} cannot be loaded: {type(error).__name__}: {error}") from error


@cache
def _outside() -> Mapping[str, str]:
    return {found.name: found.value for found in entry_points(group=GROUP)}


@cache
def _loaded(name: str) -> Kind:
    module, _, attribute = (BUILT_IN.get(name) or _outside()[name]).partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, Kind) or found.name != name:
        raise TypeError(f"{module}:{attribute} is not the Kind {name!r}")
    return found


def _read(value: object) -> TargetPolicy:
    """A target out of a row. Raises ValueError."""
    if isinstance(value, TargetPolicy):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ValueError("a target is a mapping with a 'type'")
    return from_row(value)


def from_row(config: dict[str, Any]) -> TargetPolicy:
    """What a release or a policy keeps. Raises ValidationError for a known kind's row that it cannot read."""
    try:
        found = kind(config["type"])
    except ValueError:  # whoever makes the target says so
        return UnknownTarget.model_validate(config)
    return found.policy.model_validate(config)


Target = Annotated[SerializeAsAny[TargetPolicy], PlainValidator(_read)]
"""A target of any installed kind."""
