"""A lane's policy as a line of a story says it, in JSON's words.

max_commits: 2 | adaptive: [start, least, most]       settle: 10     minimum_interval: 60      seconds
waves: [20, 100], soak: 60                            follows: [staging]      on_culprit: hold    on_late_red: restore
windows: [["22:30", "04:00", Europe/Berlin], ...]     daily
freezes: [[60, 300], ...]                             begins and ends so many seconds from now
budget: [2, 600], spares: security                    so many rollouts in so many seconds
approvals: {count: 2, by: [alice, bob]}               or null
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from farmgate.policy import Adaptive, Approvals, Budget, Freeze, Wave, Window

EVERY_DAY = tuple(range(7))


def changes(said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What a line changes of a policy."""
    found: dict[str, Any] = {}
    for key, value in said.items():
        match key:
            case "max_commits":
                found |= {"max_commits": value, "adaptive": None}
            case "adaptive":
                start, least, most = value
                found |= {"adaptive": Adaptive(start=start, least=least, most=most), "max_commits": None}
            case "settle" | "minimum_interval":
                found[key] = timedelta(seconds=value)
            case "waves":
                soak = timedelta(seconds=said.get("soak", 60))
                found[key] = tuple(Wave(share=share, soak=soak) for share in value)
            case "follows":
                found[key] = tuple(value)
            case "on_culprit" | "on_late_red":
                found[key] = value
            case "windows":
                found[key] = tuple(_window(*each) for each in value)
            case "freezes":
                found[key] = tuple(_freeze(now, *each) for each in value)
            case "budget":
                found[key] = None if value is None else _budget(value[0], value[1], said.get("spares", "security"))
            case "approvals":
                found[key] = None if value is None else Approvals(count=value["count"], by=tuple(value.get("by", ())))
    return found


def _window(opens: str, closes: str, zone: str) -> Window:
    return Window(days=EVERY_DAY, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes), zone=zone)


def _freeze(now: datetime, begins: float, ends: float) -> Freeze:
    return Freeze(begins=now + timedelta(seconds=begins), ends=now + timedelta(seconds=ends), reason="the fair")


def _budget(rollouts: int, seconds: float, spares: Any) -> Budget:
    return Budget(rollouts=rollouts, per=timedelta(seconds=seconds), spares=spares)
