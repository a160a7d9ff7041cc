"""`http`: a path of every instance of the release itself, not of the switch, which might have an older one answer.

The wanted status is healthy; another one, or a refused connection, is sick; silence and nonsense cannot tell.
"""

from __future__ import annotations

from deploy.checks import web
from deploy.checks.questions import Question
from deploy.checks.verdicts import Answer, Verdict, healthy, sick, untold
from farmgate.policy import HttpCheck


def ask(check: HttpCheck, question: Question) -> Answer:
    """The first answer that is not healthy, else the slowest."""
    if not check.http.startswith("/"):
        return _one(check, check.http)
    slowest: Answer | None = None
    for address in question.about.addresses:
        answer = _one(check, f"http://{address}{check.http}")
        if answer.verdict is not Verdict.HEALTHY:
            return answer
        if slowest is None or answer.figures["seconds"] > slowest.figures["seconds"]:
            slowest = answer
    return slowest if slowest is not None else untold("there is no instance to ask")


def _one(check: HttpCheck, url: str) -> Answer:
    try:
        found = web.fetch(url, check.timeout)
    except web.Unreachable as error:
        return sick(str(error))
    except (web.Silent, web.Nonsense) as error:
        return untold(str(error))
    figures = {"seconds": found.seconds, "status": found.status}
    if found.status == check.expect:
        return healthy(f"{url} answered {found.status}", **figures)
    return sick(f"{url} answered {found.status}, not {check.expect}", **figures)
