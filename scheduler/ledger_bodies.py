"""The ledger's answers, as models: what a rollout took along, what differs between two, where something is live."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from scheduler.lane_bodies import RolloutDetail


class LedgerCommit(BaseModel):
    """A commit of a batch. `url`: where its forge shows it. `paths`: the first that it changed, of `path_count`; none
    where git cannot tell. `taken_back`: in this batch itself, by the commit that Farmgate made of it."""

    sha: str
    position: int
    title: str
    author: str
    email: str
    committed_at: datetime | None
    url: str | None
    paths: list[str] = []
    path_count: int | None = None
    taken_back: bool = False


class DifferenceBody(BaseModel):
    """A place in the configuration (or an artifact's name), and what stood there."""

    path: str
    before: Any
    after: Any


class OutsideBody(BaseModel):
    """The checks of a candidate that another system built."""

    source: str
    url: str
    submitted_by: str
    checks: list[dict[str, Any]]


class LedgerRollout(RolloutDetail):
    """All that a rollout took along and left. `compared_with`: the rollout whose release was live before."""

    compared_with: int | None
    carried: list[LedgerCommit]
    authors: list[str]
    changed_paths: list[str]
    paths_cut: bool
    config: dict[str, Any]
    config_changes: list[DifferenceBody]
    artifact_changes: list[DifferenceBody]
    source: str
    run_id: int | None
    outside: OutsideBody | None


class LaneDiff(BaseModel):
    """From what rollout `since` left live to what `until` did. `backward`: those commits are taken back."""

    lane: str
    since: int
    until: int
    since_sha: str
    until_sha: str
    backward: bool
    commits: list[LedgerCommit]
    commit_count: int
    authors: list[str]
    changed_paths: list[str]
    paths_cut: bool
    config_changes: list[DifferenceBody]
    artifact_changes: list[DifferenceBody]


class PlaceBody(BaseModel):
    """Where it is, or was. `share`: of the lane, in percent, at this moment."""

    lane: str
    state: str
    share: int
    rollout: int | None
    since: datetime | None
    until: datetime | None
    what: str


class WhereBody(BaseModel):
    """`kind`: commit, digest or package. `blind`: lanes whose live release has no component list to look in."""

    asked: str
    kind: str
    places: list[PlaceBody]
    blind: list[str] = []
