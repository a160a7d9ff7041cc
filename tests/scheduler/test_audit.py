"""The audit log over the real application: every act of a person is there, and only who may reads it."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import update

from farmgate import audit
from farmgate.store import schema
from tests.scheduler.farm import Farm


def told(farm: Farm, **wanted: Any) -> list[tuple[str, str, str]]:
    rows = farm.http.get("/api/audit", params=wanted).json()
    return [(row["kind"], row["subject"], row["actor"]) for row in rows]


def as_token(farm: Farm, *rights: str) -> TestClient:
    made = farm.http.post("/api/tokens", json={"name": "bob", "rights": list(rights)}).json()
    return TestClient(farm.app, base_url="http://farm", headers={"Authorization": f"Bearer {made['token']}"})


def test_what_people_do_is_in_it(shop: Farm) -> None:
    made = shop.http.post("/api/tokens", json={"name": "ci", "rights": ["read"]}).json()
    assert shop.http.delete(f"/api/tokens/{made['id']}").status_code == 204
    assert shop.http.delete(f"/api/tokens/{made['id']}").status_code == 204
    shop.http.put("/api/repositories/shop/secrets/TOKEN", json={"value": "pears"})
    shop.http.post("/api/runs/1/cancel", json={"reason": "no"})
    kinds = told(shop)
    assert kinds == [
        ("run.cancel_asked", "run/1", "ada"),
        ("secret.set", "repository/shop", "ada"),
        ("token.revoked", f"token/{made['id']}", "ada"),
        ("token.made", f"token/{made['id']}", "ada"),
        ("repository.connected", "repository/shop", "ada"),
    ]
    assert told(shop, kind="token.", limit=1) == [("token.revoked", f"token/{made['id']}", "ada")]


def test_only_who_has_the_right_reads_it(shop: Farm) -> None:
    reader, auditor = as_token(shop, "write"), as_token(shop, "audit")
    assert reader.get("/api/audit").status_code == 403
    assert shop.stranger.get("/api/audit").status_code == 401
    assert auditor.get("/api/audit").status_code == 200
    assert auditor.get("/audit", headers={"Accept": "text/html"}).status_code == 200
    assert auditor.get("/api/runs").status_code == 403, "it opens nothing else"
    bad = shop.http.post("/api/tokens", json={"name": "x", "rights": ["everything"]})
    assert bad.status_code == 422
    assert "read, write, admin, audit, candidates" in bad.text


def test_an_export_is_verified_by_anyone_and_an_edit_is_named(shop: Farm) -> None:
    for name in ("one", "two", "three"):
        shop.http.post("/api/tokens", json={"name": name, "rights": ["read"]})
    lines = shop.http.get("/api/audit/export").text.splitlines()
    found = audit.verify(audit.from_line(line) for line in lines)
    assert (found.entries, found.bad) == (4, None)
    assert shop.http.get("/api/audit/export?after=3").text.splitlines() == lines[3:]
    head = shop.http.get("/api/audit/head").json()
    assert head == {"number": 4, "hash": found.head.hash}
    assert shop.http.get("/api/audit/verify", params=head).json()["bad"] is None
    with shop.store.writing() as connection:
        connection.execute(update(schema.audit).where(schema.audit.c.number == 2).values(text="nothing"))
    answer = shop.http.get("/api/audit/verify").json()
    assert (answer["bad"], answer["entries"]) == (2, 1)
    page = shop.http.get("/audit?verify=1", headers={"Accept": "text/html"}).text
    assert "Entry 2: edited" in page
    doctor = {check["name"]: check for check in shop.http.get("/api/doctor").json()["checks"]}
    assert not doctor["audit log"]["ok"]


def test_the_page_shows_acts_and_filters_them(shop: Farm) -> None:
    shop.http.post("/api/tokens", json={"name": "<b>x</b>", "rights": ["read"]})
    page = shop.http.get("/audit", headers={"Accept": "text/html"}).text
    assert "&lt;b&gt;x&lt;/b&gt;: read" in page
    assert "repository.connected" in page
    assert "repository.connected" not in shop.http.get("/audit?kind=token.", headers={"Accept": "text/html"}).text
