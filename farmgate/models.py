"""The rows of the farm, as values.

Rules:
1. One frozen dataclass per table; field names are the column names (a test compares them with the schema).
2. Times are aware UTC datetimes, sizes are bytes with the unit in the name, shas are full lower-case hex.
3. A position is a commit's place in its branch's first-parent history, counted from 1 at the root.
4. Nothing here does anything: rules stand in `states`, `lanes` and the plan modules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from farmgate import states


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


# --- repositories and what they report ---------------------------------------------------------------------------


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


# --- integration ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    id: int
    repository_id: int
    sha: str
    ref: str
    trigger: Trigger
    trust: Trust
    ordinal: int  # 1, and more for re-runs: (repository, ref, sha, ordinal) is unique
    state: states.Run
    reason: str | None  # why it is in error, lost or cancelled; of a bad pipeline file: its problems
    asked_by: str
    created_at: datetime  # of the intake, so that delays count from the push
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    hold: str | None  # why nothing of it may start yet: a maintainer must allow the commit
    superseded_by: int | None  # the run that made this one needless
    again_of: int | None  # the run that this one repeats: it never counts as the newest
    reuse: bool  # False: nothing of earlier results is taken
    cancel_superseded: bool | None  # as the pipeline file says; None: by the kind of ref
    origin: dict[str, Any]  # where its pipeline came from: the template and its revision, if any


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    run_id: int
    name: str
    needs: list[str]
    spec: dict[str, Any]  # farmgate.pipeline.JobSpec as JSON
    pool: str
    state: states.Job
    attempt: int  # the current attempt's number, from 1: the fencing token
    losses: int  # attempts lost to infrastructure
    rings: int  # bells rung for the current attempt
    ready_at: datetime | None
    rung_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    reason: str | None
    cancel_asked: str | None  # by whom and why; a running job ends as soon as its worker hears it
    kind: JobKind
    family: str  # the job of the pipeline file that it was unfolded from
    family_limit: int | None  # how many of its family may run at a time
    priority: int  # more goes first, within the repository
    labels: dict[str, str]  # that its node must have
    runs_when: str  # passed, failed, always: the result of what it needs
    forgiven: bool  # counts as passed: its failure was allowed, or its own condition did not hold
    failures: int  # tries that failed by themselves and were repeated
    not_before: datetime | None  # a pause before the next try
    exclusion: str | None  # the concurrency group, unique in the farm
    exclusion_limit: int
    exclusion_cancels: bool  # ends older jobs of the group instead of waiting for them
    reuse_key: str | None  # what its result depends on, as a hash
    reused_from: int | None  # the job whose result it took
    emitted_by: int | None  # the job whose file named it
    inputs_hash: str | None  # of what it declares to depend on, at its commit; None: its result is never reused
    rung_to: int | None  # the node whose own bell was rung for it; None: its pool's


@dataclass(frozen=True, slots=True)
class Attempt:
    id: int
    job_id: int
    number: int
    node_id: int
    state: states.Attempt
    token_hash: str
    claimed_at: datetime
    lease_until: datetime
    finished_at: datetime | None
    exit_code: int | None
    reason: str | None
    timings: dict[str, float]  # seconds by phase: claim, mirror, checkout, image, container, first_step, ...
    log_bytes: int
    log_blob: str | None  # sha256 of the gzip-compressed log, once the attempt ended
    log_cut: bool
    log_lines: int  # ends of line in it so far
    log_index: str | None  # sha256 of where its lines stand in the blob: scheduler.log_index


@dataclass(frozen=True, slots=True)
class Step:
    attempt_id: int
    number: int  # from 1
    name: str
    state: states.Step
    exit_code: int | None
    started_at: datetime | None
    finished_at: datetime | None
    log_offset: int | None  # byte of the log where it begins


@dataclass(frozen=True, slots=True)
class LogChunk:
    attempt_id: int
    offset: int  # in bytes, from 0, without gaps
    data: bytes
    received_at: datetime
    line: int  # ends of line before it


@dataclass(frozen=True, slots=True)
class Artifact:
    id: int
    attempt_id: int
    job_id: int
    path: str  # relative to the workspace
    sha256: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None  # None: by the farm's own time
    removed_at: datetime | None  # its time was over: the row stays as a record, the bytes may be gone
    executable: bool  # it is one again where it is fetched
    kind: ArtifactKind
    image_id: str | None  # of a saved image: its id, or its digest in the farm's registry


@dataclass(frozen=True, slots=True)
class Candidate:
    """The one hand-off from integration to delivery."""

    id: int
    repository_id: int
    sha: str
    run_id: int | None  # None: submitted from outside
    source: str  # farmgate, jenkins, ...
    artifacts: dict[str, str]  # name -> sha256:... or an image by digest
    created_at: datetime


# --- delivery ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lane:
    """One application in one environment."""

    id: int
    application: str
    environment: str
    repository_id: int
    policy: dict[str, Any]  # farmgate.policy.LanePolicy as JSON
    policy_version: int
    epoch: int  # the fencing token of the controller that last took the lane
    rollback: dict[str, Any] | None  # a person's order that is not cut yet: release_id, asked_by, reason, asked_at
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    lane_id: int
    version: int
    policy: dict[str, Any]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Rollout:
    """A batch on its way: the commits after `since` (exclusive) up to `until` (inclusive)."""

    id: int
    lane_id: int
    number: int  # per lane, from 1
    kind: RolloutKind
    candidate_id: int
    since_position: int  # 0: from the beginning
    since_sha: str | None
    until_position: int
    until_sha: str
    from_release_id: int | None  # what was live when it was cut: where a restore goes
    search_id: int | None
    policy: dict[str, Any]  # as it stood at the cut
    policy_version: int
    state: states.Rollout
    wave: int  # index of the wave under way, from 0
    epoch: int
    asked_by: str
    reason: str | None  # why it is where it is, in words
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class RolloutCommit:
    rollout_id: int
    lane_id: int
    sha: str
    position: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A step of a rollout: written before it begins, completed when it ended; its key makes it repeatable."""

    rollout_id: int
    key: str  # prepare, wave-0/shift, wave-0/check-3, finish, restore, ...
    epoch: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None  # done, failed; of a check: healthy, sick, cannot tell
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """What a good rollout left live."""

    id: int
    lane_id: int
    rollout_id: int
    candidate_id: int
    sha: str
    position: int
    artifacts: dict[str, str]
    config: dict[str, Any]  # the target's configuration as it was: a restore needs nothing else
    live_from: datetime
    live_until: datetime | None


@dataclass(frozen=True, slots=True)
class SearchRow:
    """A sealed batch that went sick: the culprit is after `since` and at or before `until`."""

    id: int
    lane_id: int
    rollout_id: int  # the one that went sick first
    since_position: int  # good so far
    until_position: int  # sick
    points: list[str]  # the candidates it may try, oldest first, sealed when it was opened
    state: states.Search
    rollouts: int  # further rollouts so far
    culprit: str | None
    opened_at: datetime
    closed_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Ban:
    """A commit that may not ship in this lane until its fix or revert is in the same batch."""

    id: int
    lane_id: int
    sha: str
    position: int
    covers: list[str]  # every commit that may be the culprit; a revert of any of them fixes
    rollout_id: int | None  # the evidence
    reason: str
    created_by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A person's word for the commits after `since` up to `until`, and for the candidate there."""

    id: int
    lane_id: int
    since_position: int
    since_sha: str | None  # None: from the beginning
    until_position: int
    until_sha: str
    candidate_id: int
    reason: str
    approved_by: str
    created_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """A lane stopped by someone, from a time on, with a reason and an end; without a lane: all of them."""

    id: int
    lane_id: int | None
    kind: HoldKind
    reason: str
    created_by: str
    created_at: datetime
    begins: datetime
    until: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    told_at: datetime | None  # when it was told that it ended by itself


# --- the farm itself ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    id: int
    name: str
    pool: str
    labels: dict[str, str]
    engine: str
    slots: int
    state: states.Node
    version: str
    joined_at: datetime
    seen_at: datetime
    claimed_at: datetime | None  # last claim: a worker that never claims is deaf
    holding: list[str]  # "job/attempt" of what it says it holds
    problem: str | None


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    kind: TokenKind
    name: str
    hash: str
    rights: list[str]
    node_id: int | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Leader:
    """Who runs a loop; the epoch grows with each change of hands."""

    name: str
    holder: str
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the farm's own record: what happened to what, by whom and why."""

    id: int
    at: datetime
    kind: str  # run.finished, job.lost, rollout.sick, lane.held, ...
    subject: str  # run/7, lane/shop/production
    actor: str
    text: str


# --- bytes that live on ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cache:
    """Files that a trusted job left for later ones, as one archive."""

    id: int
    repository_id: int
    key: str  # as written, with the hash of the files that belong to it
    sha256: str
    size_bytes: int
    job_id: int  # that saved it
    created_at: datetime
    used_at: datetime


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the nodes of a pool had it last."""

    pool: str
    name: str  # as jobs name it; empty: the nodes' default
    digest: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class DoomedBlob:
    """A blob that nothing named when it was looked at. Whoever names it again takes it off the list."""

    sha256: str
    since: datetime
    removing: bool  # its bytes are being removed: it cannot be named until that is done


# --- results that are read: tests, coverage, findings, components ------------------------------------------------


class ReportKind(StrEnum):
    """What a report is about."""

    TESTS = "tests"
    COVERAGE = "coverage"
    FINDINGS = "findings"
    COMPONENTS = "components"


@dataclass(frozen=True, slots=True)
class Report:
    """What an attempt reported of one kind, out of all its files."""

    id: int
    attempt_id: int
    job_id: int
    run_id: int
    repository_id: int
    kind: ReportKind
    variant: str  # the job's name without its shard: what is compared with what
    ref: str
    sha: str
    tree: str  # the commit's git tree: the same tree is the same code
    complete: bool  # every file was read to its end
    counts: bool  # its attempt ended by itself, so its results say something of the commit
    sealed_at: datetime | None  # when its attempt ended; nothing is added after that
    figures: dict[str, Any]  # sums, by the kind


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file that a report was read from."""

    report_id: int
    number: int
    path: str
    size_bytes: int
    sha256: str | None  # of its bytes, where they are kept
    problem: str | None  # why it was not read to its end
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A piece of a report's rows, packed (farmgate.reports.packing)."""

    report_id: int
    number: int  # from 0
    data: bytes


@dataclass(frozen=True, slots=True)
class KnownTest:
    """A test that was seen once: the same from run to run."""

    id: int
    repository_id: int
    key: str  # a hash of what follows: unique in the repository
    variant: str
    suite: str
    class_name: str
    name: str
    file: str
    seen_at: datetime  # lately, to the day


@dataclass(frozen=True, slots=True)
class NotedResult:
    """A result that did not simply pass; all others are in the report's pages."""

    report_id: int
    test_id: int
    ordinal: int  # its place among the report's failures
    outcome: str  # failed, error; passed: after tries that failed
    failed_tries: int
    seconds: float
    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Flake:
    """The same test on the same tree with different results."""

    id: int
    test_id: int
    tree: str
    failed_report_id: int
    passed_report_id: int  # the same: the file itself tells of tries that failed
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A test that runs but does not decide, until a day."""

    id: int
    repository_id: int
    name: str  # as people call it: class and name, in every variant
    owner: str
    reason: str
    until: datetime
    created_by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None


# --- templates of the server -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """A template's text as somebody applied it; None: somebody removed it."""

    name: str
    version: int  # from 1
    text: str | None
    changed_by: str
    changed_at: datetime


# --- what people answered ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """To a job that asked: once, and kept."""

    job_id: int
    verdict: Verdict
    answered_by: str
    text: str  # what they said with it
    answered_at: datetime


# --- secrets of repositories ---------------------------------------------------------------------------------------


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


# --- the audit log: farmgate.audit ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An act that changed something, as a link of the chain."""

    number: int  # from 1, without a gap
    at: datetime
    kind: str  # lane.held, token.made, ...
    subject: str  # lane/shop/production
    actor: str
    text: str
    before: str | None  # digest of the state before, where there was one that is told
    after: str | None
    previous: str  # the hash of the entry before
    hash: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last entry: the one row that is locked to continue the chain."""

    id: int
    number: int
    hash: str


# --- identities of jobs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs identity tokens. What it is for at a moment: farmgate.identity."""

    id: int
    kid: str  # the thumbprint of its public half (RFC 7638)
    public: dict[str, Any]  # as a JSON Web Key
    sealed: str | None = field(repr=False)  # the private half, farmgate.sealing; None: forgotten
    key_id: str | None  # that seals it
    created_by: str
    created_at: datetime
    signs_from: datetime
    withdrawn_at: datetime | None  # no longer published, whatever it signed


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """That a token was given, without it: to find out what somebody may have got hold of."""

    jti: str
    signing_key_id: int
    job_id: int
    attempt: int
    audience: str
    subject: str
    issued_at: datetime
    expires_at: datetime


# --- candidates from outside ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submission:
    """What another system says of a commit: its checks and its artifacts."""

    id: int
    repository_id: int
    sha: str
    source: str  # jenkins, circleci, github, ...
    url: str  # where it was built; empty: nowhere that is told
    checks: list[dict[str, Any]]  # name, result, and url, seconds where told
    artifacts: dict[str, str]  # name -> sha256:... or an image by digest
    digest: str  # of all that: the same again is the same
    state: states.Submission
    reason: str | None
    submitted_by: str
    created_at: datetime
    settled_at: datetime | None
    deadline: datetime


# --- what fixes what: farmgate.store.fixes --------------------------------------------------------------------------


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


# --- what is built, of what, and what is known of it: farmgate.vulnerabilities ---------------------------------------


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A version of a package, once."""

    id: int
    key: str  # of ecosystem, name and version, as a hash
    ecosystem: str  # as OSV calls it; empty: it has no name for it
    name: str
    version: str
    purl: str


@dataclass(frozen=True, slots=True)
class PackageSet:
    """The packages of a component list. The same packages are the same set, whatever the list's own time or number."""

    id: int
    digest: str  # of its packages' keys
    size: int


@dataclass(frozen=True, slots=True)
class PackageSetMember:
    set_id: int
    package_id: int


@dataclass(frozen=True, slots=True)
class Bom:
    """A CycloneDX document, by digest."""

    id: int
    sha256: str
    state: states.Bom
    reason: str | None  # why it could not be read
    set_id: int | None
    unnamed: int  # components without a package URL that names a version: nothing can be said of them
    created_at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class CandidateBom:
    """A document that tells what a candidate is made of."""

    candidate_id: int
    bom_id: int
    name: str  # the file that it was


@dataclass(frozen=True, slots=True)
class CandidateList:
    """That a candidate's documents were looked for."""

    candidate_id: int
    boms: int
    looked_at: datetime


@dataclass(frozen=True, slots=True)
class OsvDump:
    """What was imported at one time. The newest that is done is the one that counts."""

    id: int
    state: states.OsvDump
    sha256: str  # JSON documents, one a line, compressed
    size_bytes: int
    asked_by: str
    without: bool  # ecosystems that the dump before had may be missing
    read_bytes: int  # of the compressed ones
    documents: int
    withdrawn: int
    bad: int
    affected: int
    matched: int  # packages of ours that were compared with it
    ecosystems: dict[str, Any]  # name -> documents
    problems: list[str]
    reason: str | None
    created_at: datetime
    deadline: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class OsvRecord:
    """A document of a dump."""

    id: int
    dump_id: int
    osv_id: str
    aliases: list[str]
    summary: str
    severity: str
    score: float | None
    vector: str
    published: datetime | None
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class OsvAffected:
    """Versions of a package that a document means (farmgate.vulnerabilities.matching.packed)."""

    id: int
    dump_id: int
    ecosystem: str
    name: str
    osv_id: str
    spec: bytes


@dataclass(frozen=True, slots=True)
class PackageCheck:
    """That a package was compared with a dump; `problem`: why nothing, or not everything, could be told."""

    dump_id: int
    package_id: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class PackageMatch:
    """A package that a document means. `fixed`: the nearest version without it."""

    dump_id: int
    package_id: int
    osv_id: str
    fixed: str | None


@dataclass(frozen=True, slots=True)
class VulnerabilityDecision:
    """An administrator's word about a vulnerability."""

    id: int
    vulnerability: str
    scope: str  # empty: everywhere; an application; a lane
    verdict: str  # not_affected, accepted
    reason: str
    until: datetime
    decided_by: str
    decided_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None


# --- rollouts in the hands of other tools: farmgate.store.handovers -------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandoverRow:
    """A step of a rollout that another tool carries out."""

    id: int
    rollout_id: int
    step: str  # shift-20, restore
    delivery: str  # the webhook-id of every repeat of the request
    epoch: int  # of who sent it last: callbacks that were given out by an older one are refused
    state: states.Handover
    share: int | None  # percent, as the other tool says
    text: str  # its last words
    link: str  # where it shows more; empty: nowhere
    answer: dict[str, str]  # what of its answer its status address needs
    tellings: int  # callbacks that were taken
    stamp: int | None  # webhook-timestamp of the newest callback
    seen: list[str]  # webhook-ids of the last callbacks
    created_at: datetime
    told_at: datetime | None
    deadline: datetime


# --- provenance: farmgate.provenance --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """A key that signs provenance and release records. The newest signs; each stays published."""

    id: int
    kid: str  # SHA-256 of the public half (DER)
    public: str  # PEM
    sealed: str = field(repr=False)  # the private half, farmgate.sealing: that it opens shows that the row is ours
    key_id: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attestation:
    """A statement about a commit's candidate or about a rollout, in its envelope."""

    id: int
    repository_id: int
    sha: str
    rollout_id: int | None  # of a release record
    source: str  # farmgate; or who built it
    kid: str  # of the key that signed it, as the envelope says
    envelope: str
    digest: str  # of the envelope
    made_by: str
    made_at: datetime


# --- commits that Farmgate makes: farmgate.store.made ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A commit that Farmgate makes, or several on top of each other, on a commit of the lane's branch or on a made one
    that is live."""

    id: int
    kind: MadeKind
    lane_id: int
    repository_id: int
    branch: str  # of the lane, when it was asked for
    ref: str  # refs/farmgate/hotfix-7/main: keeps it in the mirror
    picks: list[str]  # the commits that it brings (or takes back), in this order
    onto: str  # what it stands on
    onto_position: int  # where that stands, or the branch commit below it
    shas: list[str]  # one for each pick; empty: not made yet
    sha: str | None  # the last of them: what is tested and delivered
    run_id: int | None
    rollout_id: int | None
    state: states.Made
    problem: str | None  # why it ended, in words
    reason: str  # what it is for, in the words of who asked
    asked_by: str
    created_at: datetime
    finished_at: datetime | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Carrier:
    """From this commit of a branch on, a pick of a made commit is contained."""

    made_id: int
    pick: str
    sha: str
    said_by: str | None  # a person; None: git says so
    reason: str
    said_at: datetime


# --- what a batch carries: farmgate.store.looks ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchLook:
    """What the deploy loop asks of a rollout's batch, and what the scheduler found in the history. The same two commits
    are always answered alike."""

    rollout_id: int
    repository_id: int
    since_sha: str  # what is live
    until_sha: str  # the candidate
    patterns: list[str]  # of paths whose change cannot be taken back
    asked_at: datetime
    answered_at: datetime | None
    found: dict[str, Any]  # ancestor, irreversible, undone, trouble: scheduler.looking


@dataclass(frozen=True, slots=True)
class LateRed:
    """A check that says no of a commit that is a candidate already."""

    id: int
    repository_id: int
    sha: str
    source: str  # run: ours; else who says so
    check: str  # the job's name, or what the source calls it
    run_id: int | None
    reason: str
    told_by: str
    since: datetime
    over_at: datetime | None
    over_by: str | None
    over_reason: str | None


# --- lanes that go together: farmgate.store.lane_groups, farmgate.store.joints -------------------------------------


@dataclass(frozen=True, slots=True)
class LaneGroup:
    """Lanes that go together."""

    id: int
    name: str
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A lane's place in its group: a later one needs the earlier ones."""

    lane_id: int
    group_id: int
    place: int


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """The lanes of a group, in their order, from a change on; none: it was dissolved."""

    group_id: int
    version: int
    lanes: list[str]
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Joint:
    """Rollouts of several lanes that are cut as one; but for a rollback they also finish and go back as one."""

    id: int
    group_id: int
    number: int  # per group, from 1
    kind: RolloutKind
    search_id: int | None  # of the group's search
    upto: int | None  # how many of the search's points are in it
    created_at: datetime


@dataclass(frozen=True, slots=True)
class JointRollout:
    """A rollout's place in a joint one: that of its lane in the group, as it was at the cut."""

    rollout_id: int
    joint_id: int
    place: int


@dataclass(frozen=True, slots=True)
class JointSearchRow:
    """A sealed joint batch that went sick: its first `good` points are good, and it is sick with the first `sick`."""

    id: int
    group_id: int
    joint_id: int  # the one that went sick first
    points: list[dict[str, Any]]  # repository, branch, sha; line after line, oldest first
    good: int
    sick: int
    state: states.Search
    rollouts: int  # further joint rollouts so far
    culprit: str | None
    opened_at: datetime
    closed_at: datetime | None
    deadline: datetime
