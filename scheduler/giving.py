"""What a claim gives a job beside its specification: the values of the secrets that it names.

Rules:
1. Only a trusted run's jobs are given any; another's are told in their log that they are not.
2. A job never runs without the secret that it names: its attempt ends in error, naming the secret and the remedy.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from sqlalchemy import Connection

from farmgate.errors import BadSettings
from farmgate.models import Repository, Run, Trust
from farmgate.pipeline import JobSpec
from farmgate.refs import HEADS
from farmgate.sealing import Keyring
from farmgate.store import secrets


@dataclass(frozen=True, slots=True)
class Given:
    """`values`: variable -> value in base64. `refused`: why the job must not run."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    notices: tuple[str, ...] = ()
    refused: str | None = None


def given_to(connection: Connection, keyring: Keyring, repository: Repository, run: Run, spec: JobSpec) -> Given:
    """By the rules."""
    if not spec.secrets:
        return Given()
    names = sorted(set(spec.secrets.values()))
    if run.trust is not Trust.TRUSTED:
        return Given(notices=(f"a run from a fork is given no secrets: {', '.join(names)} are not set",))
    branch = run.ref.removeprefix(HEADS) if run.ref.startswith(HEADS) else None
    found = secrets.chosen(connection, repository.id, names, spec.deploys_to, branch)
    missing = [name for name in names if name not in found]
    if missing:
        place = f" for {spec.deploys_to}" if spec.deploys_to else ""
        remedy = "; ".join(f"farmgate secret set {repository.name} {name}" for name in missing)
        said = f"job {spec.name!r} names secrets that {run.ref}{place} has not: {', '.join(missing)}; set them with: "
        return Given(refused=said + remedy)
    try:
        values = {name: secrets.value_of(keyring, secret) for name, secret in found.items()}
    except BadSettings as error:
        return Given(refused=str(error))
    return Given({variable: base64.b64encode(values[name]).decode() for variable, name in spec.secrets.items()})
