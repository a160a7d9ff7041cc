"""Doing a step at the target, and asking checks: what takes time. Runs on a thread of its own, one per lane.

Rules:
1. A step's result is written only by the epoch that began it, and only while the rollout is where it was: what an older
   controller found out is dropped.
2. Whatever goes wrong becomes a result in words; nothing escapes but a refusal by a newer epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog

from deploy.checks import Answer, Question, Subject, Verdict
from deploy.context import Context
from deploy.rollout_view import RolloutView
from deploy.targets.protocol import Ended, Instance, KeepsLogs, KnowsWayBack, Observed, Order, Outcome, Package, Target
from deploy.together import WITNESS
from farmgate.errors import FarmgateError, LostRace, NotFound, StaleEpoch
from farmgate.models import JournalEntry, Release, Rollout
from farmgate.policy import CanaryCheck, Check, LanePolicy, PersonCheck, check_of
from farmgate.store import attestations, candidates, lanes, releases, rollouts

log = structlog.get_logger()
CONTROL_ASKS: Final = 2
"""What was live before is not blamed for one answer either."""


@dataclass(frozen=True, slots=True)
class Work:
    """A rollout, and what it takes to act on its target."""

    rollout: Rollout
    policy: LanePolicy
    order: Order
    target: Target


def work(context: Context, view: RolloutView) -> Work:
    """Read the packages of a rollout. Raises TargetError, NotFound."""
    rollout, policy = view.rollout, view.policy
    with context.store.reading() as connection:
        candidate = candidates.by_id(connection, rollout.candidate_id)
        if candidate is None:
            raise NotFound(f"candidate {rollout.candidate_id} of rollout {rollout.number} is gone")
        old = releases.by_id(connection, rollout.from_release_id) if rollout.from_release_id is not None else None
    new = Package(rollout.id, rollout.until_sha, candidate.artifacts, policy.target)
    order = Order(policy.name, rollout.epoch, new, package_of(old) if old is not None else None)
    return Work(rollout, policy, order, context.targets.of(rollout.lane_id, policy))


def package_of(release: Release) -> Package:
    """What is live, from its release alone."""
    return Package(release.rollout_id, release.sha, release.artifacts, lanes.target_of(release.config))


def do_step(context: Context, view: RolloutView, key: str, tries: int) -> None:
    """Do the step that the journal says has begun, and write how it ended."""
    outcome: str
    try:
        if key == "control" or key.startswith(WITNESS):
            verdict, since = view.journal.get("verdict"), first_shift(view)
            asked = verdict.detail.get("witness") if verdict is not None else int(key.removeprefix(WITNESS))
            if asked is not None:
                answer = _witness(context, view, asked, since)
            else:
                answer = _control(context, work(context, view), view.journal["verdict"], since)
            outcome, words, figures = str(answer.verdict), answer.words, answer.figures
        elif key == "ready":
            lacks = _lacks(context, view)
            outcome, words, figures = "done", "; ".join(lacks) or "the way back is there", {"lacks": lacks}
        else:
            if key == "prepare":
                _verify(context, view)
            ended = _at_target(work(context, view), key)
            outcome, words, figures = str(ended.ended), ended.words, ended.figures
    except StaleEpoch as error:
        log.warning("fenced off", rollout=view.rollout.number, step=key, error=str(error))
        return
    except FarmgateError as error:
        outcome, words, figures = "error", str(error), {}
    except Exception as error:
        log.exception("a step failed", rollout=view.rollout.number, step=key)
        outcome, words, figures = "error", f"{type(error).__name__}: {error}", {}
    detail = {"tries": tries, "words": words, **figures, **_unknown(view.journal.get(key), figures)}
    try:
        with context.store.writing() as connection:
            rollouts.end_step(connection, view.rollout, key, context.clock.now(), outcome, detail)
    except LostRace as error:
        log.warning("a step's result was dropped", rollout=view.rollout.number, step=key, error=str(error))


def _verify(context: Context, view: RolloutView) -> None:
    """What is to be delivered is what was signed, before anything of it is. Raises Tampered, NotFound."""
    if context.keyring is None:
        return
    with context.store.reading() as connection:
        candidate = candidates.by_id(connection, view.rollout.candidate_id)
        if candidate is None:
            raise NotFound(f"candidate {view.rollout.candidate_id} of rollout {view.rollout.number} is gone")
        attestations.genuine(connection, context.keyring(), candidate)
        rules = view.policy.provenance
        if rules is not None:
            wanted = [(candidate.id, candidate.sha)]
            lacks = attestations.missing(connection, candidate.repository_id, wanted, rules.keys)
            if lacks:
                raise attestations.Tampered(f"candidate {candidate.id}: {lacks[candidate.id]}")


def _lacks(context: Context, view: RolloutView) -> list[str]:
    """What stands against a way back: a configuration that cannot be read, and what the target knows of."""
    rollout = view.rollout
    if rollout.from_release_id is not None:
        with context.store.reading() as connection:
            live = releases.by_id(connection, rollout.from_release_id)
        try:
            lanes.target_of(live.config)
        except ValueError as error:
            return [f"the configuration of {live.sha[:12]}, which is live, cannot be read: {str(error)[:300]}"]
    doing = work(context, view)
    return list(doing.target.ready(doing.order)) if isinstance(doing.target, KnowsWayBack) else []


def _unknown(before: JournalEntry | None, figures: Mapping[str, Any]) -> dict[str, int]:
    """How often in a row nothing could be learnt of what goes on."""
    if not figures.get("unknown"):
        return {}
    return {"unknown_in_a_row": 1 + int(before.detail.get("unknown_in_a_row", 0) if before is not None else 0)}


def _at_target(work: Work, key: str) -> Outcome:
    match key.rpartition("/")[2]:
        case "prepare":
            return work.target.prepare(work.order)
        case "shift":
            wave = int(key.partition("/")[0].removeprefix("wave-"))
            return work.target.shift(work.order, work.policy.waves[wave].share)
        case "finish":
            return work.target.finish(work.order)
        case "restore":
            return work.target.restore(work.order)
        case other:
            return Outcome(Ended.FAILED, f"no step is called {other}")


def _control(context: Context, work: Work, verdict: JournalEntry, since: datetime) -> Answer:
    """The check that failed, asked of what was live before: healthy as soon as one answer is."""
    check, secret = check_of(verdict.detail["check"]), partial(context.secret, work.policy)
    answer = Answer(Verdict.UNTOLD, "nobody was asked")
    for attempt in range(max(check.failures, CONTROL_ASKS)):
        if attempt:
            context.clock.sleep(check.every)
        old = subject(work, work.order.old, work.target.observe(work.order))
        if old is None:
            return answer
        now = context.clock.now()
        answer = context.prober.ask(check, Question(old, now, since, log_since=since, secret=secret))
        if answer.verdict is Verdict.HEALTHY:
            return answer
    return answer


def _witness(context: Context, view: RolloutView, lane_id: int, since: datetime) -> Answer:
    """The checks of a lane that takes no part, of what is live there: each is healthy as soon as one answer is. Those
    that compare, or ask a person, have nothing to look at."""
    with context.store.reading() as connection:
        lane, live = lanes.by_id(connection, lane_id), releases.live_of(connection, lane_id)
    if live is None:
        return Answer(Verdict.HEALTHY, "nothing is live there any more")
    policy = lanes.policy_of(lane)
    policy = policy.model_copy(update={"target": lanes.target_of(live.config)})
    order = Order(policy.name, view.rollout.epoch, package_of(live), None)
    doing = Work(view.rollout, policy, order, context.targets.of(lane_id, policy))
    for check in policy.checks_of(len(policy.waves) - 1):
        if isinstance(check, CanaryCheck | PersonCheck):
            continue
        answer = Answer(Verdict.UNTOLD, "nobody was asked")
        for attempt in range(check.failures):
            if attempt:
                context.clock.sleep(check.every)
            there = subject(doing, order.new, doing.target.observe(order))
            assert there is not None
            secret = partial(context.secret, policy)
            question = Question(there, context.clock.now(), since, log_since=since, secret=secret)
            said = context.prober.ask(check, question)
            if said.verdict is Verdict.HEALTHY or answer.verdict is not Verdict.SICK:
                answer = said
            if said.verdict is Verdict.HEALTHY:
                break
        if answer.verdict is not Verdict.HEALTHY:
            words = f"{check.name}: {answer.words}"
            return Answer(answer.verdict, words, {**answer.figures, "check": check.model_dump(mode="json")})
    return Answer(Verdict.HEALTHY, "")


def ask_checks(context: Context, view: RolloutView, wave: int, indices: tuple[int, ...]) -> None:
    """Ask the checks once each, and add their answers to the journal."""
    answers: dict[int, Answer] = {}
    asked = view.policy.checks_of(wave)
    try:
        doing = work(context, view)
        question = _question(context, view, doing, wave)
        for index in indices:
            said = unsteady(question.about.instances) or context.prober.ask(asked[index], question)
            answers[index] = blameless(said, question.about.instances)
    except StaleEpoch:
        return
    except Exception as error:  # noqa: BLE001 - who cannot ask cannot tell
        log.warning("checks could not be asked", rollout=view.rollout.number, error=str(error))
        for index in indices:
            answers.setdefault(index, Answer(Verdict.UNTOLD, f"could not be asked: {error}"))
    now = context.clock.now()
    try:
        with context.store.writing() as connection:
            for index, answer in answers.items():
                key = f"wave-{wave}/check-{index}"
                entry = view.journal.get(key)
                detail = added(entry.detail if entry is not None else {}, asked[index], answer, now)
                rollouts.note(connection, view.rollout, key, now, None, detail)
    except LostRace as error:
        log.warning("a check's answer was dropped", rollout=view.rollout.number, error=str(error))


def _question(context: Context, view: RolloutView, doing: Work, wave: int) -> Question:
    seen, now = doing.target.observe(doing.order), context.clock.now()
    new = subject(doing, doing.order.new, seen)
    assert new is not None
    shifted = view.journal[f"wave-{wave}/shift"].finished_at or now
    share = view.policy.waves[wave].share
    old, secret = subject(doing, doing.order.old, seen), partial(context.secret, view.policy)
    return Question(new, now, shifted, against=old, share=share, secret=secret)


def subject(doing: Work, package: Package | None, seen: Observed) -> Subject | None:
    """A release as something that checks ask about."""
    if package is None:
        return None
    target, log = doing.target, None
    if isinstance(target, KeepsLogs):
        log = partial(target.log, package)
    return Subject(package.rollout_id, package.sha, seen.of(package), log)


def first_shift(view: RolloutView) -> datetime:
    """When anything of the new release was first served; until then, when the rollout began."""
    entry = view.journal.get("wave-0/shift")
    return entry.started_at if entry is not None else view.rollout.started_at or view.rollout.created_at


def unsteady(instances: Sequence[Instance]) -> Answer | None:
    """Sick, if an instance of the new release ended by itself: started again, it would look healthy in between."""
    for each in instances:
        if each.restarts:
            words = f"instance {each.index + 1} ended by itself and was started again {each.restarts} times"
            return Answer(Verdict.SICK, words, {"restarts": each.restarts})
    return None


def blameless(answer: Answer, instances: Sequence[Instance]) -> Answer:
    """Nobody can tell what makes it sick while a host of the new release does not answer."""
    lost = [each.words for each in instances if each.lost]
    if answer.verdict is not Verdict.SICK or not lost:
        return answer
    return Answer(Verdict.UNTOLD, f"{answer.words}; but {lost[0]}", answer.figures)


def added(before: Mapping[str, Any], check: Check, answer: Answer, now: datetime) -> dict[str, Any]:
    """A check's figures with one more answer: counts, the runs of sick and untold ones, the last words."""
    healthy, sick = answer.verdict is Verdict.HEALTHY, answer.verdict is Verdict.SICK
    untold = answer.verdict is Verdict.UNTOLD
    return {
        "check": check.name,
        "asked": before.get("asked", 0) + 1,
        "healthy": before.get("healthy", 0) + healthy,
        # A silent answer breaks no run of sick ones; a clear one ends a run of silent ones.
        "sick_in_a_row": 0 if healthy else before.get("sick_in_a_row", 0) + sick,
        "untold_in_a_row": before.get("untold_in_a_row", 0) + 1 if untold else 0,
        "last": str(answer.verdict),
        "last_at": now.isoformat(),
        "words": answer.words,
        "figures": dict(answer.figures),
    }
