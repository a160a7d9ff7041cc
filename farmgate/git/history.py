"""The read side of a repository: what plans need to know of its history. `Mirror` and `FakeHistory` both keep it.

Rules:
1. Whatever is asked by hash and is not there raises NotInRepository; a path that is not there is None.
2. Histories are first-parent histories, told oldest first. A position counts from 1.
3. Text is shown, never trusted: bytes that are not UTF-8 become U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from farmgate.git.trees import Entry

if TYPE_CHECKING:
    from farmgate.git.making import Clash

READ_LIMIT: Final = 2 * 1024 * 1024
"""The largest file `read` gives, in bytes, where the caller names no other limit."""


@dataclass(frozen=True, slots=True)
class GitCommit:
    """A commit. `committed_at` is aware (UTC); `title` is the first line of `message`."""

    sha: str
    parents: tuple[str, ...]
    tree: str
    author_name: str
    author_email: str
    committed_at: datetime
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Change:
    """A path that differs between two trees: what is there before and after, as hashes; None: nothing."""

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Patch:
    """What a commit changes: the same `id` wherever it is applied. `inverse`: the id of what takes it back."""

    id: str
    inverse: str


class History(Protocol):
    """A repository as the plans see it. Every method may raise NotInRepository."""

    def refs(self) -> Mapping[str, str]:
        """Every branch, tag and fetched pull request by full name, with the commit it leads to."""
        ...

    def resolve(self, ref: str) -> str:
        """The commit that a full ref, a branch's or tag's short name, or a whole hash leads to."""
        ...

    def commit(self, sha: str) -> GitCommit: ...

    def commits(self, shas: Iterable[str]) -> tuple[GitCommit, ...]:
        """In the order asked."""
        ...

    def first_parent(
        self, after: str, *, before: str | None = None, exclude: Iterable[str] = (), limit: int
    ) -> tuple[GitCommit, ...]:
        """The first-parent history of `after`, oldest first, without what `before` and `exclude` reach.

        Of more than `limit` commits the newest are given. A `before` or `exclude` that the repository does not hold
        (a forced push took it away) excludes nothing.
        """
        ...

    def position(self, sha: str) -> int:
        """How many commits its first-parent history has, itself included."""
        ...

    def merge_base(self, a: str, b: str) -> str | None:
        """The best common ancestor; None for histories that have nothing in common."""
        ...

    def is_ancestor(self, a: str, b: str) -> bool:
        """True if `b` contains `a`; a commit contains itself."""
        ...

    def read(self, sha: str, path: str, *, limit: int = READ_LIMIT) -> bytes | None:
        """The file's bytes at that commit; None if it is absent. Raises NotAFile for anything but a file that fits."""
        ...

    def changed_paths(self, since: str | None, until: str) -> Sequence[str]:
        """The paths that differ between two commits' trees, sorted; all paths of `until` where `since` is None."""
        ...

    def paths_of(self, shas: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The paths that each commit changes against its first parent, sorted; without commits that are not there."""
        ...

    def apart(self, a: str, b: str, *, limit: int) -> tuple[GitCommit, ...]:
        """What one of two commits contains and the other does not, by every parent; the newest `limit` of them."""
        ...

    def differences(self, pairs: Sequence[tuple[str, str]]) -> Sequence[Mapping[str, Change]]:
        """For each pair of commits, the paths in which their trees differ."""
        ...

    def tree_entries(self, sha: str, patterns: Sequence[str]) -> Sequence[Entry]:
        """What the patterns take of the commit's tree, by hash: the same entries, the same content."""
        ...

    def patches(self, shas: Sequence[str]) -> Mapping[str, Patch]:
        """What commits change, by ids; without merges, and commits that change nothing or anything but text."""
        ...


class Workshop(History, Protocol):
    """A repository in which Farmgate may make commits of its own."""

    def grow(self, onto: str, commits: Sequence[str], *, at: datetime, back: bool = False) -> tuple[str, ...] | Clash:
        """New commits on top of `onto`: each of these picked, or taken back, in this order. The same wish, the same
        hashes. Raises NotInRepository, MissingProgram (a git that is too old)."""
        ...

    def mailbox(self, onto: str, tip: str) -> bytes:
        """The commits after `onto` up to `tip`, one on the other, as mails that `git am` applies. Raises
        NotInRepository."""
        ...

    def keep(self, ref: str, sha: str) -> None:
        """Let a ref that no fetch writes (refs/farmgate/...) lead to a commit."""
        ...
