"""Coverage as LCOV: one line each for a file (SF), a line of it (DA), a branch (BRDA), an end."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final

from farmgate.reports.coverage import Coverage
from farmgate.reports.errors import BadReport

LONGEST_LINE: Final = 64 * 1024
_KNOWN: Final = ("TN:", "SF:", "DA:", "BRDA:", "FN", "LF:", "LH:", "BRF:", "BRH:", "VER:", "end_of_record", "#", "MCDC")


def read(chunks: Iterable[bytes], into: Coverage) -> None:
    """Add a file's lines. Raises BadReport; what was added before that holds."""
    file, inside, number = None, False, 0
    for number, line in enumerate(_lines(chunks), start=1):
        try:
            if line.startswith("DA:"):
                if file is not None:
                    at, hits = line[3:].split(",")[:2]
                    into.line(file, int(at), _hits(hits))
            elif line.startswith("SF:"):
                file, inside = into.file(line[3:].strip()), True
            elif line.startswith("BRDA:"):
                if file is not None:
                    at, block, branch, taken = line[5:].split(",", 3)
                    into.branch(file, (int(at), f"{block},{branch}"[:100]), int(_hits(taken) > 0), 1)
            elif line.startswith("end_of_record"):
                file, inside = None, False
            elif line.strip() and not line.startswith(_KNOWN) and not inside:
                raise BadReport(f"line {number}: this is not LCOV: {line[:60]!r}")
        except ValueError:
            raise BadReport(f"line {number}: cannot be read: {line[:60]!r}") from None
    if inside:
        raise BadReport(f"line {number}: the file ends before 'end_of_record'")


def _hits(text: str) -> int:
    plain = text.strip()
    return 0 if plain in ("-", "") else int(float(plain)) if len(plain) < 20 else 1


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder, rest, number = codecs.getincrementaldecoder("utf-8")(errors="replace"), "", 0
    for chunk in chunks:
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        number += len(whole)
        yield from whole
        if len(rest) > LONGEST_LINE:
            raise BadReport(f"line {number + 1}: has more than {LONGEST_LINE} characters")
    if rest:
        yield rest
