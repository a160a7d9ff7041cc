"""A document written back as YAML that reads as the same values.

Rules:
1. What reads as a number, true, false or nothing when it stands bare is quoted where it is text.
2. A number is written as it was: `1.10` stays 1.10.
3. Several lines are a block; aliases are written out; keys keep their order.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from farmgate.documents.tree import as_written, reads_as_text

_WIDE: Final = 4000
"""Lines are not folded: commands stay as they are."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    if "\n" in value:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
    style = None if reads_as_text(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _number(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    kind = "int" if isinstance(value, int) else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", as_written(value) or str(value))


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(int, _number)
_Dumper.add_multi_representer(float, _number)
_Dumper.add_representer(bool, yaml.SafeDumper.represent_bool)


def write(data: Any, *, indent: int = 0) -> str:
    """The data as YAML, each line `indent` spaces in."""
    text = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDE, default_flow_style=False, indent=2
    )
    if not indent:
        return text
    return "".join(" " * indent + line if line.strip() else line for line in text.splitlines(keepends=True))
