"""The only place where the loop acts. Who wants to know what happens reads this.

Rules:
1. Each decision is its own small transaction, guarded by the state that it was decided on. Somebody was faster
   (LostRace): fine, the next tick sees what is.
2. The row comes first, the bell after the commit: a bell that cannot be rung is rung again later.
3. A decision that fails in any other way is logged and recorded, and does not stop the others.
"""

from __future__ import annotations

from typing import assert_never

import structlog

from farmgate import states
from farmgate.errors import BrokerUnreachable, LostRace
from farmgate.store import attempts, cancelling, events, intakes, jobs, nodes, runs, superseding
from scheduler import answers, batch_looks, handing_over, intake, late_red, making, packing, polling, submitting
from scheduler.background import Background
from scheduler.context import DEPLOY, Context
from scheduler.decisions import (
    Ask,
    Begin,
    CancelRun,
    Decision,
    End,
    EndMade,
    EndOlder,
    Finish,
    GiveUp,
    LookAtBatch,
    MakeAnew,
    MakeCommit,
    MakeReady,
    MakeReadyMade,
    MarkSilent,
    PackLog,
    Poll,
    ReadIntakes,
    RejectIntake,
    Retry,
    Ring,
    RingAgain,
    Settle,
    Skip,
    Supersede,
    key_of,
    log_key,
    look_key,
    repository_key,
)

log = structlog.get_logger("farmgate.scheduler")
ACTOR = "scheduler"


def apply(context: Context, background: Background, decision: Decision) -> bool:
    """Act on one decision; True if it changed something. Raises nothing but what `act` does not expect."""
    try:
        act(context, background, decision)
    except LostRace as race:
        log.debug("somebody was faster", decision=key_of(decision), why=str(race))
        return False
    except BrokerUnreachable as error:
        log.warning("the bell could not be rung", decision=key_of(decision), error=str(error))
    return True


def act(context: Context, background: Background, decision: Decision) -> None:
    """What each decision does."""
    now = context.clock.now()
    match decision:
        case Ring():
            with context.store.writing() as connection:
                jobs.queue(connection, decision.job_id, decision.attempt, now, decision.node_id)
            context.bell.ring(decision.pool, decision.job_id, decision.attempt, decision.node_id)
        case RingAgain():
            with context.store.writing() as connection:
                waiting = jobs.rung_again(
                    connection, decision.job_id, decision.attempt, now, decision.rings, decision.node_id
                )
            if waiting:
                try:
                    context.bell.ring(decision.pool, decision.job_id, decision.attempt, decision.node_id)
                except BrokerUnreachable:  # nobody could hear it: the pauses begin anew
                    with context.store.writing() as connection:
                        jobs.rung_again(connection, decision.job_id, decision.attempt, now, 1, decision.node_id)
                    raise
        case MakeReady():
            with context.store.writing() as connection:
                jobs.make_ready(connection, decision.job_id, now)
        case Skip():
            with context.store.writing() as connection:
                jobs.skip(connection, decision.job_id, now, decision.reason, forgiven=decision.forgiven)
        case Ask():
            with context.store.writing() as connection:
                answers.ask(connection, decision.job_id, now)
        case Retry():
            with context.store.writing() as connection:
                jobs.retry(connection, decision.job_id, decision.attempt, now, decision.reason)
                attempts.lose(
                    connection, decision.attempt_id, states.Attempt.LOST, now, decision.reason, decision.lease_until
                )
                events.record(connection, now, "job.lost", f"job/{decision.job_id}", ACTOR, decision.reason)
        case GiveUp():
            with context.store.writing() as connection:
                jobs.finish(connection, decision.job_id, decision.attempt, decision.state, now, decision.reason)
                ended = states.Attempt(str(decision.state))
                attempts.lose(connection, decision.attempt_id, ended, now, decision.reason, decision.lease_until)
                events.record(connection, now, "job.given_up", f"job/{decision.job_id}", ACTOR, decision.reason)
        case End() if decision.before is states.Job.ASKING and decision.after is states.Job.FAILED:
            with context.store.writing() as connection:
                answers.expire(connection, decision.job_id, now, decision.reason)
        case End():
            with context.store.writing() as connection:
                jobs.end(connection, decision.job_id, decision.before, decision.after, now, decision.reason)
        case Supersede():
            with context.store.writing() as connection:
                reason = superseding.reason(connection, decision.run_id, decision.by)
                jobs.ask_to_end(connection, decision.job_ids, reason)
                cancelling.bound(connection, decision.run_id, now + context.settings.clean_up_within)
                events.record(connection, now, "run.superseded", f"run/{decision.run_id}", ACTOR, reason)
        case EndOlder():
            with context.store.writing() as connection:
                jobs.ask_to_end(connection, [decision.job_id], decision.reason)
                events.record(connection, now, "job.superseded", f"job/{decision.job_id}", ACTOR, decision.reason)
        case Begin():
            with context.store.writing() as connection:
                runs.begin(connection, decision.run_id, now)
        case CancelRun():
            with context.store.writing() as connection:
                cancelling.ask_all(connection, decision.run_id, decision.reason)
        case Finish():
            finish(context, decision)
        case MarkSilent():
            with context.store.writing() as connection:
                nodes.silence(connection, decision.node_id, decision.before, decision.seen_at)
                events.record(connection, now, "node.silent", f"node/{decision.node_id}", ACTOR, decision.reason)
        case ReadIntakes():
            repository = decision.repository_id
            background.start(repository_key(repository), lambda: intake.read(context, repository))
        case RejectIntake():
            with context.store.writing() as connection:
                intakes.reject(connection, decision.intake_id, decision.reason)
                events.record(
                    connection, now, "intake.rejected", f"intake/{decision.intake_id}", ACTOR, decision.reason
                )
        case Poll():
            repository = decision.repository_id
            background.start(repository_key(repository), lambda: polling.poll(context, repository))
        case PackLog():
            attempt = decision.attempt_id
            background.start(log_key(attempt), lambda: packing.pack(context, attempt))
        case LookAtBatch():
            rollout = decision.rollout_id
            background.start(look_key(rollout), lambda: batch_looks.answer(context, rollout))
        case Settle():
            with context.store.writing() as connection:
                submitting.settle(connection, decision, now)
            if decision.after is states.Submission.ACCEPTED:
                context.deploy_signals.wake(DEPLOY)
        case MakeCommit():
            number = decision.made_id
            background.start(repository_key(decision.repository_id), lambda: making.make(context, number))
        case MakeReadyMade():
            with context.store.writing() as connection:
                making.ready(connection, decision.made_id, now)
            context.deploy_signals.wake(DEPLOY)
        case MakeAnew():
            with context.store.writing() as connection:
                making.anew(connection, decision, now)
        case EndMade():
            with context.store.writing() as connection:
                making.end(connection, decision, now)
            context.deploy_signals.wake(DEPLOY)
        case _:
            assert_never(decision)


def finish(context: Context, decision: Finish) -> None:
    """End a run; a green one of a trusted branch becomes a candidate in the same transaction."""
    now = context.clock.now()
    with context.store.writing() as connection:
        run = runs.by_id(connection, decision.run_id)
        green = decision.state is states.Run.PASSED
        reason = handing_over.why_not_alone(connection, run) if green else decision.reason
        runs.finish(connection, run.id, decision.state, now, reason)
        events.record(
            connection, now, "run.finished", f"run/{run.id}", ACTOR, f"{decision.state} {reason or ''}".strip()
        )
        made = late_red.of_run(connection, run, decision.state, now)
        if green:
            made = handing_over.hand_over(connection, run, now) or made
    if made:
        context.deploy_signals.wake(DEPLOY)
