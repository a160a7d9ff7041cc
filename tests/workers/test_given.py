"""A job's secret values reach its steps unchanged, by standard input alone, and leave the node only as ***."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import docker

from farmgate.pipeline import StepSpec
from farmgate.pipeline.models import HealthSpec, ReportsSpec, ServiceSpec
from tests.workers.conftest import Node
from tests.workers.test_engine_contract import wait_until
from tests.workers.test_run import in_background
from workers.given import hand_over

TRICKY = b" $(touch x) `id` \\n 'one' \"two\"\n\n-- last\r\n"
TOKEN = b"correct-horse-battery"


def claimed(**values: bytes) -> dict[str, dict[str, str]]:
    return {"secrets": {name: base64.b64encode(value).decode() for name, value in values.items()}}


def test_a_value_arrives_unchanged_in_every_step_and_leaves_as_a_mask(node: Node) -> None:
    show = 'printf %s "$TRICKY" | od -An -tx1 | tr -d " \\n" | fold -w 2 | tr "\\n" .; echo " $TOKEN"; cat; ls'
    result, record = node.run(show, show, claimed=claimed(TRICKY=TRICKY, TOKEN=TOKEN))
    assert result is not None
    assert result.outcome == "passed", record.log
    assert record.log.count(TRICKY.hex(".").encode()) == 2, record.log
    assert record.log.count(b" ***\n") == 2
    assert TOKEN not in record.log
    assert record.log.count(b"README\nsrc\n") == 2, "nothing of a value is a command"


def test_a_step_begins_where_the_masked_log_says(node: Node) -> None:
    _, record = node.run('echo "$TOKEN $TOKEN"', "echo second", claimed=claimed(TOKEN=TOKEN))
    assert record.log[record.last_steps[2]["log_offset"] :] == b"second\n"


def test_a_step_with_an_image_of_its_own_gets_them_too(docker_node: Node) -> None:
    client = docker.from_env()
    by_id = client.images.get(str(docker_node.image)).id  # the same image by another name: a container of its own
    client.close()
    other = StepSpec(name="other", run='test "$TOKEN" = correct-horse-battery', image=by_id)
    result, record = docker_node.run('test -n "$TOKEN"', other, claimed=claimed(TOKEN=TOKEN))
    assert result is not None
    assert result.outcome == "passed", record.log


def test_a_value_is_in_no_configuration_no_argument_and_no_file(docker_node: Node) -> None:
    key = docker_node.offer("echo ready; sleep 60", claimed=claimed(TOKEN=TOKEN))
    thread, _ = in_background(docker_node, key)
    record = docker_node.records[key]
    wait_until(lambda: b"ready" in record.log)
    client = docker.from_env()
    try:
        node_label = f"farmgate.node={docker_node.bench.folder.identity()}"
        mine = [one["Id"] for one in client.api.containers(filters={"label": [node_label, "farmgate.job"]})]
        assert mine
        for container in mine:
            assert TOKEN.decode() not in json.dumps(client.api.inspect_container(container))
            assert TOKEN.decode() not in json.dumps(client.api.top(container, ps_args="-ef"))
    finally:
        client.close()
    files = [path for path in Path(docker_node.bench.folder.attempts).rglob("*") if path.is_file()]
    assert any(path.name == "job.sh" for path in files)
    assert not [path for path in files if TOKEN in path.read_bytes()]
    record.cancelled = True
    docker_node.bench.engine.kill(key)
    thread.join(30)
    assert not thread.is_alive()


def test_a_report_tells_no_value_in_its_rows_nor_in_its_file(process_node: Node) -> None:
    value = b"<s3cret> & 'more'"
    script = """cat > r.xml <<END
<testsuite name="s"><testcase classname="c" name="plain $WORD"><failure message="$WORD">got $WORD</failure></testcase>
<testcase classname="c" name="b"><failure>&lt;s3cret&gt; &amp; 'more' &#60;s3cret> &#38; 'more'</failure></testcase>
</testsuite>
END"""
    reports = ReportsSpec(junit=("r.xml",))
    _, record = process_node.run(script, reports=reports, claimed=claimed(MARKUP=value, WORD=TOKEN))
    rows = record.reports["tests"]["rows"]
    assert [(row["name"], row["message"], row["text"]) for row in rows] == [
        ("plain ***", "***", "got ***"),
        ("b", rows[1]["message"], "*** ***"),
    ]
    assert "s3cret" not in json.dumps(record.reports)
    assert TOKEN not in record.report_files[0]
    assert record.report_files[0].count(b"***") == 4


def test_a_service_that_tells_a_value_is_masked_in_the_log_that_is_kept(docker_node: Node) -> None:
    serve = "while true; do nc -l -p 9000; done"
    spec = ServiceSpec(
        name="web",
        image=str(docker_node.image),
        command=("sh", "-c", serve),
        environment={},
        health=HealthSpec(port=9000, timeout=timedelta(seconds=20)),
    )
    told = 'echo "before $TOKEN after" | nc -w 1 web 9000 || true; sleep 0.3'
    _, record = docker_node.run(told, services=(spec,), claimed=claimed(TOKEN=TOKEN))
    assert b"before *** after" in record.artifacts["farmgate-services/web.log"], record.log


def test_nothing_is_handed_over_where_nothing_is_given() -> None:
    assert hand_over({}) == b""


def test_a_job_that_must_not_run_ends_in_error_before_any_step(node: Node) -> None:
    result, record = node.run("echo ran", claimed={"refused": "job 'a' names secrets that are not there: TOKEN"})
    assert result is not None
    assert result.outcome == "error"
    assert "names secrets that are not there: TOKEN" in (result.reason or "")
    assert b"farmgate: job 'a' names secrets" in record.log
    assert b"ran" not in record.log


def test_of_a_signed_token_the_signature_is_hidden_by_itself(node: Node) -> None:
    token = b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyZXBvOnNob3AifQ.c2lnbmF0dXJlIG9mIHRoZSB0b2tlbg"
    _, record = node.run('echo "$TOKEN" | tr . " "', claimed=claimed(TOKEN=token))
    assert b"eyJhbGciOiJSUzI1NiJ9 eyJzdWIiOiJyZXBvOnNob3AifQ ***\n" in record.log
