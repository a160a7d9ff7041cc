"""Whom a concurrency group keeps apart, as one text. Pure.

Rules:
1. A group belongs to its repository, or to one ref of it where its scope says so.
2. Runs of forks have groups of their own, one per ref: what a stranger writes into a pipeline file neither blocks nor
   ends the repository's own jobs.
3. The text is `repository:scope:group`, and has at most 300 characters: a longer group is cut and told by its hash.
"""

from __future__ import annotations

import hashlib

from farmgate.models import Trust
from farmgate.pipeline.models import ConcurrencySpec

LONGEST = 200


def exclusion_of(group: ConcurrencySpec, repository_id: int, ref: str, trust: Trust) -> str:
    """The key of a job's group."""
    own = "all" if group.scope == "repository" else _hash(ref)
    scope = own if trust is Trust.TRUSTED else f"fork-{_hash(ref)}"
    name = group.group if len(group.group) <= LONGEST else f"{group.group[:LONGEST]}~{_hash(group.group)}"
    return f"{repository_id}:{scope}:{name}"


def name_of(exclusion: str) -> str:
    """A group as the pipeline file calls it."""
    return exclusion.split(":", 2)[-1]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
