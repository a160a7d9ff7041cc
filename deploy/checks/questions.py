"""Whom a check is about: what is new, or (as a control) what was live before; and since when it could show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from deploy.checks.verdicts import Answer
from deploy.targets.given import nothing
from deploy.targets.protocol import Instance
from farmgate.policy import Check


@dataclass(frozen=True, slots=True)
class Subject:
    """A release that is asked about. `log`: what its instances wrote since a time (None: since they began), newest
    bytes within a bound; None where the target keeps no logs."""

    rollout_id: int
    sha: str
    instances: tuple[Instance, ...] = ()
    log: Callable[[datetime | None], Iterable[bytes]] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(instance.address for instance in self.instances if instance.address)


@dataclass(frozen=True, slots=True)
class Question:
    """`against`: what was live before, None for a first release. `shifted_at`: when the wave under way began.
    `log_since`: from where on lines count. `share`: of the traffic that the new release has. `secret`: by its name."""

    about: Subject
    now: datetime
    shifted_at: datetime
    against: Subject | None = None
    share: int = 100
    log_since: datetime | None = None
    secret: Callable[[str], str] = field(default=nothing, repr=False)


class Prober(Protocol):
    """Asks a check. Never raises."""

    def ask(self, check: Check, question: Question) -> Answer: ...


def values(subject: Subject) -> dict[str, str]:
    """What the places of a query stand for. A dot becomes [.]: a backslash would need another one within quotes."""
    addresses = "|".join(address.replace(".", "[.]") for address in subject.addresses)
    return {"sha": subject.sha, "rollout": str(subject.rollout_id), "instances": addresses}
