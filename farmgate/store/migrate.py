"""Bring a database to the schema of this version.

Rules:
1. All revisions that are missing are applied in one transaction: all, or none.
2. Whoever migrates holds a lock of the database itself, so several processes may start at once: the first one works,
   the others wait and find it done.
3. A database in memory gets the tables as they are; a test compares them with what the revisions make.
4. A database of a newer version is left alone and refused.

A new revision is drafted from the difference: `python -m farmgate.store.migrate "what changes"`.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from farmgate.errors import NewerDatabase
from farmgate.store.database import Store, path_of
from farmgate.store.schema import metadata

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x6661726D  # "farm"


def migrate(store: Store) -> None:
    """Make or upgrade the tables. Raises NewerDatabase."""
    url = store.engine.url.render_as_string(hide_password=False)
    if store.is_sqlite:
        path = path_of(url)
        if path is None:
            metadata.create_all(store.engine)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
    if at_revision(store) == head():
        return
    from alembic import command

    with _locked(store) as connection:
        _refuse_a_newer_one(connection)
        command.upgrade(_config(connection), "head")


def at_revision(store: Store) -> str | None:
    """The revision that the database is at; None for an empty one."""
    with store.reading() as connection:
        return _revision(connection)


def head() -> str:
    """The newest revision of this version: the files are numbered."""
    return max(path.name[1:5] for path in (FOLDER / "versions").glob("r*.py"))


def draft(message: str) -> Path | None:
    """Write the revision that leads from the newest one to the tables as they stand now; None if nothing differs."""
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with tempfile.TemporaryDirectory() as folder:
        store = Store.at(f"sqlite:///{folder}/draft.db")
        numbers = [path.name[1:5] for path in (FOLDER / "versions").glob("r*.py")]
        if numbers:
            migrate(store)
        try:
            with store.engine.connect() as connection:
                context = MigrationContext.configure(connection, opts={"compare_type": True})
                if not compare_metadata(context, metadata):
                    return None
                number = f"{int(max(numbers, default='0000')) + 1:04}"
                script = command.revision(_config(connection), message, autogenerate=True, rev_id=number)
        finally:
            store.close()
    assert script is not None
    assert not isinstance(script, list)
    return Path(script.path)


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(store: Store) -> Iterator[Connection]:
    """One transaction that nobody else can migrate beside."""
    with store.engine.connect() as connection:
        if store.is_sqlite:
            # Altering a table on SQLite means copying it, which needs foreign keys off; that is not possible later.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        try:
            yield connection
            if store.is_sqlite:
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                assert broken is None, f"a revision broke the references of {broken}"
        except BaseException:
            connection.rollback()
            raise
        else:
            connection.commit()
        finally:
            if store.is_sqlite:
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _refuse_a_newer_one(connection: Connection) -> None:
    found = _revision(connection)
    if found is not None and found > head():
        raise NewerDatabase(
            f"the database is at revision {found}, this version of Farmgate knows up to {head()}: "
            "start the newer version, or restore the backup that was made before it"
        )


if __name__ == "__main__":
    made = draft(sys.argv[1] if len(sys.argv) > 1 else "change")
    sys.stdout.write(f"{made}\n" if made else "nothing differs\n")
