"""When a lane may begin a rollout: windows, freezes and a budget, as rows keep them and as people write them.

Rules:
1. A window opens on its days at `opens` and closes at `closes`, on the next day if that is not later. Times are those
   of its zone. When the clocks change, one that comes twice is its first coming; one that never comes, the change.
2. A freeze has a beginning and an end. A day without a time is its first moment.
3. A budget allows so many rollouts to begin within any span of its length.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from farmgate.documents import nearest
from farmgate.quantities import Duration

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?")
LONGEST_BUDGET: Final = timedelta(days=366)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(_Frozen):
    """When rollouts may begin. `days`: of its opening, 0 is Monday. `zone`: a name of the time zone database."""

    days: tuple[int, ...]
    opens: time
    closes: time
    zone: str

    @property
    def words(self) -> str:
        """mon-fri 09:00 to 16:00 Europe/Berlin."""
        until = "24:00" if self.closes == time(0) else f"{self.closes:%H:%M}"
        return f"{_days_in_words(self.days)} {self.opens:%H:%M} to {until} {self.zone}"


class Freeze(_Frozen):
    """A planned time without rollouts."""

    begins: datetime
    ends: datetime
    reason: str


class Budget(_Frozen):
    """`rollouts` may begin within any span of `per`. `spares`: batches that it does not hold back."""

    rollouts: int
    per: timedelta
    spares: Literal["security", "nothing"] = "security"


# --- as people write them ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(
            f"no time zone is called {name[:80]!r}: {nearest(name, _zones(), otherwise='such as Europe/Berlin')}"
        )
    return name


def _days(value: object) -> object:
    """`mon-fri`, `sat`, `[mon, wed-fri]` or `daily`, as days of the week."""
    parts = value if isinstance(value, list | tuple) else [value]
    found: set[int] = set()
    for part in parts:
        if isinstance(part, int) and not isinstance(part, bool):
            found.add(part)
            continue
        first, dash, last = str(part).strip().lower().partition("-")
        if first == "daily" and not dash:
            return tuple(range(7))
        for name in (first, last or first):
            if name not in DAYS:
                raise ValueError(f"{str(part)[:40]!r} is no day: write mon to sun, a span such as mon-fri, or daily")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return tuple(sorted(found))


def _time(value: object) -> object:
    if isinstance(value, time):
        return value
    found = _TIME.fullmatch(str(value))
    if not found or (found[1] == "24" and found[2] != "00"):
        raise ValueError(f"{str(value)[:40]!r} is not a time of the day: write it as 09:00, or 24:00 for its end")
    return time(int(found[1]) % 24, int(found[2]))


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not _MOMENT.fullmatch(str(value)):
        raise ValueError(f"{str(value)[:40]!r} is no moment: write 2026-12-20, or 2026-12-20T18:00")
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"{value}: {error}") from None


def _budget_span(span: timedelta) -> timedelta:
    if not timedelta(0) < span <= LONGEST_BUDGET:
        raise ValueError("must be more than 0s and at most 366d")
    return span


Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[time, BeforeValidator(_time)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class WindowFile(_Frozen):
    """A window. Without a zone of its own it has the lane's."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    days: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], BeforeValidator(_days), Field(min_length=1)]
    opens: TimeOfDay = Field(alias="from")
    closes: TimeOfDay = Field(alias="to")
    zone: Zone | None = None

    @model_validator(mode="after")
    def _opens(self) -> WindowFile:
        if self.opens == self.closes and self.opens != time(0):
            raise ValueError("this window never opens: 'from' and 'to' are the same; 00:00 to 24:00 is the whole day")
        return self


class FreezeFile(_Frozen):
    """A freeze."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    begins: Moment = Field(alias="from")
    ends: Moment = Field(alias="to")
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    zone: Zone | None = None


class BudgetFile(_Frozen):
    """A budget."""

    rollouts: Annotated[int, Field(ge=1, le=1000)]
    per: Annotated[Duration, AfterValidator(_budget_span)]
    spares: Literal["security", "nothing"] = "security"


def window(written: WindowFile, zone: str) -> Window:
    """With its zone settled."""
    return Window(days=written.days, opens=written.opens, closes=written.closes, zone=written.zone or zone)


def freeze(written: FreezeFile, zone: str) -> Freeze:
    """In absolute times."""
    of = ZoneInfo(written.zone or zone)
    begins, ends = (each if each.tzinfo else each.replace(tzinfo=of) for each in (written.begins, written.ends))
    return Freeze(begins=begins, ends=ends, reason=written.reason)


def _days_in_words(days: tuple[int, ...]) -> str:
    if len(days) == 7:
        return "daily"
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)
