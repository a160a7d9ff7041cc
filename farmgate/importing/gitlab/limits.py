"""A job's limits and what else it says of itself: tries, time, groups, machines, where it deploys, tokens, secrets.

Follows "CI/CD YAML syntax reference" of GitLab's documentation.
"""

from __future__ import annotations

import re
from typing import Final

from farmgate.documents import as_written
from farmgate.importing.account import Part, flat
from farmgate.importing.draft import Draft, duration_of, good_variable, name_of
from farmgate.importing.gitlab.variables import without

_LEFT: Final = {
    "release": "a lane delivers what passed: see docs/delivery.md",
    "pages": "a lane delivers what passed",
    "publish": "a lane delivers what passed",
    "dast_configuration": "a scanner in a step",
    "hooks": "write them into the steps",
    "manual_confirmation": "'approve'",
}
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def limits(part: Part, draft: Draft) -> None:
    """Read them into the draft."""
    _failures(part, draft)
    _timeout(part, draft)
    group = part.text("resource_group")
    if group:
        draft.rest["concurrency"] = without(group) or "group"
    part.needless("interruptible", "superseded runs are cancelled by themselves")
    tags = part.texts("tags")
    if tags:
        part.look("tags", f"machines tagged {', '.join(tags)[:80]}", "'pool', or 'labels' of a node")
    if part.text("coverage"):
        part.left("coverage", "coverage by an expression over the log", "'reports: {cobertura: ...}' or 'lcov'")
    _environment(part, draft)
    _tokens(part, draft)
    _secrets(part, draft)
    for key, remedy in _LEFT.items():
        if key in part:
            part.left(key, f"{key} of a job", remedy)


def _failures(part: Part, draft: Draft) -> None:
    allow = part.take("allow_failure")
    if allow is True:
        draft.rest["allow_failure"] = True
    elif isinstance(allow, dict):
        texts = [as_written(one) or "" for _, one in flat(allow.get("exit_codes"), ())]
        codes = [int(float(text)) for text in texts if re.fullmatch(r"[0-9.]+", text)]
        draft.rest["allow_failure"] = {"on_exit": codes} if codes else True
    retry = part.take("retry")
    most = retry.get("max") if isinstance(retry, dict) else retry
    if isinstance(most, int) and most > 0:
        draft.rest["retry"] = min(int(most), 10)
    if isinstance(retry, dict) and "when" in retry:
        part.needless("retry", "lost infrastructure has its own tries")


def _timeout(part: Part, draft: Draft) -> None:
    text = part.text("timeout")
    if not text:
        return
    plain = text.lower().replace("minutes", "m").replace("hours", "h").replace("seconds", "s")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)\s*(d|h|m|s)", plain))
    if seconds:
        draft.timeout = duration_of(seconds)
    else:
        part.left("timeout", f"timeout {text[:40]}", "write it as 1h30m")


def _environment(part: Part, draft: Draft) -> None:
    environment = part.take("environment")
    if environment is None:
        return
    below = part.below("environment", environment if isinstance(environment, dict) else {"name": environment})
    draft.rest["deploys_to"] = name_of(re.sub(r"\$\{?\w+\}?", "", below.text("name") or ""))
    for key in ("url", "on_stop", "action", "auto_stop_in", "deployment_tier", "kubernetes"):
        if key in below:
            below.needless(key, "a lane shows and ends what it delivers")
    below.close("environment")


def _tokens(part: Part, draft: Draft) -> None:
    tokens = part.part("id_tokens")
    for name in tokens.names() if tokens is not None else ():
        one = tokens.take(name) if tokens is not None else None
        audiences = flat(one.get("aud"), ()) if isinstance(one, dict) else ()
        audience = next((as_written(word) for _, word in audiences), None)
        if audience and good_variable(name) and "$" not in audience:
            draft.rest.setdefault("identity", {})[name] = audience
        else:
            part.left("id_tokens", f"identity token {name[:60]}", "'identity' with its audience")


def _secrets(part: Part, draft: Draft) -> None:
    secrets = part.part("secrets")
    for name in secrets.names() if secrets is not None else ():
        if secrets is not None and good_variable(name):
            draft.secrets[name] = name
            secrets.look(name, f"secret {name}: store its value", "farmgate secret")
        elif secrets is not None:
            secrets.left(name, f"secret {name[:60]!r}", "a name has letters, digits and '_', no digit first")
