"""`python -m deploy drift APPLICATION/LANE`: what differs from what was released, as a diff. Changes nothing.

Rules:
1. A target that can tell has a method `drift`; of another kind it is said that nobody can tell.
2. The exit status is that of a diff: 0 nothing differs, 3 something does (1 and 2 are errors).
"""

from __future__ import annotations

from typing import Final, Protocol, TextIO, runtime_checkable

from deploy.context import Context
from deploy.steps import package_of
from deploy.targets.protocol import Package
from farmgate.errors import NotFound, TargetError
from farmgate.store import lanes, releases

DIFFERS: Final = 3


@runtime_checkable
class Drifts(Protocol):
    """A target that can compare what is there with what was released."""

    def drift(self, live: Package) -> str:
        """The differences; empty if there are none. Changes nothing. Raises TargetError."""
        ...


def show(context: Context, name: str, out: TextIO) -> int:
    """Write the diff; the exit status. Raises NotFound, TargetError."""
    application, _, environment = name.partition("/")
    with context.store.reading() as connection:
        lane = lanes.by_name(connection, application, environment)
        live = releases.live_of(connection, lane.id)
    if live is None:
        raise NotFound(f"nothing is live in {name}: there is nothing to compare with")
    package = package_of(live)
    policy = lanes.policy_of(lane).model_copy(update={"target": package.target})
    target = context.targets.of(lane.id, policy)
    if not isinstance(target, Drifts):
        raise TargetError(f"a {package.target.type} target cannot tell what differs")
    text = target.drift(package)
    out.write(f"{text}\n" if text else f"{name}: nothing differs from what {live.sha[:12]} released\n")
    return DIFFERS if text else 0
