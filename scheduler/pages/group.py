"""The page of a group: its lanes, the joint rollout under way side by side, the search, what was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from farmgate.store import lane_groups
from scheduler import group_reading
from scheduler.group_bodies import JointBody, JointSearchBody

_POINTS = {"good": "good", "the culprit": "sick", "may be to blame": "asking", "not blamed": "skipped"}
SHOWN_POINTS = 200


def read(connection: Connection, name: str, now: datetime) -> dict[str, Any]:
    """The values of group.html. Raises NotFound."""
    found = group_reading.detail(connection, lane_groups.by_name(connection, name), now)
    return {
        "here": "/",
        "group": {
            "name": found.name,
            "version": found.version,
            "members": found.members,
            "active": _joint(found.active) if found.active is not None else None,
            "next": found.next,
            "after": found.after,
            "reasons": [reason[:1].upper() + reason[1:] for reason in found.reasons],
            "search": _search(found.search) if found.search is not None else None,
            "history": [_joint(joint) for joint in found.history if joint.finished_at is not None],
            "versions": found.versions,
        },
    }


def _joint(joint: JointBody) -> dict[str, Any]:
    return {
        "number": joint.number,
        "kind": joint.kind,
        "state": joint.state,
        "created_at": joint.created_at,
        "finished_at": joint.finished_at,
        "parts": [
            {
                **part.model_dump(),
                "word": "good" if part.arrived else str(part.state),
                "share": part.waves[part.wave] if part.wave < len(part.waves) else 100,
            }
            for part in joint.parts
        ],
    }


def _search(search: JointSearchBody) -> dict[str, Any]:
    return {
        **search.model_dump(exclude={"points"}),
        "points": [{**point.model_dump(), "look": _POINTS[point.word]} for point in search.points[:SHOWN_POINTS]],
        "left": sum(point.word == "may be to blame" for point in search.points),
    }
