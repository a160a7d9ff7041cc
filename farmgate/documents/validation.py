"""From a document to a model, and from pydantic's errors to problems that a person can act on."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from farmgate.documents.document import Document, Location, read
from farmgate.errors import Problem

M = TypeVar("M", bound=BaseModel)

PROBLEM_LIMIT: Final = 100
"""More problems than these help nobody; the last one told says how many there are."""

_WANTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of names to values",
    "mapping_type": "a mapping of names to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}


def load(text: str | bytes, source: str, model: type[M]) -> M:
    """Read `text` as a `model`. Raises BadDocument with every problem; `source` is how they name the file."""
    return validate(read(text, source), model)


def validate(document: Document, model: type[M]) -> M:
    """The document as a `model`. Raises BadDocument."""
    made, problems = check(document, model, document.data)
    document.refuse(problems)
    if made is None:
        raise AssertionError("a failed validation has problems")
    return made


def check(
    document: Document, model: type[M], data: object, at: Location | Callable[[Location], Location] = ()
) -> tuple[M, tuple[()]] | tuple[None, tuple[Problem, ...]]:
    """`data`, which stands (or was made from what stands) at `at` in the document, as a `model`; or the problems.

    Where it was made from several places, `at` tells for a location in the data the place that it was taken from.
    """
    try:
        return model.model_validate(data), ()
    except ValidationError as error:
        found = _telling(error.errors(include_url=False))
    problems = []
    for details in found[:PROBLEM_LIMIT]:
        above = at(details["loc"]) if callable(at) else at
        details["loc"] = (*above, *details["loc"])
        problems.append(_problem(document, model, details, len(above)))
    if len(found) > PROBLEM_LIMIT:
        last = found[PROBLEM_LIMIT]["loc"]
        place = (*(at(last) if callable(at) else at), *last)
        problems.append(document.problem(place, f"{len(found) - PROBLEM_LIMIT} further problems"))
    return None, tuple(problems)


def _telling(found: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without 'too short' for a list that only lacks items because they are wrong themselves."""
    deeper = {details["loc"][:depth] for details in found for depth in range(len(details["loc"]))}
    return [details for details in found if details["type"] != "too_short" or details["loc"] not in deeper]


def nearest(word: str, known: Iterable[str], *, otherwise: str | None = None) -> str | None:
    """'did you mean ...' for the closest of the known words; else `otherwise`."""
    close = difflib.get_close_matches(word[:100], list(known)[:5000], n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else otherwise


def _problem(document: Document, model: type[BaseModel], details: ErrorDetails, above: int = 0) -> Problem:
    """`above`: how much of the location leads to the model."""
    location, kind = details["loc"], details["type"]
    where = _path(document, location)
    hint: str | None = None
    match kind:
        case "extra_forbidden":
            name = str(location[-1])
            known = sorted(set(_keys_at(model, location[above:-1])))
            listed = f"known here: {', '.join(known)}" if known else None
            parent = _path(document, location[:-1])
            within = f" in {parent}" if parent else ""
            hint = nearest(name, known, otherwise=listed)
            return document.problem(location, f"unknown key {name!r}{within}", hint, key=True)
        case "missing":
            parent = _path(document, location[:-1])
            return document.problem(location, f"{parent or 'the file'} needs {str(location[-1])!r}", key=True)
        case "value_error" | "assertion_error":
            message = str(details.get("ctx", {}).get("error", details["msg"]))
        case "enum" | "literal_error":
            message = f"{shown(details['input'])} is not one of {details.get('ctx', {}).get('expected', '')}"
        case "too_short":
            message = f"is too short: at least {details['ctx']['min_length']} must stand here"
        case "too_long" | "string_too_long":
            message = f"is too long: at most {details['ctx']['max_length']:,} are allowed"
        case _ if kind in _WANTED:
            if _WANTED[kind] == "a list" and isinstance(details["input"], str):
                hint = f"write [{details['input'][:60]}]"
            message = f"must be {_WANTED[kind]}, but is {shown(details['input'])}"
        case _:
            message = details["msg"].replace("Input should be", "must be")
    said = f"{where}: {message}" if where else message
    return document.problem(location, said, hint, key="[key]" in location)


def _path(document: Document, location: Location) -> str:
    """`jobs.unit.steps[0]`, with only what really stands in the document."""
    node, path = document.root, ""
    for part in location:
        if part not in node.below:
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        node = node.below[part]
    return path


def shown(value: object) -> str:
    """What stands there, in a few words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return repr(value if len(value) <= 60 else value[:60] + "...")
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return type(value).__name__


def _keys_at(model: type[BaseModel], location: Location) -> Iterator[str]:
    """The keys that the models at `location` know."""
    types: list[Any] = [model]
    for part in location:
        types = [below for kind in types for below in _below(kind, part)]
    for kind in types:
        for one in _members(kind):
            if isinstance(one, type) and issubclass(one, BaseModel):
                for name, info in one.model_fields.items():
                    yield info.alias or name


def _below(kind: Any, part: str | int) -> Iterator[Any]:
    for one in _members(kind):
        origin, arguments = typing.get_origin(one), typing.get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel):
            for name, info in one.model_fields.items():
                if part in (name, info.alias):
                    yield info.annotation
                    break
            else:
                yield one  # a union's tag
        elif isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
            yield arguments[1]
        elif isinstance(origin, type) and issubclass(origin, Sequence | frozenset | set) and arguments:
            yield arguments[0]


def _members(kind: Any) -> Iterator[Any]:
    """The types that a union or an annotated type stands for."""
    origin = typing.get_origin(kind)
    if origin is Annotated:
        yield from _members(typing.get_args(kind)[0])
    elif origin is typing.Union or origin is UnionType:
        for one in typing.get_args(kind):
            yield from _members(one)
    else:
        yield kind
