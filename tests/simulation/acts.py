"""What happens in a story of delivery, one line each: people, commits, faults. What cannot happen does nothing.

{push: [a, b], breaks: {a: [production]}, red: [b], green: {a: 30}}   seconds until its checks end; else at once
                                     authors: {a: bob}, secures: [b]      else Ada wrote it; b fixes a weakness
{revert: a} {fix: a} {force: 2, commits: [x]}
{advance: 60} {moment: 1}                              seconds; one look of each process, and the time until its next
{turns_red: a} {green_again: a} {hotfix: [a], lane: production} ...                   see `hotfixes`
{hold: production, minutes: 5} {lift_hold: production} {rollback: production, to: 1} {lift_ban: production}
{decide: good, lane: production} {policy: production, max_commits: 2}  ...                       see `policies`
{kill: 0, minutes: 1} {away: 0, minutes: 1}                           a deploy process dies; stands still
{at_write: 3, do: {...}} {at_call: 2, do: {...}}                      then, in the middle of what the loop does
{approve: production, by: alice} {stop: all} {freeze: production, in: 60, minutes: 5} {jump: 90} ...   see `orders`
{push: [a], one_way: [a]} {gone: a} {back_again: a} {historian: away}
{outage: production} {ends: production} {silent: a} {speaks: a} {faults: 2, call: shift} {no_way_back: production}
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import timedelta

from deploy.context import LOOP as DEPLOY
from farmgate.errors import FarmgateError
from farmgate.policy import LanePolicy
from farmgate.store import bans, candidates, lanes, late_reds, rollouts
from scheduler import holds_api, lanes_api
from tests.simulated import Crash
from tests.simulation import hotfixes, orders, policies
from tests.simulation.doors import WHO, Line, Refused, door, sha_of
from tests.simulation.farm import LEASE, Farm, Loop, Trap


def act(farm: Farm, line: Line) -> bool:
    """One line. What is refused, by the farm or by the facts, changes nothing: False."""
    verb = next(verb for verb in line if verb in ACTS)
    try:
        ACTS[verb](farm, line)
    except (FarmgateError, Refused):
        return False
    return True


# --- commits ---------------------------------------------------------------------------------------------------------


def _push(farm: Farm, line: Line) -> None:
    names = [name for name in line["push"] if name not in farm.known]
    farm.push(
        names,
        breaks=line.get("breaks"),
        stillborn=line.get("stillborn"),
        red=line.get("red", ()),
        authors=line.get("authors"),
        secures=line.get("secures", ()),
        one_way=line.get("one_way", ()),
    )
    _greens(farm, names, line)


def _greens(farm: Farm, names: list[str], line: Line) -> None:
    later = line.get("green") or {}
    for name in names:
        if name in later:
            farm.green_later(name, later[name])
        elif not farm.known[name].red:
            farm.turn_green(name)


def _revert(farm: Farm, line: Line) -> None:
    _mend(farm, line, line["revert"], f"This reverts commit {sha_of(farm, line['revert'])}.")


def _fix(farm: Farm, line: Line) -> None:
    _mend(farm, line, line["fix"], f"Fixes-commit: {sha_of(farm, line['fix'])}")


def _mend(farm: Farm, line: Line, name: str, says: str) -> None:
    if name not in {each.name for each in farm.line()}:
        raise Refused
    again = str(line.get("as", f"mends-{name}"))
    if again in farm.known:
        raise Refused
    mended = name
    if name.startswith("mends-"):  # a revert of a revert brings the breakage back
        mended = ""
        breaks = {again: sorted(farm.known[name.removeprefix("mends-")].breaks)}
    else:
        breaks = {}
    farm.push([again], mends=mended, says=says, breaks=breaks)
    _greens(farm, [again], line)


def _force(farm: Farm, line: Line) -> None:
    farm.drop(line["force"])
    _push(farm, {**line, "push": line.get("commits", ())})


def _twice(farm: Farm, line: Line) -> None:
    """A candidate is handed over again."""
    sha = sha_of(farm, line["again"])
    if farm.by_sha[sha].red:
        raise Refused
    with farm.store.writing() as connection:
        if candidates.of_commit(connection, 1, sha) is None:
            raise Refused
        candidates.put(connection, 1, sha, {"app": "sha256:0"}, farm.clock.now(), run_id=None)
    farm.signals.wake(DEPLOY)


def _turns_red(farm: Farm, line: Line) -> None:
    """A late check says no of a commit."""
    sha = sha_of(farm, line["turns_red"])
    with farm.store.writing() as connection:
        checks, now = [line.get("check", "nightly")], farm.clock.now()
        farm.late_red.add(line["turns_red"])
        late_reds.put(connection, 1, sha, "nightly", checks, "it leaks", WHO, now)
    farm.signals.wake(DEPLOY)


def _green_again(farm: Farm, line: Line) -> None:
    sha = sha_of(farm, line["green_again"])
    with farm.store.writing() as connection:
        late_reds.end(connection, 1, sha, WHO, "a flake", farm.clock.now())
    farm.signals.wake(DEPLOY)


def _advance(farm: Farm, line: Line) -> None:
    farm.advance(line["advance"])


def _moment(farm: Farm, line: Line) -> None:
    farm.moment()


# --- people ----------------------------------------------------------------------------------------------------------


def _hold(farm: Farm, line: Line) -> None:
    now = farm.clock.now()
    until = now + timedelta(minutes=line["minutes"]) if "minutes" in line else None
    holds_api.hold(door(farm), "shop", line["hold"], until, "not today", WHO)


def _lift_hold(farm: Farm, line: Line) -> None:
    holds_api.unhold(door(farm), "shop", line["lift_hold"], WHO)


def _rollback(farm: Farm, line: Line) -> None:
    """`to`: a rollout's number; without, the one before what is live. `together`: with the others of its group."""
    lanes_api.roll_back(
        door(farm), "shop", line["rollback"], line.get("to"), "it is worse", WHO, together=line.get("together")
    )


def _lift_ban(farm: Farm, line: Line) -> None:
    with farm.store.reading() as connection:
        standing = bans.standing(connection, farm.ids[line["lift_ban"]])
    if not standing:
        raise Refused
    farm.doubtful.add(line["lift_ban"])  # a person takes the blame
    lanes_api.lift_ban(door(farm), "shop", line["lift_ban"], standing[0].sha, "I know better", WHO)


def _decide(farm: Farm, line: Line) -> None:
    lanes_api.decide(door(farm), "shop", line["lane"], line["decide"], "I looked", WHO)
    farm.doubtful.add(line["lane"])


def _policy(farm: Farm, line: Line) -> None:
    """Another version of a lane's policy (`policies`)."""
    now = farm.clock.now()
    with farm.store.writing() as connection:
        policy: LanePolicy = lanes.policy_of(farm.lane(connection, line["policy"]))
        lanes.apply_policy(connection, [policy.model_copy(update=policies.changes(line, now))], WHO, now)
    farm.signals.wake(DEPLOY)


# --- faults ----------------------------------------------------------------------------------------------------------


def _kill(farm: Farm, line: Line) -> None:
    farm.loops[line["kill"] % len(farm.loops)].dead = farm.clock.now() + timedelta(minutes=line.get("minutes", 0))


def _away(farm: Farm, line: Line) -> None:
    farm.loops[line["away"] % len(farm.loops)].away = farm.clock.now() + timedelta(minutes=line["minutes"])


def _at_write(farm: Farm, line: Line) -> None:
    trap = Trap(_then(farm, line["do"]), writes=line["at_write"], before=line.get("before", False))
    farm.traps.append(trap)


def _at_call(farm: Farm, line: Line) -> None:
    farm.traps.append(Trap(_then(farm, line["do"]), calls=line["at_call"]))


def _then(farm: Farm, what: Line | str) -> Callable[[], object]:
    if what == "die":
        return _die
    if what == "overtaken":
        return functools.partial(_overtaken, farm)
    assert not isinstance(what, str)
    return functools.partial(act, farm, what)


def _die() -> None:
    raise Crash


def _overtaken(farm: Farm) -> None:
    """A newer process takes over and goes on for a while; then the older one, in the middle of what it did, goes on."""
    traps, farm.traps = farm.traps, []
    newer = farm.begin()
    farm.clock.advance(LEASE + timedelta(seconds=1))
    for _ in range(4):
        newer.tick()
        farm.clock.advance(timedelta(seconds=20))
    farm.loops.append(Loop(newer))
    farm.traps = traps


def _outage(farm: Farm, line: Line) -> None:
    farm.places[line["outage"]].sick_whatever = True
    farm.doubtful.add(line["outage"])


def _ends(farm: Farm, line: Line) -> None:
    farm.places[line["ends"]].sick_whatever = False


def _silent(farm: Farm, line: Line) -> None:
    for place in farm.places.values():
        place.silent.add(sha_of(farm, line["silent"]))


def _speaks(farm: Farm, line: Line) -> None:
    for place in farm.places.values():
        place.silent.discard(sha_of(farm, line["speaks"]))


def _faults(farm: Farm, line: Line) -> None:
    """The next calls of a kind find no infrastructure."""
    for place in farm.places.values():
        place.faults[line["call"]] += line["faults"]


def _gone(farm: Farm, line: Line) -> None:
    """A commit's artifact vanishes everywhere."""
    for place in farm.places.values():
        place.gone.add(sha_of(farm, line["gone"]))


def _back_again(farm: Farm, line: Line) -> None:
    for place in farm.places.values():
        place.gone.discard(sha_of(farm, line["back_again"]))


def _historian(farm: Farm, line: Line) -> None:
    """Who says what batches carry goes away, or is there again."""
    farm.historian_away = line["historian"] == "away"


def _no_way_back(farm: Farm, line: Line) -> None:
    farm.places[line["no_way_back"]].restore_fails = True


def _way_back(farm: Farm, line: Line) -> None:
    farm.places[line["way_back"]].restore_fails = False


def asking(farm: Farm, lane: str) -> bool:
    with farm.store.reading() as connection:
        active = rollouts.active_of(connection, farm.ids[lane])
    return active is not None and active.state == "asking"


ACTS: Mapping[str, Callable[[Farm, Line], None]] = {
    "at_write": _at_write,
    "at_call": _at_call,
    "push": _push,
    "revert": _revert,
    "fix": _fix,
    "force": _force,
    "again": _twice,
    "turns_red": _turns_red,
    "green_again": _green_again,
    "advance": _advance,
    "hold": _hold,
    "lift_hold": _lift_hold,
    "rollback": _rollback,
    "lift_ban": _lift_ban,
    "decide": _decide,
    "policy": _policy,
    "kill": _kill,
    "away": _away,
    "outage": _outage,
    "ends": _ends,
    "silent": _silent,
    "speaks": _speaks,
    "faults": _faults,
    "gone": _gone,
    "back_again": _back_again,
    "historian": _historian,
    "no_way_back": _no_way_back,
    "way_back": _way_back,
    "approve": orders.approve,
    "look": orders.look,
    "withdraw": orders.withdraw,
    "loses_right": orders.loses_right,
    "gets_right": orders.gets_right,
    "stop": orders.stop,
    "go_on": orders.go_on,
    "freeze": orders.freeze,
    "outside": orders.outside,
    "jump": orders.jump,
    "moment": _moment,
    "hotfix": hotfixes.ask,
    "cancel_hotfix": hotfixes.cancel,
    "contained": hotfixes.contained,
    "side": hotfixes.side,
}
