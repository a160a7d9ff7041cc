"""What fixes what, as the queue of a lane sees it: by words, by patches, by a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, update

from farmgate.store import fixes
from farmgate.store.database import Store
from farmgate.store.schema import branch_commits, commits
from tests.deploy.rows import connect, push, sha

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def shop(connection: Connection, last: int = 5) -> int:
    repository = connect(connection, NOW)
    push(connection, repository, range(1, last + 1), NOW)
    return repository.id


def say(connection: Connection, position: int, message: str) -> None:
    connection.execute(update(commits).where(commits.c.sha == sha(position)).values(message=message))


def test_words_patches_and_people_name_what_is_fixed(store: Store) -> None:
    with store.writing() as connection:
        repository = shop(connection)
        say(connection, 3, f"Revert\n\nThis reverts commit {sha(1)}.")
        fixes.keep_patches(connection, repository, {sha(2): ("aa", "bb"), sha(4): ("bb", "aa"), sha(5): ("cc", "dd")})
        fixes.say(connection, repository, sha(5), sha(1), "ada", "seen on staging", NOW)
        found = fixes.of_queue(connection, repository, "main", 0)
        (told,) = fixes.said(connection, repository, sha(1))
    assert found == {sha(3): (sha(1),), sha(4): (sha(2),), sha(5): (sha(1),)}
    assert (told.fix, told.said_by, told.reason) == (sha(5), "ada", "seen on staging")


def test_only_what_waits_and_stands_counts_and_only_what_came_before_is_taken_back(store: Store) -> None:
    with store.writing() as connection:
        repository = shop(connection)
        patches = {sha(1): ("aa", "bb"), sha(2): ("bb", "aa"), sha(3): ("aa", "bb"), sha(4): ("bb", "aa")}
        fixes.keep_patches(connection, repository, patches)
        assert fixes.of_queue(connection, repository, "main", 0) == {
            sha(2): (sha(1),),
            sha(3): (sha(2),),
            sha(4): (sha(1), sha(3)),
        }
        assert fixes.of_queue(connection, repository, "main", 2) == {sha(4): (sha(3),)}
        gone = update(branch_commits).where(branch_commits.c.sha == sha(4)).values(gone_at=NOW + timedelta(1))
        connection.execute(gone)
        assert fixes.of_queue(connection, repository, "main", 2) == {}
        assert fixes.of_queue(connection, repository, "other", 0) == {}


def test_patches_are_kept_once(store: Store) -> None:
    with store.writing() as connection:
        repository = shop(connection)
        for _ in range(2):
            fixes.keep_patches(connection, repository, {sha(1): ("aa", "bb")})
