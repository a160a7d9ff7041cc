"""What a value of the pipeline file may be: names, images, variables, patterns, sizes.

Rules:
1. What a stranger wrote is only ever a value: names, images and paths are checked here, once, for everyone after.
2. A pattern of files stays inside the workspace.
3. Nothing is guessed; what is refused says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from farmgate.documents import as_written
from farmgate.quantities import Duration, SizeBytes, show_duration

HOUR: Final = timedelta(hours=1)
LONGEST_TIMEOUT: Final = 24 * HOUR
DEFAULT_TIMEOUT: Final = timedelta(minutes=30)
SMALLEST_MEMORY_BYTES: Final = 6 * 2**20
LONGEST_COMMAND: Final = 100_000
"""Characters of one step's commands; what is longer belongs into a script in the repository."""

NAME: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,254}"
_IMAGE: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}"
_RESERVED: Final = "FARMGATE_"


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError(
            f"{text[:80]!r} is not a name: use lower-case letters, digits, '-' and '_', "
            "a letter or digit first, at most 63 characters"
        )
    return text


def _image(text: str) -> str:
    if not re.fullmatch(_IMAGE, text):
        raise ValueError(f"{text[:80]!r} is not the name of an image, such as python:3.12-slim")
    return text


def _variable(text: str) -> str:
    if not re.fullmatch(_VARIABLE, text):
        raise ValueError(f"{text[:80]!r} is not the name of a variable: use letters, digits and '_', no digit first")
    if text.startswith(_RESERVED):
        raise ValueError(f"{text[:80]!r} is reserved: variables that begin with {_RESERVED} are set by Farmgate")
    return text


def _value(value: object) -> object:
    """A number or boolean is taken as it is written: `1.10` stays 1.10."""
    text = as_written(value)
    return value if text is None else text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command or variable can")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank: write a command")
    return text


def _pattern(text: str) -> str:
    parts = text.split("/")
    if not text.strip():
        raise ValueError("is blank: write a path or a pattern, such as dist/*.tar.gz")
    if text.startswith(("/", "~")) or re.match(r"[A-Za-z]:|.*\\", text):
        raise ValueError(f"{text[:200]!r} leaves the workspace: write a path relative to it, with '/'")
    if ".." in parts:
        raise ValueError(f"{text[:200]!r} leaves the workspace: '..' is not allowed")
    if len(text) > 1024 or any(ord(character) < 32 for character in text):
        raise ValueError(f"{text[:80]!r} is too long or holds a control character")
    if parts[0] == ".git":
        raise ValueError(f"{text[:200]!r} is git's own folder")
    return text


def _within_a_day(span: timedelta) -> timedelta:
    if not timedelta(0) < span <= LONGEST_TIMEOUT:
        raise ValueError(f"{show_duration(span)} is not more than 0s and at most {LONGEST_TIMEOUT // HOUR}h")
    return span


def _enough(size: int) -> int:
    if size < SMALLEST_MEMORY_BYTES:
        raise ValueError("must be at least 6m: containers do not start with less (write 512m for 512 MiB)")
    if size > 2**50:
        raise ValueError("is more than any node has")
    return size


class _OneOrMany:
    """A single value stands for a list of one; the schema says so."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def listed(value: object) -> object:
            return [value] if isinstance(value, str | bool | int | float) else value

        return core_schema.no_info_before_validator_function(listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


ONE_OR_MANY: Final = _OneOrMany()


def _home_or_workspace(text: str) -> str:
    """A path of a cache: below the workspace, or below the job's home as `~/...`."""
    if text == "~":
        raise ValueError("'~' is the whole home: name what is below it, such as ~/.cache/pip")
    _pattern(text.removeprefix("~/"))
    return text


def _glob(text: str) -> str:
    """A pattern of branches, tags or paths; `!` in front takes away again."""
    if not text.removeprefix("!").strip() or len(text) > 500 or any(ord(character) < 32 for character in text):
        raise ValueError(f"{text[:80]!r} is not a pattern, such as main, release/* or !docs/**")
    return text


def _folder(text: str) -> str:
    return text if text == "." else _pattern(text)


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Image = Annotated[str, AfterValidator(_image), WithJsonSchema({"type": "string", "pattern": f"^{_IMAGE}$"})]
Variable = Annotated[str, AfterValidator(_variable), WithJsonSchema({"type": "string", "pattern": f"^{_VARIABLE}$"})]
Value = Annotated[
    str,
    BeforeValidator(_value),
    AfterValidator(_without_nul),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Environment = Annotated[Mapping[Variable, Value], Field(max_length=500)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Folder = Annotated[str, AfterValidator(_folder)]
CachePath = Annotated[str, AfterValidator(_home_or_workspace)]
Patterns = Annotated[tuple[Pattern, ...], ONE_OR_MANY, Field(max_length=100)]
Globs = Annotated[tuple[Annotated[str, AfterValidator(_glob)], ...], ONE_OR_MANY, Field(min_length=1, max_length=200)]
Timeout = Annotated[Duration, AfterValidator(_within_a_day)]
Memory = Annotated[SizeBytes, AfterValidator(_enough)]
Cpus = Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_not_blank), AfterValidator(_without_nul)]
Command = Annotated[str, Field(max_length=LONGEST_COMMAND), AfterValidator(_not_blank), AfterValidator(_without_nul)]


class Written(BaseModel):
    """A mapping of the file: what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
