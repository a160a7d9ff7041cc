"""Secrets of a local run: the developer's own, from the environment or from a file of theirs.

Rules:
1. A value is no argument, since others can read those: an argument names a variable of the environment, or a file.
2. In a file each line is NAME=VALUE, the value as it stands; empty lines and those that begin with # say nothing.
3. A file that would become part of the run's commit is refused: whoever sees the run would see the file.
4. The private farm keeps them sealed for this run alone: what an earlier run was given is taken away first, and what
   this one was given when it is over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farmgate.errors import BadSettings

if TYPE_CHECKING:
    from farmgate.client.api import Api

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES: Final = 2**20


def gathered(names: Sequence[str], file: Path | None, top: Path) -> dict[str, str]:
    """By name; what the environment says wins over the file. Raises BadSettings, naming no value."""
    from farmgate.settings import environment_for_child

    found = {} if file is None else _of_file(file, top)
    known = environment_for_child()
    for name in names:
        if name not in known:
            raise BadSettings(f"--secret {name}: the environment has no variable {name}; set it, or use --secrets FILE")
        found[name] = known[name]
    return found


def forget(api: Api, repository: str) -> None:
    """Rule 4."""
    for row in api.secrets(repository):
        api.remove_secret(repository, row["name"], row["environment"], row["branch"])


def read(text: str, source: str) -> dict[str, str]:
    """Rule 2. Raises BadSettings."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or _NAME.fullmatch(name) is None:
            raise BadSettings(f"{source}:{number}: not NAME=VALUE; a name has letters, digits and _")
        if name in found:
            raise BadSettings(f"{source}:{number}: a second value of {name}")
        found[name] = value
    return found


def _of_file(file: Path, top: Path) -> dict[str, str]:
    from farmgate.git import working_tree

    if working_tree.takes_in(top, file):
        raise BadSettings(
            f"{file} is not ignored by git, so it would be part of the run: ignore it, or keep it elsewhere"
        )
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadSettings(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{file} is not text in UTF-8") from None
    if len(text) > _MOST_BYTES:
        raise BadSettings(f"{file} is larger than 1 MiB")
    return read(text, str(file))
