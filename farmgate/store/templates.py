"""Templates of the server, with every version and who made it.

Rules:
1. A version is never changed: applying another text makes the next one; applying the newest text again makes none.
2. Removing is a version without a text: who did it and when is kept, and a later version brings the template back.
3. While a template is removed none of its versions is found: who used one is told, by name and time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, func, select

from farmgate.errors import Conflict, NotFound
from farmgate.models import TemplateVersion
from farmgate.store.database import insert_if_absent, many, one
from farmgate.store.schema import templates


def newest(connection: Connection, name: str) -> TemplateVersion | None:
    """The last version, removed or not; None: there was never one."""
    query = select(templates).where(templates.c.name == name).order_by(templates.c.version.desc()).limit(1)
    return one(connection, TemplateVersion, query)


def find(connection: Connection, name: str, version: int | None = None) -> TemplateVersion | None:
    """The version that is asked for, or the newest; None if there is none of this name. Raises NotFound."""
    last = newest(connection, name)
    if last is None:
        return None
    if last.text is None:
        when = f"{last.changed_at:%Y-%m-%d %H:%M} UTC"
        raise NotFound(f"template {name!r} was removed by {last.changed_by} at {when}")
    if version is None or version == last.version:
        return last
    query = select(templates).where(templates.c.name == name, templates.c.version == version)
    found = one(connection, TemplateVersion, query)
    if found is None or found.text is None:
        raise NotFound(f"template {name!r} has no version {version}: the newest is {last.version}")
    return found


def apply(connection: Connection, name: str, text: str, who: str, now: datetime) -> tuple[TemplateVersion, bool]:
    """The newest version, and whether it is a new one (rule 1). Raises Conflict."""
    last = newest(connection, name)
    if last is not None and last.text == text:
        return last, False
    return _add(connection, name, last, text, who, now), True


def remove(connection: Connection, name: str, who: str, now: datetime) -> TemplateVersion:
    """Rule 2. Raises NotFound, Conflict."""
    last = newest(connection, name)
    if last is None or last.text is None:
        raise NotFound(f"there is no template {name!r} on this server")
    return _add(connection, name, last, None, who, now)


def present(connection: Connection) -> Sequence[TemplateVersion]:
    """The newest version of every template that is not removed, by name."""
    last = (
        select(templates.c.name, func.max(templates.c.version).label("version")).group_by(templates.c.name).subquery()
    )
    query = (
        select(templates)
        .join(last, (templates.c.name == last.c.name) & (templates.c.version == last.c.version))
        .where(templates.c.text.is_not(None))
        .order_by(templates.c.name)
    )
    return many(connection, TemplateVersion, query)


def history(connection: Connection, name: str) -> Sequence[TemplateVersion]:
    """Every version, newest first."""
    query = select(templates).where(templates.c.name == name).order_by(templates.c.version.desc())
    return many(connection, TemplateVersion, query)


def _add(
    connection: Connection, name: str, last: TemplateVersion | None, text: str | None, who: str, now: datetime
) -> TemplateVersion:
    version = last.version + 1 if last is not None else 1
    made = TemplateVersion(name, version, text, who, now)
    if not insert_if_absent(connection, templates, asdict(made), "name", "version"):
        raise Conflict(f"somebody else changed template {name!r} at this moment: look at it and try again")
    return made
