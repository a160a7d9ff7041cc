"""What a claim gives a job beside its specification: the values of the secrets that it names, and its identity tokens;
and its node the login of the farm's registry.

Rules:
1. Only a trusted run's jobs are given any; another's are told in their log that they are not.
2. A job never runs without the secret or the identity that it names: its attempt ends in error, naming what is missing
   and the remedy.
3. The registry's login goes with a trusted run's jobs that build images, or stand on images of that registry.
4. That a token was given is noted in the claim's own transaction: a claim that is lost gave none.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from farmgate import identity, signing
from farmgate.clock import random_token
from farmgate.errors import BadSettings
from farmgate.messages import RegistryLogin
from farmgate.models import IdentityToken, Job, Repository, Run, SigningKey, Trust
from farmgate.pipeline import JobSpec
from farmgate.refs import branch_of
from farmgate.registries import host_of
from farmgate.store import identities, secrets
from farmgate.store.jobs import FINISHING
from scheduler.context import Context


@dataclass(frozen=True, slots=True)
class Given:
    """`values`: variable -> value in base64. `refused`: why the job must not run."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    notices: tuple[str, ...] = ()
    refused: str | None = None


def given_to(
    context: Context, connection: Connection, repository: Repository, run: Run, job: Job, spec: JobSpec, now: datetime
) -> Given:
    """By the rules."""
    if not (spec.secrets or spec.identity):
        return Given()
    if run.trust is not Trust.TRUSTED:
        return Given(notices=tuple(_kept_back(spec)))
    try:
        found = _secrets(context, connection, repository, run, spec)
        if found.refused is not None:
            return found
        tokens, notices = _tokens(context, connection, repository, run, job, spec, now)
    except BadSettings as error:
        return Given(refused=str(error))
    values = found.values | {name: base64.b64encode(token.encode()).decode() for name, token in tokens.items()}
    return Given(values, notices)


def registry_for(context: Context, run: Run, spec: JobSpec) -> RegistryLogin | None:
    """Rule 3."""
    registry = context.settings.images()
    if registry is None or run.trust is not Trust.TRUSTED:
        return None
    images = {spec.image, *(step.image for step in spec.steps), *(service.image for service in spec.services)}
    if not spec.builds and not any(image and host_of(image) == registry.host for image in images):
        return None
    return RegistryLogin(address=registry.address, user=registry.user, password=registry.password)


def _kept_back(spec: JobSpec) -> list[str]:
    told = []
    if names := sorted(set(spec.secrets.values())):
        told.append(f"a run from a fork is given no secrets: {', '.join(names)} are not set")
    if names := sorted(spec.identity):
        told.append(f"a run from a fork is given no identity: {', '.join(names)} are not set")
    return told


def _secrets(context: Context, connection: Connection, repository: Repository, run: Run, spec: JobSpec) -> Given:
    """Raises BadSettings: a value does not open."""
    names = sorted(set(spec.secrets.values()))
    if not names:
        return Given()
    branch = branch_of(run.ref)
    found = secrets.chosen(connection, repository.id, names, spec.deploys_to, branch)
    missing = [name for name in names if name not in found]
    if missing:
        place = f" for {spec.deploys_to}" if spec.deploys_to else ""
        remedy = "; ".join(f"farmgate secret set {repository.name} {name}" for name in missing)
        said = f"job {spec.name!r} names secrets that {run.ref}{place} has not: {', '.join(missing)}; set them with: "
        return Given(refused=said + remedy)
    values = {name: secrets.value_of(context.vault.keyring, secret) for name, secret in found.items()}
    return Given({variable: base64.b64encode(values[name]).decode() for variable, name in spec.secrets.items()})


def _tokens(
    context: Context,
    connection: Connection,
    repository: Repository,
    run: Run,
    job: Job,
    spec: JobSpec,
    now: datetime,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The job's identity tokens by variable, and what to tell of them. Raises BadSettings: the key does not open."""
    if not spec.identity:
        return {}, ()
    asked = identity.Asked(repository, run, job, spec.deploys_to)
    deadline, longest = now + spec.timeout + FINISHING, context.settings.identity_longest
    until = identity.ends_at(deadline, now, longest)
    key = _signer(context, connection, now)
    private = identities.private_half(context.vault.keyring, key)
    found, noted = {}, []
    for variable, audience in spec.identity.items():
        jti = random_token()
        claims = identity.claims(asked, issuer(context), audience, jti, now, until)
        found[variable] = signing.sign(claims, key.kid, private)
        noted.append(IdentityToken(jti, key.id, job.id, job.attempt, audience, asked.subject, now, until))
    identities.note(connection, noted)
    early = until < now + spec.timeout
    told = f"identity tokens of this job end at {until:%Y-%m-%d %H:%M} UTC, before its time limit"
    return found, (told,) if early else ()


def _signer(context: Context, connection: Connection, now: datetime) -> SigningKey:
    key = identity.signer(identities.keys(connection), now)
    if key is None:
        identities.add_first(connection, context.vault.keyring, signing.draw(), now)
        key = identity.signer(identities.keys(connection), now)
    if key is None:
        raise BadSettings("no signing key's time has come: farmgate identity rotate --leaked makes one that signs now")
    return key


def issuer(context: Context) -> str:
    """Who signs: the address that leads verifiers to the keys."""
    return (context.settings.identity_issuer or context.public_url).rstrip("/")
