"""The pages: what runs where, a run with its live log, a lane, the nodes. Rendered on the server; htmx refreshes them.

Rules:
1. A page reads once, in one snapshot, and never acts: what acts is a POST form, and must come from a page of ours.
2. What decides explains: reasons and estimates come from the rules themselves (`farmgate.lanes`, `scheduler.dispatch`).
3. Every page works without script; with it, it refreshes itself, and asks for reasons in a dialog.
"""

from __future__ import annotations

from scheduler.pages.routes import router

__all__ = ["router"]
