"""How made commits come to be: the effects of `making_plan`.

Rules:
1. Git first, rows after: what git made twice is the same, and the rows are written in one transaction.
2. The run of a made commit is one of the branch that it is made for, compared with what it stands on.
3. The first commit of the branch that contains a pick as an ancestor is written down: only git can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from farmgate import lanes as rules
from farmgate import states
from farmgate.errors import FarmgateError, MissingProgram, NotInRepository
from farmgate.git import Clash, Workshop
from farmgate.models import Made, MadeKind, Repository, Trigger, Trust
from farmgate.refs import HEADS
from farmgate.store import cancelling, candidates, events, fixes, lane_views, lanes, made, releases, repositories, runs
from scheduler.compared import Place
from scheduler.context import Context
from scheduler.decisions import EndMade, MakeAnew
from scheduler.making_plan import MadeView
from scheduler.pipelines import run_of
from scheduler.recording import Reader, commit_values, patches_of
from scheduler.templates import FarmTemplates

ACTOR = "farmgate"
MOST_PICKS = 50
"""So many commits are picked, or taken back, at once."""


def views(connection: Connection) -> tuple[MadeView, ...]:
    """What the plan looks at."""
    return tuple(_view(connection, row) for row in made.before_delivery(connection))


def _view(connection: Connection, row: Made) -> MadeView:
    lane = lanes.by_id(connection, row.lane_id)
    live = lane_views.live_of(connection, lane, lanes.policy_of(lane))
    run = runs.by_id(connection, row.run_id) if row.run_id is not None and row.state is states.Made.TESTING else None
    is_revert = row.kind is MadeKind.REVERT
    moved = live is not None and live.sha != row.onto and not is_revert
    # What makes it needless depends on no hour.
    over = rules.revert_over(lane_views.view(connection, lane, row.created_at)) if is_revert else None
    return MadeView(
        id=row.id,
        repository_id=row.repository_id,
        state=row.state,
        onto=row.onto,
        deadline=row.deadline,
        live=(live.sha, live.base) if live is not None else None,
        contained=moved and live is not None and all(_is_in(connection, row, pick, live.base) for pick in row.picks),
        run=(run.id, run.state, run.reason) if run is not None else None,
        candidate=row.sha is not None and candidates.of_commit(connection, row.repository_id, row.sha) is not None,
        is_revert=is_revert,
        over=over,
    )


def _is_in(connection: Connection, row: Made, pick: str, base: int) -> bool:
    at = made.contained_at(connection, row, row.branch, pick, None)
    return at is not None and at <= base


def make(context: Context, made_id: int) -> None:
    """Make it, and let its run begin. Raises LostRace."""
    with context.store.reading() as connection:
        row = made.by_id(connection, made_id)
        repository = repositories.by_id(connection, row.repository_id)
        known = runs.find(connection, repository_id=repository.id, ref=row.ref)
    if row.state is not states.Made.ASKED:
        return
    workshop = context.mirrors.of(repository)
    try:
        grown = _grown(context, repository, workshop, row)
    except (NotInRepository, MissingProgram) as error:
        grown = Clash(row.picks[0], str(error))
    now = context.clock.now()
    if isinstance(grown, Clash):
        with context.store.writing() as connection:
            end(connection, EndMade(row.id, states.Made.FAILED, grown.words), now)
        return
    tip = grown[-1]
    workshop.keep(row.ref, tip)
    reader = Reader(context, repository, workshop, {})
    seen = [commit_values(reader, commit) for commit in workshop.commits((*row.picks, *grown))]
    patches = patches_of(reader, [*row.picks, *grown])
    templates = FarmTemplates(context, repository, Trust.TRUSTED)
    place = Place(row.ref, Trigger.PUSH, before=row.onto)
    same = [run for run in known if run.sha == tip]
    again = next((run for run in same if run.state is not states.Run.CANCELLED), None)
    new = run_of(
        workshop,
        repository.id,
        tip,
        place,
        Trust.TRUSTED,
        row.asked_by,
        now,
        ordinal=len(same) + 1,
        templates=templates,
    )
    with context.store.writing() as connection:
        repositories.see(connection, seen)
        fixes.keep_patches(connection, repository.id, patches)
        run_id = again.id if again is not None else runs.create(connection, new, now)
        if run_id is None:
            raise FarmgateError(f"the run of {row.kind} {row.id} is there and was not found")
        made.built(connection, row, grown, run_id)
        told = f"{row.kind} {row.id} is {tip[:12]}, on {row.onto[:12]}: run {run_id}"
        events.record(connection, now, "made.built", _subject(connection, row), ACTOR, told)
    note_carriers(context, repository)
    context.wake()
    context.changes.touch()


def _grown(context: Context, repository: Repository, workshop: Workshop, row: Made) -> tuple[str, ...] | Clash:
    back = row.kind is MadeKind.REVERT
    if len(row.picks) > MOST_PICKS:
        return Clash(row.picks[0], f"{len(row.picks)} commits would have to be taken back, more than {MOST_PICKS}")
    try:
        return workshop.grow(row.onto, row.picks, at=row.created_at, back=back)
    except NotInRepository:
        context.mirrors.fetch(repository)
        return workshop.grow(row.onto, row.picks, at=row.created_at, back=back)


def ready(connection: Connection, made_id: int, now: datetime) -> None:
    """Its run was green. Raises LostRace."""
    row = made.by_id(connection, made_id)
    made.ready(connection, row)
    events.record(connection, now, "made.ready", _subject(connection, row), ACTOR, f"{row.kind} {row.id} is tested")


def anew(connection: Connection, decision: MakeAnew, now: datetime) -> None:
    """What is live moved. Raises LostRace."""
    row = made.by_id(connection, decision.made_id)
    made.anew(connection, row, decision.onto, decision.position)
    told = f"{row.kind} {row.id} is made anew on {decision.onto[:12]}, which is live now"
    _end_run(connection, row, told)
    events.record(connection, now, "made.anew", _subject(connection, row), ACTOR, told)


def end(connection: Connection, decision: EndMade, now: datetime, who: str = ACTOR) -> None:
    """It is over before it was delivered. Raises LostRace."""
    row = made.by_id(connection, decision.made_id)
    made.end(connection, row, decision.after, decision.reason, now)
    told = f"{row.kind} {row.id} is {decision.after}: {decision.reason}"
    _end_run(connection, row, told)
    events.record(connection, now, f"made.{decision.after}", _subject(connection, row), who, told)


def _end_run(connection: Connection, row: Made, why: str) -> None:
    if row.run_id is not None and not states.is_final(runs.by_id(connection, row.run_id).state):
        cancelling.ask_all(connection, row.run_id, why)


def _subject(connection: Connection, row: Made) -> str:
    lane = lanes.by_id(connection, row.lane_id)
    return f"lane/{lane.application}/{lane.environment}"


# --- what contains a made commit: rule 3 -----------------------------------------------------------------------------


def note_carriers(context: Context, repository: Repository) -> None:
    """For every made commit that is open or live: where the branch contains it as an ancestor."""
    with context.store.reading() as connection:
        wanted = _uncontained(connection, repository)
    if not wanted:
        return
    workshop, now = context.mirrors.of(repository), context.clock.now()
    tips = workshop.refs()
    for row, picks, places in wanted:
        tip = tips.get(HEADS + row.branch)
        if tip is None or not places:
            continue
        back = row.kind is MadeKind.REVERT  # what it took back is below it, and says nothing
        found = {
            pick: sha
            for pick, own in picks
            if (sha := _first(workshop, (own,) if back else (pick, own), places, tip)) is not None
        }
        if found:
            with context.store.writing() as connection:
                made.carry(connection, row.id, found, "it is an ancestor", now)
            context.acted_on_lanes()


def _uncontained(
    connection: Connection, repository: Repository
) -> list[tuple[Made, list[tuple[str, str | None]], list[str]]]:
    of = lanes.every(connection, repository.id)
    live = [release.sha for lane in of if (release := releases.live_of(connection, lane.id)) is not None]
    opened = [row for lane in of if (row := made.open_of(connection, lane.id)) is not None]
    rows = {row.id: row for row in opened}
    for lane in of:
        rows |= {row.id: row for row in made.live_on(connection, repository.id, lanes.policy_of(lane).branch, live)}
    found = []
    for row in rows.values():
        own: list[str | None] = list(row.shas) or [None for _ in row.picks]
        pairs = list(zip(row.picks, own, strict=True))
        if row.kind is MadeKind.REVERT:
            pairs = [(pick, each) for pick, each in pairs if each is not None]
        left = [pair for pair in pairs if made.contained_at(connection, row, row.branch, *pair) is None]
        if left:
            places = repositories.places(connection, repository.id, row.branch)
            found.append((row, left, [place.sha for place in places if place.position > row.onto_position]))
    return found


def _first(workshop: Workshop, of: Sequence[str | None], places: Sequence[str], tip: str) -> str | None:
    """The first of these commits that has one of the others as an ancestor."""
    for wanted in of:
        if wanted is None or not _contains(workshop, wanted, places[-1]):
            continue
        low, high = 0, len(places) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if _contains(workshop, wanted, places[middle]) else (middle + 1, high)
        return places[low]
    return None


def _contains(workshop: Workshop, wanted: str, sha: str) -> bool:
    try:
        return workshop.is_ancestor(wanted, sha)
    except NotInRepository:
        return False
