"""Rows: repositories, what they report, their secrets and templates, and what fixes what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from farmgate import states
from farmgate.models.kinds import ForkPolicy


@dataclass(frozen=True, slots=True)
class Repository:
    id: int
    name: str  # unique, [a-z0-9._-]+
    url: str  # what git fetches; *** stands for the user and password of an HTTP address
    forge: str  # github, gitlab, gitea, forgejo, bitbucket, bitbucket-dc, git
    secret: str  # the webhook secret, encrypted (farmgate.vault)
    default_branch: str
    created_at: datetime
    polled_at: datetime | None
    poll_error: str | None
    removed_at: datetime | None  # its rows stay as a record; its name is free again
    weight: int  # its share of the slots, against other repositories'; 1 is usual
    fork_policy: ForkPolicy
    login: str | None = field(repr=False)  # what *** in `url` stands for, sealed (farmgate.sealing)
    login_key: str | None


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or tag as the farm knows it; `sha` is None once it was deleted."""

    repository_id: int
    name: str  # refs/heads/main
    sha: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that was accepted."""

    id: int
    repository_id: int
    delivery_id: str  # unique per repository
    event: str
    received_at: datetime
    outcome: str  # what became of it, in words


@dataclass(frozen=True, slots=True)
class IntakeRow:
    """A ref change or pull request, waiting to be read."""

    id: int
    repository_id: int
    delivery_id: int | None  # None: found by polling
    kind: str  # first, push, delete, pull, pull_closed
    ref: str  # refs/heads/main, refs/tags/v1, refs/pull/7/head
    before: str | None
    after: str | None
    details: dict[str, Any]  # of a pull request: number, base, from_fork, fetch_url, fetch_ref, title, author
    state: states.Intake
    tries: int
    not_before: datetime  # next try
    deadline: datetime
    created_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class Commit:
    id: int
    repository_id: int
    sha: str
    parents: list[str]
    tree: str
    author_name: str
    author_email: str
    title: str
    message: str
    committed_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """A commit's place in its branch. `gone_at` is set when a forced push dropped it."""

    repository_id: int
    branch: str
    position: int
    sha: str
    gone_at: datetime | None


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """A template's text as somebody applied it; None: somebody removed it."""

    name: str
    version: int  # from 1
    text: str | None
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that jobs of trusted runs may name. Its place (repository, environment, branch, name) is unique."""

    id: int
    repository_id: int
    name: str
    environment: str  # that the job deploys to; empty: any job
    branch: str  # a pattern; empty: any ref
    sealed: str = field(repr=False)  # farmgate.sealing
    key_id: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class PatchRow:
    """What a commit changes, and what would take it back, as ids of patches."""

    repository_id: int
    sha: str
    patch_id: str
    inverse_id: str


@dataclass(frozen=True, slots=True)
class SaidFix:
    """A person's word that a commit fixes another one."""

    id: int
    repository_id: int
    fix: str
    fixes: str
    said_by: str
    reason: str
    said_at: datetime
