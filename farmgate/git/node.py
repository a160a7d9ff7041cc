"""Git on a worker node: a mirror per repository, and a workspace at the exact commit of a job.

Rules:
1. A commit is fetched by its hash, once, whoever asks first; others wait for that and ask nobody.
2. A commit counts as there when its fetch ended well, never by the mere sight of an object: a killed fetch leaves some.
3. A workspace borrows the mirror's objects, and runs nothing of what it holds: no hook, no filter, no submodule.
4. Credentials travel as headers, through the environment, and are stored nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from farmgate.errors import Conflict, NoSpace, NotInRepository
from farmgate.git.command import DEFAULT_TIMEOUT, GitFailed, checked_url, environment, git, missing, unreachable
from farmgate.git.lock import locked
from farmgate.git.mirror import create_bare, unlock
from farmgate.refs import is_sha

_COMPLETE: Final = "farmgate-complete"


class NodeMirror:
    """The mirror at `path` of one repository. Safe for several threads and processes."""

    def __init__(self, path: Path, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self.path = path.absolute()
        self._timeout = timeout

    def holds(self, sha: str) -> bool:
        """True if the commit and all that it needs are here."""
        return is_sha(sha) and self._mark(sha).exists()

    def ensure(self, url: str, sha: str, headers: Mapping[str, str] | None = None) -> None:
        """Fetch the commit from `url`, if it is not here.

        Raises NotInRepository if the remote does not have it, RemoteUnreachable, NoSpace.
        """
        if self.holds(sha):
            return
        if not is_sha(sha):
            raise missing(f"commit {sha!r}")
        source = checked_url(url)
        # few refs, so that the next fetch offers what is here and sends only what is new
        target = f"refs/farmgate/{sha[:2]}"
        command = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", source, f"+{sha}:{target}")
        env = environment(headers)
        with locked(self.path) as lock:
            if self.holds(sha):
                return
            create_bare(self.path, digits=len(sha))
            try:
                try:
                    git(*command, within=self.path, env=env, timeout=self._timeout, hold=[lock])
                except GitFailed as failure:
                    if not unlock(self.path, failure):
                        raise
                    git(*command, within=self.path, env=env, timeout=self._timeout, hold=[lock])
            except GitFailed as failure:
                if "not our ref" in failure.output or "couldn't find remote ref" in failure.output:
                    raise NotInRepository(f"commit {sha} is not (or no longer) at the server") from None
                self._raise_if_full(failure, self.path)
                raise unreachable(source, failure) from None
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
