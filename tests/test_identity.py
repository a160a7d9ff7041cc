"""Which key signs, which are published, and what a token says: rules without a farm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from farmgate.identity import KeyUse, ends_at, forgettable, ref_type, signer, uses
from farmgate.models import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key(number: int, signs_from: datetime, *, withdrawn: bool = False) -> SigningKey:
    return SigningKey(
        id=number,
        kid=f"k{number}",
        public={},
        sealed="sealed",
        key_id="root",
        created_by="ada",
        created_at=NOW,
        signs_from=signs_from,
        withdrawn_at=NOW if withdrawn else None,
    )


def test_a_new_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_have_ended() -> None:
    keys = [key(1, NOW), key(2, NOW + HOUR)]
    last = {1: NOW + 3 * HOUR}

    def at(hours: float) -> list[str]:
        now = NOW + hours * HOUR
        return [uses(keys, {k: v for k, v in last.items() if v > now - HOUR}, now)[number] for number in (1, 2)]

    assert at(0) == at(0.9) == [KeyUse.SIGNS, KeyUse.NEXT]
    assert at(1) == at(3) == at(3.1) == [KeyUse.KEPT, KeyUse.SIGNS]
    assert at(3.5) == [KeyUse.ENDED, KeyUse.SIGNS]


def test_a_withdrawn_key_is_never_used_again_whatever_it_signed() -> None:
    keys = [key(1, NOW, withdrawn=True), key(2, NOW + HOUR, withdrawn=True)]
    assert signer(keys, NOW + 2 * HOUR) is None
    assert set(uses(keys, {1: NOW + 9 * HOUR}, NOW + HOUR).values()) == {KeyUse.WITHDRAWN}


def test_a_private_half_is_forgotten_a_while_after_its_successor_began_to_sign() -> None:
    keys = [key(1, NOW), key(2, NOW + HOUR)]
    assert forgettable(keys, NOW + HOUR) == []
    assert forgettable(keys, NOW + 2 * HOUR) == [1]
    assert forgettable([key(1, NOW, withdrawn=True)], NOW) == [1]


def test_a_token_ends_with_its_job_and_within_the_bound() -> None:
    assert ends_at(NOW + HOUR, NOW, 24 * HOUR) == NOW + HOUR
    assert ends_at(NOW + 30 * HOUR, NOW, 24 * HOUR) == NOW + 24 * HOUR


@pytest.mark.parametrize(
    ("ref", "kind"), [("refs/heads/a", "branch"), ("refs/tags/v1", "tag"), ("refs/pull/3/head", "pull")]
)
def test_a_ref_is_of_a_kind(ref: str, kind: str) -> None:
    assert ref_type(ref) == kind
