"""One call for all formats.

Rules:
1. All given files are of one format; several make one pipeline.
2. A file that cannot be read is refused with its problems, as our own file would be.
3. Remarks come in the order of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from farmgate.documents import Document
from farmgate.errors import Problem
from farmgate.importing import circleci, github, gitlab, travis, woodpecker
from farmgate.importing.account import Account, Kind, Remark
from farmgate.importing.draft import Drafts
from farmgate.importing.settling import settle
from farmgate.importing.sources import Format, Source, document_of

Converter = Callable[[Sequence[Document], Drafts, Account, dict[str, Problem]], None]

_CONVERTERS: dict[Format, Converter] = {
    Format.TRAVIS: travis.convert,
    Format.CIRCLECI: circleci.convert,
    Format.GITLAB: gitlab.convert,
    Format.GITHUB: github.convert,
    Format.WOODPECKER: woodpecker.convert,
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it. `text` None: no job is left to write."""

    text: str | None
    remarks: tuple[Remark, ...]
    steps_converted: int
    steps_left: tuple[str, ...]  # why, one entry per step

    def of(self, kind: Kind) -> tuple[Remark, ...]:
        """The remarks of a kind."""
        return tuple(remark for remark in self.remarks if remark.kind is kind)


def convert(sources: Sequence[Source], of: Format) -> Imported:
    """Convert files of one format. Raises BadDocument if one of them cannot be read."""
    documents = [document_of(source, of) for source in sources]
    account, drafts = Account(), Drafts()
    places: dict[str, Problem] = {}
    with account.noting(drafts.notes):
        _CONVERTERS[of](documents, drafts, account, places)
    names = ", ".join(source.path for source in sources)
    head = [f"Made of {names} by farmgate pipeline import."]
    text = settle(drafts, account, head, places)
    order = {source.path: at for at, source in enumerate(sources)}
    remarks = sorted(
        dict.fromkeys(account.remarks),
        key=lambda remark: (order.get(remark.problem.source, 0), remark.problem.line, remark.problem.column),
    )
    return Imported(text, tuple(remarks), account.converted, tuple(account.left_steps))
