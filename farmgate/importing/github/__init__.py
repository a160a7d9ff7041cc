"""GitHub Actions: `.github/workflows/*.yml`.

Rules:
1. Several workflows become one pipeline: each job is then called by its workflow, too. What starts a workflow (`on:`)
   is the `when` of its jobs.
2. A step's `if` becomes the first line of its commands; a job's `if` becomes `when`, as far as `when` can say it.
3. What a step says by an expression that only GitHub can answer leaves that step; the rest of the job is converted.

`file` has a workflow, `triggers` what starts it, `jobs` a job with its `matrix`, `machine`, `environment`, `conditions`
and `limits`, `steps` a step, `actions` the marketplace's; `trees` reads expressions,
`names` knows what they name, `expressions` says them.
"""

from __future__ import annotations

from farmgate.importing.github.file import convert

__all__ = ["convert"]
