"""An attempt's life on real engines."""

from __future__ import annotations

from tests.workers.conftest import Node


def test_a_job_that_passes_tells_its_steps_and_its_log(node: Node) -> None:
    result, record = node.run("cat README", "printf 'no end of line'", "echo \"$FARMGATE_SHA\" $CI")
    assert result is not None
    assert result.outcome == "passed", result.reason
    assert record.result is not None
    assert record.result["outcome"] == "passed"
    text = record.log.decode()
    assert text.endswith(f"hello\nno end of line\n{node.source.sha} true\n")
    assert result.log_bytes == len(record.log)
    assert [step["state"] for step in record.last_steps.values()] == ["passed"] * 3
    offsets = [step["log_offset"] for step in record.last_steps.values()]
    assert record.log[offsets[1] :].startswith(b"no end of line")
    assert {"claim", "mirror", "checkout", "image", "container", "first_step", "steps", "total"} <= set(result.timings)
    assert node.left() == []
