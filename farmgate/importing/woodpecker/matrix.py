"""The combinations of a file's `matrix`, and what is put in for them.

Follows "Matrix workflows" of Woodpecker's documentation.
"""

from __future__ import annotations

import itertools
import re

from farmgate.documents import as_written
from farmgate.importing import cells
from farmgate.importing.account import Part
from farmgate.importing.draft import good_variable

_MOST = 1000


class Matrix:
    """The combinations: `include`, or the product of the axes."""

    def __init__(self, root: Part) -> None:
        self.cells: list[dict[str, str]] = []
        part = root.part("matrix")
        if part is None:
            return
        include = part.listed("include")
        found = [
            {key: as_written(text) or "" for key, text in one.items() if good_variable(key)}
            for _, one in include
            if isinstance(one, dict)
        ]
        axes = {key: part.texts(key) for key in part.names() if key != "include" and good_variable(key)}
        if axes and not include:
            product = itertools.islice(itertools.product(*axes.values()), _MOST)
            found = [dict(zip(axes, values, strict=True)) for values in product]
        names = list(dict.fromkeys(key for cell in found for key in cell))
        self.cells = [{name: cell.get(name, "") for name in names} for cell in found]
        part.close("matrix")

    def put_in(self, text: str) -> str:
        """`${GO_VERSION}` of the matrix, put in."""

        def one(found: re.Match[str]) -> str:
            value = cells.value(self.cells, found[1])
            return found[0] if value is None else value

        return re.sub(r"\$\{(\w+)\}", one, text)

    def asked_by(self, commands: str) -> dict[str, str]:
        """The variables of the matrix that commands ask their shell for."""
        found = {}
        for key in dict.fromkeys(key for cell in self.cells for key in cell):
            value = cells.value(self.cells, key)
            if value is not None and re.search(rf"\${key}\b", commands):
                found[key] = value
        return found
