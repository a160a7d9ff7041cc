"""Who may speak to the farm, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Thread

import pytest
from sqlalchemy import select

from farmgate.errors import NotFound, Unauthorised
from farmgate.models import Token, TokenKind
from farmgate.store import tokens
from farmgate.store.database import Store
from farmgate.store.schema import tokens as table
from farmgate.vault import Vault

VAULT = Vault(b"a key that is long enough")
HOUR = timedelta(hours=1)


def check(store: Store, plain: str, now: datetime, *kinds: TokenKind) -> Token:
    with store.reading() as connection:
        return tokens.check(connection, VAULT, plain, kinds or tuple(TokenKind), now)


def create(store: Store, kind: TokenKind, now: datetime, lives: timedelta | None = None) -> str:
    with store.writing() as connection:
        until = None if lives is None else now + lives
        return tokens.create(connection, VAULT, kind, "alice", now, rights=("read", "deliver"), expires_at=until)


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_says_what_it_is_for_and_opens_its_own_door(store: Store, now: datetime, kind: TokenKind) -> None:
    plain = create(store, kind, now)
    assert plain.startswith(tokens.PREFIX[kind])
    found = check(store, plain, now, kind)
    assert (found.kind, found.name, found.rights, found.created_at) == (kind, "alice", ["deliver", "read"], now)


def test_the_prefixes_are_told_apart() -> None:
    assert set(tokens.PREFIX) == set(TokenKind)
    assert len(set(tokens.PREFIX.values())) == len(TokenKind)


def test_the_plain_text_is_nowhere_in_the_database(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.API, now)
    with store.reading() as connection:
        row = connection.execute(select(table)).one()
    assert plain.removeprefix("fgt_") not in repr(row)


def test_a_token_at_the_wrong_door_is_told_which_one_is_wanted(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.JOIN, now)
    with pytest.raises(Unauthorised, match=r"this is a join token.*api \(fgt_"):
        check(store, plain, now, TokenKind.API)


@pytest.mark.parametrize("plain", ["", "fgt_", "fgt_wrong", "nonsense", "fgt_\x00", "ÿ" * 10_000])
def test_what_was_never_made_opens_nothing(store: Store, now: datetime, plain: str) -> None:
    create(store, TokenKind.API, now)
    with pytest.raises(Unauthorised, match="not known"):
        check(store, plain, now, TokenKind.API)


def test_a_prefix_cannot_be_exchanged(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.JOIN, now)
    with pytest.raises(Unauthorised):
        check(store, plain.replace("fgj_", "fgt_"), now, TokenKind.API)


def test_a_token_of_another_key_opens_nothing(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.API, now)
    with store.reading() as connection, pytest.raises(Unauthorised):
        tokens.check(connection, Vault(b"another long enough key"), plain, (TokenKind.API,), now)


def test_a_token_ends_at_its_time(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.SESSION, now, HOUR)
    assert check(store, plain, now + HOUR - timedelta(seconds=1)).name == "alice"
    with pytest.raises(Unauthorised, match="expired"):
        check(store, plain, now + HOUR)


def test_a_revoked_token_opens_nothing_and_revoking_again_is_fine(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.API, now)
    token = check(store, plain, now)
    for later in (HOUR, 2 * HOUR):
        with store.writing() as connection:
            tokens.revoke(connection, token.id, now + later)
    with pytest.raises(Unauthorised, match="revoked at 2026-01-01 13:00 UTC"):
        check(store, plain, now + 3 * HOUR)


def test_revoking_what_is_not_there_is_said_so(store: Store, now: datetime) -> None:
    with store.writing() as connection, pytest.raises(NotFound):
        tokens.revoke(connection, 7, now)


@pytest.mark.parametrize("kind", sorted(tokens.ONE_USE))
def test_one_use_is_one_use(store: Store, now: datetime, kind: TokenKind) -> None:
    plain = create(store, kind, now, HOUR)
    with store.writing() as connection:
        assert tokens.spend(connection, VAULT, plain, kind, now).name == "alice"
    with store.writing() as connection, pytest.raises(Unauthorised, match="used already"):
        tokens.spend(connection, VAULT, plain, kind, now)
    with pytest.raises(Unauthorised, match="used already"):
        check(store, plain, now)


def test_a_use_that_is_rolled_back_was_none(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.JOIN, now)
    with pytest.raises(ZeroDivisionError), store.writing() as connection:  # noqa: PT012 - what is done before it fails
        tokens.spend(connection, VAULT, plain, TokenKind.JOIN, now)
        raise ZeroDivisionError
    with store.writing() as connection:
        assert tokens.spend(connection, VAULT, plain, TokenKind.JOIN, now).name == "alice"


def test_of_all_who_race_one_spends_it(store: Store, now: datetime) -> None:
    plain = create(store, TokenKind.JOIN, now)
    outcomes: list[str] = []

    def race() -> None:
        try:
            with store.writing() as connection:
                tokens.spend(connection, VAULT, plain, TokenKind.JOIN, now)
        except Unauthorised:
            outcomes.append("refused")
        else:
            outcomes.append("opened")

    threads = [Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["opened"] + ["refused"] * 5


def test_all_lists_the_newest_first_by_kind(store: Store, now: datetime) -> None:
    for kind in (TokenKind.API, TokenKind.SESSION, TokenKind.API):
        create(store, kind, now)
    with store.reading() as connection:
        assert [token.kind for token in tokens.all(connection)] == [TokenKind.API, TokenKind.SESSION, TokenKind.API]
        listed = [token.id for token in tokens.all(connection, (TokenKind.API,))]
    assert listed == sorted(listed, reverse=True)
    assert len(listed) == 2
