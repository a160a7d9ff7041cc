"""Secrets that a lane's policy names, opened for the moment in which a target needs them.

A policy holds the name of a secret of the lane's repository, never a value: `farmgate secret set shop KEY`. The one
that is bound to the lane's environment and branch wins, as for jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from farmgate.errors import BadSettings, TargetError
from farmgate.policy import LanePolicy
from farmgate.sealing import Keyring
from farmgate.store import repositories, secrets
from farmgate.store.database import Store


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


def none(policy: LanePolicy, name: str) -> str:
    """Where there are no secrets."""
    raise TargetError(f"there is no secret {name} for {policy.name}")
