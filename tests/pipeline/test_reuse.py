"""Which jobs may take an earlier result."""

from __future__ import annotations

import pytest

from farmgate.pipeline import parse
from farmgate.pipeline.reuse import may_be_reused


@pytest.mark.parametrize(("key", "reused"), [("", True), ("secrets: [TOKEN]", False), ("identity: {ID: aws}", False)])
def test_what_uses_a_secret_or_an_identity_is_never_reused(key: str, reused: bool) -> None:
    job = parse(f"jobs:\n  a:\n    steps: [make]\n    inputs: [src]\n    {key}\n").jobs["a"]
    assert may_be_reused(job) is reused
