"""Who is faster by a moment: what a stale attempt brings never lands, and a lease renewed at the last moment counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from farmgate import models
from farmgate.errors import LostRace, StaleAttempt
from farmgate.messages import Claim, Renew, Result, StepReport
from farmgate.messages import Held as HeldMessage
from farmgate.store import attempts, jobs, nodes
from farmgate.store.jobs import by_id
from scheduler import claims
from scheduler.apply import act
from scheduler.background import Inline
from scheduler.plan import plan
from scheduler.snapshot import rules_of, snapshot
from tests.scheduler.farm import Farm, Held

WHAT: dict[str, Callable[[Farm, models.Attempt], object]] = {
    "log": lambda farm, attempt: claims.take_log(farm.context, attempt, 0, b"late"),
    "step": lambda farm, attempt: claims.take_step(
        farm.context, attempt, StepReport(number=1, name="late", state="running")
    ),
    "artifact": lambda farm, attempt: claims.take_artifact(farm.context, attempt, "late.txt", [b"late"]),
    "result": lambda farm, attempt: claims.take_result(farm.context, attempt, Result(outcome="passed")),
}


def claimed(farm: Farm) -> tuple[Held, models.Attempt]:
    worker = farm.join()
    ((job, number),) = farm.bell.heard()
    held = worker.claim(job, number)
    with farm.store.reading() as connection:
        return held, attempts.by_number(connection, job, number)


@pytest.mark.parametrize("what", WHAT)
def test_what_arrives_while_the_job_is_being_given_away_does_not_land(shop: Farm, what: str) -> None:
    """The check and the write are one: nobody may take the job away between them, nor be overtaken by them."""
    _, attempt = claimed(shop)
    begun, outcome = threading.Event(), list[str]()

    def late() -> None:
        begun.set()
        try:
            WHAT[what](shop, attempt)
            outcome.append("landed")
        except StaleAttempt:
            outcome.append("refused")

    thread = threading.Thread(target=late)
    with shop.store.writing() as connection:
        now = shop.clock.now()
        jobs.retry(connection, attempt.job_id, attempt.number, now, "lost")
        thread.start()
        assert begun.wait(10)
        thread.join(0.3)  # it waits for us, or was refused; it has not landed
        assert outcome in ([], ["refused"])
        attempts.lose(connection, attempt.id, attempt.state.LOST, now, "lost", None)
    thread.join(30)
    assert outcome == ["refused"]
    with shop.store.reading() as connection:
        assert attempts.steps_of(connection, [attempt.id]) == []
        assert attempts.artifacts_of(connection, [attempt.id]) == []
        assert attempts.by_id(connection, attempt.id).log_bytes == 0
        assert by_id(connection, attempt.job_id).attempt == 2


def test_a_lease_renewed_between_the_look_and_the_act_goes_on(shop: Farm) -> None:
    held, attempt = claimed(shop)
    shop.clock.advance(shop.context.settings.lease + timedelta(seconds=1))
    with shop.store.reading() as connection:
        seen = snapshot(connection, rules_of(shop.context.settings))
    decided = [d for d in plan(seen, shop.clock.now()).decisions if getattr(d, "attempt_id", None) == attempt.id]
    assert len(decided) == 1
    assert held.worker.renew(held)["lost"] == []
    with pytest.raises(LostRace):
        act(shop.context, Inline(), decided[0])
    assert held.step(1, "running").status_code == 204


def test_many_claims_and_losses_at_once_leave_one_live_attempt(shop: Farm) -> None:
    _, attempt = claimed(shop)
    with shop.store.reading() as connection:
        node = nodes.by_id(connection, attempt.node_id)
    with shop.store.writing() as connection:
        jobs.retry(connection, attempt.job_id, 1, shop.clock.now(), "lost")
        attempts.lose(connection, attempt.id, attempt.state.LOST, shop.clock.now(), "lost", None)
        jobs.queue(connection, attempt.job_id, 2, shop.clock.now())

    def one(_: int) -> bool:
        try:
            claims.claim(shop.context, node, Claim(job=attempt.job_id, attempt=2))
        except LostRace:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(16))) == 1
    held = HeldMessage(job=attempt.job_id, attempt=2)
    assert claims.renew(shop.context, node, Renew(held=(held,))).lost == ()
