"""The reference page and the schema, against what is read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from farmgate.errors import BadDocument
from farmgate.pipeline import parse
from farmgate.pipeline.schema import schema_text

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "pipeline.md").read_text()
FENCES = re.findall(r"^```(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GOOD = [text for kind, text in FENCES if kind == "yaml"]
REFUSED = [(text, FENCES[index + 1][1]) for index, (kind, text) in enumerate(FENCES) if kind == "yaml-refused"]


@pytest.mark.parametrize("text", GOOD)
def test_the_examples_of_the_page_are_pipelines(text: str) -> None:
    assert parse(text).jobs


@pytest.mark.parametrize(("text", "answer"), REFUSED)
def test_the_problems_of_the_page_are_told_as_it_says(text: str, answer: str) -> None:
    with pytest.raises(BadDocument) as refusal:
        parse(text)
    assert str(refusal.value) + "\n" == answer


def test_the_page_has_examples() -> None:
    assert len(GOOD) >= 3
    assert len(REFUSED) >= 2


def test_the_schema_is_not_stale() -> None:
    written = ROOT / "schemas" / "pipeline.schema.json"
    assert written.read_text() == schema_text(), "run: python -m farmgate.pipeline > schemas/pipeline.schema.json"
    command = [sys.executable, "-m", "farmgate.pipeline"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode() == schema_text()
