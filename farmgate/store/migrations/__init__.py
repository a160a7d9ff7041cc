"""The revisions: `versions/rNNNN_what_changes.py`, applied in the order of their numbers.

Rule: a revision follows the one whose number is the next lower, whichever that is: `down_revision = before(__file__)`.
"""

from __future__ import annotations

from pathlib import Path


def before(file: str) -> str:
    """The number of the revision before the one in this file."""
    own = Path(file)
    return max(path.name[1:5] for path in own.parent.glob("r*.py") if path.name[1:5] < own.name[1:5])
