"""Short ways to write pipeline files, and to hear what is wrong with them."""

from __future__ import annotations

import pytest

from farmgate.errors import BadDocument
from farmgate.pipeline import JobSpec, Pipeline, parse


def said(text: str) -> list[str]:
    """The problems of the file, as `line:column: message`."""
    with pytest.raises(BadDocument) as refusal:
        parse(text)
    return [str(problem).removeprefix(".farmgate.yml:") for problem in refusal.value.problems]


def one(*lines: str) -> str:
    """A file with one job `a`, which has steps and these further lines, the first of them on line 4 from column 5."""
    return "jobs:\n  a:\n    steps: [x]\n" + "".join(f"    {line}\n" for line in lines)


def job(*lines: str) -> JobSpec:
    """The job of such a file."""
    return parse(one(*lines)).jobs["a"]


def jobs(text: str) -> Pipeline:
    """The pipeline of a file."""
    return parse(text)
