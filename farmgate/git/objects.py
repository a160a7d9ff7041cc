"""Objects out of a mirror, through one `git cat-file --batch` that stays open, and what is read from their bytes.

Rules:
1. One question at a time, each by a whole hash: nothing that a stranger wrote is ever part of a question.
2. A process that died is started again; a miss after a fetch is asked once more of a fresh process.
3. An object over the limit is never held in memory: the process is given up instead.
"""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from farmgate.errors import FarmgateError, NotAFile
from farmgate.git.command import end, environment, program
from farmgate.git.history import GitCommit
from farmgate.git.trees import Entry
from farmgate.refs import is_sha

OBJECT_LIMIT: Final = 64 * 1024 * 1024
"""The largest commit or tree that is read, in bytes."""


@dataclass(frozen=True, slots=True)
class GitObject:
    """An object: `kind` is commit, tree, blob or tag."""

    sha: str
    kind: str
    body: bytes


class ObjectReader:
    """The open `cat-file --batch` of one mirror. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stale = False

    def get(self, sha: str, limit: int = OBJECT_LIMIT) -> GitObject | None:
        """The object; None if the mirror does not hold it. Raises NotAFile if it is larger than `limit` bytes."""
        if not is_sha(sha):
            return None
        if not (self._path / "HEAD").exists():  # nothing was ever fetched
            return None
        with self._lock:
            try:
                found = self._ask(sha, limit)
                if found is None and self._stale:
                    self._stop()
                    found = self._ask(sha, limit)
                return found
            except OSError:
                self._stop()
                return self._ask_once_more(sha, limit)

    def get_fresh(self, sha: str) -> GitObject | None:
        """The object, also if it was written a moment ago."""
        self.fetched()
        return self.get(sha)

    def fetched(self) -> None:
        """Say that the mirror may hold more than the process knows of."""
        with self._lock:
            self._stale = self._process is not None

    def close(self) -> None:
        """End the process. The next question starts another."""
        with self._lock:
            self._stop()

    def _ask_once_more(self, sha: str, limit: int) -> GitObject | None:
        try:
            return self._ask(sha, limit)
        except OSError:
            self._stop()
            raise FarmgateError(f"git cannot read the mirror {self._path}: is it whole?") from None

    def _ask(self, sha: str, limit: int) -> GitObject | None:
        if self._process is None:
            self._process = subprocess.Popen(
                [program(), f"--git-dir={self._path}", "cat-file", "--batch"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,
            )
            self._stale = False
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        questions.write(sha.encode() + b"\n")
        questions.flush()
        header = answers.readline().split()
        if len(header) == 2 and header[1] == b"missing":
            return None
        if len(header) != 3:
            raise BrokenPipeError("git cat-file ended")
        size = int(header[2])
        if size > limit:
            self._stop()
            raise NotAFile(f"object {sha} has {size} bytes, more than the {limit} that are read")
        body = answers.read(size + 1)
        if len(body) != size + 1:
            raise BrokenPipeError("git cat-file ended")
        return GitObject(sha, header[1].decode(), body[:-1])

    def _stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A name in a tree. `mode` as git writes it: 100644, 120000 (symbolic link), 160000 (submodule), 40000 (tree)."""

    mode: str
    sha: str


def tree_entry(body: bytes, name: bytes, digits: int) -> TreeEntry | None:
    """The entry of that name in a tree's bytes; `digits` is the length of a hash."""
    at, width = 0, digits // 2
    while at < len(body):
        space, zero = body.index(b" ", at), body.index(b"\0", at)
        if body[space + 1 : zero] == name:
            return TreeEntry(body[at:space].decode(), body[zero + 1 : zero + 1 + width].hex())
        at = zero + 1 + width
    return None


def tree_entries(body: bytes, digits: int) -> tuple[Entry, ...]:
    """All entries of a tree's bytes, with their names as their paths."""
    at, width = 0, digits // 2
    found: list[Entry] = []
    while at < len(body):
        space, zero = body.index(b" ", at), body.index(b"\0", at)
        name = body[space + 1 : zero].decode(errors="replace")
        found.append(Entry(name, body[at:space].decode(), body[zero + 1 : zero + 1 + width].hex()))
        at = zero + 1 + width
    return tuple(found)


def parse_commit(found: GitObject) -> GitCommit:
    """A commit from its bytes (see `git help cat-file`); odd ones are shown as well as can be."""
    if found.kind != "commit":
        raise FarmgateError(f"{found.sha} is a {found.kind}, not a commit")
    head, _, text = found.body.partition(b"\n\n")
    fields: dict[str, list[bytes]] = {}
    for line in head.split(b"\n"):
        if not line.startswith(b" "):  # a continuation, as in signatures
            key, _, value = line.partition(b" ")
            fields.setdefault(key.decode(errors="replace"), []).append(value)
    encoding = fields.get("encoding", [b"utf-8"])[0].decode(errors="replace")
    message = _text(text, encoding).strip("\n")
    name, email, _ = _person(fields.get("author", [b""])[0])
    _, _, when = _person(fields.get("committer", [b""])[0])
    return GitCommit(
        sha=found.sha,
        parents=tuple(value.decode(errors="replace") for value in fields.get("parent", [])),
        tree=fields.get("tree", [b""])[0].decode(errors="replace"),
        author_name=_text(name, encoding),
        author_email=_text(email, encoding),
        committed_at=when,
        title=message.partition("\n")[0],
        message=message,
    )


def _person(line: bytes) -> tuple[bytes, bytes, datetime]:
    before, _, stamp = line.rpartition(b">")
    name, _, email = before.partition(b"<")
    try:
        when = datetime.fromtimestamp(int(stamp.split()[0]), UTC)
    except (ValueError, IndexError, OverflowError, OSError):
        when = datetime.fromtimestamp(0, UTC)
    return name.strip(), email.strip(), when


def _text(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, errors="replace")
    except (LookupError, ValueError):
        return raw.decode(errors="replace")
