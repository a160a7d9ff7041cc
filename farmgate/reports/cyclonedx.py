"""What something is made of, as CycloneDX JSON: its components are counted, the file itself is kept by digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from farmgate.reports.errors import BadReport
from farmgate.reports.json import walk

_KINDS = 30


def read(chunks: Iterable[bytes], into: Counter[str]) -> None:
    """Count components by their type. Raises BadReport; what was counted before that holds."""
    known = False
    for path, what, value in walk(chunks):
        if path == ("bomFormat",):
            known = value == "CycloneDX"
        elif what == "begin" and path[-2:] == ("components", "[]") and _nested(path):
            into["all"] += 1
        elif what == "value" and path[-3:] == ("components", "[]", "type") and _nested(path[:-1]):
            kind = str(value)[:40]
            into[kind if len(into) < _KINDS or kind in into else "other"] += 1
    if not known:
        raise BadReport("this is not CycloneDX: it has no 'bomFormat' that says so")


def _nested(path: tuple[str, ...]) -> bool:
    """True for `components` at the top or within components."""
    return all(pair == ("components", "[]") for pair in zip(path[::2], path[1::2], strict=True))


def purls(chunks: Iterable[bytes]) -> Iterator[str | None]:
    """Of every component its package URL; None for one without (files and the operating system itself have none, and
    are left out). Raises BadReport, also at the end of what is no CycloneDX."""
    known = False
    open_: list[dict[str, str]] = []
    for path, what, value in walk(chunks):
        if path == ("bomFormat",):
            known = value == "CycloneDX"
        elif path[:1] != ("components",):
            continue
        elif what == "value" and open_ and path[-1] in ("type", "purl") and path[-3:-1] == ("components", "[]"):
            open_[-1][path[-1]] = str(value)
        elif path[-2:] == ("components", "[]") and _nested(path):
            if what == "begin":
                open_.append({})
            elif what == "end" and open_:
                one = open_.pop()
                if one.get("purl") or one.get("type") not in ("file", "operating-system"):
                    yield one.get("purl")
    if not known:
        raise BadReport("this is not CycloneDX: it has no 'bomFormat' that says so")
