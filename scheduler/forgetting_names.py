"""Names of tests that nothing speaks of any more: a test that was renamed, a branch that is gone. In the background.

Rules:
1. A name goes when no result, no flake and no quarantine that stands is its, and it was last seen before everything that
   is still told in detail: pages of results name tests by number, and none may be left without its name.
2. When a test was last seen is noted to the day (`farmgate.store.reports`), and a report is sealed some time after its
   pages came: a margin stands for both.
3. A test that comes back is a new row, like any other.
"""  # noqa: E501

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import delete, exists, func, select

from farmgate.models import ReportKind
from farmgate.store import schema as t
from scheduler.context import Context

MARGIN: Final = timedelta(days=3)
AT_ONCE: Final = 500
ROUND: Final = 20


def names(context: Context) -> int:
    """How many went in this round."""
    with context.store.reading() as connection:
        known = list(connection.execute(select(t.repositories.c.id)).scalars())
    return sum(_of(context, repository) for repository in known)


def _of(context: Context, repository_id: int) -> int:
    now, count = context.clock.now(), 0
    told = exists().where(t.report_pages.c.report_id == t.reports.c.id)
    oldest = select(func.min(t.reports.c.sealed_at)).where(
        t.reports.c.repository_id == repository_id, t.reports.c.kind == ReportKind.TESTS, told
    )
    held = select(t.quarantines.c.name).where(
        t.quarantines.c.repository_id == repository_id, t.quarantines.c.lifted_at.is_(None)
    )
    for _ in range(ROUND):
        with context.store.writing() as connection:
            since = connection.execute(oldest).scalar()
            limit = min(since or now, now) - MARGIN
            wanted = select(t.tests.c.id).where(
                t.tests.c.repository_id == repository_id,
                t.tests.c.seen_at < limit,
                ~exists().where(t.test_results.c.test_id == t.tests.c.id),
                ~exists().where(t.test_flakes.c.test_id == t.tests.c.id),
                t.tests.c.name.not_in(held),
                (t.tests.c.class_name + "." + t.tests.c.name).not_in(held),
            )
            found = list(connection.execute(wanted.order_by(t.tests.c.id).limit(AT_ONCE)).scalars())
            still = t.tests.c.seen_at < limit  # it may be seen just now
            connection.execute(delete(t.tests).where(t.tests.c.id.in_(found), still))
        count += len(found)
        if len(found) < AT_ONCE:
            break
    return count
