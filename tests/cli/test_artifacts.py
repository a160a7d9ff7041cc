"""`farmgate artifacts ...`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import CannedFarm, Run


def kept(path: str, data: bytes, job: str = "build", **more: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(data).hexdigest()
    row = {"job": job, "path": path, "sha256": sha256, "size_bytes": len(data), "url": f"/api/artifacts/{sha256}"}
    dates = {"removed_at": None, "expires_at": "2026-03-01T00:00:00Z", "executable": False}
    return row | dates | more


@pytest.fixture
def holding(farm: CannedFarm) -> CannedFarm:
    """Run 7 with three files of two jobs, told in two parts."""
    rows = [kept("dist/a", b"aa", executable=True), kept("b", b"bb"), kept("a", b"cc", job="test/x")]
    farm.answers["GET /api/runs/7"] = {"id": 7, "jobs": []}

    def parts(request: httpx.Request) -> Any:
        second = "after" in request.url.params
        return {"artifacts": rows[2:] if second else rows[:2], "next": None if second else "1.2"}

    farm.answers["GET /api/runs/7/artifacts"] = parts
    for row, data in zip(rows, (b"aa", b"bb", b"cc"), strict=True):
        farm.answers[f"GET /api/artifacts/{row['sha256']}"] = httpx.Response(200, content=data)
    return farm


def test_all_parts_are_listed(holding: CannedFarm, run: Run) -> None:
    said = run("artifacts", "list", "7")
    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [
        ["build", "dist/a"],
        ["build", "b"],
        ["test/x", "a"],
    ]
    run("artifacts", "list", "7/build", "*.whl")
    assert dict(holding.asked[-1].url.params.multi_items())["job"] == "build"


def test_files_are_put_into_a_folder_for_each_job(holding: CannedFarm, run: Run, tmp_path: Path) -> None:
    said = run("artifacts", "get", "7", "-o", str(tmp_path / "out"))
    assert said.code == 0, said.err
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"out/build/dist/a": b"aa", "out/build/b": b"bb", "out/test-x/a": b"cc"}
    assert (tmp_path / "out/build/dist/a").stat().st_mode & 0o111
    assert not (tmp_path / "out/build/b").stat().st_mode & 0o111


def test_bytes_that_are_not_what_their_hash_says_are_not_kept(holding: CannedFarm, run: Run, tmp_path: Path) -> None:
    row = kept("b", b"bb")
    holding.answers[f"GET /api/artifacts/{row['sha256']}"] = httpx.Response(200, content=b"bx")
    said = run("artifacts", "get", "7", "-o", str(tmp_path))
    assert (said.code, "did not arrive as it was sent" in said.err) == (3, True)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a"]


@pytest.mark.parametrize("path", ["../out", "/etc/x", ""])
def test_a_path_that_leads_elsewhere_is_refused(holding: CannedFarm, run: Run, tmp_path: Path, path: str) -> None:
    holding.answers["GET /api/runs/7/artifacts"] = {"artifacts": [kept(path, b"bb")], "next": None}
    said = run("artifacts", "get", "7/build", "-o", str(tmp_path / "out"))
    assert (said.code, "no path inside" in said.err) == (7, True)
    assert not list(tmp_path.iterdir())


def test_no_file_is_written_through_a_link(holding: CannedFarm, run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "build").mkdir(parents=True)
    (tmp_path / "out" / "build" / "dist").symlink_to(tmp_path / "elsewhere")
    said = run("artifacts", "get", "7", "-o", str(tmp_path / "out"))
    assert (said.code, "is a link" in said.err) == (6, True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_archive_goes_to_a_file_or_not_at_all(holding: CannedFarm, run: Run, tmp_path: Path) -> None:
    holding.answers["GET /api/runs/7/artifacts/archive"] = httpx.Response(200, content=b"tar")
    assert run("artifacts", "get", "7/build", "--archive", str(tmp_path / "a.tar")).code == 0
    assert (tmp_path / "a.tar").read_bytes() == b"tar"
    holding.answers["GET /api/runs/7/artifacts/archive"] = httpx.ReadError("cut off")
    assert run("artifacts", "get", "7", "--archive", str(tmp_path / "b.tar")).code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
