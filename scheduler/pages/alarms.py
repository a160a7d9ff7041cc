"""What needs a person, said loudly: what it is, why, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from farmgate import states
from farmgate.models import Hold, HoldKind, Job, LateRed, Node, Rollout, Run, SearchRow
from scheduler import asking
from scheduler.pages import words


@dataclass(frozen=True, slots=True)
class Button:
    """`dialog`: it asks before it acts."""

    label: str
    href: str
    dialog: bool = True


@dataclass(frozen=True, slots=True)
class Alarm:
    """`tone`: bad, ask or busy, as in `words.Look`."""

    tone: str
    icon: str
    what: str
    text: str = ""
    todo: str = ""
    href: str = ""
    buttons: tuple[Button, ...] = ()


def of_lane(
    name: str,
    href: str,
    active: Rollout | None,
    last: Rollout | None,
    holds: Sequence[Hold],
    search: SearchRow | None,
    now: datetime,
    asks: str = "wave",
) -> Iterator[Alarm]:
    """Of one lane; `last` is its newest rollout. `asks`: what it asks, if it does (`scheduler.asking`)."""
    if active is not None and active.state is states.Rollout.ASKING:
        yield Alarm(
            "ask",
            "hand",
            f"{name} asks: {asking.title(asks, active.number, 'this lane')}",
            active.reason or "Its checks could not tell.",
            f"{asking.advice(asks)} {asking.LATE[asks].capitalize()} {_when(active.deadline, now)}.",
            href,
            (Button("Decide", f"{href}/decide"),),
        )
    if active is not None and active.state is states.Rollout.RESTORING:
        yield Alarm(
            "bad",
            "back",
            f"{name}: rollout #{active.number} is being taken back",
            active.reason or "",
            "Nothing to do: the last good release returns, then the culprit is looked for.",
            href,
        )
    if last is not None and last.state is states.Rollout.STUCK:
        yield Alarm(
            "bad",
            "alert",
            f"{name} is stuck: rollout #{last.number} could not be taken back",
            last.reason or "",
            "Repair the place by hand, then lift the hold. Nothing is delivered here until then.",
            href,
            (Button("Look at the lane", href, dialog=False),),
        )
    searched = search is not None and search.state is states.Search.OPEN
    if last is not None and last.state is states.Rollout.SICK and not searched:
        yield Alarm(
            "bad",
            "cross",
            f"{name}: rollout #{last.number} went sick and was taken back",
            last.reason or "",
            "The release before is live. What is banned ships again with its fix or revert.",
            f"{href}#bans",
            (Button("Look at the lane", href, dialog=False),),
        )
    for hold in holds:
        if hold.kind is HoldKind.STOP:
            continue  # told once, for all lanes
        yield Alarm(
            "ask",
            "stop",
            f"{name} is {'frozen' if hold.kind is HoldKind.FREEZE else 'held'} by {hold.created_by}",
            hold.reason,
            f"It goes on {_when(hold.until, now)}, or when somebody lifts the hold.",
            href,
            (Button("Lift the hold", f"{href}/unhold"),),
        )
    if search is not None and searched:
        yield Alarm(
            "busy",
            "search",
            f"{name}: a sick batch is searched for its culprit",
            f"{words.plural(len(search.points), 'candidate')} sealed, {search.rollouts} further rollouts so far.",
            "Nothing to do: good halves go live on the way, and the culprit's author is told.",
            f"{href}#search",
        )


def of_stops(stops: Sequence[Hold], now: datetime) -> Iterator[Alarm]:
    """The stop of every lane."""
    for hold in stops:
        yield Alarm(
            "bad",
            "stop",
            f"Every lane is stopped by {hold.created_by}",
            hold.reason,
            f"They go on {_when(hold.until, now)}, or when somebody lets them.",
            "/",
            (Button("Let them go on", "/go-on"),),
        )


def of_ended(name: str, href: str, ended: Sequence[Hold], now: datetime) -> Iterator[Alarm]:
    """Holds that ended by themselves lately."""
    for hold in ended:
        words_ = f"The {hold.kind} of {hold.created_by} on {name} ended by itself {words.distance(hold.until, now)}"
        yield Alarm(
            "busy", "clock", words_, hold.reason, "Nothing to do, unless it should stand: then hold again.", href
        )


def of_red(name: str, href: str, found: Sequence[LateRed], wanted: str, now: datetime) -> Iterator[Alarm]:
    """Of a lane whose live commit turned red; newest first. `wanted`: what its policy says then."""
    if not found:
        return
    first = found[-1]
    checks = ", ".join(dict.fromkeys(each.check for each in reversed(found)))
    todo = {
        "tell": "Roll back, or let its fix through. Nothing is done by itself here.",
        "hold": "The lane holds itself until somebody lifts that.",
        "restore": "It goes back to the good release before, unless the lane is held.",
    }
    since = f"{first.since:%Y-%m-%d %H:%M} UTC"
    yield Alarm("bad", "cross", f"{name}: live and red since {since}, by {checks}", first.reason, todo[wanted], href)


def of_questions(asking: Sequence[Job], held: Sequence[Run], now: datetime) -> Iterator[Alarm]:
    """Jobs that ask a person, and runs of forks that wait for a maintainer."""
    for job in asking:
        asked = job.spec.get("approve") or {}
        where = f"/runs/{job.run_id}"
        yield Alarm(
            "ask",
            "hand",
            f"{job.name} of run {job.run_id} asks {', '.join(asked.get('by') or ()) or 'a person'}",
            str(asked.get("text", "")),
            f"Answer it; without an answer {words.distance(job.deadline, now)} it counts as declined.",
            where,
            (Button("Answer", f"{where}/jobs/{job.id}/answer"),),
        )
    for run in held:
        where = f"/runs/{run.id}"
        yield Alarm(
            "ask",
            "hand",
            f"Run {run.id} of {words.branch(run.ref)} waits for a maintainer",
            run.hold or "",
            "Look at the commit; allow it if it may run on your nodes, or cancel the run.",
            where,
            (Button(f"Allow {words.short(run.sha)}", f"{where}/allow"),),
        )


def of_nodes(nodes: Sequence[Node], now: datetime) -> Iterator[Alarm]:
    """Of the machines: none at all, silent ones, and what they report."""
    known = [node for node in nodes if node.state is not states.Node.REMOVED]
    if not any(node.state is states.Node.READY for node in known):
        told = "No node takes work" if known else "No node has joined"
        yield Alarm("bad", "unplug", f"{told}: jobs wait", "", "Add a node, or resume one.", "/nodes")
    for node in known:
        if node.state is states.Node.SILENT:
            yield Alarm(
                "bad",
                "unplug",
                f"Node {node.name} is silent",
                f"It was last heard {words.distance(node.seen_at, now)}.",
                "See whether the machine and its agent are up; its jobs are given to other nodes.",
                "/nodes",
            )
        if node.problem:
            todo = "Correct it on the machine; the node says so when it is gone."
            yield Alarm("ask", "alert", f"Node {node.name} has a problem", node.problem, todo, "/nodes")


def _when(when: datetime, now: datetime) -> str:
    years_away = (when - now).days > 3650
    return "when a person says so" if years_away else words.distance(when, now)
