"""Other systems' pipeline files, converted to ours. docs/importing.md says what becomes what.

Rules:
1. What converts, converts. What does not is listed at file:line:column, with why and what to do; nothing is dropped
   silently.
2. The result is a valid pipeline file in the order of the original, with comments where a person must look.
3. Only the given texts are looked at: no file is read, nothing is fetched, nothing is run.
"""

from __future__ import annotations

from farmgate.importing.account import Account, Kind, Remark
from farmgate.importing.converting import Imported, convert
from farmgate.importing.sources import Format, Source, format_of

__all__ = ["Account", "Format", "Imported", "Kind", "Remark", "Source", "convert", "format_of"]
