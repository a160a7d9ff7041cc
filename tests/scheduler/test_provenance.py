"""Provenance over the real application: signed, given out, brought from outside, asked for; what was tampered with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from deploy.steps import _verify
from farmgate import lanes as rules
from farmgate import states
from farmgate.lanes import Why
from farmgate.provenance.dsse import draw, kid_of, signed, verified
from farmgate.provenance.statements import RELEASE, SLSA
from farmgate.store import attestations, candidates, lane_views, lanes, schema
from farmgate.store.attestations import Tampered
from scheduler.supply import Supply
from tests.deploy import rows
from tests.provenance.test_envelopes import statement
from tests.scheduler.farm import Farm
from tests.scheduler.supplied import World
from tests.store.rows import a_run

POLICY = """
application: shop
target: {type: command, shift: [x], restore: [x]}
lanes:
  production:
    provenance: {required: true, keys: []}
"""


@pytest.fixture
def world(farm: Farm) -> World:
    """Of its candidates the first three were built here."""
    made = World(farm)
    with farm.store.writing() as connection:
        for position in (1, 2, 3):
            run = a_run(connection, 1, rows.sha(position), farm.clock.now(), states.Run.PASSED)
            here = schema.candidates.c.sha == rows.sha(position)
            artifacts = {"app": f"sha256:{position:064x}"}
            connection.execute(update(schema.candidates).where(here).values(run_id=run, artifacts=artifacts))
    return made


def envelopes(world: World, position: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.farm.http.get(f"/api/candidates/shop/{rows.sha(position)}/provenance").json()
    return found


def genuine(world: World, position: int) -> str:
    with world.farm.store.reading() as connection:
        candidate = candidates.of_commit(connection, 1, rows.sha(position))
        assert candidate is not None
        return attestations.genuine(connection, world.farm.vault.keyring, candidate)


def tamper(world: World, table: Any, where: Any, **values: Any) -> None:
    with world.farm.store.writing() as connection:
        assert connection.execute(update(table).where(where).values(**values)).rowcount


def test_candidates_and_releases_are_signed_and_anybody_can_verify_them(world: World) -> None:
    world.deliver(2)
    world.settle()
    keys = world.farm.stranger.get("/.well-known/farmgate-provenance.pem").text
    (one,) = envelopes(world, 2)
    assert (one["genuine"], one["problem"], one["kid"]) == (True, None, kid_of(keys))
    said = verified(one["envelope"], [keys])
    assert (said["predicateType"], said["subject"][0]["digest"]) == (SLSA, {"sha256": f"{2:064x}"})
    record = world.farm.http.get("/api/lanes/shop/production/rollouts/1/record").json()
    left = verified(record["envelope"], [keys])
    assert (left["predicateType"], left["predicate"]["lane"], left["predicate"]["rollout"]) == (
        RELEASE, "shop/production", 1,
    )  # fmt: skip
    assert left["predicate"]["provenance"] == {"digest": {"sha256": genuine(world, 2)}}
    assert world.farm.http.get(f"/api/candidates/shop/{rows.sha(5)}/provenance").status_code == 404
    assert world.farm.stranger.get(f"/api/candidates/shop/{rows.sha(2)}/provenance").status_code == 401
    before = world.count(schema.attestations)
    Supply(world.farm.context).look()
    assert world.count(schema.attestations) == before


def test_what_older_keys_signed_holds_after_a_rotation(world: World) -> None:
    world.settle()
    made = world.farm.http.post("/api/provenance/rotate").json()
    assert [each["signs"] for each in made] == [True, False]
    assert genuine(world, 1)
    assert envelopes(world, 1)[0]["kid"] == made[1]["kid"]
    acts = world.farm.http.get("/api/audit", params={"kind": "provenance"}).json()
    assert [each["kind"] for each in acts] == ["provenance.rotated"]


def test_whoever_changes_rows_is_told(world: World) -> None:
    world.settle()
    assert genuine(world, 1)
    assert genuine(world, 5) == "", "of one from outside nothing was said"
    tamper(world, schema.candidates, schema.candidates.c.sha == rows.sha(1), artifacts={"app": "sha256:" + "e" * 64})
    with pytest.raises(Tampered, match="is not what was signed: app is not what was signed"):
        genuine(world, 1)
    assert envelopes(world, 1)[0]["problem"]
    row = envelopes(world, 2)[0]
    envelope = json.loads(row["envelope"])
    mine = draw()
    forged = signed(statement(artifacts={"app": f"sha256:{2:064x}"}, sha=rows.sha(2)), mine.kid, mine.private)
    tamper(world, schema.attestations, schema.attestations.c.sha == rows.sha(2), envelope=forged, kid=mine.kid)
    with world.farm.store.writing() as connection:
        key = attestations.keys(connection)[0]
        values = {"sealed": key.sealed, "key_id": key.key_id, "created_by": "eve", "created_at": key.created_at}
        connection.execute(insert(schema.attestation_keys).values(kid=mine.kid, public=mine.public, **values))
    with pytest.raises(Tampered, match="nobody who is trusted signed it"):
        genuine(world, 2)
    assert mine.public not in world.farm.stranger.get("/.well-known/farmgate-provenance.pem").text
    assert envelope["payloadType"] == "application/vnd.in-toto+json"


def test_a_tampered_candidate_is_refused_before_anything_of_it_is_prepared(world: World) -> None:
    from deploy.snapshot import read
    from farmgate.models import RolloutKind
    from farmgate.store import rollouts
    from farmgate.store.rollouts import NewRollout

    world.settle()
    now = world.farm.clock.now()
    with world.farm.store.writing() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        candidate = candidates.of_commit(connection, 1, rows.sha(1))
        assert candidate is not None
        rollouts.cut(
            connection,
            NewRollout(
                lane=lane, kind=RolloutKind.FORWARD, candidate_id=candidate.id, since_position=0, since_sha=None,
                until_position=1, until_sha=rows.sha(1), from_release_id=None, search_id=None, policy=lane.policy,
                branch="main", asked_by="deploy", reason=None, patience=world.farm.context.settings.poll_every,
            ),
            lane.epoch,
            now,
        )  # fmt: skip
    with world.farm.store.reading() as connection:
        view = read(connection, lane, now).rollout
    assert view is not None

    class Handed:
        store, keyring = world.farm.store, staticmethod(lambda: world.farm.vault.keyring)

    _verify(Handed(), view)  # type: ignore[arg-type]
    tamper(world, schema.candidates, schema.candidates.c.sha == rows.sha(1), artifacts={})
    with pytest.raises(Tampered, match="is not what was signed"):
        _verify(Handed(), view)  # type: ignore[arg-type]
    with world.farm.store.writing() as connection:
        connection.execute(schema.attestations.delete())
    _verify(Handed(), view)  # type: ignore[arg-type]
    asks = replace(view, policy=rules_that_ask(view.policy))
    with pytest.raises(Tampered, match="its provenance is not signed yet"):
        _verify(Handed(), asks)  # type: ignore[arg-type]


def rules_that_ask(policy: Any) -> Any:
    from farmgate.policy import Provenance

    return policy.model_copy(update={"provenance": Provenance()})


# --- what a lane asks for --------------------------------------------------------------------------------------------


def against(world: World, position: int) -> list[str]:
    with world.farm.store.reading() as connection:
        lane = lanes.by_name(connection, "shop", "production")
        view = lane_views.view(connection, lane, world.farm.clock.now())
    gate = rules.gate(view)
    commit = next(each for each in view.commits if each.position == position)
    found = rules.obstacles(view, commit, gate)
    assert rules.is_eligible(view, commit, gate) is (not found)
    return [reason.words for reason in found if reason.kind is Why.PROVENANCE]


def test_a_lane_asks_for_provenance_of_ours_or_of_whom_it_trusts(world: World) -> None:
    theirs, other = draw(), draw()
    text = POLICY.replace("keys: []", f"keys: [{json.dumps(theirs.public)}]")
    assert world.farm.http.put("/api/lanes/policy", content=text).status_code == 200
    assert against(world, 1) == ["its provenance is not signed yet"]
    world.settle()
    assert against(world, 1) == []
    assert against(world, 5)[0].startswith("it has no provenance, and the lane wants one")
    sha = rows.sha(5)
    said = statement(artifacts={}, sha=sha)

    def bring(envelope: str, **query: str) -> Any:
        path = f"/api/candidates/shop/{sha}/provenance"
        return world.farm.http.put(path, params={"source": "jenkins", **query}, json=json.loads(envelope))

    assert bring(signed(said, other.kid, other.private)).json() == {"new": True}
    assert against(world, 5) == ["its provenance does not count: nobody who is trusted signed it"]
    good = signed(said, theirs.kid, theirs.private)
    assert bring(good).json() == {"new": True}
    assert bring(good).json() == {"new": False}
    assert against(world, 5) == []
    assert envelopes(world, 5)[0]["genuine"] is None
    for bad in ("{}", '{"payloadType": "x", "payload": "e30=", "signatures": []}'):
        assert bring(bad).status_code == 400
    assert bring(good, source="farmgate").status_code == 400
    wrong = signed(statement(artifacts={}, sha="1" * 40), theirs.kid, theirs.private)
    with world.farm.store.writing() as connection:
        connection.execute(schema.attestations.delete().where(schema.attestations.c.sha == sha))
    bring(wrong)
    assert "does not speak of commit" in against(world, 5)[0]


def test_a_policy_names_keys_or_is_refused(world: World) -> None:
    bad = world.farm.http.put("/api/lanes/policy", content=POLICY.replace("keys: []", "keys: [hunter2]"))
    assert bad.status_code in (400, 422)
    assert "this is no public key in PEM" in bad.text
    off = world.farm.http.put("/api/lanes/policy", content=POLICY.replace("required: true", "required: false"))
    assert off.status_code == 200
    assert against(world, 5) == []
    with world.farm.store.reading() as connection:
        assert connection.execute(select(schema.attestations.c.id)).all() == []
