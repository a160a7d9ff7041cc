"""The job as one script: steps in one shell run, with a marker before and after each.

Rules:
1. Each step is a file of its own, run by its own `sh -e` (with pipefail where the shell has it) in the workspace, or by
   the words of its `shell`. So an `exit`, a `cd` or a variable of one step does not reach the next; files in workspace,
   home and temporary folder do.
2. The first step that fails ends the script, with the step's exit code.
3. Nothing of the job is put into the script's text: steps are copied as they stand; a step's variables, folder and
   shell are files that the script reads as values. Other values come by the environment.
4. Standard error goes where standard output goes, so that their lines keep their order. Standard input is empty, once
   the job's secrets were read from it (see `given`).
5. Only what every shell has is used: reading a value starts no process.
6. What a step installs for its user (`pip install` without root puts programs into ~/.local/bin) is on the path of the
   steps after it, behind everything that the image has.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from farmgate.errors import FarmgateError
from farmgate.pipeline import StepSpec
from workers.given import TAKE
from workers.markers import prefix
from workers.segments import Segment

NAME: Final = "job.sh"
_STRICT: Final = {
    "bash": ("bash", "-e", "-o", "pipefail"),
    **{name: (name, "-e") for name in ("sh", "dash", "ash", "ksh", "zsh")},
}

_SCRIPT: Final = """\
exec 2>&1
{take}exec </dev/null
farmgate_steps={steps}
farmgate_end='
'
cd {workspace} || exit 125
[ ! -d "$farmgate_steps/bin" ] || PATH=$PATH:$farmgate_steps/bin
[ -z "$HOME" ] || PATH=$PATH:$HOME/.local/bin
farmgate_options=-e
(set -o pipefail) 2>/dev/null && farmgate_options='-e -o pipefail'
farmgate_mark() {{ printf '\\036%s%s %s\\n' {mark} "$1" "$(date +%s.%N 2>/dev/null)"; }}
farmgate_read() {{
  farmgate_value= farmgate_line=
  while IFS= read -r farmgate_line; do farmgate_value=$farmgate_value$farmgate_line$farmgate_end; done <"$1"
  farmgate_value=$farmgate_value$farmgate_line
}}
farmgate_step() {{
  farmgate_file=$farmgate_steps/$1
  set -- sh $farmgate_options
  if [ -f "$farmgate_file.shell" ]; then
    set --
    while IFS= read -r farmgate_line; do set -- "$@" "$farmgate_line"; done <"$farmgate_file.shell"
  fi
  set -- "$@" "$farmgate_file.sh"
  if [ -f "$farmgate_file.folder" ]; then
    farmgate_read "$farmgate_file.folder"
    cd "./$farmgate_value" || {{ echo "farmgate: the step's working_directory is no folder"; exit 1; }}
  fi
  for farmgate_file in "$farmgate_file.environment"/*; do
    [ -f "$farmgate_file" ] || continue
    farmgate_read "$farmgate_file"
    export "${{farmgate_file##*/}}=$farmgate_value"
  done
  exec "$@"
}}
farmgate_number={first}
while [ "$farmgate_number" -le {last} ]; do
  farmgate_mark "begin $farmgate_number"
  (farmgate_step "$farmgate_number")
  farmgate_code=$?
  farmgate_mark "end $farmgate_number $farmgate_code"
  [ "$farmgate_code" -eq 0 ] || exit "$farmgate_code"
  farmgate_number=$((farmgate_number + 1))
done
"""


class BadShell(FarmgateError):
    """A step's `shell` that cannot be read as words."""


def script(segment: Segment, nonce: str, steps_at: str, workspace_at: str, *, given: bool = False) -> str:
    """The script of the segment's steps, whose files are in the folder `steps_at`. `given`: secrets come to it."""
    return _SCRIPT.format(
        take=TAKE if given else "",
        steps=_quoted(steps_at),
        workspace=_quoted(workspace_at),
        mark=_quoted(prefix(nonce)[1:].decode()),
        first=segment.first,
        last=segment.last,
    )


def write_scripts(
    folder: Path,
    steps: Sequence[StepSpec],
    parts: Sequence[Segment],
    nonce: str,
    steps_at: str,
    workspace_at: str,
    *,
    given: bool = False,
) -> None:
    """Write the scripts and what their steps need into `folder`. Raises BadShell."""
    for number, step in enumerate(steps, start=1):
        _write(folder / f"{number}.sh", step.run + "\n")
        if step.shell is not None:
            _write(folder / f"{number}.shell", "".join(f"{word}\n" for word in words(step.shell)))
        if step.working_directory not in (None, "."):
            _write(folder / f"{number}.folder", str(step.working_directory))
        if step.environment:
            (folder / f"{number}.environment").mkdir()
            for name, value in step.environment.items():
                _write(folder / f"{number}.environment" / name, value)
    for segment in parts:
        _write(folder / segment.script, script(segment, nonce, steps_at, workspace_at, given=given))


def words(shell: str) -> tuple[str, ...]:
    """What runs a step's file: a bare shell stops at the first error, anything else is taken as it stands."""
    try:
        found = tuple(shlex.split(shell))
    except ValueError as error:
        raise BadShell(f"the shell {shell[:80]!r} cannot be read: {error}") from None
    if not found or any("\n" in word for word in found):
        raise BadShell(f"the shell {shell[:80]!r} is no line of words, such as 'bash -eu'")
    return _STRICT.get(found[0], found) if len(found) == 1 else found


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
