"""Git, by its command line: bare mirrors on the server, node-local mirrors and checkouts, and serving over HTTP."""

from __future__ import annotations

from farmgate.git.fake import FakeHistory
from farmgate.git.history import READ_LIMIT, Change, GitCommit, History, Workshop
from farmgate.git.making import Clash
from farmgate.git.mirror import Mirror
from farmgate.git.node import NodeMirror
from farmgate.git.serve import ADVERTISEMENT_TYPE, RESULT_TYPE, advertise, upload_pack

__all__ = [
    "ADVERTISEMENT_TYPE",
    "READ_LIMIT",
    "RESULT_TYPE",
    "Change",
    "Clash",
    "FakeHistory",
    "GitCommit",
    "History",
    "Mirror",
    "NodeMirror",
    "Workshop",
    "advertise",
    "upload_pack",
]
