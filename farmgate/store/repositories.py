"""Repositories, their refs as the farm knows them, their commits, and the commits' places in branches.

Rules:
1. A ref is known by what was read of it, never by what a webhook claims.
2. A place in a branch is given once; a forced push marks it gone, a later push may bring it back.
3. A removed repository keeps its rows as a record and frees its name.
4. The user and password of an HTTP address are sealed, bound to the rest of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from farmgate.errors import Conflict, NotFound
from farmgate.git.command import login_apart, login_put_in
from farmgate.models import BranchCommit, Commit, ForkPolicy, Ref, Repository
from farmgate.sealing import Keyring
from farmgate.store.database import as_model, insert_if_absent, many, one
from farmgate.store.schema import branch_commits, commits, refs, repositories
from farmgate.store.sealed import place_of_login, sealing


def add(
    connection: Connection, name: str, url: str, forge: str, secret: str, default_branch: str, now: datetime
) -> Repository:
    """Connect a repository; `secret` is encrypted already. Raises Conflict if the name is taken."""
    values = {
        "name": name,
        "url": url,
        "forge": forge,
        "secret": secret,
        "default_branch": default_branch,
        "created_at": now,
        "polled_at": None,
        "poll_error": None,
        "removed_at": None,
        "weight": 1,
        "fork_policy": ForkPolicy.RUN,
        "login": None,
        "login_key": None,
    }
    if not insert_if_absent(connection, repositories, values, "name"):
        raise Conflict(f"a repository called {name!r} is connected already")
    return by_name(connection, name)


def seal_login(connection: Connection, keyring: Keyring, repository: Repository) -> bool:
    """Rule 4; False: there is nothing to seal."""
    url, login = login_apart(repository.url)
    if login is None:
        return False
    sealing(connection, repositories)
    key, sealed = keyring.seal(login.encode(), place_of_login(url))
    unchanged = (repositories.c.id == repository.id) & (repositories.c.url == repository.url)
    connection.execute(update(repositories).where(unchanged).values(url=url, login=sealed, login_key=key))
    return True


def address(keyring: Keyring, repository: Repository) -> str:
    """What git is to fetch, with the user and password. Raises BadSettings: the key is not known."""
    if repository.login is None or repository.login_key is None:
        return repository.url
    login = keyring.open(repository.login_key, repository.login, place_of_login(repository.url))
    return login_put_in(repository.url, login.decode())


def with_login(connection: Connection) -> list[Repository]:
    """Those whose address still holds its user and password, removed ones too."""
    found = many(connection, Repository, select(repositories).where(repositories.c.url.contains("@")))
    return [repository for repository in found if login_apart(repository.url)[1] is not None]


def by_name(connection: Connection, name: str) -> Repository:
    """Raises NotFound."""
    found = one(
        connection,
        Repository,
        select(repositories).where(repositories.c.name == name, repositories.c.removed_at.is_(None)),
    )
    if found is None:
        raise NotFound(f"no repository called {name!r} is connected")
    return found


def by_id(connection: Connection, repository_id: int) -> Repository:
    """Also a removed one. Raises NotFound."""
    found = one(connection, Repository, select(repositories).where(repositories.c.id == repository_id))
    if found is None:
        raise NotFound(f"no repository has the id {repository_id}")
    return found


def all_connected(connection: Connection) -> list[Repository]:
    """Those not removed, by name."""
    return many(
        connection,
        Repository,
        select(repositories).where(repositories.c.removed_at.is_(None)).order_by(repositories.c.name),
    )


def remove(connection: Connection, repository: Repository, now: datetime) -> None:
    """Disconnect; what was recorded stays."""
    freed = f"{repository.name[:80]}~{repository.id}"
    connection.execute(
        update(repositories).where(repositories.c.id == repository.id).values(removed_at=now, name=freed)
    )


def polled(connection: Connection, repository_id: int, now: datetime, error: str | None) -> None:
    """Note when the remote was last asked, and what was wrong."""
    connection.execute(
        update(repositories).where(repositories.c.id == repository_id).values(polled_at=now, poll_error=error)
    )


def poll_now(connection: Connection, repository_id: int) -> None:
    """Let the loop ask the remote at its next look."""
    connection.execute(update(repositories).where(repositories.c.id == repository_id).values(polled_at=None))


def set_weight(connection: Connection, repository_id: int, weight: int) -> None:
    """Its share of the slots, against other repositories'."""
    connection.execute(update(repositories).where(repositories.c.id == repository_id).values(weight=weight))


def set_default_branch(connection: Connection, repository_id: int, branch: str) -> None:
    """The remote's HEAD says another branch than was assumed."""
    connection.execute(update(repositories).where(repositories.c.id == repository_id).values(default_branch=branch))


def set_fork_policy(connection: Connection, repository_id: int, policy: ForkPolicy) -> None:
    """What is done with runs of forks from now on."""
    connection.execute(update(repositories).where(repositories.c.id == repository_id).values(fork_policy=policy))


# --- refs --------------------------------------------------------------------------------------------------------


def known_refs(connection: Connection, repository_id: int) -> dict[str, Ref]:
    """By full name, deleted ones too (`sha` None)."""
    rows = many(connection, Ref, select(refs).where(refs.c.repository_id == repository_id))
    return {ref.name: ref for ref in rows}


def tip(connection: Connection, repository_id: int, name: str) -> str | None:
    """The commit that a ref is at; None: it is not known, or gone."""
    statement = select(refs.c.sha).where(refs.c.repository_id == repository_id, refs.c.name == name)
    return connection.execute(statement).scalar()


def set_ref(connection: Connection, repository_id: int, name: str, sha: str | None, now: datetime) -> None:
    """The ref as it was read; None: it is gone."""
    values = {"repository_id": repository_id, "name": name, "sha": sha, "updated_at": now}
    if not insert_if_absent(connection, refs, values, "repository_id", "name"):
        connection.execute(
            update(refs)
            .where(refs.c.repository_id == repository_id, refs.c.name == name)
            .values(sha=sha, updated_at=now)
        )


# --- commits -----------------------------------------------------------------------------------------------------


def see(connection: Connection, rows: Iterable[dict[str, object]]) -> None:
    """Record commits; those known already stay as they are."""
    for values in rows:
        insert_if_absent(connection, commits, values, "repository_id", "sha")


def commit(connection: Connection, repository_id: int, sha: str) -> Commit | None:
    """By its whole hash."""
    return one(
        connection, Commit, select(commits).where(commits.c.repository_id == repository_id, commits.c.sha == sha)
    )


def commits_of(connection: Connection, repository_id: int, shas: Sequence[str]) -> dict[str, Commit]:
    """Those that are recorded, by hash."""
    found: dict[str, Commit] = {}
    for at in range(0, len(shas), 500):
        part = list(shas[at : at + 500])
        statement = select(commits).where(commits.c.repository_id == repository_id, commits.c.sha.in_(part))
        found.update({row.sha: row for row in many(connection, Commit, statement)})
    return found


def by_prefix(connection: Connection, repository_id: int, prefix: str) -> Commit:
    """The one commit whose hash begins so. Raises NotFound, Conflict for several."""
    if not 4 <= len(prefix) <= 64 or set(prefix) - set("0123456789abcdef"):
        raise NotFound(f"{prefix!r} is not the beginning (four digits or more) of a commit's hash")
    statement = (
        select(commits)
        .where(commits.c.repository_id == repository_id, commits.c.sha >= prefix, commits.c.sha < prefix + "g")
        .limit(2)
    )
    found = many(connection, Commit, statement)
    if not found:
        raise NotFound(f"no commit that the farm has seen begins with {prefix}")
    if len(found) > 1:
        raise Conflict(f"several commits begin with {prefix}: give more digits")
    return found[0]


# --- places in branches --------------------------------------------------------------------------------------------


def places(connection: Connection, repository_id: int, branch: str) -> list[BranchCommit]:
    """The branch's commits that are not gone, oldest first."""
    statement = (
        select(branch_commits)
        .where(
            branch_commits.c.repository_id == repository_id,
            branch_commits.c.branch == branch,
            branch_commits.c.gone_at.is_(None),
        )
        .order_by(branch_commits.c.position)
    )
    return many(connection, BranchCommit, statement)


def last_place(connection: Connection, repository_id: int, branch: str) -> BranchCommit | None:
    """The branch's newest commit that is not gone."""
    statement = (
        select(branch_commits)
        .where(
            branch_commits.c.repository_id == repository_id,
            branch_commits.c.branch == branch,
            branch_commits.c.gone_at.is_(None),
        )
        .order_by(branch_commits.c.position.desc())
        .limit(1)
    )
    return one(connection, BranchCommit, statement)


def sha_at(connection: Connection, repository_id: int, branch: str, position: int) -> str | None:
    """The commit that stands at a place of a branch."""
    return connection.execute(
        select(branch_commits.c.sha).where(
            branch_commits.c.repository_id == repository_id,
            branch_commits.c.branch == branch,
            branch_commits.c.position == position,
            branch_commits.c.gone_at.is_(None),
        )
    ).scalar()


def place(connection: Connection, repository_id: int, branch: str, position: int, sha: str) -> None:
    """Give a commit its place; one that was gone is back."""
    values = {"repository_id": repository_id, "branch": branch, "sha": sha, "position": position, "gone_at": None}
    if not insert_if_absent(connection, branch_commits, values, "repository_id", "branch", "sha"):
        connection.execute(
            update(branch_commits)
            .where(
                branch_commits.c.repository_id == repository_id,
                branch_commits.c.branch == branch,
                branch_commits.c.sha == sha,
            )
            .values(position=position, gone_at=None)
        )


def drop_after(connection: Connection, repository_id: int, branch: str, position: int, now: datetime) -> int:
    """A forced push: mark what stood after `position` gone. How many."""
    return connection.execute(
        update(branch_commits)
        .where(
            branch_commits.c.repository_id == repository_id,
            branch_commits.c.branch == branch,
            branch_commits.c.position > position,
            branch_commits.c.gone_at.is_(None),
        )
        .values(gone_at=now)
    ).rowcount


def branches_of(connection: Connection, repository_id: int, sha: str) -> list[BranchCommit]:
    """Every branch that holds the commit, or held it."""
    statement = select(branch_commits).where(
        branch_commits.c.repository_id == repository_id, branch_commits.c.sha == sha
    )
    return [as_model(BranchCommit, row) for row in connection.execute(statement.order_by(branch_commits.c.branch))]
