"""What an attempt may fetch of the jobs that it needs, and what it may not."""

from __future__ import annotations

import hashlib

from tests.scheduler.farm import Farm, Held

PIPELINE = """
jobs:
  build: {steps: [make]}
  other: {steps: [make]}
  test:
    needs: [build]
    steps: [make test]
"""
DIGEST = hashlib.sha256(b"bytes").hexdigest()


def put(held: Held, path: str, data: bytes, **told: str) -> None:
    params = {"path": path, **told}
    answer = held.http.put(f"{held.path}/artifacts", params=params, content=data, headers=held.headers)
    assert answer.status_code == 200, answer.text


def ready_to_fetch(shop: Farm) -> Held:
    shop.push("second", files={".farmgate.yml": PIPELINE})
    worker = shop.join()
    worker.try_claim_and_end(1, 1, "passed")
    build, other = worker.claim(2), worker.claim(3)
    put(build, "dist/tool", b"bytes", executable="true")
    put(build, "farmgate-services/db.log", b"log", kind="log")
    put(build, "farmgate-images/shop.tar", b"image", kind="image", image_id="sha256:1")
    put(other, "other", b"not for test")
    build.end("passed")
    other.end("passed")
    return worker.claim(4)


def test_an_attempt_sees_and_gets_the_files_of_the_jobs_that_it_needs(shop: Farm) -> None:
    test = ready_to_fetch(shop)
    listed = test.http.get(f"{test.path}/needed", headers=test.headers).json()["artifacts"]
    assert listed == [{"job": "build", "path": "dist/tool", "sha256": DIGEST, "size_bytes": 5, "executable": True}]
    got = test.http.get(f"{test.path}/needed/{DIGEST}", headers=test.headers)
    assert (got.status_code, got.content) == (200, b"bytes")


def test_an_attempt_gets_no_bytes_of_a_job_that_it_does_not_need(shop: Farm) -> None:
    test = ready_to_fetch(shop)
    for data in (b"not for test", b"log", b"image"):
        digest = hashlib.sha256(data).hexdigest()
        assert test.http.get(f"{test.path}/needed/{digest}", headers=test.headers).status_code == 404
    assert test.http.get(f"{test.path}/needed/nonsense", headers=test.headers).status_code == 404


def test_an_attempt_that_is_over_fetches_nothing(shop: Farm) -> None:
    test = ready_to_fetch(shop)
    test.end("passed")
    assert test.http.get(f"{test.path}/needed", headers=test.headers).status_code == 409
    assert test.http.get(f"{test.path}/needed/{DIGEST}", headers=test.headers).status_code == 409
