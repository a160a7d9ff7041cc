"""What a webhook says, in our words, whatever forge it came from.

Rules:
1. A delivery carries changes, in the order the forge gave them. What starts no work is `Ignored`, with the reason; a
   change is never dropped silently.
2. Refs are full names (`refs/heads/main`), hashes are whole. The one exception is Bitbucket Cloud, which shortens the
   hash of a pull request's head: `Pull.head_sha` may be a prefix there and is settled after the fetch.
3. `before` is None where the ref is new, or where the forge does not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Forge(StrEnum):
    """Who sends."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    BITBUCKET = "bitbucket"
    BITBUCKET_DC = "bitbucket-dc"
    PLAIN = "plain"


class PullAction(StrEnum):
    """What happened to a pull request. Reopened counts as opened, merged as closed."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Pushed:
    """A branch or tag now points at `after`."""

    ref: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """A branch or tag is gone. Told twice by some forges; deleting twice is deleting once."""

    ref: str
    before: str | None


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull or merge request was opened, got another head or base, or was closed.

    `fetch_ref` is fetched from the repository itself, except where it is a branch (refs/heads/...) and `from_fork`:
    then from `head_clone_url`. `head_clone_url` is None where the forge does not give it or the fork is gone.
    `head_ref` and `base_ref` are full branch names. `author` is a name to show, never an identity to trust.
    """

    action: PullAction
    number: int
    head_sha: str
    head_ref: str
    base_ref: str
    from_fork: bool
    head_clone_url: str | None
    title: str
    author: str
    fetch_ref: str


@dataclass(frozen=True, slots=True)
class Ping:
    """The forge tries whether we answer."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why."""

    why: str


Change = Pushed | Deleted | Pull | Ping | Ignored


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook. `delivery_id` is the same when the forge sends it again."""

    forge: Forge
    delivery_id: str
    event: str
    changes: tuple[Change, ...]
