"""The API's answers about commits that Farmgate makes."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from farmgate import states
from farmgate.models import MadeKind


class PickBody(BaseModel):
    """A commit that a made one brings or takes back."""

    sha: str
    title: str
    author: str


class MadeBody(BaseModel):
    """A hotfix, or a branch without a culprit. `reasons`: why it does not go yet."""

    id: int
    kind: MadeKind
    state: states.Made
    picks: list[PickBody]
    onto: str
    sha: str | None
    ref: str
    run_id: int | None
    rollout: int | None
    reason: str
    asked_by: str
    created_at: datetime
    finished_at: datetime | None
    problem: str | None
    reasons: list[str]


class RevertBody(MadeBody):
    """A commit without a culprit, as a pull request to `branch`."""

    branch: str
    title: str
    body: str


class BroughtBody(BaseModel):
    """What a made commit brought to what is live. `contained_by`: from this commit on the branch contains it."""

    made_id: int
    kind: MadeKind
    sha: str
    title: str
    contained_by: str | None
    contained_how: str
