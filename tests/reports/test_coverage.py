"""Coverage as Cobertura and as LCOV."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from farmgate.reports import BadReport, Coverage, cobertura, lcov
from farmgate.reports.coverage import FileCoverage

Read = Callable[[Iterable[bytes], Coverage], None]


def covered(read: Read, *texts: str, roots: tuple[str, ...] = ("/workspace",)) -> Coverage:
    found = Coverage(roots=roots)
    for text in texts:
        data = text.encode()
        read((data[at : at + 11] for at in range(0, len(data), 11)), found)
    return found


COBERTURA = """<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM 'http://cobertura.sourceforge.net/xml/coverage-04.dtd'>
<coverage line-rate="0.1"><sources><source>/workspace/src</source></sources><packages><package name="shop"><classes>
<class name="cart" filename="shop/cart.py">
<methods><method name="add"><lines><line number="2" hits="0"/></lines></method></methods>
<lines><line number="1" hits="3"/><line number="2" hits="1" branch="true" condition-coverage="50% (1/2)"/>
<line number="4" hits="0"/></lines></class>
<class name="cart$1" filename="shop/cart.py">
<lines><line number="4" hits="2"/><line number="9" hits="0"/></lines></class>
<class name="lib" filename="/usr/lib/python3/os.py"><lines><line number="1" hits="1"/></lines></class>
</classes></package></packages></coverage>"""


def test_cobertura_counts_a_line_once_and_leaves_out_what_is_outside() -> None:
    found = covered(cobertura.read, COBERTURA)
    assert list(found.files()) == [FileCoverage("src/shop/cart.py", 3, 4, 1, 2)]
    assert (found.outside, found.example) == (1, "/usr/lib/python3/os.py")


LCOV = """TN:
SF:/workspace/src/a.js
FN:1,add
DA:1,5
DA:2,0
DA:3,1,checksum
BRDA:3,0,0,1
BRDA:3,0,1,-
LF:99
LH:99
end_of_record
SF:./src/a.js
DA:2,1
end_of_record
SF:../other/b.js
DA:1,1
end_of_record
SF:/usr/lib/c.js
DA:1,1
end_of_record
"""


def test_lcov_makes_its_own_sums() -> None:
    found = covered(lcov.read, LCOV)
    assert list(found.files()) == [FileCoverage("src/a.js", 3, 3, 1, 2)]
    assert (found.outside, found.example) == (2, "../other/b.js")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html/>", "line 1: this is not LCOV"),
        ("SF:a\nDA:x,1\nend_of_record\n", "line 2: cannot be read"),
        ("SF:a\nDA:1,1\n", "the file ends before 'end_of_record'"),
        ("SF:" + "a" * 100_000, "has more than 65536 characters"),
    ],
)
def test_a_bad_lcov_file_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadReport, match=said):
        covered(lcov.read, text)


def test_a_bad_cobertura_file_is_told_with_its_place() -> None:
    with pytest.raises(BadReport, match="line 1, column 1: this is not Cobertura XML: it begins with <testsuites>"):
        covered(cobertura.read, "<testsuites/>")


def test_line_numbers_of_an_evil_file_cost_no_memory() -> None:
    found = covered(lcov.read, "SF:a\nDA:999999999999,1\nDA:-4,1\nDA:1,1\nend_of_record\n")
    assert list(found.files()) == [FileCoverage("a", 1, 1, 0, 0)]
    many = "".join(f"SF:{n}\nDA:2000000,1\nend_of_record\n" for n in range(20))
    with pytest.raises(BadReport, match="has more than 33554432 lines"):
        covered(lcov.read, many)
