"""Values that only the job's own processes may see: handed to its script by standard input.

Rules:
1. They are never in an argument list, in the container's configuration, in a file, or in the environment of a process
   of ours: the script reads them before anything else, and exports them to its steps.
2. Any bytes but NUL arrive unchanged, line breaks too; nothing of a value is ever read as a command.
3. Of a signed token its signature is hidden by itself too: whoever shows its other two parts shows nothing secret.
4. The text says how many lines each value has, and where it all ends: the script never waits for the end of input.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from typing import Final

from farmgate.messages import Claimed
from farmgate.registries import Registry

_SIGNED: Final = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]{20,}")  # a JSON Web Token: its header begins with {"


def given(claimed: Claimed) -> dict[str, bytes]:
    """The claim's secret variables."""
    return {name: base64.b64decode(value) for name, value in claimed.secrets.items()}


def hidden(values: Collection[bytes]) -> list[bytes]:
    """What must not leave the node (rule 3)."""
    return [*values, *(value.rpartition(b".")[2] for value in values if _SIGNED.fullmatch(value))]


def registry(claimed: Claimed) -> Registry | None:
    """The farm's registry, where this attempt may know it."""
    told = claimed.registry
    return Registry(told.address, told.user, told.password) if told is not None else None


def hand_over(values: Mapping[str, bytes]) -> bytes:
    """What to write to the script's standard input; empty if there is nothing."""
    if not values:
        return b""
    parts = [b"%s %d\n%s\n" % (name.encode(), value.count(b"\n") + 1, value) for name, value in values.items()]
    return b"".join((*parts, b". 0\n"))


# `read -r` with an empty IFS is the one way that every shell has to take a line as it is.
TAKE: Final = """\
while IFS=' ' read -r farmgate_name farmgate_lines && [ "$farmgate_name" != . ]; do
  IFS= read -r farmgate_value
  while [ "$farmgate_lines" -gt 1 ]; do
    IFS= read -r farmgate_line
    farmgate_value="$farmgate_value
$farmgate_line"
    farmgate_lines=$((farmgate_lines - 1))
  done
  export "$farmgate_name=$farmgate_value"
done
unset farmgate_name farmgate_lines farmgate_value farmgate_line
"""
