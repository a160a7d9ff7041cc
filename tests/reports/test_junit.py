"""JUnit XML as its producers write it, and as nobody should."""

from __future__ import annotations

import codecs
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmgate.reports import BadReport, Case
from farmgate.reports.junit import read
from farmgate.reports.results import LONGEST_NAME, LONGEST_TEXT


def cases(text: str | bytes, piece: int = 7) -> list[Case]:
    """Read in pieces that fall anywhere."""
    data = text if isinstance(text, bytes) else text.encode()
    return list(read(data[at : at + piece] for at in range(0, len(data), piece)))


def until_it_breaks(text: str | bytes, piece: int = 65536) -> tuple[list[Case], str]:
    data = text if isinstance(text, bytes) else text.encode()
    found: list[Case] = []
    with pytest.raises(BadReport) as bad:
        found.extend(read(data[at : at + piece] for at in range(0, len(data), piece)))
    return found, str(bad.value)


def suite(*inside: str) -> str:
    return f'<testsuites><testsuite name="s">{"".join(inside)}</testsuite></testsuites>'


PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">
<testsuite name="pytest" errors="1" failures="1" skipped="2" tests="5" time="0.123" hostname="h">
<testcase classname="tests.test_a.TestCart" name="test_total[1-2]" time="0.001" />
<testcase classname="tests.test_a" name="test_bad" time="0.5"><failure message="assert 1 == 2">def test_bad():
&gt;       assert 1 == 2
E       assert 1 == 2</failure></testcase><testcase classname="tests.test_a" name="test_skip" time="0.0">
<skipped type="pytest.skip" message="later">tests/test_a.py:3: later</skipped></testcase>
<testcase classname="tests.test_a" name="test_x" time="0"><skipped type="pytest.xfail" message="known" /></testcase>
<testcase classname="tests.test_a" name="test_fixture" time="0.2"><error message="failed on setup">boom</error>
<system-out>much</system-out></testcase></testsuite></testsuites>"""


def test_pytest() -> None:
    found = cases(PYTEST)
    assert [(case.name, case.outcome) for case in found] == [
        ("test_total[1-2]", "passed"),
        ("test_bad", "failed"),
        ("test_skip", "skipped"),
        ("test_x", "skipped"),
        ("test_fixture", "error"),
    ]
    assert found[0].key == ("pytest", "tests.test_a.TestCart", "test_total[1-2]", "")
    assert found[1].message == "assert 1 == 2"
    assert found[1].text == "def test_bad():\n>       assert 1 == 2\nE       assert 1 == 2"
    assert [case.seconds for case in found] == [0.001, 0.5, 0, 0, 0.2]
    assert found[4].text == "boom"


def test_what_this_pytest_writes_is_read(tmp_path: Path) -> None:
    lines = (
        "def test_good(): pass",
        "def test_bad(): assert 'a\\x1b[1m' == '<b>'",
        "class TestC:",
        "    def test_c(self, no): pass",
    )
    (tmp_path / "test_real.py").write_text("\n".join(lines) + "\n")
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "-c", "/dev/null"]
    done = subprocess.run([*line, "--rootdir=.", "test_real.py"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1
    found = {case.name: case for case in cases((tmp_path / "r.xml").read_bytes(), 1000)}
    assert {name: case.outcome for name, case in found.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_c": "error",
    }
    assert found["test_c"].class_name == "test_real.TestC"
    assert "'<b>'" in found["test_bad"].text


def test_surefire_tells_its_tries() -> None:
    found = cases(
        '<testsuite name="shop.CartTest" time="1,234.5"><properties><property name="a" value="b"/></properties>'
        '<testcase name="flaky" classname="shop.CartTest" time="1,002.25"><flakyFailure message="once" type="E">'
        "<stackTrace>at x</stackTrace><system-out>o</system-out></flakyFailure></testcase>"
        '<testcase name="bad" classname="shop.CartTest" time="0,25"><failure message="m" type="T">first</failure>'
        '<rerunFailure message="m2"/><rerunFailure message="m3"/></testcase></testsuite>'
    )
    assert [(case.name, case.outcome, case.failed_tries, case.seconds) for case in found] == [
        ("flaky", "passed", 1, 1002.25),
        ("bad", "failed", 2, 0.25),
    ]
    assert found[0].message == "once"
    assert "at x" in found[0].text
    assert (found[1].message, found[1].text) == ("m", "first")


def test_nested_suites_jest_go_and_googletest() -> None:
    found = cases(
        '<testsuites name="jest tests"><testsuite name="outer"><testsuite name="inner">'
        '<testcase classname="cart adds" name="cart adds an item" file="src/cart.test.js" time="0.004"/></testsuite>'
        '<testcase name="TestGo" classname="shop/cart" time="0.000"><failure message="Failed" type="">x_test.go:7: no'
        '</failure></testcase></testsuite><testsuite name="g"><testcase name="N" status="notrun" classname="G"/>'
        '<testcase name="R" status="run" result="skipped" classname="G"/></testsuite></testsuites>'
    )
    assert [(case.suite, case.name, case.outcome) for case in found] == [
        ("outer › inner", "cart adds an item", "passed"),
        ("outer", "TestGo", "failed"),
        ("g", "N", "skipped"),
        ("g", "R", "skipped"),
    ]
    assert found[0].file == "src/cart.test.js"


def test_a_file_without_tests_is_read() -> None:
    assert cases("<testsuites/>") == []
    assert cases('<testsuite name="none" tests="0"></testsuite>') == []


@pytest.mark.parametrize(
    ("time", "seconds"), [("-3", 0), ("nan", 0), ("inf", 0), ("1e400", 0), ("", 0), ("soon", 0), ("2.5s", 2.5)]
)
def test_a_time_that_is_none_is_nothing(time: str, seconds: float) -> None:
    assert cases(suite(f'<testcase name="a" time="{time}"/>'))[0].seconds == seconds


def test_names_and_texts_are_bounded_and_stay_apart() -> None:
    long = "x" * 1_000_000
    first, second = cases(suite(f'<testcase name="{long}a"/><testcase name="{long}b"/>'), 65536)
    assert len(first.name) <= LONGEST_NAME
    assert first.name != second.name
    failure = "begin " + "y" * 5_000_000 + " end"
    (case,) = cases(suite(f'<testcase name="a"><failure message="{long}">{failure}</failure></testcase>'), 65536)
    assert len(case.text) < LONGEST_TEXT + 200
    assert case.text.startswith("begin y")
    assert case.text.endswith("y end")


def test_markup_in_a_name_is_just_a_name() -> None:
    (case,) = cases(suite('<testcase name="&lt;script&gt;alert(1)&lt;/script&gt;&#10;two"/>'))
    assert case.name == "<script>alert(1)</script> two"


def test_colours_and_broken_bytes_do_not_lose_the_result() -> None:
    head = (
        b'<?xml version="1.0" encoding="UTF-8"?><testsuite name="s"><testcase name="a"><failure message="m"><![CDATA['
    )
    (case,) = cases(head + b"\x1b[31mred\x1b[0m \xff\xfe \x00]]></failure></testcase></testsuite>")
    assert case.text == "�[31mred�[0m �� �"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><testsuite name="s"><testcase name="größer"/></testsuite>'
    assert cases(text.encode(encoding))[0].name == "größer"


def test_a_wrong_declaration_is_read_as_far_as_it_goes() -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><testsuite name="s"><testcase name="a"/></testsuite>'
    assert cases(text)[0].name == "a"
    _, said = until_it_breaks('<?xml version="1.0" encoding="zip"?><testsuite/>')
    assert said == "line 1: the encoding 'zip' is not known"


def test_no_entity_is_expanded_and_nothing_is_fetched() -> None:
    laughs = '<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'
    assert "document type with declarations of its own" in until_it_breaks(laughs)[1]
    external = (
        '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="a">&x;</testcase></testsuite>'
    )
    assert until_it_breaks(external)[0] == []
    named = '<!DOCTYPE t SYSTEM "http://example.org/x.dtd"><testsuite><testcase name="a"/></testsuite>'
    assert [case.name for case in cases(named)] == ["a"]
    used = '<!DOCTYPE t SYSTEM "http://example.org/x.dtd"><testsuite><testcase name="a"/>&x;</testsuite>'
    assert "uses the entity '&x;'" in until_it_breaks(used)[1]
    assert "undefined entity" in until_it_breaks("<testsuite>&x;</testsuite>")[1]


def test_what_was_read_before_it_breaks_off_counts_and_the_place_is_told() -> None:
    found, said = until_it_breaks('<testsuite>\n<testcase name="a"/>\n<testcase name="b"><failure mess', 16)
    assert [case.name for case in found] == ["a"]
    assert said == "line 3, column 20: unclosed token"
    found, said = until_it_breaks('<testsuite>\n<testcase name="a"/>\n</testcase></testsuite>')
    assert [case.name for case in found] == ["a"]
    assert said == "line 3, column 3: mismatched tag"
    assert until_it_breaks("")[1] == "line 1, column 1: the file is empty"
    assert "the file ends before" in until_it_breaks('<testsuite><testcase name="a"/>')[1]
    assert "not JUnit XML: it begins with <html>" in until_it_breaks("<html><body/></html>")[1]
    assert until_it_breaks("PASS\nok\n")[0] == []


def test_depth_and_the_length_of_a_tag_are_limited() -> None:
    assert "nested more than 100 deep" in until_it_breaks("<testsuite>" * 101)[1]

    def endless() -> Iterator[bytes]:
        yield b'<testsuite><testcase name="'
        for _ in range(1000):
            yield b"x" * 65536
        pytest.fail("all of it was read")

    with pytest.raises(BadReport, match="a single tag has more than 4 MiB"):
        list(read(endless()))


def test_two_hundred_thousand_tests_are_read_piece_by_piece() -> None:
    def pieces() -> Iterator[bytes]:
        yield codecs.BOM_UTF8 + b'<testsuite name="s">'
        for number in range(200):
            yield b"".join(b'<testcase classname="c" name="t%d-%d" time="0.01"/>' % (number, n) for n in range(1000))
        yield b"</testsuite>"

    count = sum(1 for _ in read(pieces()))
    assert count == 200_000
