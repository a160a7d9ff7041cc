"""XML in pieces, without anything that XML can be made to do.

Rules:
1. A document type is passed over where it only names a file, which is never fetched; one with declarations of its own
   is refused, and with it every entity.
2. Depth is limited, and so is the length of a single tag.
3. Bytes that are not of the file's encoding become U+FFFD, and control characters that XML forbids (the colours of a
   terminal) too: test output is full of them, and a result is worth more than a rule.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final
from xml.parsers import expat

from farmgate.reports.errors import BadReport

DEPTH: Final = 100
LONGEST_TAG: Final = 4 * 2**20
_DECLARED: Final = re.compile(rb"""^<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ENCODINGS: Final = re.compile(
    r"utf-(8|16|32)(-sig|-le|-be)?|ascii|iso8859-\d+|cp\d+|koi8-[ru]|mac-roman"
    r"|gb18030|gbk|gb2312|big5|shift_jis|euc_(jp|kr)"
)
Start = Callable[[str, dict[str, str]], None]


class Reader:
    """An expat parser that keeps the rules. `listen` turns the text of elements on and off: little of it is wanted."""

    def __init__(self, start: Start, end: Callable[[str], None]) -> None:
        self._start, self._end, self._depth = start, end, 0
        self._fed = 0
        self._parser = parser = expat.ParserCreate(namespace_separator=None)
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._finish
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._skipped

    def listen(self, hear: Callable[[str], None] | None) -> None:
        self._parser.CharacterDataHandler = hear

    def feed(self, text: str) -> None:
        try:
            self._parser.Parse(text, False)
        except expat.ExpatError as error:
            raise self._told(error) from None
        self._fed += len(text)
        # Characters are fewer than bytes, so this never fires early; expat reads an open tag again with every piece.
        if self._fed - max(0, self._parser.CurrentByteIndex) > LONGEST_TAG:
            raise BadReport(f"{self.place()}: a single tag has more than {LONGEST_TAG // 2**20} MiB")

    def close(self) -> None:
        try:
            self._parser.Parse("", True)
        except expat.ExpatError as error:
            raise self._told(error) from None

    def place(self) -> str:
        return f"line {self._parser.CurrentLineNumber}, column {self._parser.CurrentColumnNumber + 1}"

    def _told(self, error: expat.ExpatError) -> BadReport:
        said = expat.ErrorString(error.code) or "cannot be read"
        if said == "no element found":
            said = "the file ends before its last tag is closed" if self._fed else "the file is empty"
        return BadReport(f"line {error.lineno}, column {error.offset + 1}: {said}")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise BadReport(f"{self.place()}: elements are nested more than {DEPTH} deep")
        self._start(name.rpartition(":")[2], attributes)

    def _finish(self, name: str) -> None:
        self._depth -= 1
        self._end(name.rpartition(":")[2])

    def _doctype(self, _name: str, _system: str | None, _public: str | None, has_internal_subset: bool) -> None:
        if has_internal_subset:
            raise BadReport(f"{self.place()}: a document type with declarations of its own is refused")

    def _entity(self, *_: object) -> None:
        raise BadReport(f"{self.place()}: declares an entity, which is refused")

    def _skipped(self, name: str, _is_parameter: bool) -> None:
        raise BadReport(f"{self.place()}: uses the entity '&{name[:40]};', which is not declared")


def decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    """Rule 3."""
    pieces = iter(chunks)
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= 300:
            break
    decoder = codecs.getincrementaldecoder(encoding_of(first))(errors="replace")
    yield _FORBIDDEN.sub("�", decoder.decode(first).removeprefix("\ufeff"))
    for piece in pieces:
        yield _FORBIDDEN.sub("�", decoder.decode(piece))
    if rest := decoder.decode(b"", final=True):
        yield _FORBIDDEN.sub("�", rest)


def encoding_of(first: bytes) -> str:
    """By its mark, else by its declaration, else UTF-8. Raises BadReport for one that is none."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if first.startswith(mark):
            return name
    if first[:4] in (b"<\0?\0", b"\0<\0?"):
        return "utf-16-le" if first[0] else "utf-16-be"
    declared = _DECLARED.match(first)
    if declared is None:
        return "utf-8"
    written = declared[1].decode()
    try:
        name = codecs.lookup(written).name
    except LookupError:
        name = ""
    if not _ENCODINGS.fullmatch(name):
        raise BadReport(f"line 1: the encoding {written!r} is not known")
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else name  # one byte a character so far, so it is neither


def number_of(attributes: Mapping[str, str], name: str) -> int:
    """A count; 0 where it is none."""
    text = attributes.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
