"""Rows: what is built, of what, what is known of it, and who signed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from farmgate import states


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
