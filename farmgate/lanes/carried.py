"""What is known of a batch before it starts, in words. Pure: from what was found in the history (`scheduler.looking`).

Rules:
1. A candidate that does not contain what is live drops it. Where a person has agreed that a forced push dropped the
   live commit, that is known already.
2. What cannot be taken back is told with its reason: a commit's own words, or the paths that the lane's policy names.
3. What a batch undoes without saying so is told with its commit and by what.
4. What nobody could find out is told as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from farmgate.models import BatchLook


def words_of(look: BatchLook, *, loss_agreed: bool = False) -> tuple[str, ...]:
    """All that a person should agree to, of an answered look."""
    found = look.found
    told = [f"nobody can tell what it carries: {found['trouble']}"] if "trouble" in found else []
    if found.get("ancestor") is False and not loss_agreed:
        told.append(f"{look.until_sha[:12]} does not contain {look.since_sha[:12]}, which is live: it would be dropped")
    told += [f"it cannot be taken back: {why}" for why in irreversible([look])]
    told += [f"it undoes {each['sha'][:12]} ({each['title']}): {each['how']}" for each in found.get("undone", ())]
    return tuple(told)


def irreversible(looks: Iterable[BatchLook]) -> tuple[str, ...]:
    """Why the way back across these batches is closed; empty: it is open."""
    return tuple(dict.fromkeys(words for look in looks for words in _irreversible(look.found)))


def _irreversible(found: Mapping[str, Any]) -> Iterator[str]:
    for each in found.get("irreversible", ()):
        yield f"{each['sha'][:12]} ({each['title']}): {each['why']}" if "sha" in each else str(each["why"])
