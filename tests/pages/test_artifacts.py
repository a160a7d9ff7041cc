"""A run's artifacts as a page."""

from __future__ import annotations

from farmgate import states
from farmgate.models import ArtifactKind
from farmgate.store import attempts, jobs
from scheduler.pages import artifacts
from tests.pages.farm import Farm, TestClient

EVIL = "dist/<img src=x>.html"


def a_run(farm: Farm, paths: list[str]) -> int:
    farm.commit(1)
    run = farm.run(1, states.Run.PASSED, finished_at=farm.now)
    job = farm.job(run, "build", states.Job.PASSED)
    attempt = farm.attempt(job, states.Attempt.PASSED)
    with farm.context.store.writing() as connection:
        found = attempts.by_id(connection, attempt)
        assert jobs.by_id(connection, job).name == "build"
        for number, path in enumerate(paths):
            kind = ArtifactKind.IMAGE if path.startswith("image") else ArtifactKind.FILE
            attempts.keep_artifact(connection, found, path, f"{number:064x}", 1000 + number, farm.now, kind=kind)
    return run


def test_files_and_folders_are_looked_through_level_by_level(farm: Farm, client: TestClient) -> None:
    run = a_run(farm, ["dist/a.whl", EVIL, "dist/deep/b.txt", "image/shop.tar", "notes.txt"])
    whole = client.get(f"/runs/{run}/artifacts").text
    assert "5 files, 5.0 kB" in whole
    assert "dist/</a>" in whole
    assert "notes.txt</a>" in whole
    assert "a.whl" not in whole, "one level at a time"
    assert f'href="/api/runs/{run}/artifacts/archive"' in whole
    below = client.get(f"/runs/{run}/artifacts", params={"job": "build", "under": "dist"}).text
    assert "a.whl</a>" in below
    assert "&lt;img src=x&gt;.html" in below
    assert "<img" not in below
    assert "deep/</a>" in below
    assert f"sha256:{0:064x}" in below
    assert "container image" in client.get(f"/runs/{run}/artifacts?job=build&under=image").text
    for address in ("?job=nobody", "?job=build&under=nowhere"):
        assert client.get(f"/runs/{run}/artifacts{address}").status_code == 404


def test_a_runs_page_shows_some_files_and_leads_to_all(farm: Farm, client: TestClient) -> None:
    run = a_run(farm, [f"f{number:02}" for number in range(25)])
    text = client.get(f"/runs/{run}").text
    assert "25 files: look through all" in text
    assert text.count("/api/artifacts/") == 10


def test_a_level_of_very_many_files_says_how_many_more_there_are(farm: Farm, client: TestClient) -> None:
    run = a_run(farm, [f"f{number:04}" for number in range(artifacts.MOST_SHOWN + 7)])
    text = client.get(f"/runs/{run}/artifacts?job=build").text
    assert text.count('href="/api/artifacts/') == artifacts.MOST_SHOWN
    assert "and 7 more" in text


def test_a_run_that_keeps_nothing_says_so(farm: Farm, client: TestClient) -> None:
    farm.commit(1)
    run = farm.run(1)
    assert "Nothing was kept" in client.get(f"/runs/{run}/artifacts").text
