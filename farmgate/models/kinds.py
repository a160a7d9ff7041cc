"""The kinds of rows that have kinds."""

from __future__ import annotations

from enum import StrEnum


class Trust(StrEnum):
    """What the server computes from who and where; never from what a repository says."""

    TRUSTED = "trusted"  # pushed to the repository itself
    UNTRUSTED = "untrusted"  # proposed from a fork


class Trigger(StrEnum):
    """Why a run exists."""

    PUSH = "push"
    TAG = "tag"
    PULL = "pull"
    PERSON = "person"


class JobKind(StrEnum):
    """What a job does."""

    WORK = "work"  # runs in containers
    APPROVAL = "approval"  # asks a person


class ArtifactKind(StrEnum):
    """What an artifact's bytes are."""

    FILE = "file"
    IMAGE = "image"  # a container image as `docker save` writes it
    LOG = "log"  # what a service wrote


class Verdict(StrEnum):
    """What became of a question to a person."""

    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"  # nobody answered in time


class ForkPolicy(StrEnum):
    """What a repository does with runs of forks."""

    RUN = "run"  # without secrets, and with nothing that counts
    ASK = "ask"  # a maintainer allows each exact commit first
    REFUSE = "refuse"


class Unblamed(StrEnum):
    """Verdicts of a rollout that was taken back and say nothing of the change."""

    ABORTED = "aborted"  # by a person, who rolls back
    REPLACED = "replaced"  # by a newer batch
    TOGETHER = "together"  # another lane of its group went back


class RolloutKind(StrEnum):
    """Why a rollout exists."""

    FORWARD = "forward"  # the next batch of the queue
    SEARCH = "search"  # a half of a sealed batch, on the way to its culprit
    ROLLBACK = "rollback"  # a person went back to an earlier good release
    HOTFIX = "hotfix"  # commits picked onto what is live, ahead of the queue
    REVERT = "revert"  # the next batch without its culprit, by a commit that Farmgate made


class MadeKind(StrEnum):
    """What a commit that Farmgate makes is for."""

    HOTFIX = "hotfix"  # picks, on what is live
    REVERT = "revert"  # what waits, without a culprit


class HoldKind(StrEnum):
    """How a person stops what may be delivered."""

    HOLD = "hold"  # one lane, from now on
    FREEZE = "freeze"  # one lane, for a time that was planned
    STOP = "stop"  # every lane at once; waves under way do not go on either


class TokenKind(StrEnum):
    """What a credential is for."""

    API = "api"  # a person's or a tool's
    SESSION = "session"  # a browser that signed in
    SIGNIN = "signin"  # one use: opens a session
    JOIN = "join"  # one use: lets a node join
    NODE = "node"  # a node's own


class ReportKind(StrEnum):
    """What a report is about."""

    TESTS = "tests"
    COVERAGE = "coverage"
    FINDINGS = "findings"
    COMPONENTS = "components"
