"""Parameters: what `<< parameters.x >>` is, and conditions over them.

Rules:
1. A value that is nothing but one parameter keeps its kind; elsewhere it is put in as text. What is not known stays.
2. A condition holds, does not, or is not known before the run.

Follows "Reusable config reference" and "Pipeline values and parameters" of CircleCI's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from farmgate.documents import as_written

PARAMETER: Final = re.compile(r"<<\s*(?:pipeline\.)?(parameters|matrix|pipeline)\.([\w.-]+)\s*>>")
Values = Mapping[str, Any]
PIPELINE: Final[Values] = {
    "pipeline.git.branch": "$FARMGATE_BRANCH",
    "pipeline.git.tag": "$FARMGATE_TAG",
    "pipeline.git.revision": "$FARMGATE_SHA",
    "pipeline.number": "$FARMGATE_RUN",
    "pipeline.id": "$FARMGATE_RUN",
    "pipeline.project.git_url": "",
}


def defaults(parameters: Any, without: Any = "") -> dict[str, Any]:
    """What `parameters` of something are if nobody says: their defaults, or `without` one; None leaves it out."""
    found = {}
    for name, parameter in parameters.items() if isinstance(parameters, dict) else ():
        value = parameter.get("default", without) if isinstance(parameter, dict) else None
        if value is not None:
            found[f"parameters.{name}"] = value
    return found


def filled(value: Any, values: Values) -> Any:
    """A value with its parameters put in, however deep (rule 1)."""
    match value:
        case str():
            whole = PARAMETER.fullmatch(value.strip())
            if whole and f"{whole[1]}.{whole[2]}" in values:
                return values[f"{whole[1]}.{whole[2]}"]
            return PARAMETER.sub(lambda m: as_written(values.get(f"{m[1]}.{m[2]}", m[0])) or "", value)
        case dict():
            return {key: filled(below, values) for key, below in value.items()}
        case list():
            return [filled(below, values) for below in value]
        case _:
            return value


def body(value: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """A job, an executor or a command with its parameters put in, without their declaration."""
    return {key: filled(below, values) for key, below in value.items() if key != "parameters"}


def condition(value: Any) -> bool | None:
    """Whether a condition holds; None where that is not known (rule 2)."""
    match value:
        case bool():
            return value
        case None:
            return False
        case str():
            if "$" in value or "<<" in value:
                return None
            return value.lower() not in ("", "false", "0")
        case int() | float():
            return bool(value)
        case {"equal": list() as both}:
            texts = [as_written(one) or "" for one in both]
            return None if any("$" in text or "<<" in text for text in texts) else len(set(texts)) == 1
        case {"not": below}:
            inside = condition(below)
            return None if inside is None else not inside
        case {"and": list() as all_}:
            found = [condition(one) for one in all_]
            return False if False in found else None if None in found else True
        case {"or": list() as any_}:
            found = [condition(one) for one in any_]
            return True if True in found else None if None in found else False
        case _:
            return None
