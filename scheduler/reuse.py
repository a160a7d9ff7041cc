"""What a job of a commit depends on, read from the mirror when its run is made."""

from __future__ import annotations

from farmgate.errors import FarmgateError
from farmgate.git import History
from farmgate.pipeline import JobSpec
from farmgate.pipeline.reuse import hash_of_inputs, may_be_reused


def inputs_hash(history: History, sha: str, spec: JobSpec) -> str | None:
    """None for a job whose result is never reused; also where the mirror cannot tell, since then it is better run."""
    if not may_be_reused(spec):
        return None
    try:
        entries = history.tree_entries(sha, spec.inputs)
    except FarmgateError:
        return None
    return hash_of_inputs(spec, [(entry.path, entry.mode, entry.sha) for entry in entries])
