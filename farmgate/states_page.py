"""The page of states, drawn: `python -m farmgate.states_page` writes docs/states.md from `farmgate.states`.

Rules:
1. Every move is drawn, none besides; a final state leads to the end.
2. What a state means, and who moves it next, is the comment beside it in the source.
"""

from __future__ import annotations

import inspect
import re
from enum import StrEnum
from pathlib import Path

from farmgate import states

PAGE = Path(__file__).parents[1] / "docs" / "states.md"
HEAD = """\
<!-- Written by `python -m farmgate.states_page` from farmgate/states.py: change it there. -->

# States and moves

A row moves only along these arrows, only by a guarded update (`WHERE id AND state`, and the attempt's number where
there is one). Final states stay final. Every state that is not final has a deadline.
"""
_STATE = re.compile(r'^\s+[A-Z]+ = "(?P<value>\w+)"(?:\s+# (?P<comment>.*))?$', re.MULTILINE)


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *(section(kind) for kind in states.MOVES)])


def section(kind: type[StrEnum]) -> str:
    """One kind of row: its diagram and its table."""
    first = next(iter(kind))
    arrows = [
        f"    {before} --> {after}"
        for before in kind
        for after in kind
        if after in states.MOVES[kind].get(before, frozenset())
    ]
    ends = [f"    {state} --> [*]" for state in kind if states.is_final(state)]
    comments = {found["value"]: found["comment"] or "" for found in _STATE.finditer(inspect.getsource(kind))}
    rows = [
        f"| `{state}` | {'yes' if states.is_final(state) else ''} | {comments[state].replace('|', '/')} |"
        for state in kind
    ]
    return "\n".join(
        [
            f"## {kind.__name__}",
            "",
            inspect.getdoc(kind) or "",
            "",
            "```mermaid",
            "stateDiagram-v2",
            f"    [*] --> {first}",
            *arrows,
            *ends,
            "```",
            "",
            "| state | final | what it means, and who moves it next |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
