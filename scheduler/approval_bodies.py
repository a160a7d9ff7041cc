"""The API's words about approvals."""

from __future__ import annotations

from pydantic import BaseModel, Field

from scheduler.lane_bodies import ApprovalBody, CarriedBody


class ToApproveBody(BaseModel):
    """What there is to approve for who asks. Without `until_sha`: nothing, for the reason in `words`."""

    since_sha: str | None
    until_sha: str | None
    until_title: str
    artifacts: dict[str, str]
    commit_count: int
    commits: list[CarriedBody]  # the newest TOLD_COMMITS
    own: int  # how many of them who asks wrote: for those others must agree
    count: int
    by: list[str]
    given: list[ApprovalBody]
    words: str


class ApproveAsked(BaseModel):
    """`since_sha` and `until_sha` as they were shown."""

    since_sha: str | None = Field(None, max_length=64)
    until_sha: str = Field(max_length=64)
    reason: str = Field("", max_length=1000)
