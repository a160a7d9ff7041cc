"""What a lane's policy is, once its file has been read: every default applied, nothing left to guess.

Rules:
1. These models are what rows store: they round-trip through JSON and refuse what they do not know.
2. A rollout keeps the policy as it stood at its cut; a release keeps its target. A later change touches neither.
3. Shares are percent of the traffic, rise from wave to wave, and end at 100.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from farmgate.policy.checks import Check, PersonCheck
from farmgate.policy.pace import Budget, Freeze, Window
from farmgate.policy.targets import Target
from farmgate.policy.values import Frozen
from farmgate.vulnerabilities.ratings import Severity


class Wave(Frozen):
    """A share of the traffic, how long it must stay healthy, and what is asked in this wave alone."""

    share: int
    soak: timedelta
    checks: tuple[Check, ...] = ()


class Adaptive(Frozen):
    """A batch size that follows what happens: it begins at `start`, grows by one after a good rollout, halves after a
    bad one, and stays from `least` to `most`."""

    start: int
    least: int
    most: int


class Approvals(Frozen):
    """Who must agree to a batch: `count` people of `by` (empty: of all who may write), none of them its author."""

    count: int = 1
    by: tuple[str, ...] = ()
    not_author: bool = True


class Vulnerabilities(Frozen):
    """What a lane refuses: candidates with a vulnerability as bad as `refuse` that has been public for `grace`, and
    that what is live does not have (`strict`: whether it has or not). `unlisted`: what cannot be judged."""

    refuse: Severity
    grace: timedelta = timedelta(0)
    strict: bool = False
    unlisted: Literal["refuse", "allow"] = "refuse"


class Provenance(Frozen):
    """What a candidate must bring: provenance that the farm signed, or one of `keys` (public, PEM) of who built it."""

    keys: tuple[str, ...] = ()


class LanePolicy(Frozen):
    """How one application is taken to one environment."""

    application: str
    environment: str
    repository: str
    branch: str
    follows: tuple[str, ...] = ()  # environments of the same application that verify first
    listen: str | None = None  # host:port of the switch
    settle: timedelta = timedelta(0)
    minimum_interval: timedelta = timedelta(0)
    max_commits: int | None = None
    adaptive: Adaptive | None = None  # instead of `max_commits`
    windows: tuple[Window, ...] = ()  # when rollouts may begin; none: always
    freezes: tuple[Freeze, ...] = ()
    budget: Budget | None = None
    approvals: Approvals | None = None
    vulnerabilities: Vulnerabilities | None = None
    provenance: Provenance | None = None
    waves: tuple[Wave, ...] = (Wave(share=100, soak=timedelta(0)),)
    checks: tuple[Check, ...] = ()
    ask_for: timedelta = timedelta(hours=1)  # how long a person may take to decide; then it is taken back
    irreversible: tuple[str, ...] = ()  # paths whose change cannot be taken back, as patterns
    on_late_red: Literal["tell", "hold", "restore"] = "tell"  # when a check says no of what is live
    on_culprit: Literal["hold", "revert", "next"] = "next"  # when one is found and banned: stop, go without it, wait
    target: Target

    @property
    def name(self) -> str:
        """application/environment."""
        return f"{self.application}/{self.environment}"

    def checks_of(self, wave: int) -> tuple[Check, ...]:
        """What a wave is asked: the lane's checks, then its own. Their places here are their numbers in the journal."""
        return (*self.checks, *self.waves[wave].checks)

    def person_of(self, wave: int) -> PersonCheck | None:
        """Who is asked in a wave, if anyone is."""
        return next((check for check in self.checks_of(wave) if isinstance(check, PersonCheck)), None)
