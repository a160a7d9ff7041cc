"""The examples of docs/handing-over.md, against stand-ins that answer in the forms that the tools document."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.targets.contract import sha
from deploy.targets.fence import Fence
from deploy.targets.protocol import Ended, Order, Package
from deploy.targets.webhook import HandedOverTarget
from farmgate.clock import SystemClock
from farmgate.policy import LanePolicy, parse
from farmgate.settings import environment_for_child
from farmgate.webhooks.signatures import check_standard
from tests.deploy.handed import SECRET, Tool, running
from tests.deploy.test_webhook import Place

PAGE = (Path(__file__).parents[2] / "docs" / "handing-over.md").read_text()
HOSTS = re.compile(r"https://(deploy|argocd|gate|jenkins)\.example\.org")


def policies(address: str) -> dict[str, LanePolicy]:
    """The page's policies, by the tool that they name, told to speak to `address`."""
    found = {}
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        host = HOSTS.search(block)
        assert host is not None
        (found[host[1]],) = parse(HOSTS.sub(address, block))
    return found


@dataclass
class Foreign(Tool):
    """Answers as it is told, and keeps what it was asked."""

    taken_as: Any = None

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, json.dumps(self.taken_as).encode()


@pytest.fixture
def tool() -> Iterator[Foreign]:
    with running(Foreign()) as made:
        assert isinstance(made, Foreign)
        yield made


def carried(place: Place, policy: LanePolicy) -> tuple[HandedOverTarget, Order]:
    target = HandedOverTarget(place.book, Fence(place.folder), place.clock, "farm", lambda name: f"{name}-value")
    artifacts = {"dist/shop.tar.gz": f"sha256:{2:064x}"}
    place.package(2)
    new, old = Package(2, sha(2), artifacts, policy.target), Package(1, sha(1), artifacts, policy.target)
    return target, Order(policy.name, 1, new, old)


def application(phase: str, health: str, of: str) -> dict[str, Any]:
    operation = {"operation": {"sync": {"revision": of}}, "phase": phase, "message": f"it is {phase}"}
    return {"status": {"operationState": operation, "health": {"status": health}, "sync": {"status": "Synced"}}}


def test_argo_cd(tmp_path: Path, tool: Foreign) -> None:
    target, order = carried(Place(tmp_path, tool), policies(tool.url)["argocd"])
    tool.taken_as = application("Running", "Healthy", sha(2))
    assert target.shift(order, 100).ended is Ended.GOES_ON
    _, path, headers, body = tool.requests[0]
    assert (path, headers["authorization"]) == ("/api/v1/applications/shop/sync", "Bearer ARGOCD_TOKEN-value")
    assert json.loads(body) == {"revision": sha(2), "prune": True}
    for status, ended in (
        (application("Succeeded", "Healthy", sha(1)), Ended.GOES_ON),  # still the last one's
        (application("Running", "Progressing", sha(2)), Ended.GOES_ON),
        (application("Succeeded", "Progressing", sha(2)), Ended.GOES_ON),
        (application("Succeeded", "Healthy", sha(2)), Ended.DONE),
    ):
        tool.status = status
        assert target.shift(order, 100).ended is ended
    assert target.restore(order).ended is Ended.GOES_ON
    assert json.loads(tool.requests[-1][3])["revision"] == sha(1)
    tool.status = application("Failed", "Healthy", sha(1))
    assert target.restore(order).words == "it is Failed"


def test_spinnaker(tmp_path: Path, tool: Foreign) -> None:
    target, order = carried(Place(tmp_path, tool), policies(tool.url)["gate"])
    tool.taken_as = {"eventProcessed": True, "eventId": "c581dc8c-af6d-4ef0-8d84-27a64764b2f3"}
    assert target.shift(order, 100).ended is Ended.GOES_ON
    _, path, _, body = tool.requests[0]
    assert path == "/webhooks/webhook/shop-production"
    assert json.loads(body) == {"sha": sha(2), "artifact": f"sha256:{2:064x}", "previous": sha(1), "step": "shift"}
    tool.status = []  # no pipeline has begun yet
    assert target.shift(order, 100).figures["unknown"]
    asked = tool.requests[-1]
    assert asked[1].endswith("search?triggerTypes=webhook&eventId=c581dc8c-af6d-4ef0-8d84-27a64764b2f3")
    assert asked[2]["authorization"] == "Bearer SPINNAKER_TOKEN-value"
    tool.status = [{"id": "x", "status": "RUNNING"}]
    assert target.shift(order, 100).ended is Ended.GOES_ON
    tool.status = [{"id": "x", "status": "TERMINAL"}]
    assert target.shift(order, 100).ended is Ended.FAILED


def test_jenkins_and_the_script_by_which_it_calls_back(tmp_path: Path, tool: Foreign) -> None:
    place = Place(tmp_path, tool)
    policy = policies(tool.url)["jenkins"]
    target = HandedOverTarget(place.book, Fence(tmp_path), place.clock, "farm", lambda name: SECRET)
    order = carried(place, policy)[1]
    tool.taken_as = {"jobs": {"shop": {"triggered": True, "id": 7, "url": "queue/item/7/"}}}
    assert target.shift(order, 100).ended is Ended.GOES_ON
    _, path, headers, body = tool.requests[0]
    assert (path, headers["token"]) == ("/generic-webhook-trigger/invoke", SECRET)
    data = json.loads(body)["data"]
    (script,) = re.findall(r"```sh\n(#!/bin/sh -e\n.*?)```", PAGE, re.DOTALL)
    heard = "curl() { for each; do printf '%s\\n' \"$each\"; done; }\n"
    given = {
        **environment_for_child(),
        "HANDOVER": SECRET,
        "STATE": "cannot tell",
        "BUILD_URL": "https://jenkins.example.org/job/shop/7/",
        "DELIVERY": data["delivery"],
        "CALLBACK": data["callback"],
    }
    said = subprocess.run(["sh", "-e", "-c", heard + script], env=given, capture_output=True, text=True, check=True)
    lines = said.stdout.splitlines()
    assert lines[-1] == data["callback"]
    sent = dict(line.split(": ", 1) for line in lines if line.startswith("webhook-"))
    message = lines[lines.index("--data-binary") + 1].encode()
    check_standard(SECRET, sent, message, SystemClock().now())
    assert json.loads(message) == {"state": "cannot tell", "url": "https://jenkins.example.org/job/shop/7/"}


def test_the_page_names_every_key_and_every_value() -> None:
    from farmgate.policy.targets.webhook import VALUES, WebhookFile

    for name in WebhookFile.model_fields:
        assert f"`{name}`" in PAGE or name == "type", name
    for name in VALUES:
        assert f"{{{{{name}}}}}" in PAGE, name
