"""What is wrong with a report, and where."""

from __future__ import annotations

from farmgate.errors import FarmgateError


class BadReport(FarmgateError):
    """A report that cannot be read to its end; the text names the place."""
