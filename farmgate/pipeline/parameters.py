"""The parameters of a template: what may be given, and what is put in.

Rules:
1. A parameter has a type, and a default unless it must be given. The default is checked like what is given.
2. Numbers stay as they are written; what is not text, a number or true/false is only ever a list of these.
3. A pattern fits the whole text. It may not repeat a group: then no text takes it longer than a moment to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from farmgate.documents import Document, Location, as_written, nearest, shown
from farmgate.errors import Problem
from farmgate.pipeline.values import Text, Value, Written

LONGEST_TEXT: Final = 10_000
LONGEST_LIST: Final = 1000
_LONGEST_MATCHED: Final = 500
_REPEATS: Final = 6


def _pattern(text: str) -> str:
    """A regular expression that no text keeps busy (rule 3)."""
    plain = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "x", re.sub(r"\\[^0-9]", "x", text))
    if re.search(r"\)[*+{]|\(\?(?!:)|\\[0-9]", plain):
        raise ValueError("repeats a group, looks around or refers back: repeat single characters or classes only")
    if len(re.findall(r"[*+?{]", plain)) > _REPEATS:
        raise ValueError(f"repeats more than {_REPEATS} times: write a simpler pattern")
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


class ParameterFile(Written):
    """A field of a template that who uses it may fill in."""

    type: Literal["text", "number", "bool", "choice", "list"] = Field("text", description="what it takes")
    default: Any = Field(None, description="its value where none is given; without a default it must be given")
    choices: Annotated[tuple[Value, ...], Field(max_length=100)] = Field((), description="of a choice: what it may be")
    pattern: Annotated[str, Field(max_length=200), AfterValidator(_pattern)] | None = Field(
        None, description="a regular expression that the whole text, or each text of a list, must fit"
    )
    description: Text | None = Field(None, description="what it is for")

    @model_validator(mode="after")
    def _of_its_type(self) -> ParameterFile:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("'choices' go with the type choice: name them there, and only there")
        if self.pattern is not None and self.type not in ("text", "list"):
            raise ValueError("'pattern' is for the types text and list")
        return self

    @property
    def required(self) -> bool:
        return "default" not in self.model_fields_set


Parameters = Mapping[str, ParameterFile]


def read(declared: ParameterFile, value: Any) -> Any:
    """The value as it is put in. Raises ValueError with what it must be."""
    match declared.type:
        case "text":
            return _text(declared, value)
        case "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"must be a number, but is {shown(value)}")
            return value
        case "bool":
            if not isinstance(value, bool):
                raise ValueError(f"must be true or false, but is {shown(value)}")
            return value
        case "choice":
            text = as_written(value)
            if text not in declared.choices:
                raise ValueError(f"must be one of {', '.join(declared.choices)}, but is {shown(value)}")
            return text
        case "list":
            if not isinstance(value, list | tuple):
                raise ValueError(f"must be a list, but is {shown(value)}")
            if len(value) > LONGEST_LIST:
                raise ValueError(f"is too long: at most {LONGEST_LIST:,} are allowed")
            return [_text(declared, one) for one in value]


def _text(declared: ParameterFile, value: Any) -> str:
    text = as_written(value)
    if text is None:
        raise ValueError(f"must be text, but is {shown(value)}")
    if len(text) > LONGEST_TEXT or "\0" in text:
        raise ValueError(f"is longer than {LONGEST_TEXT:,} characters, or holds a NUL character")
    if declared.pattern is not None and (len(text) > _LONGEST_MATCHED or not re.fullmatch(declared.pattern, text)):
        raise ValueError(f"{shown(value)} does not fit {declared.pattern}")
    return text


def defaults(declared: Parameters, document: Document, at: Location) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Rule 1: the values where none is given."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, parameter in declared.items():
        if parameter.required:
            continue
        try:
            found[name] = read(parameter, parameter.default)
        except ValueError as error:
            place = (*at, name, "default")
            problems.append(document.problem(place, f"the default of parameter {name!r} {_said(error)}"))
    return found, tuple(problems)


def given(
    declared: Parameters, values: Mapping[str, Any], template: str, document: Document
) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """What the file that uses the template gives, and all that is wrong with it."""
    found: dict[str, Any] = {}
    problems = list(_missing(declared, values, template, document))
    for name, value in values.items():
        at: Location = ("parameters", name)
        if name not in declared:
            known = f"known here: {', '.join(sorted(declared))[:300]}" if declared else "it has none"
            hint = nearest(name, declared, otherwise=known)
            problems.append(document.problem(at, f"{template} has no parameter {name!r}", hint, key=True))
            continue
        try:
            found[name] = read(declared[name], value)
        except ValueError as error:
            problems.append(document.problem(at, f"parameter {name!r} {_said(error)}", declared[name].description))
    return found, tuple(problems)


def _missing(declared: Parameters, values: Mapping[str, Any], template: str, document: Document) -> Iterator[Problem]:
    for name, parameter in declared.items():
        if parameter.required and name not in values:
            place: Location = ("parameters",) if "parameters" in document.data else ("use",)
            yield document.problem(place, f"{template} needs parameter {name!r}", parameter.description, key=True)


def _said(error: ValueError) -> str:
    text = str(error)
    return text if text.startswith(("must", "is ")) else f"is wrong: {text}"
