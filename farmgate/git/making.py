"""New commits in a bare mirror, by plumbing: picks, and commits that take others back. Nothing is checked out.

Rules:
1. A pick changes what its commit changed against its first parent; a merge is picked as all that it brought.
2. The same wish makes the same hashes: author and date are the original's, the committer is Farmgate at the time that
   the caller names. So a process that died is followed by one that makes the same objects.
3. What cannot be merged, and what would change nothing, is an answer in words, not an error. Of several that are taken
   back one may change nothing: a later one took it back already.
4. Nothing of a message or a path is ever part of a command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from farmgate.errors import MissingProgram
from farmgate.git.command import git, missing, version
from farmgate.git.objects import GitObject, parse_commit

NEEDS: Final = (2, 38)
"""`git merge-tree --write-tree`."""
FARM: Final = b"Farmgate <farmgate@localhost>"
_TOLD_PATHS: Final = 5


@dataclass(frozen=True, slots=True)
class Clash:
    """A commit that does not go where it was wanted, and why, in words."""

    sha: str
    words: str


def clash(sha: str, title: str, paths: Sequence[str], *, back: bool = False) -> Clash:
    """Rule 3: `paths` conflict; none: it would change nothing."""
    name = f"{sha[:12]} ({title[:80]})"
    if back and paths:
        name += ", taken back,"
    if back and not paths:
        return Clash(sha, f"{name} is not in there any more: what it changed is gone already")
    if not paths:
        return Clash(sha, f"{name} changes nothing there: it is contained already")
    more = f" and {len(paths) - _TOLD_PATHS} more" if len(paths) > _TOLD_PATHS else ""
    return Clash(sha, f"{name} conflicts in {', '.join(paths[:_TOLD_PATHS])}{more}")


def picked_message(message: str, sha: str) -> str:
    """As `git cherry-pick -x` words it."""
    return f"{message.rstrip()}\n\n(cherry picked from commit {sha})\n"


def taken_back_message(title: str, sha: str) -> str:
    """As `git revert` words it."""
    return f'Revert "{title}"\n\nThis reverts commit {sha}.\n'


@dataclass(frozen=True, slots=True)
class Workbench:
    """A mirror to make commits in. `read`: an object by its hash."""

    path: Path
    read: Callable[[str], GitObject | None]
    timeout: timedelta

    def grow(self, onto: str, commits: Sequence[str], *, at: datetime, back: bool) -> tuple[str, ...] | Clash:
        """The commits on top of `onto`, picked or (`back`) taken back, in this order. Raises NotInRepository, and
        MissingProgram for a git that is too old."""
        if version() < NEEDS:
            raise MissingProgram(
                f"git {'.'.join(map(str, version()))} cannot make commits without a checkout: "
                f"the scheduler needs git {'.'.join(map(str, NEEDS))} for hotfixes and reverts"
            )
        made: list[str] = []
        tip = onto
        for sha in commits:
            grown = self._one(tip, sha, at, back)
            if isinstance(grown, Clash):
                return grown
            made.append(grown)
            tip = grown
        if back and commits and self._tree(tip) == self._tree(onto):
            return clash(commits[0], parse_commit(self._commit(commits[0])).title, (), back=True)
        return tuple(made)

    def mailbox(self, onto: str, tip: str) -> bytes:
        """The commits after `onto` up to `tip` as mails, which `git am` applies."""
        form = ("format-patch", "--stdout", "--no-signature", "--no-stat", "--binary", "--full-index")
        return git(*form, f"{onto}..{tip}", within=self.path, timeout=self.timeout)

    def keep(self, ref: str, sha: str) -> None:
        """Let a full ref lead to the commit."""
        git("update-ref", "--", ref, sha, within=self.path, timeout=self.timeout)

    def _one(self, onto: str, sha: str, at: datetime, back: bool) -> str | Clash:
        found = self._commit(sha)
        commit = parse_commit(found)
        before = parse_commit(self._commit(commit.parents[0])).tree if commit.parents else self._write("tree", b"")
        ours = self._tree(onto)
        base, theirs = (commit.tree, before) if back else (before, commit.tree)
        tree, paths = self._merged(base, ours, theirs)
        if paths or (tree == ours and not back):
            return clash(sha, commit.title, paths, back=back)
        stamp = b"%d +0000" % int(at.timestamp())
        head = found.body.partition(b"\n\n")[0].split(b"\n")
        author = next((line for line in head if line.startswith(b"author ")), b"author %s %s" % (FARM, stamp))
        if back:
            author, message = b"author %s %s" % (FARM, stamp), taken_back_message(commit.title, sha)
        else:
            message = picked_message(commit.message, sha)
        lines = [b"tree " + tree.encode(), b"parent " + onto.encode(), author, b"committer %s %s" % (FARM, stamp)]
        return self._write("commit", b"\n".join(lines) + b"\n\n" + message.encode())

    def _merged(self, base: str, ours: str, theirs: str) -> tuple[str, list[str]]:
        """The merged tree and the paths that conflict. The merge base is told by commits that have just that one: git
        takes it as an argument since 2.40 only."""
        below = self._write("commit", _wrapped(base, None))
        sides = [self._write("commit", _wrapped(tree, below)) for tree in (ours, theirs)]
        told = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z")
        out = git(*told, *sides, within=self.path, timeout=self.timeout, fine=(1,))
        tree, *paths = out.decode(errors="replace").split("\0")
        return tree.strip(), sorted({path for path in paths if path})

    def _tree(self, sha: str) -> str:
        return parse_commit(self._commit(sha)).tree

    def _commit(self, sha: str) -> GitObject:
        found = self.read(sha)
        if found is None or found.kind != "commit":
            raise missing(f"commit {sha!r}")
        return found

    def _write(self, kind: str, body: bytes) -> str:
        out = git("hash-object", "-t", kind, "-w", "--stdin", within=self.path, stdin=body, timeout=self.timeout)
        return out.decode().strip()


def _wrapped(tree: str, parent: str | None) -> bytes:
    above = b"parent " + parent.encode() + b"\n" if parent is not None else b""
    return b"tree %s\n%sauthor %s 0 +0000\ncommitter %s 0 +0000\n\nfor a merge\n" % (tree.encode(), above, FARM, FARM)
