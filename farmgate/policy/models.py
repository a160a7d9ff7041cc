"""What a lane's policy is, once its file has been read: every default applied, nothing left to guess.

Rules:
1. These models are what rows store: they round-trip through JSON and refuse what they do not know.
2. A rollout keeps the policy as it stood at its cut; a release keeps its target. A later change touches neither.
3. Shares are percent of the traffic, rise from wave to wave, and end at 100.
"""

from __future__ import annotations

from datetime import timedelta

from farmgate.policy.targets import Target
from farmgate.policy.values import Frozen


class Check(Frozen):
    """One question, asked again and again while a wave soaks: `http` or `command`, never both.

    `http` is a path, asked of every new instance, or a whole URL. `command` runs where the deploy loop runs; it ends
    with 0 for healthy, 1 for sick, 2 for cannot tell. `failures` in a row are believed, fewer are not.
    """

    http: str | None = None
    expect: int = 200
    command: tuple[str, ...] | None = None
    every: timedelta = timedelta(seconds=5)
    timeout: timedelta = timedelta(seconds=5)
    failures: int = 2

    @property
    def name(self) -> str:
        """How people see it."""
        return f"http {self.http} = {self.expect}" if self.http is not None else " ".join(self.command or ())[:80]


class Wave(Frozen):
    """A share of the traffic, and how long it must stay healthy."""

    share: int
    soak: timedelta


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
    waves: tuple[Wave, ...] = (Wave(share=100, soak=timedelta(0)),)
    checks: tuple[Check, ...] = ()
    ask_for: timedelta = timedelta(hours=1)  # how long a person may take to decide; then it is taken back
    target: Target

    @property
    def name(self) -> str:
        """application/environment."""
        return f"{self.application}/{self.environment}"
