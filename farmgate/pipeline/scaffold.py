"""A first pipeline file for a repository, from what stands in its root.

Rules:
1. The first of these that is found decides: Python, Node, Go, a static site, a Dockerfile. Nothing known: one job to
   be changed.
2. The first line names the schema, so that an editor completes and checks while one types.
3. Every parameter stands there as a comment with its default: what can be changed is seen, what is not stays a comment.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from farmgate.documents import read, write
from farmgate.pipeline.builtin import NAMES, built_in

SIGNS: Final = (
    ("python-service", ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")),
    ("node-service", ("package.json",)),
    ("go-service", ("go.mod",)),
    ("static-site", ("index.html", "mkdocs.yml", "hugo.toml", "hugo.yaml", "_config.yml", "book.toml")),
    ("container-service", ("Dockerfile",)),
)


def detected(files: Collection[str]) -> str | None:
    """The template for a repository whose root holds these files."""
    return next((name for name, signs in SIGNS if any(sign in files for sign in signs)), None)


def scaffold(template: str | None, schema_address: str, folder: str) -> str:
    """The text of a file that uses the template. `folder`: the repository's own name, for what must have one."""
    head = f"# yaml-language-server: $schema={schema_address}\n"
    if template is None:
        return head + _PLAIN
    if template not in NAMES:
        return head + f"use: {template}\n"
    section = read(built_in(template).text, template).data["template"]
    known: dict[str, dict[str, Any]] = section["parameters"]
    given = {name: _name(folder) for name, parameter in known.items() if "default" not in parameter}
    text = head + f"use: {template}\ntier: {section['tier']} # or {_others(section)}\n"
    text += write({"parameters": given}) if given else "# parameters:\n"
    for name, parameter in known.items():
        if name not in given:
            value = write({name: parameter["default"]}, indent=2)
            text += f"  # {parameter['description']}\n" + re.sub(r"(?m)^  ", "  # ", value)
    return text + "\n# jobs of your own, beside the template's:\n# jobs:\n"


_PLAIN: Final = """\
jobs:
  test:
    image: alpine:3
    steps:
      - echo "put here what builds and tests this repository"
"""


def _name(folder: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", folder.lower()).strip("-._") or "app"


def _others(section: dict[str, Any]) -> str:
    return " or ".join(tier for tier in section["tiers"] if tier != section["tier"])
