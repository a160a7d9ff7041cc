"""GitHub's `${{ expressions }}`: what they become in commands, in values, in conditions.

Rules:
1. What is known before anything runs is put in: literals, the file's own `env`, what the machine is.
2. What is known when a step runs is a variable of the shell; a value of the matrix is our own `${{ matrix.x }}`.
3. What only GitHub knows (who acted, what an earlier step put out) cannot be said: `Unsaid` names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from farmgate.importing.draft import variable_of
from farmgate.importing.github.names import Scope, Word, known
from farmgate.importing.github.trees import Tree, Unsaid, parse, shown

REMEDY: Final = "write it by hand: only GitHub knows this"
PLACEHOLDER: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
PLAIN: Final = re.compile(r"[\w=+./:,@% -]*")  # what a shell reads as it stands
EVENTS: Final[Mapping[str, str]] = {
    "push": "push",
    "pull_request": "pull",
    "pull_request_target": "pull",
    "workflow_dispatch": "person",
    "schedule": "person",
    "release": "tag",
    "merge_group": "pull",
}


def has(text: str) -> bool:
    """True if there is an expression."""
    return "${{" in text


def in_command(text: str, scope: Scope) -> str:
    """A command with everything put in (rules 1 and 2). Raises Unsaid."""

    def one(found: re.Match[str]) -> str:
        word = _value(parse(found[1]), scope)
        by_shell = not word.fixed and not word.text.startswith("${{")
        return f"'\"{word.text}\"'" if by_shell and _in_single_quotes(text[: found.start()]) else word.text

    return PLACEHOLDER.sub(one, text)


def in_double_quotes(text: str, scope: Scope) -> str:
    """A value for between a shell's double quotes: what is no expression stands as it is. Raises Unsaid."""
    parts: list[str] = []
    end = 0
    for found in PLACEHOLDER.finditer(text):
        word = _value(parse(found[1]), scope)
        parts += [_escaped(text[end : found.start()]), _escaped(word.text) if word.fixed else word.text]
        end = found.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", text)


def _in_single_quotes(before: str) -> bool:
    """True if a variable of the shell would not be seen here."""
    quote, at = "", 0
    while at < len(before):
        character = before[at]
        if character == "\\" and quote != "'":
            at += 1
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif not quote and character == "#" and (at == 0 or before[at - 1].isspace()):
            at = before.find("\n", at)
            if at < 0:
                return False
        at += 1
    return quote == "'"


def in_value(text: str, scope: Scope) -> str:
    """A value that no shell reads: only what is fixed, and the matrix. Raises Unsaid."""

    def one(found: re.Match[str]) -> str:
        word = _value(parse(found[1]), scope)
        if not word.fixed and not word.text.startswith("${{ matrix."):
            raise Unsaid(found[0])
        return word.text

    return PLACEHOLDER.sub(one, text)


def only_secret(text: str) -> str | None:
    """The name of the secret that a value is, if it is nothing else."""
    found = re.fullmatch(r"\s*\$\{\{\s*secrets\.([A-Za-z_]\w*)\s*\}\}\s*", text)
    if found:
        return found[1]
    if re.fullmatch(r"\s*\$\{\{\s*github\.token\s*\}\}\s*", text):
        return "GITHUB_TOKEN"
    return None


def _value(tree: Tree | str, scope: Scope) -> Word:
    if isinstance(tree, str):
        return Word(tree, True)
    kind, parts = tree
    if kind == "text":
        return Word(str(parts[0]), True)
    if kind == "name":
        return known(str(parts[0]), scope)
    if kind in ("&&", "||"):
        return _chosen(kind, parts, scope)
    if kind == "call" and parts[0] == "format" and len(parts) > 1:
        form, *values = (_value(part, scope) for part in parts[1:])
        text = re.sub(r"\{([0-9]+)\}", lambda m: values[int(m[1])].text if int(m[1]) < len(values) else m[0], form.text)
        return Word(text, all(value.fixed for value in values))
    if _decides(tree):
        fixed = truth(tree, scope)
        return (
            Word(f"$({_printing(tree, scope)})", False) if fixed is None else Word("true" if fixed else "false", True)
        )
    raise Unsaid(f"${{{{ {shown(tree)[:80]} }}}}")


def _decides(tree: Tree | str) -> bool:
    """True for what is true or false, and nothing else."""
    kind, parts = ("text", ()) if isinstance(tree, str) else tree
    if kind in ("&&", "||"):
        return all(_decides(part) for part in parts)
    return kind in ("==", "!=", "!") or (kind == "call" and parts[0] in ("startswith", "endswith", "contains"))


def _printing(tree: Tree | str, scope: Scope) -> str:
    """A command that prints a value which only the shell can choose. Raises Unsaid."""
    kind, parts = ("text", (tree,)) if isinstance(tree, str) else tree
    if kind == "||" and len(parts) > 1 and not isinstance(parts[0], str) and parts[0][0] == "&&":
        *asked, value = parts[0][1]
        rest: Tree | str = parts[1] if len(parts) == 2 else ("||", parts[1:])
        if all(_decides(one) for one in asked) and truth(value, scope) is True:
            return _either(("&&", tuple(asked)), _printing(value, scope), _printing(rest, scope), scope)
    if kind == "&&" and all(_decides(one) for one in parts[:-1]):
        return _either(("&&", parts[:-1]), _printing(parts[-1], scope), "printf %s false", scope)
    if not isinstance(tree, str) and truth(tree, scope) is None and _decides(tree):
        return _either(tree, "printf %s true", "printf %s false", scope)
    word = Word("", False) if kind in ("&&", "||") else _value(tree, scope)
    text = re.sub(r"\$\{\{ matrix\.\w+ \}\}", "", word.text) if scope.plain else word.text
    if not (word.fixed or text != word.text) or not PLAIN.fullmatch(text):
        raise Unsaid(f"${{{{ {shown(tree)[:80]} }}}}")
    return f"printf %s '{word.text}'"


def _either(asked: Tree, one: str, other: str, scope: Scope) -> str:
    return f"if {test(asked, scope)}; then {one}; else {other}; fi"


def _chosen(kind: str, parts: tuple[Tree | str, ...], scope: Scope) -> Word:
    """`a && b`, `a || b` where it is known which; or, for `||`, the shell's own default."""
    for at, part in enumerate(parts):
        decided = truth(part, scope)
        last = at == len(parts) - 1
        if decided is None and kind == "||" and at == len(parts) - 2:
            first, second = _value(part, scope), _value(parts[-1], scope)
            variable = re.fullmatch(r"\$\{?([A-Za-z_]\w*)\}?", first.text)
            if variable and "}" not in second.text:
                return Word(f"${{{variable[1]}:-{second.text}}}", False)
        if decided is None and not last:
            return Word(f"$({_printing((kind, parts[at:]), scope)})", False)
        if last or decided is (kind == "||"):
            return _value(part, scope)
    raise Unsaid(f"${{{{ {shown((kind, parts))[:80]} }}}}")


def truth(tree: Tree | str, scope: Scope) -> bool | None:
    """Whether a condition holds, if that is known before anything runs."""
    if isinstance(tree, str):
        return bool(tree)
    kind, parts = tree
    if kind == "text":
        return str(parts[0]) not in ("", "false", "0")
    if kind == "name":
        try:
            word = known(str(parts[0]), scope)
        except Unsaid:
            return None
        return word.text not in ("", "false", "0") if word.fixed else None
    if kind == "!":
        inside = truth(parts[0], scope)
        return None if inside is None else not inside
    if kind in ("&&", "||"):
        found = [truth(part, scope) for part in parts]
        if (kind == "||") in found:
            return kind == "||"
        return None if None in found else kind == "&&"
    if kind in ("==", "!="):
        try:
            left, right = _value(parts[0], scope), _value(parts[1], scope)
        except Unsaid:
            return None
        if left.fixed and right.fixed:
            return (left.text.lower() == right.text.lower()) == (kind == "==")
        return None
    if kind == "call" and parts[0] == "success":
        return True
    if kind == "call" and parts[0] in ("startswith", "contains", "endswith") and len(parts) == 3:
        try:
            left, right = _value(parts[1], scope), _value(parts[2], scope)
        except Unsaid:
            return None
        if left.fixed and right.fixed:
            one, two = left.text.lower(), right.text.lower()
            return {"startswith": one.startswith(two), "endswith": one.endswith(two)}.get(str(parts[0]), two in one)
    return None


def test(tree: Tree | str, scope: Scope) -> str:
    """A condition as a command of the shell. Raises Unsaid."""
    decided = truth(tree, scope)
    if decided is not None:
        return "true" if decided else "false"
    if isinstance(tree, str):
        raise Unsaid(tree)
    kind, parts = tree
    match kind:
        case "!":
            return f"! {{ {test(parts[0], scope)}; }}"
        case "&&" | "||":
            kept = [one for part in parts if (one := test(part, scope)) != ("true" if kind == "&&" else "false")]
            return f" {kind} ".join(one if " && " not in one and " || " not in one else f"{{ {one}; }}" for one in kept)
        case "==" | "!=":
            one, other = (_quoted(part, scope) for part in parts)
            sign = "=" if kind == "==" else "!="
            if shown(parts[0]) == "github.event_name":
                event = EVENTS.get(shown(parts[1]).strip("'"))
                if event is None:
                    return "false" if kind == "==" else "true"
                if event == "push":  # a tag is pushed, too
                    yes, no = ("true", "false") if kind == "==" else ("false", "true")
                    return f'case "$FARMGATE_TRIGGER" in push|tag) {yes} ;; *) {no} ;; esac'
                return f'[ "$FARMGATE_TRIGGER" {sign} {event} ]'
            return f"[ {one} {sign} {other} ]"
        case "name" if str(parts[0]).startswith("matrix."):
            return f"case {_quoted(tree, scope)} in ''|false|0) false ;; *) true ;; esac"
        case "name":
            return f"[ -n {_quoted(tree, scope)} ]"
        case "call" if parts[0] in ("startswith", "endswith", "contains") and len(parts) == 3:
            left, right = _quoted(parts[1], scope), _value(parts[2], scope)
            if not right.fixed or not re.fullmatch(r"[\w./:@ -]*", right.text):
                raise Unsaid(shown(tree))
            word = f"'{right.text}'" if " " in right.text else right.text
            pattern = {"startswith": f"{word}*", "endswith": f"*{word}", "contains": f"*{word}*"}[str(parts[0])]
            return f"case {left} in {pattern}) true ;; *) false ;; esac"
        case "call" if parts[0] == "success":
            return "true"
    raise Unsaid(f"${{{{ {shown(tree)[:80]} }}}}")


def _quoted(tree: Tree | str, scope: Scope) -> str:
    if not isinstance(tree, str) and tree[0] == "name" and str(tree[1][0]).lower() == "github.event_name":
        return '"$FARMGATE_TRIGGER"'
    word = _value(tree, scope)
    if word.fixed:
        return "'" + word.text.replace("'", "'\\''") + "'"
    return f'"{word.text}"'


def matrix_name(name: str) -> str:
    """An axis' name here."""
    return variable_of(name.replace(".", "_"))
