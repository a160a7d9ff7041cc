"""The job as one script: steps in one shell run, with a marker before and after each.

Rules:
1. Each step is a file of its own, run by its own `sh -e` (with pipefail where the shell has it) in the workspace. So an
   `exit`, a `cd` or a variable of one step does not reach the next; files in workspace, home and temporary folder do.
2. The first step that fails ends the script, with the step's exit code.
3. Nothing of the job is put into the script's text: steps are copied as they stand, values come by the environment.
4. Standard error goes where standard output goes, so that their lines keep their order. Standard input is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from farmgate.pipeline import StepSpec
from workers.markers import prefix

NAME: Final = "job.sh"

_SCRIPT: Final = """\
exec 2>&1 </dev/null
farmgate_steps={steps}
cd {workspace} || exit 125
[ ! -d "$farmgate_steps/bin" ] || PATH=$PATH:$farmgate_steps/bin
farmgate_options=-e
(set -o pipefail) 2>/dev/null && farmgate_options='-e -o pipefail'
farmgate_mark() {{ printf '\\036%s%s %s\\n' {mark} "$1" "$(date +%s.%N 2>/dev/null)"; }}
farmgate_number=1
while [ "$farmgate_number" -le {count} ]; do
  farmgate_mark "begin $farmgate_number"
  sh $farmgate_options "$farmgate_steps/$farmgate_number.sh"
  farmgate_code=$?
  farmgate_mark "end $farmgate_number $farmgate_code"
  [ "$farmgate_code" -eq 0 ] || exit "$farmgate_code"
  farmgate_number=$((farmgate_number + 1))
done
"""


def script(steps: int, nonce: str, steps_at: str, workspace_at: str) -> str:
    """The script that runs the files `1.sh` to `{steps}.sh` in the folder `steps_at`."""
    return _SCRIPT.format(
        steps=_quoted(steps_at),
        workspace=_quoted(workspace_at),
        mark=_quoted(prefix(nonce)[1:].decode()),
        count=steps,
    )


def write_script(folder: Path, steps: Sequence[StepSpec], nonce: str, steps_at: str, workspace_at: str) -> None:
    """Write the script and its steps into `folder`."""
    for number, step in enumerate(steps, start=1):
        (folder / f"{number}.sh").write_text(step.run + "\n", encoding="utf-8", newline="\n")
    (folder / NAME).write_text(script(len(steps), nonce, steps_at, workspace_at), encoding="utf-8", newline="\n")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
