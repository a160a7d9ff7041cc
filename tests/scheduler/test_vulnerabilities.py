"""Vulnerabilities over the real application: told, decided; and what a lane refuses."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from farmgate import lanes as rules
from farmgate import states
from farmgate.store import components, holdings, lane_views, lanes, schema
from tests.deploy import rows
from tests.scheduler.farm import Farm
from tests.scheduler.supplied import AGAIN, FLASK, JINJA, POLICY, World, bom, document


@pytest.fixture
def world(farm: Farm) -> World:
    return World(farm)


def test_what_is_live_is_told_with_lanes_rollouts_and_what_waits(world: World) -> None:
    old, new = bom("pkg:pypi/Jinja2@3.1.0", "pkg:pypi/flask@2.0"), bom("pkg:pypi/jinja2@3.1.4", "pkg:pypi/flask@2.0")
    for position in (1, 2, 3):
        world.made_of(position, old)
    world.made_of(4, new)
    world.made_of(5, new)
    for position in (1, 2):
        world.deliver(position, "staging")
    world.deliver(2)
    assert world.told()["imported"] is None
    made = world.import_(JINJA, AGAIN, FLASK)
    assert (made["state"], made["documents"], made["ecosystems"]) == ("done", 3, {"PyPI": 3})
    told = world.told()
    jinja, flask = told["vulnerabilities"]
    assert (jinja["id"], jinja["ids"]) == ("CVE-2024-1", ["CVE-2024-1", "GHSA-jinja", "PYSEC-jinja"])
    assert (jinja["severity"], jinja["score"]) == ("high", 7.5)
    assert [(each["lane"], each["rollout"], each["next"]) for each in jinja["lanes"]] == [
        ("shop/staging", 1, "fixes it"),
        ("shop/production", 1, "fixes it"),
    ]
    package = {"ecosystem": "PyPI", "package": "jinja2", "version": "3.1.0", "fixed": "3.1.4"}
    assert jinja["lanes"][0]["packages"] == [package]
    assert jinja["lanes"][0]["fixed_by"] == rows.sha(4)
    assert jinja["words"] == (
        "CVE-2024-1 is live in 2 lanes since rollout 1 of shop/staging, fixed in the waiting batch"
    )
    assert flask["words"].endswith("and no waiting commit fixes it")
    assert [each["counts"] for each in told["lanes"]] == [{"high": 2}, {"high": 2}]
    assert [each["id"] for each in world.told(package="flask")["vulnerabilities"]] == ["CVE-2024-2"]
    assert world.told(severity="critical")["vulnerabilities"] == []
    assert [each["lane"] for each in world.told(lane="shop/staging")["lanes"]] == ["shop/staging"]
    one = world.farm.http.get("/api/vulnerabilities/PYSEC-jinja").json()
    assert (one["id"], one["decisions"]) == ("CVE-2024-1", [])
    assert world.farm.http.get("/api/vulnerabilities/CVE-1").status_code == 404
    assert world.farm.stranger.get("/api/vulnerabilities").status_code == 401
    assert world.count(schema.package_sets) == 2, "the same packages are one set"


def test_since_when_ends_where_it_was_gone_in_between(world: World) -> None:
    world.made_of(1, bom("pkg:pypi/jinja2@3.1.0"))
    world.made_of(2, bom("pkg:pypi/jinja2@3.1.4"))
    world.made_of(3, bom("pkg:pypi/jinja2@3.1.1"))
    world.made_of(4, bom("pkg:pypi/jinja2@3.1.2"))
    for position in (1, 2, 3, 4):
        world.deliver(position, "staging")
    world.import_(JINJA)
    (place,) = world.told(lane="shop/staging")["vulnerabilities"][0]["lanes"]
    assert (place["rollout"], place["packages"][0]["version"]) == (3, "3.1.2")


def test_what_cannot_be_told_is_said(world: World) -> None:
    odd = ("pkg:generic/thing@1", "pkg:npm/left-pad@1.0.0", "pkg:pypi/flask@2004d", "pkg:pypi/nameless", "pkg:pypi/x@1")
    world.made_of(1, bom(*odd))
    world.deliver(1)
    world.import_(FLASK)
    lane = next(each for each in world.told()["lanes"] if each["rollout"] == 1)
    assert (lane["listing"], lane["packages"], lane["untold"], lane["unnamed"]) == ("listed", 4, 3, 1)
    untold = world.farm.http.get("/api/vulnerabilities/untold").json()
    assert {each["package"]: each["why"] for each in untold["packages"]} == {
        "thing": "OSV has no name for packages such as generic: nothing is known of it",
        "left-pad": "the import holds nothing of npm",
        "flask": "GHSA-flask: '2004d' is no version of PyPI",
    }


# --- what a lane refuses ---------------------------------------------------------------------------------------------


def test_a_lane_refuses_what_is_new_and_not_what_is_live_already(world: World) -> None:
    world.made_of(1, bom("pkg:pypi/jinja2@3.1.0"))
    world.made_of(2, bom("pkg:pypi/jinja2@3.1.1"))
    world.made_of(3, bom("pkg:pypi/jinja2@3.1.0", "pkg:pypi/flask@2.0"))
    world.made_of(4, bom("pkg:pypi/jinja2@3.1.4"))
    world.made_of(5, b"not json")
    world.deliver(1)
    assert world.against(2) == ["the list of what it is made of is being read"]
    world.settle()
    assert "nothing" not in world.against(2)[0]
    assert world.against(2)[0].startswith("no vulnerabilities were imported")
    world.import_(JINJA, FLASK)
    assert world.against(2) == []
    assert world.against(3) == [
        "has a vulnerability that what is live does not have: CVE-2024-2 (high) in flask 2.0, fixed in 2.3.0"
    ]
    assert world.against(4) == []
    assert world.against(5)[0].startswith("what it is made of cannot be read")
    with world.farm.store.reading() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        cut = rules.cut(lane_views.view(connection, lane, world.farm.clock.now()), world.farm.clock.now())
    assert isinstance(cut, rules.Cut)
    assert cut.commit.position == 4


def test_a_strict_lane_refuses_whatever_is_live(world: World) -> None:
    world.farm.http.put("/api/lanes/policy", content=POLICY.replace("grace: 14d", "strict: true"))
    world.made_of(1, bom("pkg:pypi/jinja2@3.1.0"))
    world.made_of(2, bom("pkg:pypi/jinja2@3.1.1"))
    world.deliver(1)
    world.import_(JINJA)
    assert world.against(2) == ["has a vulnerability: CVE-2024-1 (high) in jinja2 3.1.1, fixed in 3.1.4"]
    assert world.against(3)[0].startswith("it has no list of what it is made of")
    world.farm.http.put("/api/lanes/policy", content=POLICY.replace("grace: 14d", "unlisted: allow"))
    assert world.against(3) == []


def test_a_grace_time_and_a_lower_severity_let_it_pass(world: World) -> None:
    now = world.farm.clock.now()
    fresh = (now - timedelta(days=13)).isoformat()
    low = document("GHSA-low", "x", "2", severity=[], database_specific={"severity": "MODERATE"})
    world.made_of(1, bom("pkg:pypi/a@1"))
    world.made_of(2, bom("pkg:pypi/flask@2.0", "pkg:pypi/x@1"))
    world.deliver(1)
    world.import_({**FLASK, "published": fresh}, low)
    assert world.against(2) == []
    world.farm.clock.advance(timedelta(days=2))
    assert len(world.against(2)) == 1


def test_a_decision_lets_a_candidate_pass_until_its_end(world: World) -> None:
    world.made_of(1, bom("pkg:pypi/a@1"))
    world.made_of(2, bom("pkg:pypi/flask@2.0"))
    world.deliver(1)
    world.import_(FLASK)
    assert world.against(2)
    assert [each["lanes"][0]["state"] for each in world.told()["vulnerabilities"]] == ["waiting"]
    until = world.farm.clock.now() + timedelta(days=7)
    body = {
        "verdict": "not_affected",
        "scope": "shop/production",
        "reason": "never reached",
        "until": until.isoformat(),
    }
    path = "/api/vulnerabilities/GHSA-flask/decisions"
    made = world.farm.http.post(path, json=body)
    assert (made.status_code, made.json()["vulnerability"]) == (201, "CVE-2024-2")
    assert world.against(2) == []
    world.farm.clock.advance(timedelta(days=8))
    assert world.against(2)
    again = world.farm.http.post(path, json={**body, "until": (until + timedelta(days=30)).isoformat()}).json()
    assert world.against(2) == []
    assert world.farm.http.delete(f"/api/vulnerabilities/decisions/{again['id']}").status_code == 200
    assert world.farm.http.delete(f"/api/vulnerabilities/decisions/{again['id']}").status_code == 409
    assert world.against(2)
    acts = world.farm.http.get("/api/audit", params={"subject": "vulnerability/CVE-2024-2"}).json()
    assert [each["kind"] for each in acts] == ["vulnerability.undecided", *["vulnerability.decided"] * 2]
    for bad, status in (
        ({"until": "2020-01-01T00:00:00Z"}, 400),
        ({"until": "2027-12-01T00:00:00Z"}, 400),
        ({"scope": "moon", "until": (until + timedelta(days=30)).isoformat()}, 404),
        ({"verdict": "fine"}, 422),
        ({"reason": ""}, 422),
    ):
        assert world.farm.http.post(path, json={**body, **bad}).status_code == status, bad


def test_only_administrators_import_and_decide(world: World, farm: Farm) -> None:
    reader = farm.http.post("/api/tokens", json={"name": "eve", "rights": ["write"]}).json()["token"]
    headers = {"Authorization": f"Bearer {reader}"}
    assert farm.http.put("/api/vulnerabilities/imports", content=b"", headers=headers).status_code == 403
    assert farm.http.post("/api/vulnerabilities/X/decisions", json={}, headers=headers).status_code == 403
    assert farm.http.get("/api/vulnerabilities", headers=headers).status_code == 200


# --- documents -------------------------------------------------------------------------------------------------------


def test_a_document_is_kept_as_long_as_it_is_known(world: World) -> None:
    data = bom("pkg:pypi/a@1")
    world.made_of(1, data)
    world.settle()
    sha256 = hashlib.sha256(data).hexdigest()
    with world.farm.store.reading() as connection:
        assert holdings.named(connection, [sha256]) == {sha256}
        found = components.bom_by_digest(connection, sha256)
    assert found is not None
    assert found.state is states.Bom.READ


def test_the_pages_tell_the_same(world: World) -> None:
    world.made_of(1, bom("pkg:pypi/jinja2@3.1.0", "pkg:generic/x@1"))
    world.made_of(2, bom("pkg:pypi/jinja2@3.1.4"))
    world.deliver(1)

    def page(path: str, status: int = 200) -> str:
        answer = world.farm.http.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        return str(answer.text)

    assert "nothing is known" in page("/vulnerabilities")
    world.import_({**JINJA, "summary": "<script>alert(1)</script>"})
    every = page("/vulnerabilities")
    assert "CVE-2024-1" in every
    assert "<script>alert" not in every
    assert "&lt;script&gt;" in every
    assert "CVE-2024-1" not in page("/vulnerabilities?severity=critical")
    assert "CVE-2024-1" not in page("/vulnerabilities?lane=shop/staging")
    one = page("/vulnerabilities/GHSA-jinja")
    assert "CVE-2024-1 is live in shop/production since rollout 1, fixed in the waiting batch." in one
    assert page("/vulnerabilities/CVE-9999-1", 404)
    path = "/vulnerabilities/CVE-2024-1"
    asks = page(f"{path}/decide?scope=shop/production")
    assert '<option value="shop/production" selected>' in asks
    assert "Accept it until then" in asks
    said = {"verdict": "accepted", "scope": "shop/production", "days": "30", "reason": "<b>behind a proxy</b>"}
    for wrong in ({"days": "9999"}, {"verdict": "fine"}, {"reason": " "}):
        assert world.farm.http.post(f"{path}/decide", data={**said, **wrong}).status_code == 400
    assert world.farm.http.post(f"{path}/decide", data={**said, "scope": "moon"}).status_code == 404
    assert world.farm.http.post(f"{path}/decide", data=said, follow_redirects=False).status_code == 303
    decided = page(path)
    assert "<b>accepted</b> in shop/production" in decided
    assert "&lt;b&gt;behind a proxy" in decided
    assert "Sign in" in world.farm.stranger.post(f"{path}/decide", data=said).text
    (number,) = [each["id"] for each in world.farm.http.get(f"/api{path}").json()["decisions"]]
    assert "behind a proxy" in page(f"{path}/decisions/{number}/withdraw")
    again = world.farm.http.post(f"{path}/decisions/{number}/withdraw", follow_redirects=False)
    assert again.status_code == 303
    assert "withdrawn by ada" in page(path)
    assert page(f"{path}/decisions/{number}/withdraw", 404)
    assert "OSV has no name for packages such as generic" in page("/vulnerabilities/untold")
    assert "fixes it" in page("/lanes/shop/production")
    assert "CVE-2024-1" in page("/lanes/shop/production/rollouts/1")


def test_a_package_says_where_it_is_live(world: World) -> None:
    for position, version in ((1, "3.1.0"), (2, "3.1.0"), (3, "3.1.4"), (5, "3.1.5")):
        world.made_of(position, bom(f"pkg:pypi/Jinja2@{version}", "pkg:npm/%40a/b@1.0.0"))
    for position in (1, 2, 3):
        world.deliver(position)
    world.deliver(4, "staging")
    world.settle()

    def where(package: str, **more: str) -> list[tuple[Any, ...]]:
        answer = world.farm.http.get("/api/where", params={"package": package, **more})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["kind"], body["blind"]) == ("package", ["shop/staging"])
        return [(each["lane"], each["state"], each["rollout"], each["what"]) for each in body["places"]]

    waits = ("shop/staging", "waiting", None, f"jinja2 3.1.5 (PyPI) in {rows.sha(5)[:12]}")
    production = [
        ("shop/production", "live", 3, "jinja2 3.1.4 (PyPI)"),
        ("shop/production", "was live", 1, "jinja2 3.1.0 (PyPI)"),
        ("shop/production", "waiting", None, f"jinja2 3.1.5 (PyPI) in {rows.sha(5)[:12]}"),
    ]
    assert where("Jinja2") == [waits, *production]
    assert where("pkg:pypi/jinja2") == [waits, *production]
    assert where("jinja2@3.1.4", ecosystem="pypi") == production[:1]
    assert [each[1] for each in where("@a/b@1.0.0")] == ["waiting", "live", "waiting"]
    for bad in ({"package": "nothing"}, {"package": "jinja2", "ecosystem": "npm"}, {"package": "pkg:x"}):
        assert world.farm.http.get("/api/where", params=bad).status_code == 404
    assert world.farm.http.get("/api/where").status_code == 400
    page = world.farm.http.get("/where", params={"what": "jinja2@3.1.0"}, headers={"Accept": "text/html"}).text
    assert "was live" in page
    assert "It cannot be told of shop/staging" in page
    for asked in ("nothing", "sha256:" + "f" * 64, "<b>"):
        page = world.farm.http.get("/where", params={"what": asked}, headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "<b>;" not in page.text


def test_the_list_of_a_build_is_that_of_its_last_attempts_that_count(world: World) -> None:
    from farmgate.models import ReportKind
    from tests.store.rows import a_job, a_node, a_run, add, an_attempt

    now, blobs = world.farm.clock.now(), world.farm.context.blobs
    with world.farm.store.writing() as connection:
        run, node = a_run(connection, 1, rows.sha(1), now, states.Run.PASSED), a_node(connection, now)
        job = a_job(connection, run, now, states.Job.PASSED, attempt=2)
        for number, version, counts in ((1, "3.1.0", True), (2, "3.1.4", True)):
            attempt = an_attempt(connection, job, node, now, number, states.Attempt.PASSED)
            values = {"variant": "test", "ref": "refs/heads/main", "sha": rows.sha(1), "tree": rows.sha(0)}
            ids = {"attempt_id": attempt, "job_id": job, "run_id": run, "repository_id": 1}
            told = {"kind": ReportKind.COMPONENTS, "complete": True, "counts": counts, "figures": {}, "sealed_at": now}
            report = add(connection, schema.reports, **ids, **values, **told)
            stored = blobs.put([bom(f"pkg:pypi/jinja2@{version}")])
            connection.execute(
                schema.report_files.insert().values(
                    report_id=report,
                    number=0,
                    path="out/bom.json",
                    size_bytes=stored.size_bytes,
                    sha256=stored.sha256,
                    modified_at=now,
                )
            )
        here = schema.candidates.c.sha == rows.sha(1)
        connection.execute(schema.candidates.update().where(here).values(run_id=run))
    world.settle()
    world.deliver(1)
    answer = world.farm.http.get("/api/where", params={"package": "jinja2"}).json()
    assert [each["what"] for each in answer["places"]] == ["jinja2 3.1.4 (PyPI)"]
