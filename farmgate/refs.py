"""What a commit's name and a ref's name look like. Both come from strangers, so both are checked where they enter.

Rules:
1. A commit is named by its whole hexadecimal hash: 40 digits (SHA-1) or 64 (SHA-256), lower case.
2. All zeros mean 'nothing': the ref did not exist before, or is gone now.
3. A run of a made commit counts as one of the branch that its ref names.
4. A ref is a full name (`refs/...`) that `git check-ref-format` accepts. Such a name never starts with a dash, holds no
   space, control character or `..`, and so can never become an option or a range of a git command.
"""

from __future__ import annotations

import re
from typing import Final

HEADS: Final = "refs/heads/"
TAGS: Final = "refs/tags/"
MADE: Final = "refs/farmgate/"
"""Commits that Farmgate made itself: refs/farmgate/<name>/<branch>."""

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(?:/|$)|\.$|/$")
_LONGEST = 1024


def is_sha(text: str) -> bool:
    """True for a whole hash that names something (not all zeros)."""
    return _SHA.fullmatch(text) is not None and not is_nothing(text)


def is_nothing(text: str) -> bool:
    """True for git's hash of all zeros."""
    return len(text) in (40, 64) and not text.strip("0")


def is_ref(name: str) -> bool:
    """True for a full, well-formed ref name (see `git help check-ref-format`)."""
    return name.startswith("refs/") and 5 < len(name) <= _LONGEST and not _FORBIDDEN.search(name)


def is_branch_or_tag(name: str) -> bool:
    """True for refs/heads/... and refs/tags/...: the refs that start work."""
    return name.startswith((HEADS, TAGS)) and is_ref(name)


def branch_of(ref: str) -> str | None:
    """The branch that a ref is, or that a made commit is made for; None for a tag or a pull request."""
    if ref.startswith(HEADS):
        return ref.removeprefix(HEADS)
    if ref.startswith(MADE):
        return ref.removeprefix(MADE).partition("/")[2] or None
    return None
