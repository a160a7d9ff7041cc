"""Which functions only read the store: those that may be remembered (`memory`).

Rules:
1. A function of `farmgate.store` reads if neither it nor what it calls there says a word that writes or that locks.
   More is taken for writing than does write, never less; what comes anew is found by itself.
2. What is given the time reads by memory only where it is named here, with the time until which its answer stays.
3. An invariant that makes nothing of the time is remembered, and no other.
"""

from __future__ import annotations

import dis
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from sqlalchemy import Connection, func, select

import farmgate.store
from deploy import snapshot
from farmgate import invariants, states
from farmgate.invariants import INVARIANTS
from farmgate.store import approvals, handovers, holds, lane_views, leaders, reverts
from farmgate.store.schema import handovers as handover_table
from farmgate.store.schema import holds as hold_table
from farmgate.store.schema import leaders as leader_table
from farmgate.store.schema import tokens

FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
_WRITES: Final = frozenset(
    {"insert", "update", "delete", "insert_if_absent", "move", "at_the_end", "with_for_update", "begin_nested"}
)
_HOME: Final = farmgate.store.__name__
Until = Callable[..., datetime]
"""From the connection, what was found and the arguments: until when it stays."""


def readers() -> Iterator[tuple[ModuleType, str]]:
    """Rule 1, each by its module and name."""
    for found in pkgutil.iter_modules(farmgate.store.__path__):
        if found.ispkg or found.name in ("database", "migrate"):
            continue
        module = importlib.import_module(f"{_HOME}.{found.name}")
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and _reads(function):
                yield module, name
    yield invariants, "undrained"


def _reads(function: FunctionType) -> bool:
    parameters = [*inspect.signature(function).parameters]
    asks = parameters[:1] == ["connection"] and "now" not in parameters
    return asks and not inspect.isgeneratorfunction(function) and not _writes(function, set())


def _writes(function: FunctionType, seen: set[FunctionType]) -> bool:
    seen.add(function)
    said = _words(function.__code__)
    if said & _WRITES:
        return True
    known = [function.__globals__.get(word) for word in said]
    known += [vars(each).get(word) for each in known if isinstance(each, ModuleType) for word in said]
    called = [each for each in known if inspect.isfunction(each) and each.__module__.startswith(_HOME)]
    return any(_writes(each, seen) for each in called if each not in seen)


def _words(code: CodeType) -> set[str]:
    inner = [_words(each) for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*inner)


# --- what is given the time -------------------------------------------------------------------------------------------


def _as_its_parts(_connection: Connection, _found: Any, *_given: Any) -> datetime:
    """It hands the time to others of these, and does nothing else with it."""
    return FOR_EVER


def _first_to_expire(connection: Connection, _found: Any, *_given: Any) -> datetime:
    return connection.execute(select(func.min(tokens.c.expires_at))).scalar() or FOR_EVER


def _first_end(_connection: Connection, found: Sequence[Any], *_given: Any) -> datetime:
    return min((hold.until for hold in found), default=FOR_EVER)


def _first_to_tell(connection: Connection, found: bool, *_given: Any) -> datetime:
    if found:
        return FOR_EVER  # until it is told, which is a write
    untold = select(func.min(hold_table.c.until)).where(
        hold_table.c.lifted_at.is_(None), hold_table.c.told_at.is_(None)
    )
    return connection.execute(untold).scalar() or FOR_EVER


def _first_deadline(connection: Connection, found: bool, *_given: Any) -> datetime:
    open_now = handover_table.c.state.in_(states.open_states(states.Handover))
    first = select(func.min(handover_table.c.deadline)).where(open_now)
    return FOR_EVER if found else connection.execute(first).scalar() or FOR_EVER


def _end_of_the_lease(connection: Connection, found: bool, name: str, *_given: Any) -> datetime:
    until = select(leader_table.c.until).where(leader_table.c.name == name)
    return connection.execute(until).scalar() or FOR_EVER if found else FOR_EVER


TIMED: Final[Sequence[tuple[ModuleType, str, Until]]] = (
    (holds, "ahead", _first_end),
    (holds, "any_to_tell", _first_to_tell),
    (handovers, "any_late", _first_deadline),
    (leaders, "another_leads", _end_of_the_lease),
    (approvals, "_who_may", _first_to_expire),
    (approvals, "standing", _as_its_parts),
    (approvals, "of_commit", _as_its_parts),
    (lane_views, "_hotfix", _as_its_parts),
    (reverts, "of_lane", _as_its_parts),
    (reverts, "_open", _as_its_parts),
    (reverts, "_agreed", _as_its_parts),
    (lane_views, "of_lane", _as_its_parts),
    (lane_views, "beside_mates", _as_its_parts),
    (lane_views, "view", _as_its_parts),
    (snapshot, "read", _as_its_parts),
)
"""Rule 2: the time is the last of their arguments."""


def timeless() -> Iterator[str]:
    """Rule 3."""
    for name, ask in INVARIANTS.items():
        if not any(each.argval == "now" for each in dis.get_instructions(ask) if each.opname.startswith("LOAD_")):
            yield name
