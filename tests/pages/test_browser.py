"""What a person sees happen, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from farmgate import states
from farmgate.clock import stopwatch
from farmgate.models import JobKind
from farmgate.pipeline import parse
from farmgate.store import jobs
from tests.pages.farm import Farm

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.needs("chromium")


def test_a_log_line_is_seen_within_a_second_of_its_arrival(farm: Farm, page: Page, address: str) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.RUNNING)
    attempt = farm.attempt(job)
    farm.step(attempt, 1, "make test", states.Step.RUNNING, 0)
    farm.log(job, attempt, b"first line\n")
    page.goto(f"{address}/runs/{run}")
    page.get_by_text("first line").wait_for()
    page.get_by_text("1 line, live").wait_for()
    begin = stopwatch()
    farm.log(job, attempt, b"\x1b[31msecond\x1b[0m <b>line</b>\n")
    page.get_by_text("second <b>line</b>").wait_for(timeout=1000)
    assert stopwatch() - begin < 1.0
    assert page.locator(".l .fg1").inner_text() == "second"
    assert page.locator("#test-L2").count() == 1
    assert page.locator(".log summary .name").inner_text() == "make test"


def test_a_log_goes_on_through_unfinished_lines_and_ends(farm: Farm, page: Page, address: str) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.RUNNING)
    attempt = farm.attempt(job)
    farm.log(job, attempt, b"begin")
    page.goto(f"{address}/runs/{run}")
    page.get_by_text("begin", exact=True).wait_for()
    farm.log(job, attempt, b"ning\n 10 %\r 99 %\rdone\nlast")
    page.get_by_text("beginning", exact=True).wait_for()
    page.get_by_text("done", exact=True).wait_for()
    farm.ended(attempt, states.Attempt.PASSED)
    farm.context.changes.touch(job)
    page.get_by_text("3 lines", exact=True).wait_for()
    assert page.locator(".l").all_inner_texts() == ["1\nbeginning", "2\ndone", "3\nlast"]


def test_a_long_log_shows_its_end_and_brings_what_is_before_when_asked(farm: Farm, page: Page, address: str) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.FAILED)
    attempt = farm.attempt(job, states.Attempt.RUNNING)
    farm.step(attempt, 1, "one", states.Step.PASSED, 0)
    farm.step(attempt, 2, "two", states.Step.FAILED, 2000 * 11)
    farm.log(job, attempt, b"".join(b"line %5d\n" % n for n in range(1, 4001)))
    farm.ended(attempt, states.Attempt.FAILED)
    page.goto(f"{address}/runs/{run}")
    page.get_by_text("line  4000").wait_for()
    assert page.locator(".l").count() == 1500
    page.get_by_role("button", name="Load earlier lines (2500 above)").click()
    page.get_by_role("button", name="Load earlier lines (1000 above)").wait_for()
    assert page.locator(".l").count() == 3000
    assert page.locator(".log details").count() == 2
    assert page.locator(".log details").first.locator(".l").first.inner_text() == "1001\nline  1001"
    page.goto(f"{address}/runs/{run}#test-L77")
    page.locator("#test-L77.target").wait_for()


def test_a_question_is_answered_on_the_page_of_its_run(farm: Farm, page: Page, address: str) -> None:
    farm.commit(1)
    run = farm.run(1)
    spec = parse("jobs: {go: {approve: Ship <b>it</b>?}}").jobs["go"].model_dump(mode="json")
    farm.job(run, "build", states.Job.PASSED)
    job = farm.job(run, "go", states.Job.ASKING, ["build"], kind=JobKind.APPROVAL, spec=spec)
    page.goto(f"{address}/runs/{run}")
    page.get_by_text("Ship <b>it</b>?").first.wait_for()
    page.get_by_role("link", name="Answer").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("looks good")
    dialog.get_by_role("button", name="Approve").click()
    page.get_by_text("approved by ada").first.wait_for()
    with farm.context.store.reading() as connection:
        assert jobs.by_id(connection, job).state is states.Job.PASSED


def test_a_text_is_found_in_the_whole_log_and_its_line_is_shown(farm: Farm, page: Page, address: str) -> None:
    farm.commit(1)
    run = farm.run(1)
    job = farm.job(run, "test", states.Job.FAILED)
    attempt = farm.attempt(job, states.Attempt.RUNNING)
    farm.step(attempt, 1, "make <test>", states.Step.FAILED, 0)
    lines = [b"line %5d\n" % n for n in range(1, 4001)]
    lines[41] = b"\x1b[31m<b>Error</b>\x1b[0m: the needle\n"
    farm.log(job, attempt, b"".join(lines))
    farm.ended(attempt, states.Attempt.FAILED)
    page.goto(f"{address}/runs/{run}")
    page.get_by_text("line  4000").wait_for()
    search = page.get_by_role("searchbox")
    search.fill("ERROR</B>: the")
    search.press("Enter")
    page.get_by_text("1 line", exact=True).wait_for()
    hit = page.locator(".log .hits a")
    assert hit.inner_text() == "42<b>Error</b>: the needle"
    assert hit.locator("mark").inner_text() == "Error</b>: the"
    hit.click()
    page.locator("#test-L42.target").wait_for()
    page.locator("#test-L4000").wait_for(state="detached")
    page.get_by_text("up to line 242").wait_for()
    hit.click()
    page.locator("#test-L42.target").wait_for()
    page.get_by_role("button", name="Times").click()
    shown = page.locator("#test-L42").evaluate("row => getComputedStyle(row, '::before').content")
    assert re.fullmatch(r'"\d\d:\d\d:\d\d"', shown)
    search.fill("haystack")
    search.press("Enter")
    page.get_by_text("nothing found").wait_for()
    search.fill("")
    assert page.locator(".log .hits").is_hidden()


def test_a_lane_updates_by_itself_and_keeps_what_its_reader_opened(farm: Farm, page: Page, address: str) -> None:
    for position, title in enumerate(("First", "Second", "Third"), 1):
        farm.commit(position, title)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    page.goto(f"{address}/lanes/shop/production")
    page.locator("#liveness[data-state=live]").wait_for()
    page.locator("#rollout-1 summary").click()
    page.locator("#rollout-1 .inside").wait_for()
    farm.rollout(lane, farm.candidate(2), 2, states.Rollout.RUNNING, 1, 2)
    page.get_by_role("heading", name="Rollout #2").wait_for(timeout=4000)
    assert page.locator("#rollout-1 .inside").is_visible()
    farm.hold(lane, "wait for Mina")
    page.get_by_text("wait for Mina").first.wait_for(timeout=4000)


def test_a_rollback_is_confirmed_with_what_it_takes_back(farm: Farm, page: Page, address: str) -> None:
    for position, title in enumerate(("First", "Second", "Third"), 1):
        farm.commit(position, title)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    farm.rollout(lane, farm.candidate(3), 2, states.Rollout.GOOD, 1, 3)
    page.goto(f"{address}/lanes/shop/production")
    page.get_by_role("link", name="Roll back", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Takes back 2 commits, newest first").wait_for()
    assert dialog.locator(".takes li").all_inner_texts()[0].split("\n")[1] == "Third"
    dialog.get_by_role("button", name="Roll back to #1").click()
    assert dialog.is_visible(), "without a reason nothing happens"
    assert farm.lane_row().rollback is None
    dialog.get_by_role("textbox").fill("checkout is broken")
    dialog.get_by_role("button", name="Roll back to #1").click()
    page.get_by_text("A rollback is asked for").wait_for()
    assert farm.lane_row().rollback["reason"] == "checkout is broken"


def test_a_dialog_that_is_closed_changes_nothing(farm: Farm, page: Page, address: str) -> None:
    farm.lane()
    page.goto(f"{address}/lanes/shop/production")
    page.get_by_role("link", name="Hold", exact=True).click()
    page.get_by_role("dialog").get_by_role("textbox").fill("half a rea")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert "held" not in page.locator("main").inner_text()


@pytest.mark.parametrize("path", ["/", "/runs", "/nodes", "/lanes/shop/production", "/runs/1", "/nodes/enrol"])
def test_no_page_is_wider_than_a_phone(farm: Farm, page: Page, address: str, path: str) -> None:
    farm.commit(1, "A title that is rather long and " + "has_an_unbreakable_word_" * 6)
    run = farm.run(1)
    for name, needs in (("lint", []), ("build", ["lint"]), ("ship", ["build"])):
        farm.job(run, name, states.Job.WAITING, needs)
    lane = farm.lane()
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(address + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_times_are_told_in_the_readers_zone(farm: Farm, page: Page, address: str) -> None:
    farm.commit(1)
    run = farm.run(1)
    page.goto(f"{address}/runs/{run}")
    page.locator("main time[data-zoned]").first.wait_for()
    assert re.search(r"CET|CEST|GMT\+[12]", page.locator("main time").first.get_attribute("title") or "")


def test_signing_in_by_a_token(farm: Farm, page: Page, address: str) -> None:
    page.context.clear_cookies()
    token = farm.token()
    page.goto(f"{address}/nodes")
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Nodes").wait_for()
