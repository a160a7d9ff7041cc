"""JSON in pieces: its values one after the other, each with where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import ijson

from farmgate.reports.errors import BadReport

DEPTH: Final = 100
Path = tuple[str, ...]
Value = str | int | float | bool | None


def walk(chunks: Iterable[bytes]) -> Iterator[tuple[Path, str, Value]]:
    """(where, what, value): `what` is `value`, `begin` or `end` of a map; list members have the place `[]`.

    Raises BadReport.
    """
    path: list[Path] = []
    here: Path = ()
    pieces = _Pieces(chunks)
    try:
        for event, value in ijson.basic_parse(pieces, buf_size=256 * 1024, use_float=True):
            if event == "map_key":
                here = (*path[-1], value)
            elif event in ("start_map", "start_array"):
                if len(path) >= DEPTH:
                    raise BadReport(f"values are nested more than {DEPTH} deep")
                if event == "start_map":
                    yield here, "begin", None
                    path.append(here)
                else:
                    path.append(here)
                    here = (*here, "[]")
            elif event in ("end_map", "end_array"):
                here = path.pop()
                if event == "end_map":
                    yield here, "end", None
            else:
                yield here, "value", value
    except (ijson.JSONError, UnicodeDecodeError, OverflowError, ValueError) as error:
        said = " ".join(str(error).split("\n", 1)[0].split())[:120]
        raise BadReport(f"after {pieces.given} bytes: this is not JSON: {said}") from None


class _Pieces:
    """Chunks as something to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest, self.given = iter(chunks), b"", 0

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            return b""
        data = self._rest or next(self._chunks, b"")
        data, self._rest = (data, b"") if size < 0 else (data[:size], data[size:])
        self.given += len(data)
        return data
