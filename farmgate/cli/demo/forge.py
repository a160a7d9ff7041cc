"""A git repository with someone who pushes to it, and the forge that tells the farm: signed webhooks as GitHub's.

Rules:
1. Real git: a bare repository, a working copy, commits, pushes. The user's own git configuration is not read.
2. After each push one webhook, signed over its raw bytes, sent again with the same id until it was taken.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import tenacity

from farmgate.cli.demo.story import Change, Part
from farmgate.clock import Clock, random_token
from farmgate.errors import FarmgateError, MissingProgram, Refused, ServerUnreachable
from farmgate.settings import environment_for_child

BRANCH = "main"
NOBODY = "0" * 40


@dataclass(frozen=True, slots=True)
class Pushed:
    """A commit as it was pushed."""

    change: Change
    sha: str
    at: datetime  # when the push was done, before the webhook


class Forge:
    """Raises FarmgateError with git's or the server's own words."""

    def __init__(self, folder: Path, name: str, clock: Clock) -> None:
        self.bare = folder / f"{name}.git"
        self._name = name
        self._work = folder / name
        self._clock = clock
        self._hook: tuple[str, str] | None = None
        self._http = httpx.Client(timeout=10, trust_env=False)
        self.pushed: list[Pushed] = []
        if shutil.which("git") is None:
            raise MissingProgram("no git on this machine: apt-get install git")
        folder.mkdir(parents=True, exist_ok=True)
        self._git(folder, "init", "--quiet", "--bare", "--initial-branch", BRANCH, str(self.bare))
        self._git(folder, "clone", "--quiet", str(self.bare), str(self._work))
        self._git(self._work, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")

    def connect(self, url: str, secret: str) -> None:
        """Where webhooks go from now on; sends the ping that a forge sends first."""
        self._hook = (url, secret)
        self._send("ping", {"zen": "Keep it logically awesome.", "hook_id": 1})

    def push(self, changes: Sequence[Change]) -> list[Pushed]:
        """Commit the changes, push them at once, tell the farm."""
        before = self.pushed[-1].sha if self.pushed else NOBODY
        made: list[tuple[Change, str]] = []
        for change in changes:
            self._commit(change)
            made.append((change, self._git(self._work, "rev-parse", "HEAD")))
        self._git(self._work, "push", "--quiet", "origin", BRANCH)
        now = self._clock.now()
        self.pushed += [Pushed(change, sha, now) for change, sha in made]
        self._send("push", self._payload(before, made))
        return self.pushed[-len(made) :]

    def close(self) -> None:
        self._http.close()

    def _commit(self, change: Change) -> None:
        if change.part is Part.REVERTS:
            culprit = next(one for one in self.pushed if one.change.part is Part.BREAKS_PRODUCTION)
            self._git(self._work, "revert", "--no-edit", culprit.sha, author=change.author)
            return
        for path, text in change.files.items():
            (self._work / path).write_text(text, encoding="utf-8")
        self._git(self._work, "add", "--all")
        self._git(self._work, "commit", "--quiet", "--message", change.title, author=change.author)

    def _git(self, folder: Path, *arguments: str, author: tuple[str, str] = ("nobody", "nobody@example.org")) -> str:
        name, email = author
        environment = environment_for_child(
            None,
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_CONFIG_NOSYSTEM="1",
            GIT_TERMINAL_PROMPT="0",
            GIT_AUTHOR_NAME=name,
            GIT_AUTHOR_EMAIL=email,
            GIT_COMMITTER_NAME=name,
            GIT_COMMITTER_EMAIL=email,
            LC_ALL="C",
        )
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise FarmgateError(f"git {arguments[0]} failed in {folder}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def _payload(self, before: str, made: Sequence[tuple[Change, str]]) -> dict[str, Any]:
        commits = [
            {"id": sha, "message": change.title, "author": {"name": change.author[0], "email": change.author[1]}}
            for change, sha in made
        ]
        return {
            "ref": f"refs/heads/{BRANCH}",
            "before": before,
            "after": made[-1][1],
            "created": before == NOBODY,
            "deleted": False,
            "forced": False,
            "commits": commits,
            "head_commit": commits[-1],
            "repository": {"name": self._name, "full_name": f"demo/{self._name}", "clone_url": str(self.bare)},
            "pusher": {"name": made[-1][0].author[0]},
        }

    def _send(self, event: str, payload: dict[str, Any]) -> None:
        if self._hook is None:
            return
        url, secret = self._hook
        body = json.dumps(payload).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": random_token(),
            "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        }
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(20),  # half a minute
            wait=tenacity.wait_exponential(multiplier=0.2, max=2),
            retry=tenacity.retry_if_exception_type((httpx.TransportError, ServerUnreachable)),
            sleep=lambda seconds: self._clock.sleep(timedelta(seconds=seconds)),
            reraise=True,
        )
        try:
            retrying(self._post, url, body, headers)
        except httpx.TransportError as error:
            raise ServerUnreachable(f"the webhook could not be delivered to {url}: {error}") from error

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        answer = self._http.post(url, content=body, headers=headers)
        if answer.status_code >= 500:
            raise ServerUnreachable(f"the webhook was answered with {answer.status_code}: {answer.text[:300]}")
        if answer.is_error:
            raise Refused(f"the webhook was refused with {answer.status_code}: {answer.text[:300]}")
