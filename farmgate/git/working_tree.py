"""A working tree as it stands, as a commit: what is changed, new and not ignored is in it.

Rules:
1. Nothing of the user's repository changes: the index is a copy, and new objects go to a bare repository of ours that
   borrows from theirs.
2. The commit stands on what is checked out, on the same branch; so history is what it would be after a commit.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farmgate.errors import NotFound
from farmgate.git.command import GitFailed, environment, git
from farmgate.refs import HEADS

DETACHED: Final = "local"
"""The branch of a working tree that is on none."""


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """`folder`: its top. The others are its repository's; `shallow`: what a clone without its history lacks."""

    folder: Path
    objects: Path
    index: Path
    shallow: Path


@dataclass(frozen=True, slots=True)
class Taken:
    """The commit, in the bare repository; `branch` is the short name. `changed`: it is not just what is checked out."""

    sha: str
    branch: str
    changed: bool


def find(folder: Path) -> WorkingTree:
    """The working tree that a folder is in. Raises NotFound."""
    try:
        paths = [word for name in ("objects", "index", "shallow") for word in ("--git-path", name)]
        said = _git(folder, "rev-parse", "--show-toplevel", *paths)
    except GitFailed as error:
        raise NotFound(f"{folder} is in no git working tree ({error}): git init, and commit once") from None
    top, *parts = said.splitlines()
    return WorkingTree(Path(top), *((folder / part).resolve() for part in parts))


def takes_in(top: Path, file: Path) -> bool:
    """True if `take` would make the file a part of its commit."""
    path = file.resolve()
    if not path.is_relative_to(top.resolve()):
        return False
    try:
        return bool(_git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", str(path)))
    except GitFailed:
        return True


def take(tree: WorkingTree, into: Path, replaced: dict[str, bytes] | None = None) -> Taken:
    """Commit the working tree into the bare repository `into`, which is made where it is missing. Raises GitFailed,
    NotFound for a repository without any commit.

    `replaced`: files that stand in the commit with other bytes than in the working tree.
    """
    if not (into / "HEAD").exists():
        into.parent.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--bare", str(into))
    (into / "objects" / "info" / "alternates").write_text(f"{tree.objects}\n")
    if tree.shallow.exists():
        shutil.copyfile(tree.shallow, into / "shallow")
    try:
        head = _git(tree.folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    except GitFailed:
        raise NotFound(f"{tree.folder} has no commit yet: commit once, then what is changed since is run too") from None
    try:
        branch = _git(tree.folder, "symbolic-ref", "--quiet", "--short", "HEAD").strip()
    except GitFailed:
        branch = DETACHED
    with tempfile.TemporaryDirectory(prefix="farmgate-index-") as name:
        index = Path(name) / "index"
        if tree.index.exists():
            shutil.copyfile(tree.index, index)  # with what git knows of unchanged files, so that it need not read them
        ours = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(into / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(tree.objects),
        }
        _git(tree.folder, "add", "--all", ".", variables=ours)
        for path, content in (replaced or {}).items():
            blob = _git(tree.folder, "hash-object", "-w", "--stdin", stdin=content, variables=ours).strip()
            _git(tree.folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", variables=ours)
        made = _git(tree.folder, "write-tree", variables=ours).strip()
        changed = made != _git(tree.folder, "rev-parse", f"{head}^{{tree}}").strip()
        title = f"The working tree of {branch}" + (" with its changes" if changed else "")
        sha = _git(tree.folder, "commit-tree", made, "-p", head, "-m", title, variables=ours).strip()
    git("update-ref", HEADS + branch, sha, within=into)
    return Taken(sha, branch, changed)


def _git(folder: Path, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None) -> str:
    said = git("-C", str(folder), *arguments, stdin=stdin, env={**environment(), **(variables or {})})
    return said.decode(errors="surrogateescape")
