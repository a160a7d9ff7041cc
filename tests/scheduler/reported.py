"""What a worker reports of tests, in few words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.scheduler.farm import Farm, Held

PIPELINE = "jobs:\n  test:\n    steps: [make test]\n    reports: {junit: r.xml}\n"
ENDINGS = {"p": "passed", "f": "failed", "e": "error", "s": "skipped"}


def row(name: str, ending: str, ordinal: int = 1, **more: Any) -> dict[str, Any]:
    """`ending`: p, f, e, s, or `ok after 1` for tries that failed."""
    tries = 1 if ending.startswith("ok") else 0
    text = {"message": f"{name} said no", "text": "E  no"} if ending in "fe" or tries else {}
    return {
        "suite": "s",
        "class_name": "tests.test_a",
        "name": name,
        "file": "",
        "outcome": ENDINGS.get(ending, "passed"),
        "seconds": 0.25,
        "failed_tries": tries,
        "ordinal": ordinal,
        **text,
        **more,
    }


def report(held: Held, complete: bool = True, at: datetime | None = None, **endings: str) -> None:
    """Send a page of tests, and its end."""
    rows = [row(name, ending, number) for number, (name, ending) in enumerate(endings.items(), 1)]
    counts = {word: sum(one["outcome"] == word for one in rows) for word in ENDINGS.values()}
    figures = {
        "passed": counts["passed"],
        "failed": counts["failed"],
        "errors": counts["error"],
        "skipped": counts["skipped"],
    }
    figures |= {"flaky": sum(bool(one["failed_tries"]) for one in rows), "seconds": 0.25 * len(rows)}
    written = (at or held.worker.farm.clock.now()).isoformat()
    for path, body in (
        ("", {"kind": "tests", "number": 0, "cases": rows}),
        (
            "/end",
            {
                "kind": "tests",
                "pages": 1,
                "complete": complete,
                "figures": figures,
                "files": [{"path": "r.xml", "size_bytes": 10, "modified_at": written}],
            },
        ),
    ):
        answer = held.http.post(f"{held.path}/reports{path}", json=body, headers=held.headers)
        assert answer.status_code == 204, answer.text


def begin(farm: Farm, worker: Any) -> Held:
    """Claim the job that was rung last."""
    job, attempt = farm.bell.heard()[-1]
    held: Held = worker.claim(job, attempt)
    return held


def finish(held: Held, outcome: str = "passed", exit_code: int | None = None) -> None:
    """End its one step, and the job."""
    now = held.worker.farm.clock.now().isoformat()
    code = exit_code if exit_code is not None else 0 if outcome == "passed" else 1
    held.step(1, "running", started_at=now)
    held.step(1, "failed" if code else "passed", started_at=now, finished_at=now, exit_code=code)
    held.end(outcome, exit_code=code, reason=None if outcome == "passed" else f"step 1 failed with exit code {code}")
