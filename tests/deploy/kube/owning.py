"""Server-side apply as an API server does it: who manages which field, what conflicts, what goes when it is let go.

Follows the rules of structured merge for the kinds that tests use: lists with keys are merged item by item, all other
lists and the maps that the API calls atomic are one field.
"""

from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port", "protocol"),
    "conditions": ("type",),
}
ATOMIC = {"selector", "matchLabels", "nodeSelector"}
NOT_FIELDS = {
    ("apiVersion",),
    ("kind",),
    *(("metadata", key) for key in ("name", "namespace", "resourceVersion", "uid", "creationTimestamp", "generation")),
    ("metadata", "managedFields"),
}
Path = tuple[Any, ...]


@dataclass
class Owners:
    """(manager, operation) -> the paths of its fields, and when they last changed."""

    fields: dict[tuple[str, str], set[Path]] = field(default_factory=dict)
    times: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Clash(Exception):
    """Fields that others manage: path -> manager."""

    fields: dict[str, str]


def leaves(value: Any, at: Path = ()) -> dict[Path, Any]:
    """Every field and what it is set to."""
    if at in NOT_FIELDS:
        return {}
    if isinstance(value, dict) and not (at and at[-1] in ATOMIC) and value:
        return {path: leaf for key, each in value.items() for path, leaf in leaves(each, (*at, key)).items()}
    if isinstance(value, list) and at and at[-1] in KEYS and all(isinstance(each, dict) for each in value) and value:
        found: dict[Path, Any] = {}
        for each in value:
            found |= leaves(each, (*at, _item(at[-1], each)))
        return found
    return {at: value}


def apply(live: dict[str, Any], wanted: dict[str, Any], owners: Owners, manager: str, force: bool) -> dict[str, Any]:
    """The object as it becomes; `owners` changes with it. Raises Clash, and then nothing changes."""
    me = (manager, "Apply")
    new, there = leaves(wanted), leaves(live)
    clashes: dict[Path, list[tuple[str, str]]] = {}
    for path, value in new.items():
        others = [who for who, fields in owners.fields.items() if who != me and path in fields]
        if others and there.get(path) != value:
            clashes[path] = others
    if clashes and not force:
        raise Clash({shown(path): who[0][0] for path, who in clashes.items()})
    for path, others in clashes.items():
        for who in others:
            owners.fields[who].discard(path)
    made = deepcopy(live)
    for path in owners.fields.get(me, set()) - set(new):
        if not any(path in fields for who, fields in owners.fields.items() if who != me):
            _remove(made, path)
    for path, value in new.items():
        _set(made, path, deepcopy(value))
    owners.fields[me] = set(new)
    return made


def update(live: dict[str, Any], wanted: dict[str, Any], owners: Owners, manager: str) -> None:
    """Whoever changes a field by an update manages it from then on."""
    before, after = leaves(live), leaves(wanted)
    changed = {path for path, value in after.items() if before.get(path, _NOTHING) != value}
    gone = set(before) - set(after)
    for fields in owners.fields.values():
        fields -= changed | gone
    owners.fields.setdefault((manager, "Update"), set()).update(changed)


def shown(path: Path) -> str:
    """As the API writes it: .spec.template.spec.containers[name="app"].image"""
    text = ""
    for part in path:
        if isinstance(part, tuple):
            text += (
                "["
                + ",".join(f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}" for key, value in part)
                + "]"
            )
        else:
            text += f".{part}"
    return text


_NOTHING = object()


def _item(name: str, each: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    defaults = {"protocol": "TCP"} if name == "ports" else {}
    return tuple((key, each.get(key, defaults.get(key))) for key in KEYS[name] if key in each or key in defaults)


def _step(value: Any, part: Any, following: Any) -> Any:
    """The container below `value`, made where it is missing."""
    if isinstance(part, tuple):
        for each in value:
            if _item_of(each, part):
                return each
        made = dict(part)
        value.append(made)
        return made
    return value.setdefault(part, [] if isinstance(following, tuple) else {})


def _item_of(each: dict[str, Any], part: tuple[tuple[str, Any], ...]) -> bool:
    return all(each.get(key, "TCP" if key == "protocol" else None) == wanted for key, wanted in part)


def _set(made: dict[str, Any], path: Path, value: Any) -> None:
    here: Any = made
    for part, following in itertools.pairwise(path):
        below = _step(here, part, following)
        if isinstance(below, dict | list) and not (isinstance(following, tuple) and isinstance(below, dict)):
            here = below
        else:  # what was a plain value becomes a mapping
            here[part] = {}
            here = here[part]
    here[path[-1]] = value


def _remove(made: dict[str, Any], path: Path) -> None:
    trail: list[tuple[Any, Any]] = []
    here: Any = made
    for part in path[:-1]:
        trail.append((here, part))
        if isinstance(part, tuple):
            here = next((each for each in here if _item_of(each, part)), None)
        else:
            here = here.get(part) if isinstance(here, dict) else None
        if here is None:
            return
    if isinstance(here, dict):
        here.pop(path[-1], None)
    for above, part in reversed(trail):  # what is empty now was only there for what went
        if isinstance(part, tuple):
            left = next(each for each in above if _item_of(each, part))
            if set(left) <= {key for key, _ in part}:
                above.remove(left)
        elif above.get(part) in ({}, []):
            del above[part]
