"""Coverage as Cobertura XML: coverage.py, gcovr, coverlet, istanbul and others write it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from farmgate.reports.coverage import Coverage
from farmgate.reports.errors import BadReport
from farmgate.reports.results import Text
from farmgate.reports.xml import Reader, decoded, number_of

_CONDITIONS = re.compile(r"\(\s*(\d{1,9})\s*/\s*(\d{1,9})\s*\)")


def read(chunks: Iterable[bytes], into: Coverage) -> None:
    """Add a file's lines. Raises BadReport; what was added before that holds."""
    sources: list[str] = []
    file, text, root = None, Text(), False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal file, text, root
        if not root and name != "coverage":
            place = reader.place()
            raise BadReport(f"{place}: this is not Cobertura XML: it begins with <{name[:60]}>, not <coverage>")
        root = True
        if name == "class":
            file = into.file(attributes.get("filename", ""), sources)
        elif name == "source":
            text = Text()
            reader.listen(text.add)
        elif name == "line" and file is not None:
            number = number_of(attributes, "number")
            into.line(file, number, number_of(attributes, "hits"))
            told = _CONDITIONS.search(attributes.get("condition-coverage", ""))
            if told is not None:
                into.branch(file, number, int(told[1]), int(told[2]))

    def end(name: str) -> None:
        nonlocal file
        if name == "class":
            file = None
        elif name == "source":
            reader.listen(None)
            if len(sources) < 100:
                sources.append(text.value().strip()[:1000])

    reader = Reader(start, end)
    for piece in decoded(chunks):
        reader.feed(piece)
    reader.close()
