"""Git, by its command line: bare mirrors on the server, node-local mirrors and checkouts, and serving over HTTP."""

from __future__ import annotations

from farmgate.git.history import READ_LIMIT, GitCommit, History
from farmgate.git.mirror import Mirror

__all__ = ["READ_LIMIT", "GitCommit", "History", "Mirror"]
