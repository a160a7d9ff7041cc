"""A job's limits: time, who may run at once, what may fail, rights at the forge, where it deploys.

Rules:
1. A group of one ref that cancels what is older is what Farmgate does by itself.
2. A limit that is computed is left.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farmgate.documents import as_written
from farmgate.importing.account import Kind, Part
from farmgate.importing.draft import duration_of, name_of
from farmgate.importing.github.expressions import has

if TYPE_CHECKING:
    from farmgate.importing.github.jobs import JobReader


def limits(job: JobReader) -> None:
    """Read them into the draft."""
    part = job.part
    part.take("name")
    minutes = part.number("timeout-minutes") if not has(str(part.value.get("timeout-minutes", ""))) else None
    if minutes:
        job.draft.timeout = duration_of(minutes * 60)
    elif "timeout-minutes" in part:
        part.left("timeout-minutes", "a timeout that is computed", "write it by hand")
    text = part.text("continue-on-error")
    if text is not None and text.lower() == "true":
        job.draft.rest["allow_failure"] = True
    elif text is not None and has(text):
        part.left(
            "continue-on-error",
            "whether a failure decides is computed",
            "a job of its own with 'allow_failure: true'",
        )
    group = concurrency(part) or job.flow.concurrency
    if group:
        job.draft.rest["concurrency"] = group
    if permissions(part) or job.flow.identity:
        job.draft.rest["identity"] = {"ID_TOKEN": "farmgate"}
        part.say(
            Kind.LOOK,
            part.at,
            "an identity token, as ID_TOKEN",
            "name the audience that your cloud wants",
            key=True,
        )
    environment = part.take("environment")
    if environment is not None:
        named = job.value(str(environment.get("name", "")) if isinstance(environment, dict) else str(environment))
        if named and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name_of(named)):
            job.draft.rest["deploys_to"] = name_of(named)
        else:
            part.left("environment", "an environment that is computed", "'deploys_to'")
    if "outputs" in part:
        part.left("outputs", "outputs of a job", "a file in 'artifacts', read by the job that needs it")


def concurrency(part: Part) -> dict[str, Any]:
    """`concurrency` of a workflow or a job, as ours; nothing where Farmgate does it by itself."""
    value = part.take("concurrency")
    if value is None:
        return {}
    below = part.below("concurrency", value) if isinstance(value, dict) else None
    group = (below.text("group") if below else as_written(value)) or "ci"
    cancel = below.flag("cancel-in-progress") or has(str(below.value.get("cancel-in-progress", ""))) if below else False
    by_ref = "github.ref" in group or "head_ref" in group or "github.event.pull_request" in group
    plain = re.sub(r"-{2,}", "-", re.sub(r"\$\{\{.*?\}\}", "", group)).strip("-_/ ") or "ci"
    if by_ref and cancel:
        part.needless("concurrency", "superseded runs of a ref are cancelled by themselves")
        return {}
    made: dict[str, Any] = {"group": plain}
    if cancel:
        made["when_full"] = "cancel_older"
    if by_ref:
        made["scope"] = "ref"
    return made


def permissions(part: Part) -> bool:
    """True if an identity token is asked for; no other right is needed here."""
    value = part.take("permissions")
    part.needless("permissions", "a job has no rights at the forge")
    return isinstance(value, dict) and str(value.get("id-token")) == "write"
