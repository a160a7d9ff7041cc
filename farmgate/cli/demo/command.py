"""`farmgate demo`."""

from __future__ import annotations


def demo() -> None:
    """Show the whole farm at work on this machine."""
