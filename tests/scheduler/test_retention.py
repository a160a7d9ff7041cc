"""Artifacts end and blobs go, and nothing goes that anything still needs."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import String, update

from farmgate import states
from farmgate.errors import BlobsUnreachable, StaleAttempt
from farmgate.models import Attempt
from farmgate.store import attempts, holdings, schema
from farmgate.store.schema import metadata
from scheduler import claims, retention
from tests.scheduler.farm import Farm, Held
from tests.store import rows

GRACE = timedelta(hours=2)
NO_BLOBS = {
    *("jobs.reuse_key", "jobs.inputs_hash", "attempts.token_hash", "tokens.hash", "doomed_blobs.sha256"),
    *("commits.sha", "commits.tree", "branch_commits.sha", "runs.sha", "refs.sha", "intakes.before", "intakes.after"),
    *("candidates.sha", "rollouts.since_sha", "rollouts.until_sha", "rollout_commits.sha", "releases.sha", "bans.sha"),
    *("patches.sha", "patches.patch_id", "patches.inverse_id", "said_fixes.fix", "said_fixes.fixes"),
    *("batch_looks.since_sha", "batch_looks.until_sha", "late_reds.sha"),
    *("approvals.since_sha", "approvals.until_sha", "submissions.sha", "submissions.digest", "joint_searches.culprit"),
    *("audit.before", "audit.after", "audit.previous", "audit.hash", "audit_head.hash"),
    *("packages.key", "package_sets.digest", "attestation_keys.kid", "attestations.sha"),
    "attestations.digest",
    *("made.onto", "made.sha", "carriers.pick", "carriers.sha"),
    *("searches.culprit", "test_flakes.tree", "reports.tree", "reports.sha"),
}


def keeping(farm: Farm, artifacts: list[Any]) -> Held:
    """A claimed job whose file says what it keeps."""
    job = {"steps": ["make"], "artifacts": artifacts}
    farm.repository.add("first", {".farmgate.yml": json.dumps({"jobs": {"build": job}})})
    farm.connect()
    return farm.join().claim(1)


def the_attempt(farm: Farm) -> Attempt:
    with farm.store.reading() as connection:
        return attempts.by_number(connection, 1, 1)


def artifacts(farm: Farm) -> list[str]:
    with farm.store.reading() as connection:
        return [row.path for row in connection.execute(schema.artifacts.select()) if row.removed_at is None]


def blob(held: Held, path: str, data: bytes) -> str:
    answer = held.artifact(path, data)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["sha256"]
    return found


def later(farm: Farm, **span: float) -> tuple[int, int]:
    farm.clock.advance(timedelta(**span))
    return retention.tidy(farm.context)


def test_an_artifact_ends_when_its_job_says_and_its_bytes_go_after_a_grace_time(farm: Farm) -> None:
    held = keeping(farm, [{"paths": ["short"], "keep": "1h"}, "long"])
    short, long = blob(held, "short", b"short"), blob(held, "long", b"long")
    held.end()
    farm.settle()
    assert later(farm, minutes=59)[0] == 0
    assert later(farm, minutes=2) == (1, 0)
    assert artifacts(farm) == ["long"]
    assert farm.context.blobs.exists(short), "for a while"
    assert later(farm, hours=2) == (0, 1)
    assert not farm.context.blobs.exists(short)
    assert farm.context.blobs.exists(long)
    assert farm.http.get(f"/api/artifacts/{short}").status_code == 404
    assert later(farm, days=90)[0] == 1


def test_a_run_that_is_not_over_keeps_everything(farm: Farm) -> None:
    held = keeping(farm, [{"paths": ["a"], "keep": "1s"}])
    blob(held, "a", b"a")
    farm.clock.advance(timedelta(seconds=20))
    assert retention.expire(farm.context) == 0


def test_what_a_lane_may_need_is_never_removed(farm: Farm) -> None:
    held = keeping(farm, [{"paths": ["app"], "keep": "1h"}])
    app = blob(held, "app", b"app")
    held.end()
    farm.settle()
    with farm.store.writing() as connection:
        lane = rows.a_lane(connection, 1, farm.clock.now())
    assert later(farm, days=400) == (0, 0), "it waits in the lane"
    with farm.store.writing() as connection:
        connection.execute(update(schema.branch_commits).values(gone_at=farm.clock.now()))
        values = {"lane_id": lane, "candidate_id": 1, "sha": "a" * 40, "position": 1, "config": {}}
        rollout = rows.a_rollout(connection, lane, 1, 1, states.Rollout.GOOD, farm.clock.now())
        connection.execute(
            schema.releases.insert().values(
                rollout_id=rollout, artifacts={"app": f"sha256:{app}"}, live_from=farm.clock.now(), **values
            )
        )
    assert later(farm, days=400) == (0, 0), "it was released: a lane may go back to it"
    with farm.store.writing() as connection:
        connection.execute(schema.releases.delete())
    assert later(farm, days=1)[0] == 1
    assert later(farm, hours=2)[1] == 1


def test_bytes_of_a_refused_upload_go(farm: Farm) -> None:
    keeping(farm, ["a"])
    attempt = the_attempt(farm)
    farm.advance(31)
    with pytest.raises(StaleAttempt):  # it became stale while its bytes came
        claims.take_artifact(farm.context, attempt, "a", [b"late"])
    late = hashlib.sha256(b"late").hexdigest()
    assert late in farm.context.blobs.names()
    later(farm, hours=0)
    assert later(farm, hours=2)[1] == 1
    assert late not in farm.context.blobs.names()


def test_the_same_bytes_sent_again_are_spared(farm: Farm) -> None:
    held = keeping(farm, ["a", "b"])
    stored = farm.context.blobs.put([b"bytes"])
    later(farm, hours=0)  # nothing names them: they are listed
    farm.clock.advance(timedelta(hours=2))
    with farm.store.writing() as connection:  # its lease would be over by now
        connection.execute(update(schema.attempts).values(lease_until=farm.clock.now() + timedelta(hours=9)))
    assert blob(held, "a", b"bytes") == stored.sha256
    assert retention.tidy(farm.context) == (0, 0)
    assert farm.context.blobs.exists(stored.sha256)


def test_bytes_that_are_being_removed_are_refused_and_can_be_sent_again(farm: Farm) -> None:
    held = keeping(farm, ["a"])
    stored = farm.context.blobs.put([b"bytes"])
    with farm.store.writing() as connection:
        holdings.doom(connection, [stored.sha256], farm.clock.now())
        assert holdings.begin_removing(connection, stored.sha256, set())
    assert held.artifact("a", b"bytes").status_code == 503
    retention.sweep(farm.context)  # whoever began it may have died: the next one ends it
    assert blob(held, "a", b"bytes") == stored.sha256
    assert farm.context.blobs.exists(stored.sha256)


def test_bytes_that_went_between_their_arrival_and_their_name_are_asked_for_again(farm: Farm) -> None:
    held = keeping(farm, ["a"])
    blobs = farm.context.blobs
    put = blobs.put

    def swept_at_once(*arguments: Any) -> Any:
        stored = put(*arguments)
        blobs.delete(stored.sha256)
        return stored

    blobs.put = swept_at_once  # type: ignore[method-assign,assignment]
    assert held.artifact("a", b"bytes").status_code == 503
    assert artifacts(farm) == []


def test_uploads_and_sweeps_beside_each_other_lose_nothing(farm: Farm) -> None:
    """Uploads of the same few bytes by several threads, while another sweeps without any grace."""
    held = keeping(farm, ["a"])
    settings = farm.context.settings.model_copy(update={"blob_grace": timedelta(0)})
    object.__setattr__(farm.context, "settings", settings)
    attempt = the_attempt(farm)
    stop, troubles, told = threading.Event(), list[BaseException](), list[str]()

    def upload(number: int) -> None:
        for turn in range(25):
            data = str(turn % 5).encode()
            while True:
                try:
                    told.append(claims.take_artifact(farm.context, attempt, f"{number}-{turn}", [data]).sha256)
                    break
                except BlobsUnreachable:
                    continue
                except BaseException as error:  # noqa: BLE001
                    troubles.append(error)
                    return

    def sweep() -> None:
        while not stop.is_set():
            try:
                retention.sweep(farm.context)
            except BaseException as error:  # noqa: BLE001
                troubles.append(error)
                return

    sweeper = threading.Thread(target=sweep)
    uploaders = [threading.Thread(target=upload, args=(number,)) for number in range(3)]
    for thread in (sweeper, *uploaders):
        thread.start()
    for thread in uploaders:
        thread.join()
    stop.set()
    sweeper.join()
    assert troubles == []
    assert len(told) == 75
    assert all(farm.context.blobs.exists(sha256) for sha256 in told)
    assert held.job == 1


def test_every_column_that_may_name_a_blob_is_known() -> None:
    """A column that is forgotten here would let its bytes be swept."""
    columns = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, String) and column.type.length == 64
    }
    named = {f"{table.name}.{column.name}" for table, column, _ in holdings.NAMES}
    assert columns - NO_BLOBS == named
