"""Documents that people write: pipeline and policy files, read strictly, with every problem at its place.

Rules:
1. YAML is read as `farmgate.documents.tree` says; then a pydantic model says what may stand in it.
2. All problems of a document are told at once, in the order of the file, each with file, line and column.
3. An unknown key is a problem, with the key that was probably meant, or those that exist.
"""

from __future__ import annotations

from farmgate.documents.document import Document, Location, read
from farmgate.documents.tree import NODE_LIMIT, SIZE_LIMIT, as_written
from farmgate.documents.validation import check, load, nearest, shown, validate
from farmgate.documents.writing import write

__all__ = [
    "NODE_LIMIT",
    "SIZE_LIMIT",
    "Document",
    "Location",
    "as_written",
    "check",
    "load",
    "nearest",
    "read",
    "shown",
    "validate",
    "write",
]
