"""Findings as SARIF 2.1.

Rules:
1. A result's level is its own, else its rule's default, else warning; a result that is suppressed is no finding.
2. Its place is its first physical location.
3. It is the same finding as in another run by what the tool says (`partialFingerprints`), else by rule, path and text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from farmgate.reports.errors import BadReport
from farmgate.reports.json import Value, walk
from farmgate.reports.results import LONGEST_MESSAGE, Finding, finding_print, name_of, text_of

MOST_RULES: Final = 20_000
_LEVELS: Final = ("error", "warning", "note", "none")
_RESULT: Final = ("runs", "[]", "results", "[]")
_RULE: Final = ("runs", "[]", "tool", "driver", "rules", "[]")
_LOCATION: Final = ("locations", "[]", "physicalLocation")


@dataclass(slots=True)
class _Rules:
    names: list[str] = field(default_factory=list)
    levels: dict[str, str] = field(default_factory=dict)


def read(chunks: Iterable[bytes]) -> Iterator[Finding]:
    """The findings of a file, in its order. Raises BadReport; what was given before that holds."""
    rules = _Rules()
    rule: dict[str, Value] = {}
    result: dict[str, Value] | None = None
    known = False
    for path, what, value in walk(chunks):
        if not known and path[:1] in (("runs",), ("version",)):
            known = True
        if path[:4] == _RESULT:
            if len(path) == 4:
                if what == "begin":
                    result = {}
                elif what == "end" and result is not None:
                    if (found := _finding(result, rules)) is not None:
                        yield found
                    result = None
            elif result is not None:
                _note(result, path[4:], what, value)
        elif path[:6] == _RULE:
            if what == "value":
                rule[".".join(path[6:])] = value
            elif what == "end" and len(path) == 6:
                _keep_rule(rules, rule)
                rule = {}
        elif path == ("runs", "[]") and what == "begin":
            rules = _Rules()
    if not known:
        raise BadReport("this is not SARIF: it has no 'runs'")


def _note(result: dict[str, Value], at: tuple[str, ...], what: str, value: Value) -> None:
    if at[:1] == ("suppressions",):
        if what == "begin":
            result["suppressed"] = True
    elif what != "value":
        return
    elif at[:1] == ("partialFingerprints",) and isinstance(value, str):
        result.setdefault("print", value[:200])
    elif at in (("ruleId",), ("ruleIndex",), ("level",), ("message", "text"), ("rule", "id")):
        result[".".join(at)] = value
    elif at[:3] == _LOCATION:
        result.setdefault(".".join(at[3:]), value)  # the first location comes first


def _keep_rule(rules: _Rules, rule: dict[str, Value]) -> None:
    name = rule.get("id")
    if isinstance(name, str) and len(rules.names) < MOST_RULES:
        rules.names.append(name_of(name, 200))
        level = rule.get("defaultConfiguration.level")
        if level in _LEVELS:
            rules.levels[rules.names[-1]] = str(level)


def _finding(result: dict[str, Value], rules: _Rules) -> Finding | None:
    if result.get("suppressed"):
        return None
    named, index = result.get("ruleId") or result.get("rule.id"), result.get("ruleIndex")
    if not isinstance(named, str):
        inside = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(rules.names)
        named = rules.names[index] if inside and isinstance(index, int) else "(no rule)"
    rule = name_of(named, 200)
    level = result.get("level")
    level = str(level) if level in _LEVELS else rules.levels.get(rule, "warning")
    path = name_of(str(result.get("artifactLocation.uri") or ""), 1000)
    line = result.get("region.startLine")
    message = text_of(str(result.get("message.text") or ""), LONGEST_MESSAGE)
    given = result.get("print")
    return Finding(
        rule=rule,
        level=level,
        path=path,
        line=line if isinstance(line, int) and 0 < line < 10**9 else 0,
        message=message,
        print=finding_print(rule, path, message, str(given or "")),
    )
