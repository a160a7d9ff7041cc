"""Reports are read on the node, whatever they are, and never decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farmgate.pipeline.models import ReportsSpec
from tests.workers.conftest import Node, make_source
from tests.workers.server import AttemptRecord

GOOD = (
    '<testsuite name="s"><testcase classname="c" name="a" time="0.5"/>'
    '<testcase classname="c" name="b"><skipped/></testcase>'
)
BAD = '<testcase classname="c" name="x" time="1"><failure message="no">text</failure></testcase>'
JUNIT = ReportsSpec(junit=("out/*.xml",))


def write(text: str, path: str = "out/r.xml") -> str:
    return f"mkdir -p out; cat > {path} <<'END'\n{text}\nEND"


def end(record: AttemptRecord, kind: str = "tests") -> Any:
    return record.reports[kind]["end"]


def test_tests_of_a_failed_job_are_read(node: Node) -> None:
    result, record = node.run(write(GOOD + BAD + "</testsuite>"), "exit 3", reports=JUNIT)
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 3)
    rows = record.reports["tests"]["rows"]
    assert [(row["name"], row["outcome"], row["ordinal"]) for row in rows] == [
        ("a", "passed", 1),
        ("b", "skipped", 2),
        ("x", "failed", 3),
    ]
    assert rows[2]["text"] == "text"
    assert end(record)["complete"]
    assert end(record)["figures"]["seconds"] == 1.5
    assert record.report_files[0].startswith(b"<testsuite")
    assert end(record)["files"][0]["path"] == "out/r.xml"
    assert b"farmgate: tests: 1 passed, 1 failed, 1 skipped\n" in record.log


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not xml", "out/r.xml: line 1, column 1: syntax error"),
        (GOOD, "the file ends before its last tag is closed"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>', "declarations of its own is refused"),
    ],
)
def test_a_report_that_cannot_be_read_is_told_and_does_not_decide(process_node: Node, text: str, said: str) -> None:
    result, record = process_node.run(write(text), reports=JUNIT)
    assert result is not None
    assert result.outcome == "passed"
    assert said in record.log.decode()
    assert not end(record)["complete"]
    assert said.removeprefix("out/r.xml: ") in end(record)["files"][0]["problem"]


def test_a_report_that_is_missing_or_leads_out_is_told(process_node: Node) -> None:
    result, record = process_node.run("mkdir out; ln -s /etc/passwd out/r.xml", reports=JUNIT)
    assert result is not None
    assert result.outcome == "passed"
    assert "leads out of the workspace" in record.log.decode()
    result, record = process_node.run("true", reports=JUNIT)
    assert result is not None
    assert result.outcome == "passed"
    assert "reports.junit: no file matches 'out/*.xml'" in record.log.decode()
    assert not end(record)["complete"]
    assert record.report_files == []


def test_a_file_of_a_gigabyte_is_read_up_to_its_limit(process_node: Node) -> None:
    fill = "mkdir out; printf '<testsuite><testcase name=\"a\"/><!--' > out/r.xml; truncate -s 1G out/r.xml"
    spaces = (
        "mkdir out; (printf '<testsuite><testcase name=\"a\"/>'; head -c 70000000 /dev/zero | tr '\\0' ' ') > out/r.xml"
    )
    result, record = process_node.run(fill, reports=JUNIT)
    assert result is not None
    assert result.outcome == "passed"
    assert [row["name"] for row in record.reports["tests"]["rows"]] == ["a"]
    assert "has 1024 MiB, of which 64 MiB were read" in record.log.decode()
    assert record.report_files == []
    result, record = process_node.run(spaces, reports=JUNIT)
    assert [row["name"] for row in record.reports["tests"]["rows"]] == ["a"]
    assert not end(record)["complete"]


def test_a_test_that_passed_in_the_end_is_flaky_where_the_job_passed(process_node: Node) -> None:
    again = "<testsuite>" + BAD + '<testcase classname="c" name="x" time="2"/></testsuite>'
    _, record = process_node.run(write(again), reports=JUNIT)
    (row,) = record.reports["tests"]["rows"]
    assert (row["outcome"], row["failed_tries"], row["message"]) == ("passed", 1, "no")
    assert end(record)["figures"] == {
        "passed": 1, "failed": 0, "errors": 0, "skipped": 0, "flaky": 1, "seconds": 2
    }  # fmt: skip
    _, record = process_node.run(write(again), "exit 1", reports=JUNIT)
    (row,) = record.reports["tests"]["rows"]
    assert row["outcome"] == "failed"


def test_many_tests_come_in_pages(process_node: Node) -> None:
    script = (
        "mkdir out; { echo '<testsuite>'; i=0; while [ $i -lt 4500 ]; do i=$((i+1)); "
        "echo \"<testcase classname='c' name='t$i' time='0.01'/>\"; done; echo '</testsuite>'; } > out/r.xml"
    )
    _, record = process_node.run(script, reports=JUNIT)
    tests = record.reports["tests"]
    assert len(tests["rows"]) == 4500
    assert tests["pages"] == tests["end"]["pages"] == 3
    assert tests["end"]["figures"]["passed"] == 4500


def test_coverage_findings_and_components(process_node: Node) -> None:
    lcov = "SF:src/a.py\nDA:1,1\nDA:2,0\nend_of_record\nSF:/usr/lib/x.py\nDA:1,1\nend_of_record"
    sarif = {"runs": [{"results": [{"ruleId": "S1", "level": "error", "message": {"text": "bad"}}]}]}
    bom = {"bomFormat": "CycloneDX", "components": [{"type": "library"}]}
    cobertura = '<coverage><class filename="src/b.py"><lines><line number="1" hits="3"/></lines></class></coverage>'
    _, record = process_node.run(
        write(lcov, "out/l.info"),
        write(json.dumps(sarif), "out/s.sarif"),
        write(json.dumps(bom), "out/b.json"),
        write(cobertura, "out/c.xml"),
        reports=ReportsSpec(
            cobertura=("out/c.xml",), lcov=("out/l.info",), sarif=("out/s.sarif",), cyclonedx=("out/b.json",)
        ),
    )
    assert sorted(row["path"] for row in record.reports["coverage"]["rows"]) == ["src/a.py", "src/b.py"]
    assert end(record, "coverage")["figures"]["covered"] == 2
    assert end(record, "coverage")["figures"]["outside"] == 1
    assert [row["rule"] for row in record.reports["findings"]["rows"]] == ["S1"]
    assert end(record, "components")["figures"] == {"all": 1, "library": 1}
    said = record.log.decode()
    assert "farmgate: coverage: 66.7 % of 3 lines in 2 files" in said
    assert "1 files outside of the workspace are left out, such as '/usr/lib/x.py'" in said


def test_a_server_that_answers_late_gets_every_page(tmp_path: Path, process_node: Node) -> None:
    process_node.server.fail.update(reports=2, end=1, file=1)
    result, record = process_node.run(write(GOOD + "</testsuite>"), reports=JUNIT, source=make_source(tmp_path / "s"))
    assert result is not None
    assert result.outcome == "passed"
    assert len(record.reports["tests"]["rows"]) == 2
    assert end(record)["complete"]
