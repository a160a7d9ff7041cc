"""`farmgate up`."""

from __future__ import annotations


def up() -> None:
    """Start a farm on this machine."""
