"""Which rows name which blobs, and how a blob that nothing names goes without taking one that is just being named.

Rules:
1. Every column that names a blob stands in `NAMES`; a release and a live or waiting candidate name theirs in JSON.
2. Who names a blob calls `name` in the same transaction, after the bytes were put. A blob on the list of the doomed
   comes off it; one whose bytes are being removed at this moment cannot be named: the bytes are to be sent again.
3. A blob is removed in three steps, each its own transaction: `doom` (nothing names it), and after a grace time
   `begin_removing` (still nothing does), the bytes, `removed`. Between the first two everybody has time to name it;
   the row's lock decides who was first.
4. Who put the bytes before they were removed, and names them after, is told by the store that they are not there: look
   after `name`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select, update

from farmgate import states
from farmgate.errors import BlobsUnreachable
from farmgate.models import DoomedBlob
from farmgate.store import schema as t
from farmgate.store.database import insert_if_absent, many
from farmgate.store.schema import artifacts, caches, doomed_blobs

Name = tuple[Table, ColumnElement[Any], tuple[ColumnElement[bool], ...]]
NAMES: tuple[Name, ...] = (
    (artifacts, artifacts.c.sha256, (artifacts.c.removed_at.is_(None),)),
    (caches, caches.c.sha256, ()),
    (t.attempts, t.attempts.c.log_blob, (t.attempts.c.log_blob.is_not(None),)),
    (t.attempts, t.attempts.c.log_index, (t.attempts.c.log_index.is_not(None),)),
    (t.boms, t.boms.c.sha256, ()),
    (t.osv_dumps, t.osv_dumps.c.sha256, (t.osv_dumps.c.state.in_(states.open_states(states.OsvDump)),)),
    (t.report_files, t.report_files.c.sha256, (t.report_files.c.sha256.is_not(None),)),
)
AT_ONCE = 400
"""Names that one question asks about."""
_SHA256 = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def name(connection: Connection, sha256: str) -> None:
    """Rule 2. Raises BlobsUnreachable while the bytes are being removed."""
    connection.execute(delete(doomed_blobs).where(doomed_blobs.c.sha256 == sha256, doomed_blobs.c.removing.is_(False)))
    if connection.execute(select(doomed_blobs.c.sha256).where(doomed_blobs.c.sha256 == sha256)).first():
        raise BlobsUnreachable(f"blob {sha256} is being removed at this moment: send its bytes again")


def named(connection: Connection, shas: Sequence[str]) -> set[str]:
    """Which of them a row of `NAMES` names."""
    found: set[str] = set()
    for start in range(0, len(shas), AT_ONCE):
        part = list(shas[start : start + AT_ONCE])
        for _, column, conditions in NAMES:
            found.update(connection.execute(select(column).where(column.in_(part), *conditions)).scalars())
    return found


def delivered(connection: Connection) -> set[str]:
    """What delivery may still need: of every release (a lane may go back to each), of every rollout under way, of each
    candidate that waits in a lane, and of what was submitted from outside and waits for its commit."""
    found: set[str] = set()
    for row in connection.execute(select(t.releases.c.artifacts, t.releases.c.config)):
        found |= _in(row)
    under_way = (
        select(t.candidates.c.artifacts)
        .join(t.rollouts, t.rollouts.c.candidate_id == t.candidates.c.id)
        .where(t.rollouts.c.state.in_(states.open_states(states.Rollout)))
    )
    for row in connection.execute(under_way):
        found |= _in(row)
    arriving = select(t.submissions.c.artifacts).where(t.submissions.c.state == states.Submission.WAITING)
    for row in connection.execute(arriving):
        found |= _in(row)
    live = {
        row.lane_id: row.position
        for row in connection.execute(
            select(t.releases.c.lane_id, t.releases.c.position).where(t.releases.c.live_until.is_(None))
        )
    }
    for lane in connection.execute(select(t.lanes.c.id, t.lanes.c.repository_id, t.lanes.c.policy)):
        places = t.branch_commits.c
        waiting = (
            select(t.candidates.c.artifacts)
            .join(
                t.branch_commits,
                (places.repository_id == t.candidates.c.repository_id) & (places.sha == t.candidates.c.sha),
            )
            .where(
                places.repository_id == lane.repository_id,
                places.branch == lane.policy.get("branch", "main"),
                places.position > live.get(lane.id, 0),
                places.gone_at.is_(None),
            )
        )
        for row in connection.execute(waiting):
            found |= _in(row)
    return found


def _in(row: Iterable[Any]) -> set[str]:
    """Every sha256 in JSON, wherever it stands."""
    return set(_SHA256.findall(json.dumps(list(row))))


# --- removing, step by step (rule 3) --------------------------------------------------------------------------------


def doom(connection: Connection, shas: Iterable[str], now: datetime) -> None:
    """Nothing names them; their grace time begins, unless it has."""
    for sha256 in shas:
        insert_if_absent(connection, doomed_blobs, {"sha256": sha256, "since": now, "removing": False}, "sha256")


def spare(connection: Connection, shas: Sequence[str]) -> None:
    """Something names them again."""
    for start in range(0, len(shas), AT_ONCE):
        part = list(shas[start : start + AT_ONCE])
        connection.execute(
            delete(doomed_blobs).where(doomed_blobs.c.sha256.in_(part), doomed_blobs.c.removing.is_(False))
        )


def listed(connection: Connection, shas: Sequence[str]) -> set[str]:
    """Which of them are on the list."""
    found: set[str] = set()
    for start in range(0, len(shas), AT_ONCE):
        part = list(shas[start : start + AT_ONCE])
        found.update(connection.execute(select(doomed_blobs.c.sha256).where(doomed_blobs.c.sha256.in_(part))).scalars())
    return found


def doomed(connection: Connection, until: datetime) -> list[DoomedBlob]:
    """Those whose grace time has passed, and those whose removal was begun and not ended."""
    statement = select(doomed_blobs).where(doomed_blobs.c.removing.is_(True) | (doomed_blobs.c.since <= until))
    return many(connection, DoomedBlob, statement.order_by(doomed_blobs.c.since))


def begin_removing(connection: Connection, sha256: str, needed: set[str]) -> bool:
    """From now on it cannot be named; False if something names it, or it is off the list. Then commit."""
    locked = connection.execute(
        update(doomed_blobs).where(doomed_blobs.c.sha256 == sha256).values(removing=True)
    ).rowcount
    if not locked:
        return False
    if sha256 in needed or named(connection, [sha256]):
        connection.execute(delete(doomed_blobs).where(doomed_blobs.c.sha256 == sha256))
        return False
    return True


def removed(connection: Connection, sha256: str) -> None:
    """Its bytes are gone."""
    connection.execute(delete(doomed_blobs).where(doomed_blobs.c.sha256 == sha256))
