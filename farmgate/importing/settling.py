"""From drafts to a file that is valid.

Rules:
1. A job that nothing was left of is not written: it is told, and those that needed it need what it needed.
2. What the file's own reader refuses is taken out, told with the reader's words, and read again: what comes out of the
   importer is always a valid file, or nothing.
"""

from __future__ import annotations

from typing import Any, Final

from farmgate.documents import Document, Location, read
from farmgate.errors import BadDocument, Problem
from farmgate.importing.account import Account, Kind, Remark
from farmgate.importing.draft import Draft, Drafts
from farmgate.importing.writing import Noted, text_of
from farmgate.pipeline import parse

_TRIES: Final = 200


def settle(drafts: Drafts, account: Account, head: list[str], places: dict[str, Problem]) -> str | None:
    """The text of the file, or None if no job is left. `places`: where each job stands in its source."""
    jobs = _with_something(drafts, account, places)
    data: dict[str, Any] = {}
    if drafts.image:
        data["image"] = drafts.image
    if drafts.environment:
        data["environment"] = drafts.environment
    if drafts.cancel_superseded is not None:
        data["cancel_superseded"] = drafts.cancel_superseded
    data["jobs"] = {draft.name: Noted(_plain(draft.written()), tuple(draft.notes)) for draft in jobs}
    head = [*head, *(note for note in drafts.notes if note not in head)]
    for _ in range(_TRIES):
        if not data["jobs"]:
            return None
        first, *rest = data
        text = text_of({first: Noted(data[first], tuple(head)), **{key: data[key] for key in rest}})
        try:
            parse(text)
        except BadDocument as error:
            _take_out(data, read(text, "made"), error.problems[0], account, places, head)
        else:
            return text
    return None


def _plain(value: Any) -> Any:
    """A copy, so that what one job loses the others keep."""
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    return value


def _with_something(drafts: Drafts, account: Account, places: dict[str, Problem]) -> list[Draft]:
    gone = {draft.name: draft for draft in drafts.jobs if not draft.does_something}
    kept = [draft for draft in drafts.jobs if draft.does_something]
    known = {draft.name for draft in drafts.jobs}

    def instead(name: str, seen: frozenset[str]) -> list[str]:
        if name not in gone or name in seen:
            return [] if name in gone else [name]
        return [found for need in gone[name].needs for found in instead(need, seen | {name})]

    for draft in kept:
        needs: dict[str, bool | list[str]] = {}
        for name, artifacts in draft.needs.items():
            for found in instead(name, frozenset()) if name in known else ():
                needs.setdefault(found, artifacts if found == name else True)
        draft.needs = needs
    for name, draft in gone.items():
        drafts.notes += [note for note in (*draft.notes, *draft.pending) if note not in drafts.notes]
        at = places.get(name)
        if at is not None:
            said = f"job {name!r}: no step of it could be converted, so it is left out"
            account.remarks.append(
                Remark(Kind.LEFT, Problem(at.source, at.line, at.column, said, "write it by hand, where it is wanted"))
            )
            drafts.notes.append(f"TODO(import) {at.source}:{at.line}: {said}")
    return kept


def _take_out(
    data: dict[str, Any],
    document: Document,
    problem: Problem,
    account: Account,
    places: dict[str, Problem],
    head: list[str],
) -> None:
    """Take what the problem is about out of the data (rule 2)."""
    at = _find(document, problem) or ("jobs", next(iter(data["jobs"])))
    if at[0] == "jobs" and len(at) < 3:
        at = ("jobs", at[1] if len(at) == 2 else next(iter(data["jobs"])))
    job = str(at[1]) if at[0] == "jobs" else ""
    cut = (
        at[:4]
        if len(at) > 3 and at[2] in ("steps", "environment", "services", "caches", "artifacts", "builds")
        else at[:3]
    )
    if at[0] != "jobs":
        cut = at[:2]
    said = f"{'.'.join(str(part) for part in cut)} would not be valid here: {problem.message[:200]}"
    where = places.get(job) or next(iter(places.values()), Problem("the source", 1, 1, ""))
    account.remarks.append(
        Remark(
            Kind.LEFT, Problem(where.source, where.line, where.column, said, problem.suggestion or "write it by hand")
        )
    )
    head.append(f"TODO(import) {where.source}:{where.line}: {said}")
    if cut[-1] in ("steps", 0) and at[0] == "jobs" and len(cut) == 3:
        cut = cut[:2]
    _drop(data, cut)
    left = data["jobs"].get(job)
    if left is not None:
        body = left.value
        if not (body.get("steps") or body.get("builds") or body.get("approve")):
            del data["jobs"][job]
    names = set(data["jobs"])
    for noted in data["jobs"].values():
        needs = [n for n in noted.value.get("needs", []) if (n["job"] if isinstance(n, dict) else n) in names]
        noted.value.pop("needs", None) if not needs else noted.value.update(needs=needs)


def _drop(data: Any, cut: Location) -> None:
    above = data
    for part in cut[:-1]:
        above = above[part]
        if isinstance(above, Noted):
            above = above.value
    last = cut[-1]
    if isinstance(above, dict):
        above.pop(last, None)
    elif isinstance(above, list) and isinstance(last, int) and last < len(above):
        del above[last]


def _find(document: Document, problem: Problem) -> Location | None:
    """The deepest value that stands where the problem does."""
    wanted = (problem.line, problem.column)
    best: Location | None = None
    todo: list[tuple[Location, Any]] = [((), document.root)]
    while todo:
        at, node = todo.pop()
        for part, below in node.below.items():
            here = (*at, part)
            if wanted in (below.mark, node.keys.get(part) if isinstance(part, str) else None) and (
                best is None or len(here) > len(best)
            ):
                best = here
            todo.append((here, below))
    return best
