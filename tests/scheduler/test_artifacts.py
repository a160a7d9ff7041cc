"""What a run's jobs left: listed, looked through, and taken as one archive."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import timedelta
from typing import Any

import pytest

from farmgate.errors import DamagedBlob
from farmgate.store import kept as store_kept
from scheduler import artifact_archive, artifacts_api, retention
from tests.scheduler.farm import Farm

FILES = {"dist/a.whl": b"wheel" * 1000, "dist/doc/index.html": b"", "n" * 150 + "/é.txt": b"long"}


@pytest.fixture
def kept(farm: Farm) -> Farm:
    """A run with two jobs that kept the same files, one of them twice over."""
    jobs = {
        "build": {"matrix": {"py": ["3/11"]}, "steps": ["make"], "artifacts": ["dist", "n*"]},
        "docs": {"steps": ["make"], "artifacts": [{"paths": ["site"], "keep": "1h"}]},
    }
    farm.repository.add("first", {".farmgate.yml": json.dumps({"jobs": jobs})})
    farm.connect()
    worker = farm.join()
    build = worker.claim(1)
    for path, data in FILES.items():
        assert build.artifact(path, data).status_code == 200
    build.end()
    docs = worker.claim(2)
    docs.artifact("site", b"site")
    docs.end()
    farm.settle()
    return farm


def listed(farm: Farm, **query: Any) -> list[dict[str, Any]]:
    answer = farm.http.get("/api/runs/1/artifacts", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["artifacts"]
    return found


def archive(farm: Farm, **query: Any) -> dict[str, bytes]:
    answer = farm.http.get("/api/runs/1/artifacts/archive", params=query)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) == int(answer.headers["content-length"])
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        return {info.name: read.read() for info in tar if (read := tar.extractfile(info)) is not None}


def test_a_runs_artifacts_are_listed_in_parts(kept: Farm) -> None:
    rows = listed(kept)
    name = rows[0]["job"]
    assert [(row["job"], row["path"]) for row in rows] == [*((name, path) for path in FILES), ("docs", "site")]
    assert rows[0]["sha256"] == hashlib.sha256(FILES["dist/a.whl"]).hexdigest()
    assert kept.http.get(rows[0]["url"]).content == FILES["dist/a.whl"]
    told: list[dict[str, Any]] = []
    after: str | None = "0.0"
    while after is not None:
        part = kept.http.get("/api/runs/1/artifacts", params={"limit": 1, "after": after}).json()
        told += part["artifacts"]
        after = part["next"]
    assert told == rows
    assert [row["path"] for row in listed(kept, job="docs")] == ["site"]
    assert [row["path"] for row in listed(kept, path=["dist", "!**/*.html"])] == ["dist/a.whl"]
    assert kept.http.get("/api/runs/1/artifacts", params={"job": "nobody"}).status_code == 404
    assert kept.http.get("/api/runs/9/artifacts").status_code == 404


def test_all_of_a_run_is_one_archive_with_a_folder_for_each_job(kept: Farm) -> None:
    name = listed(kept)[0]["job"].replace("/", "-")
    assert archive(kept) == {**{f"{name}/{path}": data for path, data in FILES.items()}, "docs/site": b"site"}
    assert archive(kept, job="docs") == {"site": b"site"}
    assert list(archive(kept, path="**/*.whl")) == [f"{name}/dist/a.whl"]
    assert kept.http.get("/api/runs/1/artifacts/archive", params={"path": "nothing"}).status_code == 404


def test_what_has_ended_is_listed_and_is_in_no_archive(kept: Farm) -> None:
    kept.clock.advance(timedelta(hours=2))
    assert retention.expire(kept.context) == 1
    gone = listed(kept, job="docs")[0]
    assert (gone["url"], gone["removed_at"] is None) == (None, False)
    assert all(not name.startswith("docs/") for name in archive(kept))
    refused = kept.http.get("/api/runs/1/artifacts/archive", params={"job": "docs"})
    assert (refused.status_code, "they have ended" in refused.text) == (404, True)


def test_an_archive_of_too_many_files_says_how_to_ask_for_fewer(kept: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts_api, "MOST_IN_ARCHIVE", 3)
    refused = kept.http.get("/api/runs/1/artifacts/archive")
    assert (refused.status_code, "ask for one job's" in refused.text) == (413, True)
    assert archive(kept, job="docs")


def test_damaged_bytes_end_the_archive_before_it_is_whole(kept: Farm) -> None:
    with kept.store.reading() as connection:
        found = store_kept.of_run(connection, 1, 10)
    files = artifact_archive.entries(found, one_job=False)
    whole = b"".join(artifact_archive.stream(kept.context.blobs, files))
    assert len(whole) == artifact_archive.length(files)

    class Swapped:
        def open(self, sha256: str, offset: int = 0) -> io.BytesIO:
            return io.BytesIO(b"x" * 5000)

    sent: list[bytes] = []
    with pytest.raises(DamagedBlob, match="hash to something else"):
        sent.extend(artifact_archive.stream(Swapped(), files))  # type: ignore[arg-type]
    assert len(b"".join(sent)) == 512 + 5000


def test_jobs_whose_names_differ_by_a_slash_have_folders_of_their_own() -> None:
    assert artifact_archive.folders({1: "a/b", 2: "a-b", 3: ".c"}) == {1: "a-b", 2: "a-b-2", 3: "c"}


def test_a_run_shows_the_first_artifacts_of_a_job_and_where_the_others_are_listed(farm: Farm) -> None:
    jobs = {"build": {"steps": ["make"], "artifacts": ["part-*"]}, "docs": {"steps": ["make"]}}
    farm.repository.add("first", {".farmgate.yml": json.dumps({"jobs": jobs})})
    farm.connect()
    worker = farm.join()
    build = worker.claim(1)
    names = [f"part-{number:02}" for number in range(25)]
    for name in reversed(names):
        assert build.artifact(name, name.encode()).status_code == 200
    build.end()
    job, other = farm.http.get("/api/runs/1").json()["jobs"]
    first = [one["path"] for one in job["artifacts"]]
    assert (len(first), job["artifacts_total"]) == (10, 25)
    rest = listed(farm, job=job["name"], after=job["artifacts_next"])
    assert [*first, *(row["path"] for row in rest)] == names[::-1]
    assert (other["artifacts"], other["artifacts_total"], other["artifacts_next"]) == ([], 0, None)
