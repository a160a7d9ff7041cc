"""Secrets that a lane's policy names, opened for the moment in which a target needs them.

A policy holds the name of a secret of the lane's repository, never a value: `farmgate secret set shop KEY`. The one
that is bound to the lane's environment and branch wins, as for jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

from farmgate.errors import BadSettings, TargetError
from farmgate.masks import Masks
from farmgate.policy import LanePolicy, TargetPolicy
from farmgate.sealing import Keyring
from farmgate.store import repositories, secrets
from farmgate.store.database import Store

Digest = Callable[[str, str], str]
"""A keyed digest of a secret, by its name and value."""


class GivenSecrets:
    """`keyring` is called when a secret is first needed: a farm without one needs no key here."""

    def __init__(self, store: Store, keyring: Callable[[], Keyring]) -> None:
        self._store = store
        self._make = keyring

    def of(self, policy: LanePolicy, name: str) -> str:
        """The value. Raises TargetError."""
        with self._store.reading() as connection:
            repository = repositories.by_name(connection, policy.repository)
            found = secrets.chosen(connection, repository.id, {name}, policy.environment, policy.branch).get(name)
        if found is None:
            how = f"farmgate secret set {policy.repository} {name} --environment {policy.environment}"
            raise TargetError(f"there is no secret {name} for {policy.name}; set it with: {how}")
        try:
            return secrets.value_of(self._keyring, found).decode().strip()
        except (BadSettings, UnicodeDecodeError) as error:
            raise TargetError(f"the secret {name} cannot be opened where the deploy loop runs: {error}") from None

    @cached_property
    def _keyring(self) -> Keyring:
        return self._make()


def opened(target: TargetPolicy, secret: Callable[[str], str]) -> dict[str, str]:
    """The values of now that a target's programs are given. Raises TargetError."""
    return {name: secret(name) for name in target.secret_names}


def masks(target: TargetPolicy, secret: Callable[[str], str]) -> Masks:
    """What is kept out of all that is shown of it. A value that is gone cannot be known any more."""
    found = []
    for name in target.secret_names:
        with suppress(TargetError):
            found.append(secret(name).encode())
    return Masks(found)


def told(target: TargetPolicy, secret: Callable[[str], str], digest: Digest | None) -> dict[str, dict[str, str]]:
    """A figure for the ledger: keyed digests of what is given, so that a difference shows and no value."""
    if digest is None or not target.secret_names:
        return {}
    return {"secrets": {name: digest(name, value) for name, value in opened(target, secret).items()}}


def none(policy: LanePolicy, name: str) -> str:
    """Where there are no secrets."""
    raise TargetError(f"there is no secret {name} for {policy.name}")


def nothing(name: str) -> str:
    """The same, for one lane."""
    raise TargetError(f"there is no secret {name} here")
