"""Tests, coverage and findings as pages: what failed, since when, by whom; flaky; quarantine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from farmgate.store import events
from tests.pages.conftest import ORIGIN
from tests.pages.farm import Farm, TestClient
from tests.pages.tests_reported import a_history, built, more_reports

NAME = "tests.test_a.test_total"


def test_a_run_tells_what_failed_and_who_broke_it_first(farm: Farm, client: TestClient) -> None:
    run = a_history(farm)
    text = client.get(f"/runs/{run}").text
    assert "1 failed" in text
    assert "Red since 3 commits, first" in text
    assert "by Ada Berg: Round &lt;b&gt;totals&lt;/b&gt;" in text
    assert "test_total said no" in text
    assert "passed after 1 failed try" in text
    assert "out/r.xml: line 9, column 1: unclosed token" in text
    assert f"/tests/shop/test?name={NAME}" in text


def test_a_run_without_reports_has_no_such_part(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    assert 'id="tests"' not in client.get(f"/runs/{farm.run(1)}").text
    assert client.get("/api/runs/1/reports", headers={"Accept": "application/json"}).status_code == 404


def test_what_strangers_call_their_tests_is_only_text(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    evil = '"><script>alert(1)</script>'
    ending: Any = {evil: "f"}
    run = built(farm, 1, **ending)
    for page in (f"/runs/{run}", "/tests/shop", f"/tests/shop/test?name={evil}"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text


def test_a_repository_tells_what_is_red_flaky_and_slow(farm: Farm, client: TestClient) -> None:
    a_history(farm)
    text = client.get("/tests/shop").text
    assert "Red since 3 commits" in text
    assert "2 times" in text, "failed and passed on the tree of the fourth commit, and after a try at the sixth"
    assert "2.7 s" in text, "test_slow, 3 times 0.9 s"
    api = client.get("/api/repositories/shop/tests").json()
    assert [one["test"] for one in api["red"]] == [NAME]
    assert [(one["test"], one["times"]) for one in api["flaky"]] == [("tests.test_a.test_net", 2)]
    assert api["flaky"][0]["rate"] == pytest.approx(2 / 7)
    assert api["slowest"][0]["test"] == "tests.test_a.test_slow"


def test_a_test_has_its_history(farm: Farm, client: TestClient) -> None:
    a_history(farm)
    api = client.get("/api/repositories/shop/test", params={"name": "test_net"}).json()
    (variant,) = api["variants"]
    assert [one["outcome"] for one in variant["points"]] == ["passed", "passed", "passed", "passed", "passed", "passed"]
    assert [one["flaky"] for one in variant["points"]] == [True, False, False, False, False, False]
    assert [(one["failed_run"], one["passed_run"]) for one in variant["flakes"]] == [(7, 7), (4, 5)]
    text = client.get("/tests/shop/test", params={"name": "tests.test_a.test_slow"}).text
    assert text.count('class="passed"') == 5
    assert text.count('class="skipped"') == 1
    assert "<polyline" in text
    assert client.get("/tests/shop/test", params={"name": "nobody"}).status_code == 404


def test_quarantine_by_the_form_is_kept_shown_and_ended(farm: Farm, client: TestClient) -> None:
    run = a_history(farm)
    until = (farm.now + timedelta(days=5)).date().isoformat()
    form = {"test": NAME, "owner": "Grace", "until": until, "reason": "rounding <b>differs</b>"}
    assert client.post("/tests/shop/quarantine", data=form, headers=ORIGIN).status_code == 303
    for page in (f"/runs/{run}", "/tests/shop", f"/tests/shop/test?name={NAME}"):
        text = client.get(page).text
        assert f"quarantine until {until}" in text
        assert "rounding &lt;b&gt;differs" in text
    with farm.context.store.reading() as connection:
        (event,) = events.latest(connection, subject="repository/shop")
    assert (event.kind, event.actor) == ("test.quarantined", "ada")
    assert "owner Grace" in event.text
    assert client.post("/tests/shop/release", data={"test": NAME}, headers=ORIGIN).status_code == 303
    assert "quarantine until" not in client.get("/tests/shop").text
    assert client.post("/tests/shop/release", data={"test": NAME}, headers=ORIGIN).status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"owner": ""}, "owner"),
        ({"reason": " "}, "reason"),
        ({"until": "soon"}, "must be a day"),
        ({"until": "2020-01-01"}, "must lie after now"),
        ({"until": "2999-01-01"}, "at most 30 days"),
        ({"test": "nobody"}, "no test of shop is called"),
    ],
)
def test_a_quarantine_needs_an_owner_a_reason_and_a_near_end(
    farm: Farm, client: TestClient, change: dict[str, str], said: str
) -> None:
    a_history(farm)
    until = (farm.now + timedelta(days=5)).date().isoformat()
    answer = client.post(
        "/tests/shop/quarantine", data={"test": NAME, "owner": "g", "until": until, "reason": "r"} | change
    )
    assert answer.status_code in (400, 404, 422)
    assert said in answer.text


def test_who_only_looks_puts_nothing_into_quarantine(farm: Farm, stranger: TestClient) -> None:
    a_history(farm)
    headers = {"Authorization": f"Bearer {farm.token('read')}"}
    body = {"test": NAME, "owner": "g", "until": "2030-01-01T00:00:00Z", "reason": "r"}
    assert stranger.post("/api/repositories/shop/quarantine", json=body, headers=headers).status_code == 403
    assert stranger.get("/api/repositories/shop/tests", headers=headers).status_code == 200
    assert stranger.get("/api/repositories/shop/tests").status_code == 401


def test_coverage_and_findings_are_compared_with_the_commit_before(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    farm.commit(2)
    first = built(farm, 1, a="p")
    more_reports(farm, first, 0, "one", "two")
    second = built(farm, 2, a="p")
    more_reports(farm, second, 5, "two", "three")
    text = client.get(f"/runs/{second}").text
    assert "85.0 %" in text
    assert "+5.0 points" in text
    assert "80/100 → 85/100 lines" in text
    assert "1 new, 1 gone" in text
    assert "&lt;i&gt;SQL&lt;/i&gt; three" in text
    assert "&lt;i&gt;SQL&lt;/i&gt; two" not in text
    assert "nothing before to compare with" in client.get(f"/runs/{first}").text
