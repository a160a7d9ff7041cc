"""What all forges' payloads have in common."""

from __future__ import annotations

from farmgate.errors import BadPayload
from farmgate.refs import is_branch_or_tag
from farmgate.webhooks.deliveries import Change, Deleted, Ignored, PullAction, Pushed
from farmgate.webhooks.fields import Fields


def moved(ref: str, before: str | None, after: str | None) -> Change:
    """A ref that was created, moved or deleted; git's hash of zeros is None."""
    if not is_branch_or_tag(ref):
        return Ignored(f"{ref} is neither a branch nor a tag")
    return Deleted(ref, before) if after is None else Pushed(ref, before, after)


def head_of(fields: Fields, key: str, action: PullAction) -> str:
    """The hash of a pull request's head. Empty only for a closed one, whose branch may be gone."""
    if action is PullAction.CLOSED and not fields.data.get(key):
        return ""
    sha = fields.sha(key)
    if sha is None:
        raise BadPayload(f"{fields.way}.{key} is the hash of nothing")
    return sha
