"""From what was reported to runs: fetch, read the commits, make their runs.

Rules:
1. Every commit of a push is seen, in first-parent order, oldest first, and gets its place in the branch (`reading`).
   The newest `push_limit` of them get a run; older ones are recorded without.
2. Truth is the mirror: from what is known of a ref to what was fetched. What a push names as its own range and was
   not read that way (it came before the first look, or was forced away at once) is run too.
3. A new branch: its commits that no known branch has; if there are none, its tip, unless the commit has a run.
4. A forced push marks what it dropped as gone and goes on from the last commit that stayed.
5. A deleted ref is forgotten. A ref that was pushed and vanished before the fetch: rejected, with the reason.
6. A tag: one run of the tagged commit. A pull request: one run of its head, untrusted if it comes from a fork.
7. The first look at a repository takes every ref as known and runs the tip of the default branch only.
8. A remote out of reach: again at a growing pause until the deadline, then rejected with git's own words.
9. The changes of a repository are read one after the other and share one fetch. Each ends in one transaction with its
   runs, in parts if it is long: a reader that dies half way is followed by one that goes on (I1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from farmgate.errors import FarmgateError, LostRace, NotInRepository, RemoteUnreachable
from farmgate.git import History
from farmgate.git.command import same_server, without_password
from farmgate.models import BranchCommit, ForkPolicy, IntakeRow, Ref, Trigger
from farmgate.refs import HEADS, TAGS, is_branch_or_tag
from farmgate.store import events, fixes, intakes, repositories, runs
from farmgate.store.runs import NewRun
from scheduler.compared import Place
from scheduler.context import Context
from scheduler.making import note_carriers
from scheduler.reading import LONGEST_REF, BranchReading, Placed, read_branch, read_range, read_tip
from scheduler.recording import (
    PATCHES_AT_FIRST,
    Reader,
    commit_values,
    done,
    end,
    keep,
    patches_of,
    record,
    rejected,
    run_for,
)

log = structlog.get_logger("farmgate.intake")
PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=2)


def read(context: Context, repository_id: int) -> None:
    """Read every change of a repository that is due."""
    now = context.clock.now()
    with context.store.reading() as connection:
        repository = repositories.by_id(connection, repository_id)
        due = intakes.due(connection, repository_id, now)
    if not due:
        return
    if repository.removed_at is not None:
        _reject_all(context, due, "the repository was removed")
        return
    if any(intake.kind in ("first", "push", "delete") for intake in due):
        try:
            context.mirrors.fetch(repository)
        except RemoteUnreachable as error:
            _again(context, due, str(error))
            with context.store.writing() as connection:
                repositories.polled(connection, repository.id, context.clock.now(), str(error))
            return
    history = context.mirrors.of(repository)
    reader = Reader(context, repository, history, history.refs())
    for intake in sorted(due, key=lambda one: (one.kind != "first", one.id)):
        try:
            read_one(reader, intake, due)
        except LostRace:
            continue  # another reader was faster
        except RemoteUnreachable as error:
            _again(context, [intake], str(error))
        except FarmgateError as error:
            log.warning("a change could not be read", intake=intake.id, error=str(error))
            _again(context, [intake], str(error))
        except Exception as error:  # noqa: BLE001  # one bad change must not stop the others
            log.error("a change could not be read", intake=intake.id, error=str(error), kind=type(error).__name__)
            _again(context, [intake], f"{type(error).__name__}: {error}")
    note_carriers(context, repository)
    context.wake()


def read_one(reader: Reader, intake: IntakeRow, due: Sequence[IntakeRow]) -> None:
    """One change, by its kind."""
    match intake.kind:
        case "first":
            _first(reader, intake, due)
        case "push" | "delete" if len(intake.ref.removeprefix(HEADS)) > LONGEST_REF:
            end(reader, intake, f"the ref's name is longer than {LONGEST_REF} characters", refused=True)
        case "push" | "delete":
            _ref(reader, intake)
        case "pull":
            _pull(reader, intake)
        case "pull_closed":
            end(reader, intake, "the pull request was closed: nothing to run")
        case _:
            end(reader, intake, f"a change of the kind {intake.kind!r} is not known", refused=True)


# --- kinds of changes ----------------------------------------------------------------------------------------------


def _first(reader: Reader, intake: IntakeRow, due: Sequence[IntakeRow]) -> None:
    """Rule 7. A ref that is being pushed at this moment is known as it was before that push."""
    repository, history = reader.repository, reader.history
    default = HEADS + repository.default_branch
    tips = {name: sha for name, sha in reader.tips.items() if is_branch_or_tag(name) and len(name) <= LONGEST_REF}
    if default not in tips and (named := _default_of(reader)) in tips:
        default = named or default
    pushed: dict[str, IntakeRow] = {}
    for other in due:
        if other.kind == "push":
            pushed.setdefault(other.ref, other)
    readings: dict[str, BranchReading] = {}
    with reader.context.store.reading() as connection:
        known = repositories.known_refs(connection, repository.id)
    known_tips: dict[str, str] = {}
    for name, sha in tips.items():
        if name in known:
            continue
        if name in pushed:
            before = pushed[name].before
            if before is None or not _holds(history, before):
                continue  # new with its push: read_one finds it unknown
            sha = before
        known_tips[name] = sha
        if name.startswith(HEADS):
            readings[name] = read_tip(history, sha)
    wanted: list[NewRun] = []
    if default in readings and default not in pushed:
        place = Place(default, Trigger.PUSH, tip_only=True)
        wanted = [run_for(reader, readings[default].new[-1].commit.sha, place, intake)]
    recent = readings[default].new[-PATCHES_AT_FIRST:] if default in readings else ()
    patches = patches_of(reader, [placed.commit.sha for placed in recent])
    now = reader.now
    with reader.context.store.writing() as connection:
        fixes.keep_patches(connection, repository.id, patches)
        if default.removeprefix(HEADS) != repository.default_branch:
            repositories.set_default_branch(connection, repository.id, default.removeprefix(HEADS))
        for name, reading in readings.items():
            keep(connection, reader, name.removeprefix(HEADS), reading.new)
        for name, sha in known_tips.items():
            repositories.set_ref(connection, repository.id, name, sha, now)
        for run in wanted:
            runs.create(connection, run, now)
        repositories.polled(connection, repository.id, now, None)
        done(connection, reader, intake, f"{len(tips)} refs known, {len(wanted)} runs")


def _ref(reader: Reader, intake: IntakeRow) -> None:
    tip = reader.tips.get(intake.ref)
    with reader.context.store.reading() as connection:
        known = repositories.known_refs(connection, reader.repository.id)
    before = known.get(intake.ref)
    if tip is None:
        _vanished(reader, intake, before)
    elif intake.ref.startswith(TAGS):
        _tag(reader, intake, tip, before)
    else:
        elsewhere = [ref.sha for ref in known.values() if ref.sha and ref.name != intake.ref]
        _branch(reader, intake, tip, [sha for sha in elsewhere if sha])


def _vanished(reader: Reader, intake: IntakeRow, known: Ref | None) -> None:
    now = reader.now
    with reader.context.store.writing() as connection:
        if known is not None and known.sha is not None:
            repositories.set_ref(connection, reader.repository.id, intake.ref, None, now)
        if intake.kind == "delete":
            done(connection, reader, intake, "deleted")
        else:
            rejected(connection, reader, intake, f"{intake.ref} vanished before it could be fetched")


def _tag(reader: Reader, intake: IntakeRow, tip: str, known: Ref | None) -> None:
    fresh = known is None or known.sha != tip
    run = run_for(reader, tip, Place(intake.ref, Trigger.TAG), intake) if fresh else None
    commit = reader.history.commit(tip)
    now = reader.now
    with reader.context.store.writing() as connection:
        made = 0
        if run is not None:
            repositories.see(connection, [commit_values(reader, commit)])
            repositories.set_ref(connection, reader.repository.id, intake.ref, tip, now)
            made = runs.create(connection, run, now) is not None
        done(connection, reader, intake, f"{int(made)} runs" if fresh else "read before")


def _branch(reader: Reader, intake: IntakeRow, tip: str, elsewhere: list[str]) -> None:
    repository, history, store = reader.repository, reader.history, reader.context.store
    branch = intake.ref.removeprefix(HEADS)
    with store.reading() as connection:
        last = repositories.last_place(connection, repository.id, branch)
        known = repositories.known_refs(connection, repository.id).get(intake.ref)

    def placed() -> list[BranchCommit]:
        with store.reading() as connection:
            return repositories.places(connection, repository.id, branch)

    if last is not None and known is not None and known.sha == tip:
        reading = BranchReading(())
    else:
        reading = read_branch(history, tip, placed, last, elsewhere)
    if reading.gone_after is not None:
        with store.writing() as connection:
            count = repositories.drop_after(connection, repository.id, branch, reading.gone_after, reader.now)
            text = f"a forced push dropped {count} commits after position {reading.gone_after}"
            subject = f"repository/{repository.name}/{branch}"
            events.record(connection, reader.now, "branch.forced", subject, "git", text)
    new = [*_own_range(reader, intake, reading, elsewhere), *reading.new]
    made = record(reader, intake, branch, new, tip_only=reading.tip_only)
    with store.writing() as connection:
        repositories.set_ref(connection, repository.id, intake.ref, tip, reader.now)
        gone = reading.gone_after is not None
        done(connection, reader, intake, f"{len(new)} commits, {made} runs" + (", forced" if gone else ""))


def _own_range(reader: Reader, intake: IntakeRow, reading: BranchReading, elsewhere: list[str]) -> list[Placed]:
    """Rule 2: what the push names and the reading does not hold, and nobody has seen."""
    if intake.after is None or intake.kind != "push" or intake.delivery_id is None:
        return []
    held = {placed.commit.sha for placed in reading.new}
    named = [
        commit
        for commit in read_range(reader.history, intake.before, intake.after, elsewhere)
        if commit.sha not in held
    ]
    if not named:
        return []
    branch = intake.ref.removeprefix(HEADS)
    with reader.context.store.reading() as connection:
        seen = repositories.commits_of(connection, reader.repository.id, [commit.sha for commit in named])
        if len(seen) == len(named):
            return []
        places = {place.sha: place.position for place in repositories.places(connection, reader.repository.id, branch)}
    ahead = places.get(named[-1].sha)  # the first look placed the push's last commit: count back from it
    if ahead is None and reading.new and reading.new[0].commit.parents[:1] == (named[-1].sha,):
        first = reading.new[0].position
        ahead = first - 1 if first is not None else None
    return [
        Placed(commit, None if ahead is None else ahead - (len(named) - 1 - at))
        for at, commit in enumerate(named)
        if commit.sha not in seen
    ]


def _pull(reader: Reader, intake: IntakeRow) -> None:
    repository, details = reader.repository, intake.details
    source, url = str(details["fetch_ref"]), details.get("fetch_url")
    if details.get("from_fork") and repository.fork_policy is ForkPolicy.REFUSE:
        end(reader, intake, "it comes from a fork, and this repository refuses runs of forks", refused=True)
        return
    if url is not None and not same_server(repository.url, str(url)):
        end(
            reader,
            intake,
            f"the fork is at another server than the repository: {without_password(str(url))}",
            refused=True,
        )
        return
    try:
        reader.context.mirrors.fetch(repository, [f"{source}:{intake.ref}"], url=None if url is None else str(url))
    except NotInRepository as error:
        end(reader, intake, f"the pull request's head vanished before it could be fetched: {error}", refused=True)
        return
    head = reader.history.refs().get(intake.ref)
    if head is None:
        end(reader, intake, f"{intake.ref} could not be fetched", refused=True)
        return
    base = str(details["base"]) if details.get("base") else None
    run = run_for(reader, head, Place(intake.ref, Trigger.PULL, base=base), intake)
    with reader.context.store.writing() as connection:
        repositories.see(connection, [commit_values(reader, reader.history.commit(head))])
        repositories.set_ref(connection, repository.id, intake.ref, head, reader.now)
        made = runs.create(connection, run, reader.now)
        done(connection, reader, intake, "1 run" if made is not None else "read before")


# --- how -------------------------------------------------------------------------------------------------------------


def _holds(history: History, sha: str) -> bool:
    try:
        history.commit(sha)
    except NotInRepository:
        return False
    return True


def _default_of(reader: Reader) -> str | None:
    try:
        return reader.context.mirrors.default_branch(reader.repository)
    except RemoteUnreachable:
        return None


def _reject_all(context: Context, due: Sequence[IntakeRow], reason: str) -> None:
    with context.store.writing() as connection:
        for intake in due:
            intakes.reject(connection, intake.id, reason)


def _again(context: Context, due: Sequence[IntakeRow], reason: str) -> None:
    """Rule 8."""
    now = context.clock.now()
    with context.store.writing() as connection:
        for intake in due:
            pause = min(PAUSE * 2 ** min(intake.tries, 10), LONGEST_PAUSE)
            if now + pause >= intake.deadline:
                intakes.reject(connection, intake.id, reason)
                events.record(connection, now, "intake.rejected", f"intake/{intake.id}", "git", reason)
            else:
                intakes.later(connection, intake.id, intake.tries + 1, now + pause, reason)
