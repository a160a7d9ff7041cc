"""Variables of a workflow, a job, a step: what is fixed is said, what is not is worked out by the shell.

Rules:
1. A variable that is nothing but a secret is a secret of the job.
2. A value that a variable of the shell gives is exported in front of the commands; what only GitHub knows is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farmgate.documents import as_written
from farmgate.importing.account import Kind, Part
from farmgate.importing.draft import good_variable, put_variables
from farmgate.importing.github import expressions
from farmgate.importing.github.trees import Unsaid

if TYPE_CHECKING:
    from farmgate.importing.github.jobs import JobReader


def variables(job: JobReader, env: Part, into: dict[str, str], exports: list[str]) -> bool:
    """Read variables into `into`, or as lines of the shell into `exports`; False if one is left."""
    before = len(env.account.remarks)
    good: dict[str, str] = {}
    for key in env.names():
        text = as_written(env.take(key)) or ""
        secret = expressions.only_secret(text)
        if secret and good_variable(key):
            job.draft.secrets[key] = secret
            if secret == "GITHUB_TOKEN":  # noqa: S105 the name of one
                env.look(key, "a token of GitHub's own", "make a secret GITHUB_TOKEN where it is still wanted")
            continue
        try:
            good[key] = expressions.in_value(text, job.scope)
            continue
        except Unsaid:
            pass
        try:
            said = expressions.in_double_quotes(text, job.scope)
        except Unsaid as unsaid:
            env.left(key, f"variable {key[:60]}: {unsaid}", expressions.REMEDY)
            continue
        if good_variable(key) and "\n" not in said:
            exports.append(f'export {key}="{said}"')
        else:
            env.left(key, f"variable {key[:60]!r}, which is worked out when the job runs", "write it by hand")
    put_variables(into, good, lambda name, why: env.left(name, why, "rename it"))
    return not any(remark.kind is Kind.LEFT for remark in env.account.remarks[before:])


def environment(job: JobReader) -> None:
    """The variables of the workflow and the job, and the defaults of its steps."""
    root_env = job.flow.root.value.get("env")
    if isinstance(root_env, dict):
        variables(job, job.flow.root.below("env", root_env), job.draft.environment, job.exports)
    env = job.part.part("env")
    if env is not None:
        variables(job, env, job.draft.environment, job.exports)
    job.scope.environment = job.draft.environment
    for part in (job.flow.root, job.part):
        defaults = part.part("defaults")
        run = defaults.part("run") if defaults is not None else None
        if defaults is not None and run is not None:
            for key in ("shell", "working-directory"):
                if key in run:
                    job.defaults[key] = run.text(key) or ""
            run.close("defaults.run")
            defaults.close("defaults")
