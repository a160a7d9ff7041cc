"""Git on a worker node: a mirror per repository, and a workspace at the exact commit of a job.

Rules:
1. A commit is fetched by its hash, once, whoever asks first; others wait for that and ask nobody. With it come those
   that will be asked for next, where the caller knows the newest: many commits that wait cost one fetch.
2. A commit counts as there when its fetch ended well, never by the mere sight of an object: a killed fetch leaves some.
3. A workspace borrows the mirror's objects, and runs nothing of what it holds: no hook, no filter, no submodule.
4. Credentials travel as headers, through the environment, and are stored nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from farmgate.errors import Conflict, NoSpace, NotInRepository
from farmgate.git.command import DEFAULT_TIMEOUT, GitFailed, checked_url, environment, git, missing, unreachable
from farmgate.git.lock import locked
from farmgate.git.mirror import create_bare, unlock
from farmgate.refs import is_sha

_COMPLETE: Final = "farmgate-complete"
_AHEAD: Final = 200  # commits that one fetch notes as there


class NodeMirror:
    """The mirror at `path` of one repository. Safe for several threads and processes."""

    def __init__(self, path: Path, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self.path = path.absolute()
        self._timeout = timeout

    def holds(self, sha: str) -> bool:
        """True if the commit and all that it needs are here."""
        return is_sha(sha) and self._mark(sha).exists()

    def ensure(self, url: str, sha: str, headers: Mapping[str, str] | None = None, *, also: str | None = None) -> None:
        """Fetch the commit from `url`, if it is not here; then `also` too, with what leads to it from `sha`.

        Raises NotInRepository if the remote does not have it, RemoteUnreachable, NoSpace.
        """
        if self.holds(sha):
            return
        if not is_sha(sha):
            raise missing(f"commit {sha!r}")
        env = environment(headers)
        source = checked_url(url)
        with locked(self.path) as lock:
            if self.holds(sha):
                return
            create_bare(self.path, digits=len(sha))
            newest = also if also is not None and is_sha(also) and also != sha else None
            if newest is not None:
                try:
                    self._fetch(source, [newest, sha], env, lock)
                except NotInRepository:  # it is the newest no more; the commit itself may well be there
                    newest = None
            if newest is None:
                self._fetch(source, [sha], env, lock)
            self._note([sha, *self._between(sha, newest)])

    def _fetch(self, source: str, wanted: Sequence[str], env: Mapping[str, str], lock: int) -> None:
        # few refs, so that the next fetch offers what is here and sends only what is new
        targets = {f"refs/farmgate/{sha[:2]}": sha for sha in wanted}
        refspecs = [f"+{sha}:{target}" for target, sha in targets.items()]
        command = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", source, *refspecs)
        try:
            try:
                git(*command, within=self.path, env=env, timeout=self._timeout, hold=[lock])
            except GitFailed as failure:
                if not unlock(self.path, failure):
                    raise
                git(*command, within=self.path, env=env, timeout=self._timeout, hold=[lock])
        except GitFailed as failure:
            if "not our ref" in failure.output or "couldn't find remote ref" in failure.output:
                raise NotInRepository(f"commit {wanted[-1]} is not (or no longer) at the server") from None
            self._raise_if_full(failure, self.path)
            raise unreachable(source, failure) from None

    def _between(self, sha: str, newest: str | None) -> Sequence[str]:
        """The commits after one up to the newest, some of them, if both were fetched."""
        if newest is None or newest[:2] == sha[:2]:  # the one took the other's ref, and was not fetched
            return ()
        asked = ("rev-list", f"--max-count={_AHEAD}", newest, f"^{sha}")
        return git(*asked, within=self.path, timeout=self._timeout).decode().split()

    def _note(self, shas: Iterable[str]) -> None:
        """They are here, with all that they need."""
        for sha in shas:
            self._mark(sha).parent.mkdir(parents=True, exist_ok=True)
            self._mark(sha).touch()

    def checkout(self, sha: str, into: Path) -> None:
        """Make the folder `into` a clone at exactly that commit, detached, borrowing this mirror's objects.

        The folder may exist if it is empty. Raises NotInRepository before `ensure`, Conflict, NoSpace.
        """
        if not self.holds(sha):
            raise missing(f"commit {sha!r}")
        into = into.absolute()
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise Conflict(f"the workspace {into} is not empty")
        # what `git clone --shared --no-checkout` would make, without its three processes
        own = into / ".git"
        (own / "objects" / "info").mkdir(parents=True)
        (own / "refs" / "heads").mkdir(parents=True)
        (own / "objects" / "info" / "alternates").write_text(f"{self.path / 'objects'}\n")
        (own / "config").write_text(_configuration(sha))
        (own / "HEAD").write_text(f"{sha}\n")
        try:
            git(f"--work-tree={into}", "read-tree", "--reset", "-u", sha, within=own, timeout=self._timeout)
        except GitFailed as failure:
            self._raise_if_full(failure, into)
            raise NotInRepository(f"commit {sha} cannot be checked out: {failure}") from None

    def _mark(self, sha: str) -> Path:
        return self.path / _COMPLETE / sha[:2] / sha

    def _raise_if_full(self, failure: GitFailed, folder: Path) -> None:
        if "No space left on device" in failure.output:
            raise NoSpace(f"no space left for {folder}: {failure}") from None


def _configuration(sha: str) -> str:
    if len(sha) == 40:
        return "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
    return (
        "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = false\n"
        "[extensions]\n\tobjectformat = sha256\n"
    )
