"""Provenance: keys that are published, envelopes that are given, and those that other systems bring.

Rules:
1. Anybody reads the public keys. Envelopes are for who may read.
2. A candidate of another system brings its envelope with the right to submit it;
   whom a lane trusts stands in its policy.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Response
from pydantic import BaseModel

from farmgate.errors import BadPayload, Forbidden, NotFound
from farmgate.models import Attestation
from farmgate.provenance.dsse import NotGenuine, opened
from farmgate.store import attestations, candidates, events, lanes, repositories
from farmgate.store.attestations import Tampered
from farmgate.store.intakes import storable
from scheduler import ledger_reading, provenance
from scheduler.auth import Admin, Known, Person
from scheduler.context import Context

KEYS = "/.well-known/farmgate-provenance.pem"
Name = Annotated[str, Path(max_length=100)]
Sha = Annotated[str, Path(pattern="^[0-9a-f]{7,64}$")]


class ProvenanceKey(BaseModel):
    """A key. `signs`: the one that signs now; what the others signed holds."""

    kid: str
    signs: bool
    public: str
    created_by: str
    created_at: datetime


class EnvelopeBody(BaseModel):
    """An envelope (DSSE), and what is known of it. `genuine`: the candidate is what was signed; of one of another
    system that is for the policies of lanes to say. `problem`: why not."""

    sha: str
    source: str
    kid: str
    made_by: str
    made_at: datetime
    genuine: bool | None
    problem: str | None
    envelope: str


class Brought(BaseModel):
    new: bool


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["provenance"])

    @routes.get(KEYS)
    def published() -> Response:
        """The public keys by which provenance is verified, as PEM; the newest first."""
        provenance.signer(context)
        with context.store.reading() as connection:
            found = attestations.trusted(connection, context.vault.keyring)
        return Response("".join(found), media_type="application/x-pem-file")

    @routes.get("/api/provenance/keys")
    def keys(person: Person) -> list[ProvenanceKey]:
        """The keys, the newest first."""
        provenance.signer(context)
        return shown(context)

    @routes.post("/api/provenance/rotate")
    def rotate(who: Admin) -> list[ProvenanceKey]:
        """A new key signs from now on."""
        provenance.signer(context)
        provenance.rotate(context, who.name)
        made = shown(context)
        with context.store.writing() as connection:
            text = f"key {made[0].kid[:16]} signs provenance and release records from now on"
            events.record(connection, context.clock.now(), "provenance.rotated", "farm", who.name, text)
        return made

    @routes.get("/api/candidates/{repository}/{sha}/provenance")
    def of_candidate(person: Person, repository: Name, sha: Sha) -> list[EnvelopeBody]:
        """What was said of a commit's candidate, the newest first."""
        with context.store.reading() as connection:
            of = repositories.by_name(connection, repository)
            commit = repositories.by_prefix(connection, of.id, sha).sha
            found = attestations.of_commit(connection, of.id, commit)
            if not found:
                raise NotFound(f"nothing was signed about {commit[:12]} of {repository}: only candidates are")
            candidate = candidates.of_commit(connection, of.id, commit)
            problem = None
            if candidate is not None:
                try:
                    attestations.genuine(connection, context.vault.keyring, candidate)
                except Tampered as error:
                    problem = str(error)
            return [_body(each, problem) for each in found]

    @routes.put("/api/candidates/{repository}/{sha}/provenance")
    def bring(
        who: Known,
        repository: Name,
        sha: Annotated[str, Path(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")],
        envelope: Annotated[dict[str, Any], Body()],
        source: str = "outside",
    ) -> Brought:
        """Bring the DSSE envelope of a candidate that another system built, before or after it is submitted."""
        if not who.may(f"candidates:{repository}"):
            raise Forbidden(f"{who.name} has no right to submit candidates of {repository}")
        if source == attestations.OURS or not source.replace("-", "").replace(".", "").isalnum() or len(source) > 100:
            raise BadPayload("source: name the system that built it, in letters and digits, and not as farmgate")
        text = json.dumps(envelope)
        try:
            opened(text)
        except NotGenuine as error:
            raise BadPayload(f"the envelope cannot be taken: {error}") from None
        kid = str((envelope["signatures"] or [{}])[0].get("keyid") or "")[:200]
        with context.store.writing() as connection:
            of = repositories.by_name(connection, repository)
            now = context.clock.now()
            new = attestations.put(connection, of.id, sha, text, storable(kid), who.name, now, source=source)
            if new:
                said = f"{source} brought the provenance of {sha[:12]}"
                events.record(connection, now, "provenance.brought", f"repository/{repository}", who.name, said)
        context.acted_on_lanes()
        return Brought(new=new)

    @routes.get("/api/lanes/{application}/{environment}/rollouts/{number}/record")
    def of_rollout(person: Person, application: str, environment: str, number: int) -> EnvelopeBody:
        """The signed record of what a rollout left live."""
        with context.store.reading() as connection:
            lane = lanes.by_name(connection, application, environment)
            row = ledger_reading.by_number(connection, lane, number)
            return _body(attestations.of_rollout(connection, row.id), None)

    return routes


def shown(context: Context) -> list[ProvenanceKey]:
    with context.store.reading() as connection:
        return [
            ProvenanceKey(
                kid=key.kid, signs=at == 0, public=key.public, created_by=key.created_by, created_at=key.created_at
            )
            for at, key in enumerate(attestations.keys(connection))
        ]


def _body(row: Attestation, problem: str | None) -> EnvelopeBody:
    ours = row.source == attestations.OURS
    return EnvelopeBody(
        sha=row.sha,
        source=row.source,
        kid=row.kid,
        made_by=row.made_by,
        made_at=row.made_at,
        genuine=problem is None if ours else None,
        problem=problem if ours else None,
        envelope=row.envelope,
    )
