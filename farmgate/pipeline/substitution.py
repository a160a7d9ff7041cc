"""`${{ matrix.NAME }}` and `${{ parameters.NAME }}` in the values of a file.

Rules:
1. What is put in comes from the file itself (an axis of its matrix) or from who uses a template: never from a commit, a
   branch or a person. Those are only ever variables of the environment.
2. Only these two words, only names that exist; anything else between the braces is a problem with a remedy.
3. A value that is nothing but one placeholder becomes what is put in, with its type; within a text it becomes text.
4. `$${{` stands for `${{` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from farmgate.documents import Location, as_written, nearest

Values = Mapping[str, Mapping[str, Any]]
"""What can be put in: word -> name -> value."""
Complain = Callable[[Location, str, str | None], None]

_PLACEHOLDER: Final = re.compile(r"\$?\$\{\{([^{}]*)\}\}")
_REFERENCE: Final = re.compile(r"\s*([A-Za-z_]+)\.([A-Za-z0-9_-]+)\s*")
_KNOWN: Final = ("matrix", "parameters")


def has_placeholder(value: str) -> bool:
    """True if there is something to put in."""
    return "${{" in value


def fill(value: Any, values: Values, complain: Complain, at: Location = ()) -> Any:
    """The value with everything put in, keys of mappings left alone. Problems go to `complain`, with their place."""
    match value:
        case str():
            return _fill_text(value, values, complain, at) if has_placeholder(value) else value
        case dict():
            return {key: fill(below, values, complain, (*at, key)) for key, below in value.items()}
        case list():
            return [fill(below, values, complain, (*at, index)) for index, below in enumerate(value)]
        case _:
            return value


def _fill_text(text: str, values: Values, complain: Complain, at: Location) -> Any:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is not None and not text.startswith("$$"):
        return _look_up(whole[1], values, complain, at)

    def one(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        put_in = _look_up(found[1], values, complain, at)
        written = as_written(put_in)
        if written is None:
            complain(at, f"{found[0]} is a list or a mapping, which cannot stand within a text", None)
        return written or ""

    return _PLACEHOLDER.sub(one, text)


def _look_up(inside: str, values: Values, complain: Complain, at: Location) -> Any:
    reference = _REFERENCE.fullmatch(inside)
    shown = "${{" + inside[:80] + "}}"
    if reference is None or reference[1] not in _KNOWN:
        complain(
            at,
            f"{shown} is not known: only ${{{{ matrix.NAME }}}} and, in a template, ${{{{ parameters.NAME }}}}",
            "what is known of the commit comes as variables, such as $FARMGATE_BRANCH; "
            "for the characters themselves write $${{",
        )
        return ""
    word, name = reference.groups()
    known = values.get(word)
    if known is None:
        complain(at, f"{shown}: there is no {word} here", None)
        return ""
    if name not in known:
        complain(at, f"{shown}: {word} has no {name!r}", nearest(name, known, otherwise=_listed(known)))
        return ""
    return known[name]


def _listed(known: Mapping[str, Any]) -> str | None:
    return f"known here: {', '.join(sorted(known))[:200]}" if known else None
