"""Branches and tags as other systems write them, as patterns of ours.

Rules:
1. A name is itself; `/an expression/` is a glob where a glob says the same or a little more, else nothing.
"""

from __future__ import annotations

import re


def glob_of(text: str) -> str | None:
    """A branch as Travis writes it, also the simpler expressions."""
    if not (text.startswith("/") and text.endswith("/") and len(text) > 1):
        return text
    inside = text[1:-1]
    anchored = inside.startswith("^")
    plain = inside.strip("^$").replace("\\/", "/").replace("\\.", ".").replace("\\-", "-")
    plain = re.sub(r"\((?:\?:)?[^()]*\)\??|\[[^\]]*\][+*]?|\\[dw][+*]?|\.[*+]", "*", plain)
    if re.search(r"[\\^$|()\[\]+?]", plain):
        return None
    plain = re.sub(r"\*+", "*", plain)
    if not inside.endswith("$") and not plain.endswith("*"):
        plain += "*"
    return (plain if anchored or plain.startswith("*") else f"*{plain}") or None
