"""What a target is: a place that can run a release, take it in by shares, and go back.

The order of calls, of one rollout on one lane:

    ready                                               what stands against a way back; it may be left out
    prepare -> shift(20) -> shift(100) -> finish        the new release is live, the old one is gone
    prepare -> shift(20) -> restore                     as before `prepare`
    observe, tend, watch                                at any time; they look, and mend what died
    remove                                              takes everything of the lane down

Rules:
1. Every call may be repeated, also after it was cut off in the middle by a death: it finds what is there and goes on.
2. `restore` may follow anything but `finish`. Until `finish` the old release keeps running; if it is not there any
   more, `restore` starts it again from its digests and its configuration.
3. Each call carries the controller's epoch. The target keeps the highest it has seen, and raises StaleEpoch for an
   older one, before and during its work.
4. What takes longer than a call may (a review of days, another tool's rollout) answers GOES_ON, and the same call is
   repeated until it answers something else; a figure `unknown` says that nothing could be learnt this time, and
   `served` how many percent of the users have the new release already.
5. A change that does not come up, or a program that says no, is an outcome (`Outcome`). Infrastructure that is not
   there (an engine, a disk) is a TargetError, and says nothing about the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from farmgate.policy import TargetPolicy


@dataclass(frozen=True, slots=True)
class Package:
    """What a rollout runs. `rollout_id` names its instances; `artifacts`: name -> sha256:hex."""

    rollout_id: int
    sha: str
    artifacts: Mapping[str, str]
    target: TargetPolicy


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants what of a target. `old`: what is live now, to which `restore` goes back; None: nothing is."""

    lane: str
    epoch: int
    new: Package
    old: Package | None


class Ended(StrEnum):
    """How a call ended."""

    DONE = "done"
    FAILED = "failed"  # the change is to blame, or it cannot be done
    UNTOLD = "cannot tell"
    GOES_ON = "goes on"  # handed over and not there yet: the call is repeated every `look_every` of the target's policy


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended, in words for people and figures for the ledger."""

    ended: Ended = Ended.DONE
    words: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


DONE = Outcome()


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a release: where it is reached, and how it is."""

    index: int
    address: str  # host:port; empty where there is none
    up: bool
    words: str = ""  # of one that is not: its state and its last log lines
    restarts: int = 0  # how often it ended by itself and was started again
    inside: str = ""  # host:port on the network that instances share, where there is one
    host: str = ""  # where it runs, if there are several
    lost: bool = False  # its host does not answer: nobody knows how it is, and `address` is the last that is known


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: instances by the rollout that started them, and shares of the traffic where they are known."""

    instances: Mapping[int, tuple[Instance, ...]] = field(default_factory=dict)
    shares: Mapping[int, int] = field(default_factory=dict)
    words: str = ""

    def of(self, package: Package | None) -> tuple[Instance, ...]:
        return self.instances.get(package.rollout_id, ()) if package is not None else ()


LOG_LIMIT_BYTES: Final = 32 * 2**20
"""As much of an instance's log is read at most: the newest."""


@runtime_checkable
class KeepsLogs(Protocol):
    """A target that can say what its instances wrote: what checks of logs need."""

    def log(self, package: Package, since: datetime | None) -> Iterable[bytes]:
        """What all instances of a release wrote since then (None: since they began), in pieces, one instance after the
        other, each ending with a line. Raises TargetError."""
        ...


@runtime_checkable
class KnowsWayBack(Protocol):
    """A target that can say, before anything is touched, whether it could go back."""

    def ready(self, order: Order) -> Sequence[str]:
        """What stands against a way back to `order.old`, in words; empty: nothing. Its digests must be there, and
        nobody but it may serve. Changes nothing. Raises TargetError: nobody can tell now."""
        ...


class Target(Protocol):
    """See the module's rules. Every method may raise StaleEpoch and TargetError."""

    def prepare(self, order: Order) -> Outcome:
        """Bring the new release up beside the old one; nobody is served by it yet."""
        ...

    def shift(self, order: Order, share: int) -> Outcome:
        """Give the new release `share` percent of the traffic; where nothing was live before, all of it."""
        ...

    def observe(self, order: Order) -> Observed:
        """Look; change nothing."""
        ...

    def finish(self, order: Order) -> Outcome:
        """Let the old release finish what it is serving, within a bound, and remove it."""
        ...

    def restore(self, order: Order) -> Outcome:
        """Give everything back to the old release and remove the new one; where nothing was live, take it down."""
        ...

    def tend(self, live: Package, epoch: int) -> None:
        """Between rollouts: bring back what died (a switch, an instance) of what is live."""
        ...

    def watch(self, epoch: int) -> bool:
        """At any time, also during a step: start the switch again if its process is gone; True if it was. Cheap."""
        ...

    def remove(self, epoch: int) -> None:
        """Take everything of the lane down."""
        ...
