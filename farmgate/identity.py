"""Identity tokens of jobs: what they say, how long they hold, and which key is for what at a moment. Pure.

Rules:
1. The subject always names the ref, also where it names an environment: whoever may push a branch may write a pipeline
   file that names any environment. The environment stands first, so that what trusts every ref of a repository does
   not trust its deploying jobs with it.
2. A token holds as long as its job may run, and never longer than the farm's bound.
3. The newest key whose time has come signs. The next one is published before it signs, since those who check tokens
   keep the keys for a while; an older one stays published until all that it signed has ended.
4. A withdrawn key neither signs nor is published, whatever it signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from farmgate.models import Job, Repository, Run, SigningKey
from farmgate.refs import HEADS, MADE, TAGS

ALGORITHM: Final = "RS256"  # what every cloud takes
TOLERANCE: Final = timedelta(minutes=10)  # for clocks that differ
CONFIGURATION: Final = "/.well-known/openid-configuration"
KEYS: Final = "/.well-known/jwks.json"


class KeyUse(StrEnum):
    """What a key is for at a moment."""

    NEXT = "next"  # published, does not sign yet
    SIGNS = "signs"
    KEPT = "kept"  # published until what it signed has ended
    ENDED = "ended"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a token speaks of."""

    repository: Repository
    run: Run
    job: Job
    environment: str | None

    @property
    def subject(self) -> str:
        """Rule 1. Neither a repository's name nor an environment's nor a ref holds a colon."""
        place = f":environment:{self.environment}" if self.environment else ""
        return f"repo:{self.repository.name}{place}:ref:{self.run.ref}"


def ends_at(deadline: datetime, now: datetime, longest: timedelta) -> datetime:
    """Rule 2."""
    return min(deadline, now + longest)


def claims(
    asked: Asked, issuer: str, audience: str, jti: str, issued_at: datetime, expires_at: datetime
) -> dict[str, str | int]:
    """What a token says: RFC 7519's names, then ours. Numbers of ours are text, as policies compare text."""
    run, job = asked.run, asked.job
    said: dict[str, str | int] = {
        "iss": issuer,
        "sub": asked.subject,
        "aud": audience,
        "iat": int(issued_at.timestamp()),
        "nbf": int(issued_at.timestamp()),
        "exp": int(expires_at.timestamp()),
        "jti": jti,
        "repository": asked.repository.name,
        "repository_id": str(asked.repository.id),
        "ref": run.ref,
        "ref_type": ref_type(run.ref),
        "sha": run.sha,
        "run": str(run.id),
        "job": job.name,
        "job_id": str(job.id),
        "attempt": str(job.attempt),
        "trigger": str(run.trigger),
        "trust": str(run.trust),
        "pool": job.pool,
    }
    if asked.environment:
        said["environment"] = asked.environment
    return said


CLAIMS: Final = (
    *("iss", "sub", "aud", "iat", "nbf", "exp", "jti", "repository", "repository_id", "ref", "ref_type", "sha", "run"),
    *("job", "job_id", "attempt", "trigger", "trust", "pool", "environment"),
)


def ref_type(ref: str) -> str:
    """branch, tag, made (by Farmgate, for a branch that the ref names) or pull."""
    if ref.startswith(MADE):
        return "made"
    return "branch" if ref.startswith(HEADS) else "tag" if ref.startswith(TAGS) else "pull"


def signer(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The key that signs (rule 3); None: there is none yet."""
    ready = [key for key in keys if key.withdrawn_at is None and key.signs_from <= now]
    return max(ready, key=lambda key: (key.signs_from, key.id), default=None)


def uses(keys: Sequence[SigningKey], last_ends: Mapping[int, datetime], now: datetime) -> dict[int, KeyUse]:
    """Of every key by its id; `last_ends`: when the last token of a key ends."""
    signing = signer(keys, now)

    def use(key: SigningKey) -> KeyUse:
        if key.withdrawn_at is not None:
            return KeyUse.WITHDRAWN
        if signing is not None and key.id == signing.id:
            return KeyUse.SIGNS
        if key.signs_from > now:
            return KeyUse.NEXT
        living = key.id in last_ends and now < last_ends[key.id] + TOLERANCE
        return KeyUse.KEPT if living else KeyUse.ENDED

    return {key.id: use(key) for key in keys}


def forgettable(keys: Sequence[SigningKey], now: datetime) -> list[int]:
    """Keys whose private half nobody needs any more: withdrawn ones, and those that were followed a while ago."""
    signing = signer(keys, now)
    followed = signing is not None and signing.signs_from + TOLERANCE <= now
    return [
        key.id
        for key in keys
        if key.sealed is not None
        and (
            key.withdrawn_at is not None
            or (followed and signing is not None and key.id != signing.id and key.signs_from <= now)
        )
    ]


def configuration(issuer: str) -> dict[str, object]:
    """OpenID Connect Discovery 1.0, section 3: what a verifier reads first."""
    return {
        "issuer": issuer,
        "jwks_uri": issuer + KEYS,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": ["openid"],
        "claims_supported": list(CLAIMS),
    }
