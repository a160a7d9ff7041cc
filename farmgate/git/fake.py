"""A history in memory, for simulations: the answers of a `Mirror` without git. One contract suite keeps both true."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice

from farmgate.errors import NotAFile
from farmgate.git.command import missing
from farmgate.git.history import READ_LIMIT, Change, GitCommit, Patch
from farmgate.git.making import Clash, clash, picked_message, taken_back_message
from farmgate.git.trees import FOLDER, Entry, chosen
from farmgate.refs import HEADS, TAGS, is_sha

Files = dict[str, bytes]


class FakeHistory:
    """A repository whose commits are added one by one. Hashes follow from what is added, so runs can be repeated."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._commits: dict[str, GitCommit] = {}
        self._files: dict[str, Files] = {}
        self._refs: dict[str, str] = {}
        self._start = start

    # Writing

    def add(
        self,
        message: str,
        files: Mapping[str, bytes | str | None] | None = None,
        *,
        branch: str = "main",
        parents: Sequence[str] | None = None,
        author: str = "Ada",
    ) -> str:
        """Commit `files` (None removes one) on `branch`, on its head or on `parents`; gives the hash."""
        ref = HEADS + branch
        head = self._refs.get(ref)
        above = tuple(parents) if parents is not None else (head,) if head else ()
        self.commits(above)
        content = dict(self._files[above[0]]) if above else {}
        for path, data in (files or {}).items():
            if data is None:
                content.pop(path, None)
            else:
                content[path] = data.encode() if isinstance(data, str) else data
        when = self._start + timedelta(seconds=len(self._commits))
        email = f"{author.lower().replace(' ', '.')}@example.org"
        sha = self._put(content, message, (author, email), above, when, str(len(self._commits)))
        self._refs[ref] = sha
        return sha

    def point(self, ref: str, sha: str | None) -> None:
        """Let a full ref lead to a commit, or remove it."""
        if sha is None:
            self._refs.pop(ref, None)
        else:
            self._refs[ref] = self.commit(sha).sha

    def grow(self, onto: str, commits: Sequence[str], *, at: datetime, back: bool = False) -> tuple[str, ...] | Clash:
        made: list[str] = []
        tip = self.commit(onto).sha
        for sha in commits:
            commit = self.commit(sha)
            before = self._files[commit.parents[0]] if commit.parents else {}
            base, theirs = (self._files[sha], before) if back else (before, self._files[sha])
            content, paths = _merged(base, self._files[tip], theirs)
            if paths or (content == self._files[tip] and not back):
                return clash(sha, commit.title, paths, back=back)
            message = taken_back_message(commit.title, sha) if back else picked_message(commit.message, sha)
            author = ("Farmgate", "farmgate@localhost") if back else (commit.author_name, commit.author_email)
            tip = self._put(content, message, author, (tip,), at, str(at))
            made.append(tip)
        if back and commits and self._files[tip] == self._files[self.commit(onto).sha]:
            return clash(commits[0], self.commit(commits[0]).title, (), back=True)
        return tuple(made)

    def mailbox(self, onto: str, tip: str) -> bytes:
        self.commits((onto, tip))
        return b"".join(self._mail(commit) for commit in self.first_parent(tip, before=onto, limit=len(self._commits)))

    def _mail(self, commit: GitCommit) -> bytes:
        (above,) = commit.parents
        old, new = self._files[above], self._files[commit.sha]
        lines = [f"From {commit.sha} Mon Sep 17 00:00:00 2001", f"From: {commit.author_name} <{commit.author_email}>"]
        lines += [f"Date: {format_datetime(commit.committed_at)}", f"Subject: [PATCH] {commit.title}", ""]
        lines += [*commit.message.splitlines()[2:], "---"]
        for path in self.changed_paths(above, commit.sha):
            lines.append(f"diff --git a/{path} b/{path}")
            if path not in old:
                lines.append("new file mode 100644")
            elif path not in new:
                lines.append("deleted file mode 100644")
            names = (f"a/{path}" if path in old else "/dev/null", f"b/{path}" if path in new else "/dev/null")
            before, after = _lines(old.get(path, b"")), _lines(new.get(path, b""))
            lines += difflib.unified_diff(before, after, *names, lineterm="")
        return "\n".join([*lines, "", ""]).encode()

    def keep(self, ref: str, sha: str) -> None:
        self.point(ref, sha)

    def _put(
        self,
        content: Files,
        message: str,
        author: tuple[str, str],
        above: tuple[str, ...],
        when: datetime,
        salt: str,
    ) -> str:
        tree = _digest(*(part for path in sorted(content) for part in (path.encode(), content[path])))
        sha = _digest(tree.encode(), message.encode(), author[0].encode(), salt.encode(), *_raw(above))
        text = message.strip("\n")
        self._commits[sha] = GitCommit(sha, above, tree, *author, when, text.partition("\n")[0], text)
        self._files[sha] = content
        return sha

    # Reading: see History

    def refs(self) -> dict[str, str]:
        return dict(sorted(self._refs.items()))

    def resolve(self, ref: str) -> str:
        for name in (ref, HEADS + ref, TAGS + ref):
            if name in self._refs:
                return self._refs[name]
        if ref in self._commits:
            return ref
        raise missing(repr(ref))

    def commit(self, sha: str) -> GitCommit:
        if not is_sha(sha) or sha not in self._commits:
            raise missing(f"commit {sha!r}")
        return self._commits[sha]

    def commits(self, shas: Iterable[str]) -> tuple[GitCommit, ...]:
        return tuple(self.commit(sha) for sha in shas)

    def first_parent(
        self, after: str, *, before: str | None = None, exclude: Iterable[str] = (), limit: int
    ) -> tuple[GitCommit, ...]:
        hidden: set[str] = set()
        for sha in ([before] if before else []) + list(exclude):
            if sha in self._commits:
                hidden |= self._reach(sha)
        shown = (commit for commit in self._line(after) if commit.sha not in hidden)
        return tuple(islice(shown, limit))[::-1]

    def position(self, sha: str) -> int:
        return sum(1 for _ in self._line(sha))

    def merge_base(self, a: str, b: str) -> str | None:
        common = self._reach(a) & self._reach(b)
        below = {sha for shared in common for parent in self.commit(shared).parents for sha in self._reach(parent)}
        best = sorted(common - below, key=lambda sha: self._commits[sha].committed_at)
        return best[-1] if best else None

    def is_ancestor(self, a: str, b: str) -> bool:
        return self.commit(a).sha in self._reach(b)

    def read(self, sha: str, path: str, *, limit: int = READ_LIMIT) -> bytes | None:
        files = self._files[self.commit(sha).sha]
        data = files.get(path)
        if data is None and any(name.startswith(path + "/") for name in files):
            raise NotAFile(f"{path!r} at {sha[:12]} is a folder, not a file")
        if data is not None and len(data) > limit:
            raise NotAFile(f"{path!r} at {sha[:12]} is larger than the {limit} bytes that are read")
        return data

    def changed_paths(self, since: str | None, until: str) -> tuple[str, ...]:
        old = self._files[self.commit(since).sha] if since is not None else {}
        new = self._files[self.commit(until).sha]
        return tuple(sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path)))

    def paths_of(self, shas: Sequence[str]) -> Mapping[str, Sequence[str]]:
        known = [self._commits[sha] for sha in shas if sha in self._commits]
        return {
            commit.sha: self.changed_paths(commit.parents[0] if commit.parents else None, commit.sha)
            for commit in known
            if all(parent in self._commits for parent in commit.parents[:1])
        }

    def apart(self, a: str, b: str, *, limit: int) -> tuple[GitCommit, ...]:
        found = self.commits(self._reach(self.commit(a).sha) ^ self._reach(self.commit(b).sha))
        return tuple(sorted(found, key=lambda commit: commit.committed_at, reverse=True))[:limit]

    def differences(self, pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, Change], ...]:
        def held(sha: str, path: str) -> str | None:
            data = self._files[sha].get(path)
            return None if data is None else _digest(data)

        return tuple(
            {path: Change(held(one, path), held(other, path)) for path in self.changed_paths(one, other)}
            for one, other in pairs
        )

    def tree_entries(self, sha: str, patterns: Sequence[str]) -> tuple[Entry, ...]:
        files = self._files[self.commit(sha).sha]

        def read(folder: Entry) -> tuple[Entry, ...]:
            start = f"{folder.path}/" if folder.path else ""
            below = [path for path in files if path.startswith(start)]
            found: dict[str, Entry] = {}
            for name in sorted({path[len(start) :].partition("/")[0] for path in below}):
                inside = [path for path in sorted(below) if path.startswith(f"{start}{name}/")]
                parts = [part for path in inside for part in (path[len(start) :].encode(), files[path])]
                mode, parts = (FOLDER, parts) if inside else ("100644", [files[start + name]])
                found[name] = Entry(name, mode, _digest(*parts))
            return tuple(found.values())

        return tuple(chosen(read, Entry("", FOLDER, ""), patterns))

    def patches(self, shas: Sequence[str]) -> Mapping[str, Patch]:
        found: dict[str, Patch] = {}
        for commit in self.commits(shas):
            above = commit.parents[0] if commit.parents else None
            paths = self.changed_paths(above, commit.sha)
            old, new = self._files[above] if above else {}, self._files[commit.sha]
            is_text = not any(b"\0" in old.get(path, b"") + new.get(path, b"") for path in paths)
            if len(commit.parents) > 1 or not paths or not is_text:
                continue
            there, back = (
                _digest(*(part for path in paths for part in _patch(path, one.get(path, b""), other.get(path, b""))))
                for one, other in ((old, new), (new, old))
            )
            found[commit.sha] = Patch(there, back)
        return found

    def _line(self, sha: str) -> Iterator[GitCommit]:
        commit = self.commit(sha)
        while True:
            yield commit
            if not commit.parents:
                return
            commit = self._commits[commit.parents[0]]

    def _reach(self, sha: str) -> set[str]:
        seen: set[str] = set()
        left = [self.commit(sha).sha]
        while left:
            at = left.pop()
            if at not in seen:
                seen.add(at)
                left += self._commits[at].parents
        return seen


def _merged(base: Files, ours: Files, theirs: Files) -> tuple[Files, list[str]]:
    """File by file: the changed side wins, where both changed it they conflict."""
    content, paths = dict(ours), []
    for path in sorted(base.keys() | theirs.keys()):
        before, mine, other = base.get(path), ours.get(path), theirs.get(path)
        if other in (before, mine):
            continue
        if mine != before:
            paths.append(path)
        elif other is None:
            content.pop(path, None)
        else:
            content[path] = other
    return content, paths


def _patch(path: str, old: bytes, new: bytes) -> Iterator[bytes]:
    yield path.encode()
    before, after = (data.decode(errors="replace").splitlines() for data in (old, new))
    for line in difflib.unified_diff(before, after, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield line.encode()


def _lines(data: bytes) -> list[str]:
    """As a patch has them: a last line that does not end is told as that."""
    text = data.decode(errors="replace")
    lines = text.splitlines()
    return lines if text.endswith("\n") or not lines else [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of file"]


def _raw(words: Iterable[str]) -> list[bytes]:
    return [word.encode() for word in words]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
