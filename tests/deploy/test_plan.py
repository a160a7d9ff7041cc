"""A truth table of `plan_rollout`: from a rollout's state, its journal and the time to the next decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.decisions import (
    AbandonSearch,
    Advance,
    Ask,
    AskAgain,
    AskBack,
    AskChecks,
    AskStart,
    BanCulprit,
    BeginFinish,
    BeginStep,
    Cancel,
    EndSick,
    EndUnready,
    Finish,
    GoOn,
    NarrowSearch,
    OpenSearch,
    PlaceHold,
    Prolong,
    ProlongSearch,
    Rest,
    Restore,
    Start,
    Stick,
)
from deploy.plan import UNKNOWN_LOOKS, plan_rollout
from deploy.plan_lanes import plan_lane
from deploy.plan_parts import STEP_TRIES, patience
from deploy.plan_start import LOOK_WITHIN
from deploy.rollout_view import RolloutView
from farmgate import lanes, states
from farmgate.lanes import Active, LaneView, Live, QueuedCommit, StandingHold
from farmgate.models import BatchLook, HoldKind, JournalEntry, Rollout, RolloutKind
from farmgate.policy import (
    CanaryCheck,
    Check,
    CommandCheck,
    CommandTarget,
    Freeze,
    HttpCheck,
    LanePolicy,
    PersonCheck,
    QueryCheck,
    Wave,
    check_of,
)
from farmgate.policy.targets.command import Status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = LanePolicy(
    application="shop",
    environment="production",
    repository="shop",
    branch="main",
    waves=(Wave(share=20, soak=10 * SECOND), Wave(share=100, soak=10 * SECOND)),
    checks=(HttpCheck(http="/", every=2 * SECOND, failures=2),),
    target=CommandTarget(shift=("x",), restore=("x",)),
)
ORDER = {"release_id": 1, "asked_by": "ada", "reason": "broke"}
CHECK = POLICY.checks[0].model_dump(mode="json")
GONE, AHEAD = NOW - SECOND, NOW + timedelta(hours=1)
COMMITS = tuple(QueuedCommit(at, f"{at:040x}", candidate_id=at, green_at=NOW) for at in (2, 3))
SEARCHED: dict[str, Any] = {"kind": RolloutKind.SEARCH, "search_id": 7}


def entry(key: str, outcome: str | None = "done", ago: float = 0, detail: dict[str, Any] | None = None) -> JournalEntry:
    at = NOW - ago * SECOND
    return JournalEntry(1, key, 1, at, at if outcome is not None else None, outcome, detail or {})


def answers(last: str, ago: float, **more: int) -> JournalEntry:
    told = {"last": last, "last_at": (NOW - ago * SECOND).isoformat(), "words": "so it says", **more}
    return entry("wave-0/check-0", None, detail=told)


def verdict(said: str = "sick", **more: Any) -> JournalEntry:
    return entry("verdict", said, detail={"words": "bad", **more})


def view(state: str, *journal: JournalEntry, order: bool = False, **changed: Any) -> RolloutView:
    rollout = Rollout(
        id=1,
        lane_id=1,
        number=4,
        kind=RolloutKind.FORWARD,
        candidate_id=3,
        since_position=1,
        since_sha="1",
        until_position=3,
        until_sha=COMMITS[1].sha,
        from_release_id=1,
        search_id=None,
        policy={},
        policy_version=1,
        state=states.Rollout(state),
        wave=0,
        epoch=1,
        asked_by="farmgate",
        reason=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=None,
        deadline=AHEAD,
    )
    lane = LaneView(1, POLICY, commits=COMMITS)
    seen = {each.key: each for each in journal}
    return RolloutView(replace(rollout, **changed), POLICY, seen, ORDER if order else None, lane)


def looked(
    seen: RolloutView, found: dict[str, Any] | None, *, ago: timedelta = timedelta(0), live: Live | None = None
) -> RolloutView:
    """With what the history said of the batch; None: nothing yet."""
    answered = NOW if found is not None else None
    look = BatchLook(1, 1, "1" * 40, COMMITS[1].sha, [], NOW - ago, answered, found or {})
    return replace(seen, look=look, lane=replace(seen.lane, live=live or LIVE))


def lacks(*words: str) -> JournalEntry:
    return entry("ready", detail={"lacks": list(words)})


READY = lacks()
AWAY = entry("ready", "error", 60, {"tries": 1})
LIVE = Live(1, 1, "1" * 40, 1, 1, NOW)
WELL: dict[str, Any] = {"ancestor": True, "irreversible": [], "undone": []}
ONE_WAY = {**WELL, "irreversible": [{"sha": "3" * 40, "title": "migrate", "why": "it drops a column"}]}
UNDONE = {"sha": "2" * 40, "title": "a fix", "how": "every change of it is undone by 333333333333", "paths": ["a"]}
BACK = entry("back-1", None, detail={"verdict": "sick", "words": "500", "go_on": "", "check": CHECK, "wave": 0})
PREPARED = entry("prepare")
SHIFTED = (PREPARED, entry("wave-0/shift", ago=20))
JUST = (PREPARED, entry("wave-0/shift", ago=4))
LAST = (PREPARED, entry("wave-1/shift", ago=20))
HEALTHY = answers("healthy", 1)
LATER = entry("wave-1/check-0", None, detail={**HEALTHY.detail})
TABLE: list[tuple[str, RolloutView, type, dict[str, Any]]] = [
    ("a rollout that was cut looks for its way back first", view("pending"), BeginStep, {"key": "ready"}),
    ("where nothing was live there is none to look for", view("pending", from_release_id=None), Start, {}),
    ("it is begun once the way back is there", view("pending", READY), Start, {}),
    ("a rollback is begun at once", view("pending", kind=RolloutKind.ROLLBACK), Start, {}),
    ("a digest that is gone asks a person", view("pending", lacks("gone")), AskStart, {"against": ("gone",)}),
    ("an engine that is away is asked again", view("pending", AWAY), BeginStep, {"tries": 2}),
    (
        "one that stays away asks a person",
        view("pending", entry("ready", "error", 60, {"tries": STEP_TRIES, "words": "no engine"})),
        AskStart,
        {"against": ("nobody can tell whether the way back is there: no engine",)},
    ),
    ("what it carries is waited for", looked(view("pending", READY), None), Rest, {"until": NOW + LOOK_WITHIN}),
    ("but not for ever", looked(view("pending", READY), None, ago=LOOK_WITHIN), AskStart, {}),
    ("all is well with what it carries", looked(view("pending", READY), WELL), Start, {}),
    ("it would drop what is live", looked(view("pending", READY), {**WELL, "ancestor": False}), AskStart, {}),
    (
        "a person agreed to that loss",
        looked(view("pending", READY), {**WELL, "ancestor": False}, live=replace(LIVE, gone=True)),
        Start,
        {},
    ),
    ("it undoes another silently", looked(view("pending", READY), {**WELL, "undone": [UNDONE]}), AskStart, {}),
    ("it cannot be taken back", looked(view("pending", READY), ONE_WAY), AskStart, {}),
    ("nobody has answered yet", view("asking", entry("start", None), started_at=None), Rest, {"until": AHEAD}),
    (
        "a person lets it start",
        view("asking", entry("start", None), entry("start/decision", "good"), started_at=None),
        Start,
        {},
    ),
    (
        "a person does not",
        view("asking", entry("start", None), entry("start/decision", "sick"), started_at=None),
        EndUnready,
        {},
    ),
    ("nobody answers in time", view("asking", entry("start", None), started_at=None, deadline=GONE), EndUnready, {}),
    ("an order ends what asks", view("asking", entry("start", None), started_at=None, order=True), Cancel, {}),
    (
        "what cannot be taken back asks first",
        looked(view("running", *SHIFTED, answers("sick", 1, sick_in_a_row=2)), ONE_WAY),
        AskBack,
        {"key": "back-1"},
    ),
    (
        "so does a step of it that failed",
        looked(view("running", entry("prepare", "failed", detail={"tries": 1, "words": "no"})), ONE_WAY),
        AskBack,
        {},
    ),
    (
        "it takes too long",
        looked(view("running", PREPARED, deadline=GONE), ONE_WAY),
        AskBack,
        {},
    ),
    ("an order goes over it", looked(view("running", *SHIFTED, order=True), ONE_WAY), Restore, {"verdict": "aborted"}),
    (
        "nobody answers that: it pages again",
        looked(view("asking", *SHIFTED, BACK, deadline=GONE), ONE_WAY),
        AskAgain,
        {},
    ),
    (
        "a person takes it back anyway",
        looked(view("asking", *SHIFTED, BACK, entry("back-1/decision", "sick")), ONE_WAY),
        Restore,
        {"verdict": "sick"},
    ),
    (
        "a person goes on: the wave counts as good",
        looked(view("asking", *SHIFTED, BACK, entry("back-1/decision", "good")), ONE_WAY),
        Advance,
        {"wave": 0},
    ),
    (
        "a person goes on: the step is begun again",
        looked(
            view("asking", replace(BACK, detail={**BACK.detail, "go_on": "prepare"}), entry("back-1/decision", "good")),
            ONE_WAY,
        ),
        GoOn,
        {"step": "prepare"},
    ),
    (
        "nobody decides on a wave of it",
        looked(view("asking", *SHIFTED, deadline=GONE), ONE_WAY),
        AskBack,
        {},
    ),
    (
        "a person who was told decides",
        looked(view("asking", *SHIFTED, entry("wave-0/decision", "sick")), ONE_WAY),
        Restore,
        {"verdict": "sick"},
    ),
    (
        "a rollback asks where it crosses what cannot be taken back",
        replace(view("pending", kind=RolloutKind.ROLLBACK), crossed=("it drops a column",)),
        AskStart,
        {},
    ),
    ("an order ends one that is not begun", view("pending", order=True), Cancel, {}),
    ("it is prepared first", view("running"), BeginStep, {"key": "prepare", "tries": 1}),
    ("a step that a dead controller began is begun again", view("running", entry("prepare", None)), BeginStep,
     {"key": "prepare", "tries": 2}),
    ("a step is not begun for ever", view("running", entry("prepare", None, detail={"tries": STEP_TRIES})), Restore,
     {"verdict": "cannot tell"}),
    ("infrastructure is waited for", view("running", entry("prepare", "error")), Rest, {"until": NOW + 2 * SECOND}),
    ("and tried again", view("running", entry("prepare", "error", 3)), BeginStep, {"tries": 2}),
    ("and given up without blame", view("running", entry("prepare", "error", 99, {"tries": STEP_TRIES})), Restore,
     {"verdict": "cannot tell"}),
    ("what does not come up is sick", view("running", entry("prepare", "failed")), Restore, {"verdict": "sick"}),
    ("a step that cannot tell is for a person", view("running", entry("prepare", "cannot tell")), Ask, {}),
    ("then it is shifted", view("running", PREPARED), BeginStep, {"key": "wave-0/shift"}),
    ("then asked", view("running", *JUST), AskChecks, {"wave": 0, "checks": (0,)}),
    ("and asked again when it is time", view("running", *JUST, answers("healthy", 2)), AskChecks, {}),
    ("and not before", view("running", *JUST, answers("healthy", 1)), Rest, {"until": NOW + SECOND}),
    ("one sick answer is not believed", view("running", *SHIFTED, answers("sick", 1, sick_in_a_row=1)), Rest, {}),
    ("two are", view("running", *SHIFTED, answers("sick", 1, sick_in_a_row=2)), Restore, {"verdict": "sick"}),
    ("two untold ones ask", view("running", *SHIFTED, answers("cannot tell", 1, untold_in_a_row=2)), Ask, {}),
    ("a wave that was healthy at its end is good", view("running", *SHIFTED, HEALTHY), Advance, {"wave": 0}),
    ("an answer from before the end is not enough", view("running", *SHIFTED, answers("healthy", 13)), AskChecks, {}),
    ("the last good wave is the end", view("running", *LAST, LATER, wave=1), BeginFinish, {}),
    ("an order ends it", view("running", *JUST, order=True), Restore, {"verdict": "aborted"}),
    ("too long is untold", view("running", *JUST, deadline=GONE), Restore, {"verdict": "cannot tell"}),
    ("it waits for a person", view("asking", *SHIFTED), Rest, {"until": AHEAD}),
    ("not for ever", view("asking", *SHIFTED, deadline=GONE), Restore, {"verdict": "cannot tell"}),
    ("who says good goes on", view("asking", *SHIFTED, entry("wave-0/decision", "good")), Advance, {"wave": 0}),
    ("who says sick goes back", view("asking", *SHIFTED, entry("wave-0/decision", "sick")), Restore,
     {"verdict": "sick"}),
    ("an order comes before a decision", view("asking", entry("wave-0/decision", "good"), order=True), Restore,
     {"verdict": "aborted"}),
    ("the end is a step", view("finishing"), BeginStep, {"key": "finish"}),
    ("and then it is live", view("finishing", entry("finish")), Finish, {"words": ""}),
    ("an order waits for the end", view("finishing", entry("finish"), order=True), Finish, {}),
    ("an end that fails leaves it live", view("finishing", entry("finish", "failed")), Finish,
     {"words": "the old release could not be removed: "}),
    ("an end that takes too long too", view("finishing", deadline=GONE), Finish, {}),
    ("restoring is a step", view("restoring", verdict()), BeginStep, {"key": "restore"}),
    ("a restore that fails sticks", view("restoring", verdict(), entry("restore", "failed")), Stick, {}),
    ("one that takes too long too", view("restoring", verdict(), deadline=GONE), Stick, {}),
    ("a sick rollback sticks at once", view("restoring", verdict(), kind=RolloutKind.ROLLBACK), Stick, {}),
    ("an aborted rollback does not", view("restoring", verdict("aborted"), kind=RolloutKind.ROLLBACK), BeginStep, {}),
    ("what was live before is asked the same", view("restoring", verdict(check=CHECK), entry("restore")), BeginStep,
     {"key": "control"}),
    ("without one before nobody is asked", view("restoring", verdict(check=CHECK), entry("restore"),
     from_release_id=None), EndSick, {}),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "kind", "fields"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_next_decision(seen: RolloutView, kind: type, fields: dict[str, Any]) -> None:
    decision = plan_rollout(seen, NOW)
    assert type(decision) is kind, decision
    for name, wanted in fields.items():
        assert getattr(decision, name) == wanted


BACK = entry("restore")
CONSEQUENCES: list[tuple[str, RolloutView, list[type]]] = [
    ("a sick batch of several is searched", view("restoring", verdict(), BACK), [OpenSearch]),
    ("a sick batch of one is banned", view("restoring", verdict(), BACK, since_position=2), [BanCulprit]),
    ("a sick half narrows the search", view("restoring", verdict(), BACK, **SEARCHED), [NarrowSearch]),
    ("who cannot tell blames nobody", view("restoring", verdict("cannot tell"), BACK), [PlaceHold]),
    ("who cannot tell in a search neither", view("restoring", verdict("cannot tell"), BACK, **SEARCHED), [PlaceHold]),
    ("an order blames nobody", view("restoring", verdict("aborted"), BACK), []),
    ("a check that fails without the change blames nobody",
     view("restoring", verdict(check=CHECK), BACK, entry("control", "sick")), [PlaceHold]),
    ("one that nobody can repeat neither",
     view("restoring", verdict(check=CHECK), BACK, entry("control", "cannot tell")), [PlaceHold]),
    ("one that is well without the change does",
     view("restoring", verdict(check=CHECK), BACK, entry("control", "healthy")), [OpenSearch]),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "kinds"), [row[1:] for row in CONSEQUENCES], ids=[row[0] for row in CONSEQUENCES])
def test_what_follows_from_a_restore(seen: RolloutView, kinds: list[type]) -> None:
    decision = plan_rollout(seen, NOW)
    assert isinstance(decision, EndSick)
    assert [type(each) for each in decision.consequences] == kinds


@pytest.mark.parametrize("state", [state for state in states.Rollout if not states.is_final(state)])
def test_every_state_under_way_is_decided_and_ends_when_its_time_is_over(state: states.Rollout) -> None:
    decision = plan_rollout(view(state, verdict(), deadline=GONE), NOW)
    assert not isinstance(decision, Rest)


STOP = StandingHold(1, "it burns", "ada", AHEAD + timedelta(days=1), GONE, HoldKind.STOP)
SOAKED = (entry("prepare", ago=60), entry("wave-0/shift", ago=50), answers("healthy", 1))


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (view("pending"), Rest),
        (view("pending", kind=RolloutKind.ROLLBACK), Start),
        (view("running", *SOAKED), Rest),
        (view("running", *SOAKED, kind=RolloutKind.ROLLBACK), Advance),
        (view("running", entry("prepare"), entry("wave-0/shift", ago=5)), AskChecks),  # checks go on
        (view("running", *SOAKED[:2], answers("sick", 1, sick_in_a_row=2)), Restore),
        (view("running", *SOAKED, deadline=NOW + timedelta(minutes=5)), Prolong),
        (view("asking", entry("wave-0/decision", "good", detail={"by": "ada"})), Rest),
        (view("running", *SOAKED, order=True), Restore),
    ],
)
def test_while_every_lane_is_stopped_nothing_goes_further_and_what_is_sick_is_taken_back(
    seen: RolloutView, kind: type
) -> None:
    stopped = replace(seen, lane=replace(seen.lane, holds=(STOP,)))
    assert isinstance(plan_rollout(stopped, NOW), kind)
    over = replace(seen, lane=replace(seen.lane, holds=(replace(STOP, until=NOW),)))
    assert plan_rollout(over, NOW) == plan_rollout(seen, NOW)


def test_a_search_that_a_closed_lane_keeps_waiting_has_a_day_when_it_opens() -> None:
    freeze = Freeze(begins=NOW, ends=NOW + timedelta(days=30), reason="holidays")
    search = lanes.OpenSearch(7, 1, 3, tuple(commit.sha for commit in COMMITS), 0, NOW + timedelta(hours=1))
    seen = LaneView(1, POLICY.model_copy(update={"freezes": (freeze,)}), commits=COMMITS, search=search)
    assert plan_lane(seen, None, "", NOW) == ProlongSearch(7, NOW + timedelta(days=32))
    late = replace(seen, search=replace(search, deadline=NOW), policy=POLICY)
    assert isinstance(plan_lane(late, None, "", NOW), AbandonSearch)


def test_a_step_that_may_take_long_by_policy_is_not_taken_back_for_it() -> None:
    days = POLICY.model_copy(update={"target": CommandTarget(shift=("x",), restore=("x",), timeout=timedelta(days=2))})
    assert patience(days) > timedelta(days=2)
    seen = replace(view("pending", READY), policy=days)
    decision = plan_rollout(seen, NOW)
    assert isinstance(decision, Start)
    assert decision.deadline > NOW + timedelta(days=2)


# --- what goes on ----------------------------------------------------------------------------------------------------

STORE = CommandTarget(
    shift=("x",), restore=("x",), status=Status(command=("s",), every=60 * SECOND), when_newer="replace"
)
NEWER = QueuedCommit(4, f"{4:040x}", candidate_id=4, green_at=NOW)


def going_on(ago: float, *, policy: dict[str, Any] | None = None, newer: bool = False, **detail: Any) -> RolloutView:
    told = {"words": "in review", "tries": 3, **detail}
    seen = view("running", PREPARED, entry("wave-0/shift", "goes on", ago, told))
    lane_policy = POLICY.model_copy(update={"target": STORE, **(policy or {})})
    active = Active(1, 4, RolloutKind.FORWARD, COMMITS[1].sha, 3, NOW)
    commits = (*COMMITS, NEWER) if newer else COMMITS
    return replace(seen, policy=lane_policy, lane=LaneView(1, lane_policy, commits=commits, active=active))


def test_what_goes_on_is_looked_at_when_it_is_time_and_keeps_its_words_meanwhile() -> None:
    resting = plan_rollout(going_on(20), NOW)
    assert resting == Rest(NOW + 40 * SECOND, "in review")
    looking = plan_rollout(going_on(60), NOW)
    assert isinstance(looking, BeginStep)
    assert (looking.key, looking.tries, looking.told["words"]) == ("wave-0/shift", 1, "in review")


def test_a_clock_that_went_back_makes_nobody_wait() -> None:
    assert isinstance(plan_rollout(going_on(-3600), NOW), BeginStep)


def test_a_deadline_counts_only_once_a_look_after_it_says_that_it_still_goes_on() -> None:
    seen = going_on(60)
    late = replace(seen, rollout=replace(seen.rollout, deadline=NOW - 30 * SECOND))
    assert isinstance(plan_rollout(late, NOW), BeginStep)
    over = replace(seen, rollout=replace(seen.rollout, deadline=NOW - 90 * SECOND))
    decision = plan_rollout(over, NOW)
    assert isinstance(decision, Restore)
    assert decision.verdict == "cannot tell"


def test_days_of_review_are_within_the_time_of_a_rollout() -> None:
    assert patience(going_on(0).policy) > timedelta(days=14)


@pytest.mark.parametrize(
    ("seen", "replaced"),
    [
        (going_on(20, newer=True), True),
        (going_on(20, newer=False), False),
        (going_on(20, newer=True, served=20), False),
        (going_on(20, newer=True, policy={"target": STORE.model_copy(update={"when_newer": "wait"})}), False),
        (going_on(20, newer=True, policy={"minimum_interval": 60 * SECOND}), False),
        (going_on(20, newer=True, policy={"settle": 60 * SECOND}), False),
    ],
)
def test_a_newer_batch_takes_the_place_of_one_that_serves_nobody_where_the_policy_says_so(
    seen: RolloutView, replaced: bool
) -> None:
    decision = plan_rollout(seen, NOW)
    assert isinstance(decision, Restore) is replaced
    if isinstance(decision, Restore):
        assert (decision.verdict, "takes its place" in decision.words) == ("replaced", True)


def test_what_nothing_can_be_learnt_of_for_long_is_for_a_person() -> None:
    assert isinstance(plan_rollout(going_on(20, unknown_in_a_row=UNKNOWN_LOOKS - 1), NOW), Rest)
    assert isinstance(plan_rollout(going_on(20, unknown_in_a_row=UNKNOWN_LOOKS), NOW), Ask)


# --- checks that need time, and people -------------------------------------------------------------------------------

QUERY = QueryCheck(query="errors[5m]", url="http://p", below=1, every=2 * SECOND)
PERSON = PersonCheck(who=("ada", "ben"), question="does it look right?", within=timedelta(minutes=20))


def asked_by(*checks: Check, of_wave: tuple[Check, ...] = ()) -> LanePolicy:
    first, *others = POLICY.waves
    waves = (first.model_copy(update={"checks": of_wave}), *others)
    return POLICY.model_copy(update={"checks": checks, "waves": waves})


def test_a_check_that_looks_back_is_first_asked_when_all_it_sees_came_after_the_shift() -> None:
    seen = replace(view("running", *JUST), policy=asked_by(QUERY))
    assert plan_rollout(seen, NOW) == Rest(NOW + 6 * SECOND, "soaking")  # the soak's end; it is no earlier asked
    later = NOW + timedelta(minutes=5)
    late = replace(seen, rollout=replace(seen.rollout, deadline=later + SECOND))
    assert plan_rollout(late, later - 5 * SECOND) == Rest(later - 4 * SECOND, "soaking")
    assert plan_rollout(late, later - 4 * SECOND) == AskChecks(0, (0,))


def test_a_wave_has_the_time_that_its_slowest_check_needs() -> None:
    begun = plan_rollout(replace(view("pending", READY), policy=asked_by(QUERY)), NOW)
    plain = plan_rollout(view("pending", READY), NOW)
    assert isinstance(begun, Start)
    assert isinstance(plain, Start)
    assert begun.deadline - plain.deadline == timedelta(minutes=5)


def test_what_was_live_before_is_asked_when_the_answer_is_about_it() -> None:
    stored = QUERY.model_dump(mode="json")
    seen = view("restoring", verdict(check=stored), entry("restore", ago=60))
    assert plan_rollout(seen, NOW) == Rest(
        NOW + timedelta(minutes=4), "until the failed check says something of what was live before"
    )
    assert plan_rollout(seen, NOW + timedelta(minutes=4)) == BeginStep("control", 1)
    its_own = QUERY.model_copy(update={"query": 'errors{sha="{{sha}}"}[5m]'}).model_dump(mode="json")
    assert plan_rollout(view("restoring", verdict(check=its_own), BACK), NOW) == BeginStep("control", 1)


def test_a_comparison_and_a_person_are_not_asked_of_what_was_live_before() -> None:
    canary = CanaryCheck(query='x{sha="{{sha}}"}', url="http://p")
    for check in (canary, PERSON):
        decision = plan_rollout(view("restoring", verdict(check=check.model_dump(mode="json")), BACK), NOW)
        assert isinstance(decision, EndSick)


def test_a_person_is_asked_when_all_else_of_the_wave_is_well() -> None:
    policy = asked_by(POLICY.checks[0], of_wave=(PERSON,))
    assert policy.checks_of(0)[1] == PERSON
    assert len(policy.checks_of(1)) == 1
    soaking = replace(view("running", *JUST, answers("healthy", 1)), policy=policy)
    assert isinstance(plan_rollout(soaking, NOW), Rest)
    sick = replace(view("running", *SHIFTED, answers("sick", 1, sick_in_a_row=2)), policy=policy)
    assert isinstance(plan_rollout(sick, NOW), Restore)
    well = replace(view("running", *SHIFTED, HEALTHY), policy=policy)
    question = "ada, ben: does it look right? (wave 1, at 20 %)"
    assert plan_rollout(well, NOW) == Ask(question, NOW + timedelta(minutes=20), 1)
    alone = replace(view("running", *SHIFTED), policy=asked_by(PERSON))
    assert plan_rollout(alone, NOW) == Ask(question, NOW + timedelta(minutes=20), 0)


def test_checks_of_rows_that_are_older_than_the_kinds_are_still_read() -> None:
    common = {"every": "PT5S", "timeout": "PT5S", "failures": 2}
    old = {"http": "/healthz", "expect": 204, "command": None, **common}
    assert check_of(old) == HttpCheck(http="/healthz", expect=204)
    program = {"http": None, "expect": 200, "command": ["true"], **common}
    assert check_of(program) == CommandCheck(command=("true",))
