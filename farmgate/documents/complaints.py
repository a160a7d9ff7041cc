"""Libyaml's complaints, in words that say what to do."""

from __future__ import annotations

import yaml

Mark = tuple[int, int]
"""Line and column, both from 1."""


def explained(error: yaml.MarkedYAMLError, text: str) -> tuple[Mark, str, str | None]:
    """Libyaml's words, with what they usually mean."""
    at = error.problem_mark or error.context_mark
    mark = (at.line + 1, at.column + 1) if at is not None else (1, 1)
    began = error.context_mark
    said = error.problem or "not YAML"
    where = f" (it began at line {began.line + 1})" if began is not None and began.line != mark[0] - 1 else ""
    if "found unknown escape character" in said:
        return mark, "an escape that YAML does not know", "double the backslash, or use single quotes"
    if "quoted scalar" in (error.context or ""):
        start = (began.line + 1, began.column + 1) if began is not None else mark
        return start, "a quote that opens here is never closed", "close it, or quote the whole text"
    if "flow" in (error.context or "") and began is not None:
        bracket = "[" if "sequence" in (error.context or "") else "{"
        place = (began.line + 1, began.column + 1)
        return place, f"not YAML: {said} after the {bracket!r} that opens here", "close it, or quote the text"
    if _tab_before(text, mark) or "tab character" in said:
        return mark, "a tab in the indentation", "indent with spaces"
    if "mapping values are not allowed" in said:
        return mark, "a ':' where none can be", "quote the text, or check the indentation"
    if "cannot start any token" in said:
        return mark, "a character that cannot start a word here", "quote the text"
    context = f" {error.context}" if error.context else ""
    return mark, f"not YAML: {said}{context}{where}", "check the indentation of this line and the one above"


def _tab_before(text: str, mark: Mark) -> bool:
    lines = text.splitlines()
    if mark[0] > len(lines):
        return False
    line = lines[mark[0] - 1]
    indentation = line[: len(line) - len(line.lstrip())]
    return "\t" in indentation
