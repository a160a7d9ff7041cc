"""What another tool says of a rollout, on the lane's page, on the rollout's, and in the terminal."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from farmgate import states
from farmgate.cli.lane_report import report
from farmgate.handovers import Told
from farmgate.policy import LanePolicy
from farmgate.policy.targets.webhook import Status, WebhookTarget
from farmgate.store import handovers, lanes
from tests.pages.farm import Farm, TestClient

LINK = "https://deploy.example.org/runs/7"


@pytest.fixture
def handed(farm: Farm) -> Farm:
    """A rollout that another tool has at 40 %."""
    url = "https://deploy.example.org/hand-over"
    status = Status(url="https://deploy.example.org/status/{{delivery}}")
    target = WebhookTarget(url=url, secret="HANDOVER", callback=True, status=status)
    policy = LanePolicy(application="shop", environment="production", repository="shop", branch="main", target=target)
    for position in (1, 2):
        farm.commit(position, f"Change {position}")
    with farm.context.store.writing() as connection:
        lanes.apply_policy(connection, [policy], "ada", farm.now)
        lane = lanes.by_name(connection, "shop", "production").id
    farm.rollout(lane, farm.candidate(1), 1, states.Rollout.GOOD, 0, 1)
    rollout = farm.rollout(lane, farm.candidate(2), 2, states.Rollout.RUNNING, 1, 2)
    with farm.context.store.writing() as connection:
        row = handovers.begin(connection, rollout, "shift-100", "d", 1, farm.now, timedelta(hours=2))
        told = Told(states.Handover.TAKEN, 40, "the <b>canary</b> is well", LINK)
        handovers.answered(connection, row, told, {}, farm.now)
    return farm


def test_a_lane_shows_what_the_other_tool_says_and_a_link_to_it(handed: Farm, client: TestClient) -> None:
    page = client.get("/lanes/shop/production").text
    assert "in the hands of another tool, 40 %" in page
    assert "the &lt;b&gt;canary&lt;/b&gt; is well" in page
    assert f'<a href="{LINK}" rel="noreferrer">' in page
    assert "handed over to deploy.example.org, followed by callback and status" in page
    assert LINK in client.get("/lanes/shop/production/rollouts/2").text


def test_the_terminal_shows_the_same(handed: Farm, client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    row = json.loads(client.get("/api/lanes/shop/production", headers={"Accept": "application/json"}).text)
    (told,) = row["active"]["handovers"]
    assert (told["step"], told["share"], told["link"]) == ("shift-100", 40, LINK)
    report(row)
    said = capsys.readouterr().out
    assert "shift-100 is in the hands of another tool: taken, 40 %: the <b>canary</b> is well" in said
    assert LINK in said
