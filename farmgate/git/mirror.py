"""A bare mirror of a repository: the only form in which the control plane holds foreign history. Never checked out.

Rules:
1. Branches and tags are mirrored under their own names and pruned when they vanish; commits stay.
2. One fetch at a time per mirror, among threads and processes; reading goes on meanwhile.
3. What a crashed git left locked is unlocked by the next fetch, which holds the only right to write.
4. Trying again is the caller's decision.
5. Commits that Farmgate makes stand under refs/farmgate/, which no fetch writes or prunes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final

from farmgate.errors import NotAFile, NotInRepository, RemoteUnreachable
from farmgate.git.command import (
    DEFAULT_TIMEOUT,
    GitFailed,
    checked_url,
    environment,
    git,
    missing,
    piped,
    unreachable,
    without_login,
    without_password,
)
from farmgate.git.history import READ_LIMIT, Change, GitCommit, Patch
from farmgate.git.lock import locked
from farmgate.git.making import Clash, Workbench
from farmgate.git.objects import GitObject, ObjectReader, TreeEntry, parse_commit, tree_entries, tree_entry
from farmgate.git.trees import FOLDER, Entry, chosen
from farmgate.refs import HEADS, MADE, TAGS, is_ref, is_sha

EVERYTHING: Final = (f"+{HEADS}*:{HEADS}*", f"+{TAGS}*:{TAGS}*")
_PATCHES_AT_ONCE: Final = 500
_MODES: Final = {"120000": "a symbolic link", "160000": "a submodule", "40000": "a folder"}


class Mirror:
    """The bare mirror at `path` of the repository at `url`. Safe for several threads and processes; a `History`."""

    def __init__(self, path: Path, url: str, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self.path = path
        self.url = checked_url(url)
        self._timeout = timeout
        self._objects = ObjectReader(path)

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process that stays open for reading; the mirror can still be used."""
        self._objects.close()

    # Writing

    def fetch(
        self,
        refspecs: Sequence[str] | None = None,
        *,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Bring the mirror up to date: every branch and tag, or just `refspecs` (from `url`, for a fork).

        Raises RemoteUnreachable, and NotInRepository where a refspec's source is not at the remote (any more).
        """
        source = checked_url(url) if url is not None else self.url
        wanted = EVERYTHING if refspecs is None else tuple(_checked_refspec(spec) for spec in refspecs)
        prune = ["--prune"] if refspecs is None else []
        address, login = without_login(source)
        command = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force", *prune, "--", address, *wanted)
        env = environment(headers, login=login)
        with locked(self.path) as lock:
            create_bare(self.path)
            try:
                try:
                    git(*command, within=self.path, env=env, timeout=self._timeout, hold=[lock])
                except GitFailed as failure:
                    if not unlock(self.path, failure):
                        raise
                    git(*command, within=self.path, env=env, timeout=self._timeout, hold=[lock])
            except GitFailed as failure:
                if "couldn't find remote ref" in failure.output or "not our ref" in failure.output:
                    raise NotInRepository(f"{without_password(source)} no longer has it: {failure}") from None
                raise unreachable(source, failure) from None
        self._objects.fetched()

    def default_branch(self, headers: Mapping[str, str] | None = None) -> str | None:
        """The branch that the remote's HEAD names, as a full ref; None for an empty or detached one."""
        address, login = without_login(self.url)
        env = environment(headers, login=login)
        try:
            out = git("ls-remote", "--symref", "--", address, "HEAD", env=env, timeout=self._timeout)
        except GitFailed as failure:
            raise unreachable(self.url, failure) from None
        first = out.decode(errors="replace").partition("\n")[0]
        ref = first.removeprefix("ref: ").partition("\t")[0]
        return ref if first.startswith("ref: ") and is_ref(ref) else None

    def grow(self, onto: str, commits: Sequence[str], *, at: datetime, back: bool = False) -> tuple[str, ...] | Clash:
        with locked(self.path):
            grown = self._bench().grow(onto, commits, at=at, back=back)
        self._objects.fetched()
        return grown

    def mailbox(self, onto: str, tip: str) -> bytes:
        self.commits((onto, tip))
        return self._bench().mailbox(onto, tip)

    def keep(self, ref: str, sha: str) -> None:
        if not (ref.startswith(MADE) and is_ref(ref)):
            raise NotInRepository(f"{ref!r} is no name for a made commit")
        with locked(self.path):
            self._bench().keep(ref, self.commit(sha).sha)

    def _bench(self) -> Workbench:
        return Workbench(self.path, self._objects.get_fresh, self._timeout)

    # Reading: see History

    def refs(self) -> dict[str, str]:
        layout = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
        found: dict[str, str] = {}
        for line in self._git("for-each-ref", f"--format={layout}").decode(errors="replace").splitlines():
            name, kind, sha, peeled_kind, peeled = line.split("\0")
            if kind == "commit":
                found[name] = sha
            elif peeled_kind == "commit":
                found[name] = peeled
            elif peeled_kind == "tag":  # a tag of a tag
                with contextlib.suppress(NotInRepository):
                    found[name] = self.resolve(name)
        return found

    def resolve(self, ref: str) -> str:
        if is_sha(ref) or is_ref(ref):
            candidates = [ref]
        else:
            candidates = [name for name in (HEADS + ref, TAGS + ref) if is_ref(name)]
        for name in candidates:
            with contextlib.suppress(NotInRepository):
                return self._git("rev-parse", "--verify", "--quiet", name + "^{commit}").decode().strip()
        raise missing(repr(ref))

    def commit(self, sha: str) -> GitCommit:
        found = self._objects.get(sha)
        if found is None or found.kind != "commit":
            raise missing(f"commit {sha!r}")
        return parse_commit(found)

    def commits(self, shas: Iterable[str]) -> tuple[GitCommit, ...]:
        return tuple(self.commit(sha) for sha in shas)

    def first_parent(
        self, after: str, *, before: str | None = None, exclude: Iterable[str] = (), limit: int
    ) -> tuple[GitCommit, ...]:
        self.commit(after)
        hidden = [sha for sha in ([before] if before else []) + list(exclude) if self._holds(sha)]
        # by stdin: the list may be longer than an argument list can be
        asked = "\n".join([after, *(f"^{sha}" for sha in hidden), ""]).encode()
        out = self._git("rev-list", "--first-parent", f"--max-count={limit}", "--stdin", stdin=asked)
        return self.commits(reversed(out.decode().split()))

    def position(self, sha: str) -> int:
        self.commit(sha)
        return int(self._git("rev-list", "--first-parent", "--count", sha))

    def merge_base(self, a: str, b: str) -> str | None:
        self.commits((a, b))
        try:
            return git("merge-base", a, b, within=self.path, timeout=self._timeout).decode().split()[0]
        except GitFailed as failure:
            if failure.status == 1:
                return None
            raise

    def is_ancestor(self, a: str, b: str) -> bool:
        self.commits((a, b))
        try:
            git("merge-base", "--is-ancestor", a, b, within=self.path, timeout=self._timeout)
        except GitFailed as failure:
            if failure.status == 1:
                return False
            raise
        return True

    def read(self, sha: str, path: str, *, limit: int = READ_LIMIT) -> bytes | None:
        entry = TreeEntry("40000", self.commit(sha).tree)
        for part in path.split("/"):
            tree = self._objects.get(entry.sha) if entry.mode == "40000" else None
            if tree is None:
                return None
            below = tree_entry(tree.body, part.encode(errors="surrogateescape"), len(sha))
            if below is None:
                return None
            entry = below
        if entry.mode in _MODES:
            raise NotAFile(f"{path!r} at {sha[:12]} is {_MODES[entry.mode]}, not a file")
        return self._blob(entry.sha, sha, path, limit)

    def changed_paths(self, since: str | None, until: str) -> tuple[str, ...]:
        self.commits((until,) if since is None else (since, until))
        names = ("-r", "-z", "--name-only")
        if since is None:
            out = self._git("ls-tree", *names, "--full-tree", until)
        else:
            out = self._git("diff-tree", *names, "--no-renames", "--no-ext-diff", since, until)
        return tuple(sorted(name.decode(errors="replace") for name in out.split(b"\0") if name))

    def paths_of(self, shas: Sequence[str]) -> Mapping[str, Sequence[str]]:
        commits = self.commits([sha for sha in dict.fromkeys(shas) if self._holds(sha)])
        asked = "".join(f"{' '.join((commit.sha, *commit.parents[:1]))}\n" for commit in commits)
        out = self._git(
            *("diff-tree", "--stdin", "--root", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff"),
            stdin=asked.encode(),
        )
        found: dict[str, list[str]] = {commit.sha: [] for commit in commits}
        ahead, current = set(found), ""  # a header is the hash of a commit that was asked for and not told yet
        for part in filter(None, out.split(b"\0")):
            name = part.decode(errors="replace")
            if name in ahead:
                ahead.discard(name)
                current = name
            else:
                found[current].append(name)
        return {sha: sorted(paths) for sha, paths in found.items()}

    def apart(self, a: str, b: str, *, limit: int) -> tuple[GitCommit, ...]:
        self.commits((a, b))
        out = self._git("rev-list", f"--max-count={limit}", f"{a}...{b}")
        return self.commits(out.decode().split())

    def differences(self, pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, Change], ...]:
        found: list[dict[str, Change]] = [{} for _ in pairs]
        trees = [(self.commit(one).tree, self.commit(other).tree) for one, other in pairs]
        asked = "".join(f"{one} {other}\n" for one, other in trees).encode()
        names = ("--stdin", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff")
        out = self._git("diff-tree", *names, stdin=asked).split(b"\0") if pairs else []
        at, parts = -1, iter(out)
        for part in parts:
            *trees_asked, change = part.split(b"\n")  # a line of two trees before what differs between them
            at += len(trees_asked)
            if change:
                _, _, before, after, _ = change.decode().split(" ")
                path = next(parts).decode(errors="replace")
                found[at][path] = Change(_there(before), _there(after))
        return tuple(found)

    def tree_entries(self, sha: str, patterns: Sequence[str]) -> tuple[Entry, ...]:
        digits = len(sha)

        def read(folder: Entry) -> tuple[Entry, ...]:
            tree = self._objects.get(folder.sha)
            if tree is None or tree.kind != "tree":
                raise missing(f"the folder {folder.path!r} at {sha[:12]}")
            return tree_entries(tree.body, digits)

        return tuple(chosen(read, Entry("", FOLDER, self.commit(sha).tree), patterns))

    def patches(self, shas: Sequence[str]) -> Mapping[str, Patch]:
        commits = [commit for commit in self.commits(shas) if len(commit.parents) <= 1]
        found: dict[str, Patch] = {}
        for at in range(0, len(commits), _PATCHES_AT_ONCE):
            asked = "".join(f"{commit.sha}\n" for commit in commits[at : at + _PATCHES_AT_ONCE]).encode()
            text = self._text_only(asked)
            ids, inverses = self._patch_ids(asked), self._patch_ids(asked, "-R", "--src-prefix=b/", "--dst-prefix=a/")
            for sha in text & ids.keys() & inverses.keys():
                found[sha] = Patch(ids[sha], inverses[sha])
        return found

    def _patch_ids(self, asked: bytes, *how: str) -> dict[str, str]:
        diff = ("diff-tree", "--stdin", "--root", "-r", "-p", "--no-ext-diff", "--no-textconv", "--no-renames", *how)
        try:
            out = piped(diff, ("patch-id", "--stable"), within=self.path, stdin=asked, timeout=self._timeout)
        except GitFailed as failure:
            raise NotInRepository(f"{self.path.name}: {failure}") from None
        pairs = (line.split() for line in out.decode().splitlines())
        return {sha: patch for patch, sha in pairs}

    def _text_only(self, asked: bytes) -> set[str]:
        """Those of the commits that change nothing but text: a changed picture looks like any other change of it."""
        out = self._git("diff-tree", "--stdin", "--root", "-r", "-z", "--numstat", "--no-renames", stdin=asked)
        found: set[str] = set()
        sha = ""
        for part in out.decode(errors="replace").split("\0"):
            if is_sha(part):
                sha = part
                found.add(sha)
            elif part.startswith("-\t-\t"):
                found.discard(sha)
        return found

    def _holds(self, sha: str) -> bool:
        found = self._objects.get(sha)
        return found is not None and found.kind == "commit"

    def _blob(self, blob: str, sha: str, path: str, limit: int) -> bytes:
        try:
            found: GitObject | None = self._objects.get(blob, limit)
        except NotAFile:
            raise NotAFile(f"{path!r} at {sha[:12]} is larger than the {limit} bytes that are read") from None
        if found is None:
            raise missing(f"{path!r} at {sha[:12]} (object {blob})")
        return found.body

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        try:
            return git(*arguments, within=self.path, stdin=stdin, timeout=self._timeout)
        except GitFailed as failure:
            raise NotInRepository(f"{self.path.name}: {failure}") from None


def _there(digits: str) -> str | None:
    return digits if digits.strip("0") else None


def create_bare(path: Path, *, digits: int = 40) -> None:
    """Make an empty bare repository, if there is none. The caller holds the lock."""
    if not (path / "HEAD").exists():
        kind = "sha1" if digits == 40 else "sha256"
        git("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--", str(path))


def unlock(path: Path, failure: GitFailed) -> bool:
    """Remove what a killed git left locked, if that is why it failed. The caller holds the lock, so no git writes."""
    if ".lock': File exists" not in failure.output:
        return False
    for left in (*path.glob("*.lock"), *path.glob("refs/**/*.lock")):
        left.unlink(missing_ok=True)
    return True


def _checked_refspec(spec: str) -> str:
    source, _, target = spec.removeprefix("+").partition(":")
    if (is_ref(source) or is_sha(source)) and is_ref(target):
        return f"+{source}:{target}"
    raise RemoteUnreachable(f"{spec!r} is not a refspec of full names")
