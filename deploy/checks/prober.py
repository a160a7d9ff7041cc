"""Asking a check of a kind, and never failing to answer."""

from __future__ import annotations

from typing import assert_never

import structlog

from deploy.checks import canary, http, logs, programs, prometheus
from deploy.checks.questions import Question
from deploy.checks.verdicts import Answer, untold
from farmgate.policy import (
    CanaryCheck,
    Check,
    CommandCheck,
    ContainerCheck,
    HttpCheck,
    LogCheck,
    PersonCheck,
    QueryCheck,
)

log = structlog.get_logger()


class RealProber:
    """Asks the world."""

    def ask(self, check: Check, question: Question) -> Answer:
        try:
            return _asked(check, question)
        except Exception as error:
            log.exception("a check failed to answer", check=check.name)
            return untold(f"{check.name} could not be asked: {type(error).__name__}: {str(error)[:300]}")


def _asked(check: Check, question: Question) -> Answer:
    match check:
        case HttpCheck():
            return http.ask(check, question)
        case CommandCheck():
            return programs.ask(check, question)
        case ContainerCheck():
            return programs.ask_in_container(check, question)
        case QueryCheck():
            return prometheus.ask(check, question)
        case CanaryCheck():
            return canary.ask(check, question)
        case LogCheck():
            return logs.ask(check, question)
        case PersonCheck():
            return untold("a person is asked, by the plan")
        case _:
            assert_never(check)
