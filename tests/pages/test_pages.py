"""What the pages show, through the real application."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from farmgate import states
from farmgate.errors import NotFound
from farmgate.models import TokenKind
from farmgate.policy import Approvals
from farmgate.store import approvals, bans, holds, jobs, runs, schema
from scheduler.pages import graph, log_part, rendering, words
from scheduler.pages import run as run_page
from scheduler.pages.shared import Shared
from tests.pages.farm import Farm, TestClient, sha

STATIC = Path(rendering.__file__).parent / "static"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}"


def test_a_stranger_is_led_to_the_sign_in_and_back(farm: Farm, stranger: TestClient) -> None:
    answer = stranger.get("/runs?state=failed")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=%2Fruns%3Fstate%3Dfailed")
    shown = stranger.get(answer.headers["location"])
    assert shown.status_code == 200
    answer = stranger.post(
        "/signin",
        data={"token": farm.token(), "next": "/runs?state=failed"},
        headers={"Origin": "http://testserver"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?state=failed")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    assert stranger.get("/runs?state=failed").status_code == 200


def test_a_sign_in_link_opens_once(farm: Farm, stranger: TestClient) -> None:
    code = farm.token(kind=TokenKind.SIGNIN)
    assert stranger.get(f"/signin?code={code}").status_code == 303
    stranger.cookies.clear()
    again = stranger.get(f"/signin?code={code}")
    assert again.status_code == 401
    assert "used already" in again.text


def test_a_wrong_token_is_told_so_and_opens_nothing(stranger: TestClient) -> None:
    answer = stranger.post("/signin", data={"token": "fgt_no"}, headers={"Origin": "http://testserver"})
    assert answer.status_code == 401
    assert "not known here" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\nevil", "evil"])
def test_a_sign_in_never_leads_to_another_site(farm: Farm, stranger: TestClient, onward: str) -> None:
    fields = {"token": farm.token(), "next": onward}
    answer = stranger.post("/signin", data=fields, headers={"Origin": "http://testserver"})
    assert answer.headers["location"] == "/"


def test_signing_out_ends_the_session_itself(client: TestClient) -> None:
    cookie = client.cookies["farmgate_session"]
    assert client.post("/signout").headers["location"] == "/signin"
    client.cookies.set("farmgate_session", cookie)
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("path", ["/", "/runs", "/nodes", "/runs/1", "/lanes/shop/production", "/nodes/enrol"])
def test_every_page_forbids_inline_script_and_framing(farm: Farm, client: TestClient, path: str) -> None:
    farm.commit(1)
    farm.run(1)
    farm.lane()
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", answer.text)


def test_hostile_names_are_text_on_every_page(farm: Farm, client: TestClient) -> None:
    for position in (1, 2, 3):
        farm.commit(position, title=HOSTILE, author=HOSTILE)
    run = farm.run(3, ref=f"refs/heads/{HOSTILE}", reason=HOSTILE)
    job = farm.job(run, "test", states.Job.FAILED, reason=HOSTILE, spec={"image": HOSTILE})
    attempt = farm.attempt(job, states.Attempt.FAILED, reason=HOSTILE)
    farm.step(attempt, 1, HOSTILE, states.Step.FAILED, 0, exit_code=1)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1, reason=HOSTILE)
    sick = farm.rollout(lane, farm.candidate(2), 2, states.Rollout.SICK, 1, 2, reason=HOSTILE)
    farm.search(lane, sick, 1, 2)
    farm.ban(lane, 2, HOSTILE, sick)
    farm.hold(lane, HOSTILE)
    with farm.context.store.writing() as connection:
        connection.execute(update(schema.nodes).values(problem=HOSTILE))
    lane_pages = ("", "/rollback", "/hold", "/unhold", f"/bans/{sha(2)}/lift")
    for path in ("/", "/runs", f"/runs/{run}", "/nodes", *(f"/lanes/shop/production{each}" for each in lane_pages)):
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert "<script>alert" not in answer.text, path
        assert "<img" not in answer.text, path
        assert "49" not in re.findall(r"`(\d+)", answer.text), path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in client.get("/").text


def test_what_runs_where_shows_live_rollout_waiting_and_who_is_asked(farm: Farm, client: TestClient) -> None:
    for position, title in enumerate(("First", "Second", "Third", "Fourth"), 1):
        farm.commit(position, title)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    farm.rollout(lane, farm.candidate(2), 2, states.Rollout.ASKING, 1, 2, wave=1, reason="the check was silent")
    text = client.get("/").text
    for shown in ("First", "asks a person", "wave 2 of 2, 100 %", "2 waiting", "the check was silent"):
        assert shown in text, shown
    assert "Is rollout #2 of this lane good?" in text
    assert 'href="/lanes/shop/production/decide"' in text


def test_a_farm_that_nobody_uses_yet_says_how_to_begin(farm: Farm, client: TestClient) -> None:
    text = client.get("/").text
    assert "farmgate lane apply -f delivery.yml" in text
    assert "Push a commit to shop" in text


def test_a_run_shows_why_each_job_waits_its_steps_and_where_the_commit_is(farm: Farm, client: TestClient) -> None:
    farm.commit(1, "Make it so")
    run = farm.run(1)
    done = farm.job(run, "lint", states.Job.PASSED)
    attempt = farm.attempt(done, states.Attempt.PASSED, timings={"claim": 0.02, "container": 0.3, "total": 2.5})
    farm.step(attempt, 1, "make lint", states.Step.PASSED, 0, exit_code=0, finished_at=farm.now)
    farm.job(run, "test", states.Job.RUNNING)
    farm.job(run, "ship", states.Job.WAITING, ["lint", "test"])
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    text = client.get(f"/runs/{run}").text
    for shown in ("Make it so", "make lint", "exit 0", "waits for test (running)", "container", "300 ms", "rollout #1"):
        assert shown in text, shown
    assert "Cancel" in text


def test_the_first_step_is_a_moment_and_no_part_of_the_way_to_it() -> None:
    told = run_page.timing({"claim": 0.1, "container": 0.3, "first_step": 0.5, "steps": 1.0, "total": 1.6})
    assert told is not None
    assert told["start"] == 0.5
    assert [part["name"] for part in told["parts"]] == ["claim", "container"]


def test_a_bad_pipeline_file_is_shown_at_its_place_with_the_lines_around(farm: Farm, client: TestClient) -> None:
    text = "jobs:\n  test:\n    imagee: x\n    steps: [make]\n"
    broken = farm.file(1, text)
    reason = ".farmgate.yml:3:5: unknown key 'imagee' (did you mean 'image'?)"
    farm.commit(1)
    run = farm.run(1, states.Run.ERROR, reason=reason)
    with farm.context.store.writing() as connection:
        connection.execute(update(schema.runs).values(sha=broken))
    shown = client.get(f"/runs/{run}").text
    assert ".farmgate.yml:3:5" in shown
    assert "did you mean &#39;image&#39;?" in shown
    assert re.search(r'class="hit"><span class="n">3</span>    imagee: x', shown)


def test_a_run_of_ten_thousand_jobs_is_a_page_one_can_open(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    run = farm.run(1)
    with farm.context.store.writing() as connection:
        template = {"run_id": run, "needs": [], "spec": {}, "pool": "default", "state": states.Job.READY, "attempt": 1}
        more = {"losses": 0, "rings": 0, "deadline": farm.now + timedelta(hours=1)}
        rows = [{**template, **more, "name": f"job-{n}"} for n in range(10_000)]
        connection.execute(schema.jobs.insert(), rows)
    text = client.get(f"/runs/{run}").text
    assert len(text) < 400_000
    assert "9880 more" in text


def test_a_cancel_needs_a_reason_and_says_who_and_why(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.RUNNING)
    assert "It is shown to everyone" in client.get(f"/runs/{run}/cancel").text
    refused = client.post(f"/runs/{run}/cancel", data={"reason": " "})
    assert refused.status_code == 400
    assert "say why" in refused.text
    answer = client.post(f"/runs/{run}/cancel", data={"reason": "superseded"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}")
    with farm.context.store.reading() as connection:
        assert jobs.by_id(connection, job).cancel_asked == "cancelled by ada: superseded"


def test_another_sites_form_does_nothing(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.RUNNING)
    answer = client.post(f"/runs/{run}/cancel", data={"reason": "x"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    with farm.context.store.reading() as connection:
        assert jobs.by_id(connection, job).cancel_asked is None


def test_a_reader_may_look_and_not_act(farm: Farm, client: TestClient) -> None:
    client.cookies.set("farmgate_session", farm.token("read", kind=TokenKind.SESSION))
    farm.lane()
    assert client.get("/lanes/shop/production").status_code == 200
    assert client.get("/lanes/shop/production/hold").status_code == 403
    assert client.post("/lanes/shop/production/hold", data={"reason": "x"}).status_code == 403
    with farm.context.store.reading() as connection:
        assert holds.standing(connection, farm.lane_row().id, farm.now) == []


def test_a_rollback_shows_exactly_what_it_takes_back_and_then_orders_it(farm: Farm, client: TestClient) -> None:
    for position, title in enumerate(("First", "Second", "Third", "Fourth"), 1):
        farm.commit(position, title)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    farm.rollout(lane, farm.candidate(3), 2, states.Rollout.GOOD, 1, 3)
    shown = client.get("/lanes/shop/production/rollback").text
    assert "Takes back 2 commits" in shown
    assert "Second" in shown
    assert "Third" in shown
    assert "Fourth" not in shown
    fields = {"to": "1", "live": "2", "reason": "checkout is broken"}
    stale = client.post("/lanes/shop/production/rollback", data={**fields, "live": "1"})
    assert stale.status_code == 409
    assert farm.lane_row().rollback is None
    assert client.post("/lanes/shop/production/rollback", data=fields).status_code == 303
    order = farm.lane_row().rollback
    assert (order["asked_by"], order["reason"]) == ("ada", "checkout is broken")


def test_a_rollout_that_went_sick_is_shown_loudly_with_its_reason(farm: Farm, client: TestClient) -> None:
    for position in (1, 2):
        farm.commit(position)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    sick = farm.rollout(lane, farm.candidate(2), 2, states.Rollout.SICK, 1, 2, reason="it answered 500")
    farm.journal(sick, "wave-0/check-0", "sick", 20, check="http /healthz = 200", asked=4, healthy=2, words="500")
    for path in ("/", "/lanes/shop/production"):
        text = client.get(path).text
        assert "rollout #2 went sick and was taken back" in text
        assert "it answered 500" in text
    assert "Wave 1: http /healthz = 200" in client.get("/lanes/shop/production").text
    assert "2 of 4 answers healthy; 500" in client.get("/lanes/shop/production").text


def test_a_lane_tells_for_each_waiting_commit_why_and_when(farm: Farm, client: TestClient) -> None:
    for position, title in enumerate(("First", "Second", "Third", "Fourth"), 1):
        farm.commit(position, title)
    lane = farm.lane(minimum_interval=timedelta(minutes=5))
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    farm.run(2, states.Run.FAILED)
    farm.candidate(3)
    text = client.get("/lanes/shop/production").text
    assert "Its checks failed" in text
    assert "minimum interval" in text
    assert "Rides with" in text
    assert "Next batch: this commit and the 1 commit below" in text
    assert text.index("Fourth") < text.index("Third") < text.index("Second")
    assert "live about" in text


def test_holds_bans_and_decisions_are_acts_of_a_named_person(farm: Farm, client: TestClient) -> None:
    for position in (1, 2):
        farm.commit(position)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    asking = farm.rollout(lane, farm.candidate(2), 2, states.Rollout.ASKING, 1, 2)
    farm.ban(lane, 2, "it failed", asking)
    where = "/lanes/shop/production"
    assert client.post(f"{where}/hold", data={"reason": "party", "for": "PT1H"}).status_code == 303
    assert client.post(f"{where}/bans/{sha(2)}/lift", data={"reason": "it was the network"}).status_code == 303
    assert client.post(f"{where}/decide", data={"reason": "looks fine", "verdict": "good"}).status_code == 303
    with farm.context.store.reading() as connection:
        assert [hold.created_by for hold in holds.standing(connection, lane, farm.now)] == ["ada"]
        assert bans.standing(connection, lane) == []
    assert "party" in client.get("/").text
    assert client.post(f"{where}/unhold").status_code == 303
    with farm.context.store.reading() as connection:
        assert holds.standing(connection, lane, farm.now) == []


def test_a_node_is_drained_and_the_join_command_is_shown_once(farm: Farm, client: TestClient) -> None:
    assert client.post("/nodes/build-1/drain").headers["location"] == "/nodes"
    assert "draining" in client.get("/nodes").text
    shown = client.post("/nodes/enrol")
    assert re.search(r"FARMGATE_JOIN_TOKEN=\S+", shown.text)
    assert "FARMGATE_JOIN_TOKEN" not in client.get("/nodes").text
    assert client.post("/nodes/build-1/explode").status_code == 400


def test_what_is_not_there_is_a_page_for_people_and_json_for_tools(client: TestClient) -> None:
    page = client.get("/nothing/here")
    assert page.status_code == 404
    assert "There is no such page" in page.text
    assert client.get("/runs/999").status_code == 404
    assert client.get("/lanes/no/such").status_code == 404
    tool = client.get("/api/nothing")
    assert tool.status_code == 404
    assert set(tool.json()) == {"error", "where", "remedy"}


def test_a_refresh_brings_the_inside_of_the_page_only(farm: Farm, client: TestClient) -> None:
    inside = client.get("/", headers={"HX-Request": "true"}).text
    assert inside.lstrip().startswith("<main")
    assert "<script" not in inside


def test_who_looks_at_the_same_page_shares_one_reading_begun_after_they_asked() -> None:
    begun: list[int] = []
    asked = 0

    def make() -> str:
        begun.append(asked)
        return str(asked)

    async def look(shared: Shared) -> list[str]:
        nonlocal asked
        given: list[str] = []
        for burst in (1, 2, 3):
            asked = burst
            given += set(await asyncio.gather(*(shared.get("/", make) for _ in range(50))))
        return given

    assert asyncio.run(look(Shared(timedelta(milliseconds=5)))) == ["1", "2", "3"]
    assert begun == [1, 2, 3]


def test_a_reading_that_fails_fails_for_those_who_asked_and_not_for_the_next() -> None:
    async def look(shared: Shared) -> str:
        def fail() -> str:
            raise NotFound("gone")

        with pytest.raises(NotFound):
            await shared.get("/", fail)
        return await shared.get("/", lambda: "back")

    assert asyncio.run(look(Shared(timedelta(0)))) == "back"


def test_a_refresh_after_the_session_ended_says_so(stranger: TestClient) -> None:
    assert stranger.get("/", headers={"HX-Request": "true"}).status_code == 401


def test_static_files_may_be_cached_for_ever_and_change_their_address_when_they_change(stranger: TestClient) -> None:
    answer = stranger.get(rendering.static("farmgate.css"))
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert stranger.get("/static/older/farmgate.css").headers["cache-control"] == "no-cache"
    assert stranger.get(f"/static/{rendering.static_version()}/../routes.py").status_code == 404
    assert (
        stranger.get(f"/static/{rendering.static_version()}/vendor/ansi_up.js")
        .headers["content-type"]
        .startswith("text/javascript")
    )


def test_vendored_files_are_those_whose_hashes_are_written_down() -> None:
    table = (STATIC / "vendor" / "README.md").read_text()
    written = dict(re.findall(r"^\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|$", table, re.MULTILINE))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").glob("*.js")}
    assert found == written
    assert {path.name for path in (STATIC / "vendor").glob("LICENSE.*")} == set(
        re.findall(r"\((LICENSE\.\S+?)\)", table)
    )


def test_nothing_is_fetched_from_elsewhere() -> None:
    ours = [*(STATIC.parent / "templates").glob("*.html"), *STATIC.glob("*.js"), *STATIC.glob("*.css")]
    for path in ours:
        hosts = {urlsplit(found).netloc for found in re.findall(r"https?://[^\s\"'<>)]+", path.read_text())}
        assert hosts <= {"www.w3.org"}, path


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0421, "42 ms"),
        (1.25, "1.2 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (192, "3 min 12 s"),
        (7260, "2 h 1 min"),
        (356_400, "4 d 3 h"),
    ],
)
def test_spans_have_at_most_two_units(seconds: float, told: str) -> None:
    assert words.span(seconds) == told


def test_distances_are_coarse_and_say_their_direction() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    told = [words.distance(now - timedelta(seconds=s), now) for s in (1, 12, 190, 7300, -90, -2)]
    assert told == ["just now", "12 s ago", "3 min ago", "2 h ago", "in 1 min", "now"]


def test_every_state_has_a_look_of_its_own() -> None:
    kinds = (
        states.Run,
        states.Job,
        states.Attempt,
        states.Step,
        states.Rollout,
        states.Search,
        states.Node,
        states.Made,
    )
    for state in (state for kind in kinds for state in kind):
        assert str(state) in words.LOOKS, state


def test_a_job_stands_right_of_what_it_needs_and_no_line_is_drawn_twice() -> None:
    drawn = graph.lay_out({"lint": [], "test": [], "build": ["lint"], "ship": ["build", "lint", "test"]})
    assert drawn is not None
    assert drawn.columns == (("lint", "test"), ("build",), ("ship",))
    assert len(drawn.lines) == 3


def test_a_cycle_from_a_damaged_row_ends() -> None:
    assert graph.lay_out({"a": ["b"], "b": ["a"]}) is not None


def test_the_last_lines_keep_their_numbers_and_offsets() -> None:
    whole = b"".join(b"line %d\n" % n for n in range(1, 101)) + b"no end"
    part = log_part.tail([whole[:333], whole[333:]], 3)
    assert [(n, text) for n, _, text in part.lines] == [(98, "line 98"), (99, "line 99"), (100, "line 100")]
    assert all(whole[at:].startswith(text.encode()) for _, at, text in part.lines)
    assert (part.next_line, part.end, part.rest, part.at_end) == (101, len(whole), "no end", True)
    earlier = log_part.tail([whole], 2, upto=97)
    assert [n for n, _, _ in earlier.lines] == [96, 97]
    assert not earlier.at_end


def test_what_begins_within_a_line_leaves_that_line_out() -> None:
    whole = b"".join(b"line %d\n" % n for n in range(1, 101))
    at = whole.index(b"ne 41")
    part = log_part.tail([whole[at:]], 3, upto=43, at=at, line=40)
    assert [(n, text) for n, _, text in part.lines] == [(42, "line 42"), (43, "line 43")]
    assert all(whole[at:].startswith(text.encode()) for _, at, text in part.lines)


def test_a_line_of_many_megabytes_is_held_in_bounded_memory() -> None:
    pieces = (b"x" * 2**20 for _ in range(64))
    part = log_part.tail([*pieces, b"\nshort\n"], 10)
    assert len(part.lines[0][2]) == log_part.LINE_BYTES
    assert part.lines[1] == (2, 64 * 2**20 + 1, "short")


def test_bytes_that_are_no_text_and_characters_cut_in_half_are_borne() -> None:
    part = log_part.tail([b"\xff\xfe ok\n", "é".encode()[:1]], 10)
    assert part.lines[0][2] == "�� ok"
    assert (part.rest, part.end) == ("", 6)


def test_the_log_of_an_attempt_is_told_with_its_steps(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.RUNNING)
    attempt = farm.attempt(job)
    farm.step(attempt, 1, "make", states.Step.RUNNING, 0)
    farm.log(job, attempt, b"<b>hello</b>\n")
    answer = client.get(f"/runs/{run}/jobs/{job}/log?attempt=1").json()
    assert answer["lines"] == [[1, 0, "<b>hello</b>"]]
    assert (answer["complete"], answer["end"], answer["steps"][0]["name"]) == (False, 13, "make")
    assert [at for at, _ in answer["times"]] == [0]
    assert client.get(f"/runs/{run + 1}/jobs/{job}/log?attempt=1").status_code == 404


def test_run_again_makes_a_new_run_of_the_same_commit(farm: Farm, client: TestClient) -> None:
    made = farm.file(1, "jobs:\n  test:\n    steps: [make]\n")
    farm.commit(1)
    run = farm.run(1, states.Run.FAILED)
    with farm.context.store.writing() as connection:
        connection.execute(update(schema.runs).values(sha=made))
    answer = client.post(f"/runs/{run}/rerun")
    assert answer.status_code == 303
    with farm.context.store.reading() as connection:
        again = runs.by_id(connection, int(answer.headers["location"].rsplit("/", 1)[1]))
    assert (again.sha, again.ordinal, again.asked_by) == (made, 2, "ada")


def test_a_lane_with_thousands_waiting_is_shown_within_a_second(farm: Farm, client: TestClient) -> None:
    with farm.context.store.writing() as connection:
        for position in range(1, 2001):
            farm._commit(connection, position, f"Change {position}", "Ada", 60)
    farm.lane()
    farm.candidate(1500)
    text = client.get("/lanes/shop/production").text
    assert "2000, newest first" in text
    assert "and 1800 older" in text


def test_one_button_on_the_first_page_stops_every_lane_and_another_lets_them_go_on(
    farm: Farm, client: TestClient
) -> None:
    farm.commit(1)
    lane = farm.lane()
    assert "Stop all lanes" in client.get("/").text
    assert "Checks go on" in client.get("/stop").text
    assert client.post("/stop", data={"reason": "it burns", "for": "PT1H"}).headers["location"] == "/"
    for path in ("/", "/lanes/shop/production"):
        text = client.get(path).text
        assert "Every lane is stopped by ada" in text
        assert "it burns" in text
    assert "Let all lanes go on" in client.get("/").text
    assert client.post("/go-on").status_code == 303
    with farm.context.store.reading() as connection:
        assert holds.standing(connection, lane, farm.now) == []


def test_a_batch_is_approved_as_it_was_shown(farm: Farm, client: TestClient) -> None:
    for position, title in enumerate(("First", "Second"), 1):
        farm.commit(position, title)
        farm.candidate(position)
    lane = farm.lane(approvals=Approvals(count=1, not_author=False))
    assert "needs 1 approval" in client.get("/lanes/shop/production").text
    shown = client.get("/lanes/shop/production/approve").text
    assert "2 commits up to" in shown
    assert "What you have not approved yet" in shown
    fields = {"since": "", "until": sha(2), "text": "read both"}
    assert client.post("/lanes/shop/production/approve", data={**fields, "until": sha(9)}).status_code == 409
    assert client.post("/lanes/shop/production/approve", data=fields).status_code == 303
    page = client.get("/lanes/shop/production").text
    assert "Approved by ada up to" in page
    assert "read both" in page
    assert "approved" in client.get("/lanes/shop/production/approve").text
    with farm.context.store.reading() as connection:
        assert [row.reason for row in approvals.latest(connection, lane)] == ["read both"]
