"""OSV's files as the command line sends them: zips, folders, documents; and what is none of them."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from farmgate.cli import osv_files
from farmgate.cli.osv_files import compressed
from farmgate.errors import BadPayload, NotFound


def document(number: str, ecosystem: str = "PyPI") -> dict[str, Any]:
    return {"id": number, "affected": [{"package": {"ecosystem": ecosystem, "name": "x"}}]}


def packed(path: Path, *documents: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in documents:
            archive.writestr(f"{each['id']}.json", json.dumps(each, indent=2))
        archive.writestr("../../README.md", "not a document")
    return path


def sent(*paths: Path, only: frozenset[str] = frozenset()) -> list[str]:
    data = b"".join(compressed(paths, only, lambda count: None))
    return [json.loads(line)["id"] for line in gzip.decompress(data).splitlines()]


def test_zips_folders_and_documents_become_one_stream(tmp_path: Path) -> None:
    folder = tmp_path / "osv"
    (folder / "npm").mkdir(parents=True)
    packed(folder / "npm" / "all.zip", document("B-1", "npm"), document("B-2", "Debian:12"))
    (folder / "A-1.json").write_text(json.dumps(document("A-1")))
    single = tmp_path / "C-1.json"
    single.write_text(json.dumps(document("C-1")))
    assert sent(folder, single) == ["A-1", "B-1", "B-2", "C-1"]
    assert sent(folder, single, only=frozenset({"debian", "npm"})) == ["B-1", "B-2"]
    assert sent(folder, only=frozenset({"debian:11"})) == []


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        sent(tmp_path / "nowhere.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=r"holds no \.zip and no \.json"):
        sent(tmp_path / "empty")
    (tmp_path / "x.json").write_text("{'id': 1}")
    with pytest.raises(BadPayload, match=r"x\.json: this is not JSON"):
        sent(tmp_path / "x.json")
    whole = packed(tmp_path / "all.zip", document("A-1"), document("A-2")).read_bytes()
    at = whole.index(b"A-1.json") + 40
    (tmp_path / "all.zip").write_bytes(whole[:at] + bytes(8) + whole[at + 8 :])
    with pytest.raises(BadPayload, match="damaged archive"):
        sent(tmp_path / "all.zip")
    monkeypatch.setattr(osv_files, "ENTRY_BYTES", 100)
    bomb = document("A-1") | {"details": "a" * 1000}
    with pytest.raises(BadPayload, match="which no document has"):
        sent(packed(tmp_path / "bomb.zip", bomb))
    monkeypatch.setattr(osv_files, "ENTRY_BYTES", 2000)
    monkeypatch.setattr(osv_files, "MOST_BYTES", 3000)
    with pytest.raises(BadPayload, match="unpack to more"):
        sent(packed(tmp_path / "bombs.zip", *(document(f"A-{n}") | {"details": "a" * 1000} for n in range(4))))
