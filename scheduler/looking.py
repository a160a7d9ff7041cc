"""What a batch carries, by ancestry and by trees: from a history and two commits. No effects.

Rules:
1. `ancestor`: whether the candidate contains what is live. Where it does not, delivering it drops what is live.
2. `irreversible`: why the way back is closed. A commit that only one of the two contains says so in its message
   (`Irreversible: why`), or a path changed between them that the lane's policy names.
3. `undone`: commits of the branch, delivered lately or in the batch, whose every change is gone again in the candidate:
   each path that they changed is as it was before them. One that a later commit takes back by word or by patch, or that
   a person said is fixed, was meant to go.
4. `undone` too: what a merge of the batch leaves out. A path that only one side changed, and that is in the merge as it
   was before both, was dropped: git's own merge would have kept it. Content that the merge has elsewhere was moved.
5. What trees cannot tell: a part of a commit's paths, or of a file's lines; a choice between two sides that both
   changed a path; a change within a merge of more than two parents.
6. Bounded: the newest LOOKED_BACK commits that are live, MOST commits of a batch, and commits of at most MOST_PATHS
   paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from farmgate.errors import NotInRepository
from farmgate.git import Change, GitCommit, History
from farmgate.lanes import fixes_in, irreversible_in
from farmgate.pipeline.globs import fits

LOOKED_BACK: Final = 100
MOST: Final = 500
MOST_APART: Final = 10_000
MOST_PATHS: Final = 2_000
TOLD: Final = 20
"""So many of a kind are told."""
_TOLD_PATHS: Final = 5
_TITLE: Final = 120
Changes = Mapping[str, Change]


def look(
    history: History, since: str, until: str, patterns: Sequence[str], fixed: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Everything above, as it is kept. `fixed`: commits that a person said are fixed by another one."""
    try:
        apart = history.apart(since, until, limit=MOST_APART)
        ancestor = history.is_ancestor(since, until)
        found: dict[str, Any] = {
            "ancestor": ancestor,
            "irreversible": _irreversible(history, apart, since, until, patterns),
        }
        found["undone"] = _undone(history, since, until, apart, fixed) if ancestor else []
    except NotInRepository as missing:
        return {"trouble": f"the history cannot be compared: {missing}"}
    return found


def _irreversible(
    history: History, apart: Iterable[GitCommit], since: str, until: str, patterns: Sequence[str]
) -> list[dict[str, Any]]:
    """Rule 2."""
    said = [(commit, why) for commit in apart if (why := irreversible_in(commit.message)) is not None]
    found: list[dict[str, Any]] = [
        {"sha": commit.sha, "title": commit.title[:_TITLE], "why": why} for commit, why in said[:TOLD]
    ]
    if patterns:
        paths = [path for path in history.changed_paths(since, until) if fits(patterns, path, folders=True)]
        if paths:
            found.append({"why": f"the policy says so of {_some(paths)}", "paths": paths[:TOLD]})
    return found


def _undone(
    history: History, since: str, until: str, apart: Iterable[GitCommit], fixed: frozenset[str]
) -> list[dict[str, Any]]:
    batch = history.first_parent(until, before=since, limit=MOST)
    before = [commit for commit in history.first_parent(since, limit=LOOKED_BACK) if commit.parents]
    line = [*before, *batch]
    changes = history.differences([(commit.parents[0], commit.sha) for commit in line if commit.parents])
    told = [*_gone(history, line, changes, len(before), apart, fixed), *_dropped(history, batch)]
    return told[:TOLD]


def _gone(
    history: History,
    line: Sequence[GitCommit],
    changes: Sequence[Changes],
    live: int,
    apart: Iterable[GitCommit],
    fixed: frozenset[str],
) -> Iterator[dict[str, Any]]:
    """Rule 3. The first `live` commits of the line are delivered already."""
    last: dict[str, str | None] = {}  # what each path that changes later is in the candidate
    at_live: dict[str, str | None] = {}  # and in what is live
    by: dict[str, GitCommit] = {}  # who changed it last
    there: set[str] = set()  # content that came later, wherever: moved is not gone
    suspects: list[tuple[GitCommit, Changes, list[GitCommit]]] = []
    for number in range(len(line) - 1, -1, -1):
        commit, changed = line[number], changes[number]
        if 0 < len(changed) <= MOST_PATHS and all(
            path in last and last[path] == change.before and change.after not in there
            for path, change in changed.items()
        ):
            stood = any(at_live.get(path, change.after) != change.before for path, change in changed.items())
            if number >= live or stood:
                suspects.append((commit, changed, list({by[path].sha: by[path] for path in changed}.values())))
        for path, change in changed.items():
            last.setdefault(path, change.after)
            if change.after is not None:
                there.add(change.after)
            by.setdefault(path, commit)
            if number < live:
                at_live.setdefault(path, change.after)
    meant = _meant(history, suspects, apart, fixed)
    for commit, changed, who in reversed(suspects):
        if commit.sha not in meant:
            how = (
                f"every change of it is undone by {', '.join(each.sha[:12] for each in who[:3])}, which does not say so"
            )
            yield _of(commit, how, list(changed))


def _meant(
    history: History,
    suspects: Sequence[tuple[GitCommit, Changes, list[GitCommit]]],
    apart: Iterable[GitCommit],
    fixed: frozenset[str],
) -> set[str]:
    """Those that were taken back on purpose, and said so by word or by patch."""
    if not suspects:
        return set()
    named = [prefix for commit in apart for prefix in fixes_in(commit.message)]
    shas = {commit.sha for commit, _, _ in suspects}
    patches = history.patches(sorted(shas | {each.sha for _, _, who in suspects for each in who}))
    found = {sha for sha in shas if sha in fixed or any(sha.startswith(prefix) for prefix in named)}
    for commit, _, who in suspects:
        patch = patches.get(commit.sha)
        if patch is not None and any(each.sha in patches and patches[each.sha].id == patch.inverse for each in who):
            found.add(commit.sha)
    return found


def _dropped(history: History, batch: Iterable[GitCommit]) -> Iterator[dict[str, Any]]:
    """Rule 4."""
    merges = [commit for commit in batch if len(commit.parents) == 2]
    bases = [(merge, base) for merge in merges if (base := history.merge_base(*merge.parents)) is not None]
    pairs = [pair for merge, base in bases for pair in (*((base, side) for side in merge.parents), (base, merge.sha))]
    told = history.differences(pairs)
    for at, (merge, _) in enumerate(bases):
        ours, theirs, result = told[3 * at : 3 * at + 3]
        moved = {change.after for change in result.values()}
        for side, other, which in ((ours, theirs, "the branch"), (theirs, ours, "the merged side")):
            paths = [
                path
                for path, change in side.items()
                if path not in result and path not in other and (change.after is None or change.after not in moved)
            ]
            if paths:
                yield _of(merge, f"the merge drops what {which} changed in {_some(paths)}", paths)


def _of(commit: GitCommit, how: str, paths: Sequence[str]) -> dict[str, Any]:
    return {"sha": commit.sha, "title": commit.title[:_TITLE], "how": how, "paths": sorted(paths)[:_TOLD_PATHS]}


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(sorted(paths)[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"
