"""What the tables share: names of constraints, types and usual columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Dialect, ForeignKey, Integer, MetaData, String, TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime reached the store")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class State(TypeDecorator[StrEnum]):
    """A StrEnum stored as its text."""

    impl = String(16)
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(self.kind(value))

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """A look into a table: each tick reads tens of thousands of states."""
        return _ByText(self.kind).__getitem__


class _ByText(dict[str | None, StrEnum | None]):
    """The members of a kind by their text; what is no member is refused."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__({None: None} | {str(member): member for member in kind})
        self._kind = kind

    def __missing__(self, text: str | None) -> StrEnum:
        return self._kind(str(text))


def row_id() -> Column[int]:
    """The number of a row, given by the database and never twice."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def ref(name: str, target: str, *, nullable: bool = False, **more: Any) -> Column[int]:
    """The number of a row of another table. `target`: jobs.id."""
    return Column(name, ForeignKey(target), nullable=nullable, **more)


def when(name: str, *, nullable: bool = False, **more: Any) -> Column[datetime]:
    """A time, aware and UTC."""
    return Column(name, Utc, nullable=nullable, **more)


SHA = String(64)
