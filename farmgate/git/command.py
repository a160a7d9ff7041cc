"""How Farmgate runs git: one environment, one way to fail.

Rules:
1. Git sees our configuration file and no other, never asks at a terminal, runs no hook and no credential helper, and
   speaks only https, http, ssh, git and file.
2. What a stranger named (a ref, a path, an address) never stands where git looks for an option.
3. A secret never stands in an argument list; extra HTTP headers go through the environment.
4. Every command has an end: a timeout kills it with everything it started.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from farmgate.errors import (
    FarmgateError,
    MissingProgram,
    NotInRepository,
    RemoteUnreachable,
)
from farmgate.settings import environment_for_child

CONFIGURATION: Final = Path(__file__).with_name("gitconfig")
_SAYS_NOTHING: Final = frozenset(
    {"fatal: Could not read from remote repository.", "fatal: the remote end hung up unexpectedly"}
)
_HELPER: Final = re.compile(r"[A-Za-z0-9+.-]+::")
OLDEST_GIT: Final = (2, 36)
"""Git reads GIT_CONFIG_GLOBAL and GIT_CONFIG_COUNT since 2.32; safe.directory is known since 2.36."""
DEFAULT_TIMEOUT: Final = timedelta(minutes=2)


@cache
def program() -> str:
    """Where git is. Raises MissingProgram, also for one so old that it would not see our configuration."""
    found = shutil.which("git")
    if found is None:
        raise MissingProgram("git is not on this machine: install it (apt-get install git)")
    said = subprocess.run([found, "version"], capture_output=True, check=False).stdout.decode(errors="replace")
    if _version_in(said) < OLDEST_GIT:
        raise MissingProgram(f"{found} is too old ({said.strip()}): Farmgate needs git {OLDEST_GIT[0]}.{OLDEST_GIT[1]}")
    return found


@cache
def version() -> tuple[int, int]:
    """Of git. Raises MissingProgram."""
    return _version_in(subprocess.run([program(), "version"], capture_output=True, check=False).stdout.decode())


def _version_in(said: str) -> tuple[int, int]:
    found = re.search(r"([0-9]+)\.([0-9]+)", said)
    return (int(found[1]), int(found[2])) if found is not None else (0, 0)


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs in at which HTTP server (`scheme://host:port`)."""

    server: str
    user: str
    password: str = field(repr=False)


def without_login(url: str) -> tuple[str, Login | None]:
    """The address as git may be given it, and the user and password that stood in it. Raises RemoteUnreachable."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, None  # git says what is wrong with it
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return url, None
    credentials, _, host = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    if any(character in user + password for character in "\r\n\0"):
        raise RemoteUnreachable(f"the user or the password in {without_password(url)} holds a line break")
    return parts._replace(netloc=host).geturl(), Login(f"{parts.scheme}://{host}", user, password)


_SIGN_IN: Final = (
    '!f() { [ "$1" != get ] || printf \'username=%s\\npassword=%s\\n\' "$GIT_LOGIN_USER" "$GIT_LOGIN_PASSWORD"; }; f'
)


def environment(
    headers: Mapping[str, str] | None = None, *, protocol: str | None = None, login: Login | None = None
) -> dict[str, str]:
    """The environment of a git command. `headers` are sent with every HTTP request to the remote; `login` only to its
    own server, when that asks."""
    env = {
        name: value
        for name, value in environment_for_child().items()
        if not name.startswith(("GIT_", "FARMGATE_")) or name in {"GIT_EXEC_PATH", "GIT_SSL_CAINFO"}
    }
    env |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(CONFIGURATION),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new -oConnectTimeout=20",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
    }
    settings: list[tuple[str, str]] = []
    if headers:
        # a redirect would carry the headers to another host
        settings.append(("http.followRedirects", "false"))
        for name, value in headers.items():
            if any(character in name + value for character in "\r\n\0"):
                raise FarmgateError(f"the HTTP header {name!r} holds a line break")
            settings.append(("http.extraHeader", f"{name}: {value}"))
    if login is not None:
        settings.append((f"credential.{login.server}.helper", _SIGN_IN))
        env |= {"GIT_LOGIN_USER": login.user, "GIT_LOGIN_PASSWORD": login.password}
    if settings:
        env["GIT_CONFIG_COUNT"] = str(len(settings))
        for index, (key, value) in enumerate(settings):
            env[f"GIT_CONFIG_KEY_{index}"] = key
            env[f"GIT_CONFIG_VALUE_{index}"] = value
    if protocol:
        env["GIT_PROTOCOL"] = protocol
    return env


class GitFailed(FarmgateError):
    """A git command that ended with another status than 0; the text is its own last line, `output` all it said."""

    def __init__(self, status: int, said: str, output: str = "") -> None:
        super().__init__(said)
        self.status = status
        self.output = output


def git(
    *arguments: str,
    within: Path | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout: timedelta = DEFAULT_TIMEOUT,
    hold: Collection[int] = (),
    fine: Collection[int] = (),
) -> bytes:
    """Run git to its end and give what it wrote. Raises GitFailed, also when the time is over. `fine`: an exit status
    beside 0 that is an answer.

    The command keeps the file descriptors `hold` open, so that a lock on them outlives us for as long as git runs.
    """
    place = [f"--git-dir={within}"] if within is not None else []
    process = subprocess.Popen(
        [program(), *place, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment() if env is None else env,
        start_new_session=True,
        pass_fds=tuple(hold),
    )
    try:
        out, err = process.communicate(stdin, timeout=timeout.total_seconds())
    except subprocess.TimeoutExpired:
        raise GitFailed(-1, f"git {arguments[0]} took longer than {timeout.total_seconds():g} s") from None
    finally:
        end(process)
    if process.returncode and process.returncode not in fine:
        said = last_line(err) or f"git {arguments[0]} failed: status {process.returncode}"
        raise GitFailed(process.returncode, said, err.decode(errors="replace"))
    return out


def piped(
    first: Collection[str], second: Collection[str], *, within: Path, stdin: bytes, timeout: timedelta = DEFAULT_TIMEOUT
) -> bytes:
    """What `git second` writes of what `git first` writes, which is never held as a whole. `stdin`: at most 60 kB, so
    that it fits into a pipe. Raises GitFailed."""
    place = [program(), f"--git-dir={within}"]
    env = environment()
    head = subprocess.Popen(
        [*place, *first],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
        start_new_session=True,
    )
    assert head.stdin is not None
    try:
        tail = subprocess.Popen(
            [*place, *second],
            stdin=head.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
        try:
            with contextlib.suppress(BrokenPipeError):
                head.stdin.write(stdin)
                head.stdin.close()
            out, err = tail.communicate(timeout=timeout.total_seconds())
            head.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired:
            raise GitFailed(-1, f"git {next(iter(first))} took longer than {timeout.total_seconds():g} s") from None
        finally:
            end(tail)
    finally:
        end(head)
    if head.returncode or tail.returncode:
        status = head.returncode or tail.returncode
        raise GitFailed(status, last_line(err) or f"git {next(iter(first))} failed: status {status}")
    return out


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all it started, if it still runs, and leave nothing open."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


def last_line(text: bytes) -> str:
    """Git's own last word: its last line that says what is wrong, without the advice around it."""
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:")) and line not in _SAYS_NOTHING]
    return (telling or lines or [""])[-1]


def unreachable(url: str, failure: GitFailed) -> RemoteUnreachable:
    """The error for a remote that did not give what was asked; without the password an address may carry."""
    return RemoteUnreachable(f"{without_password(url)}: {without_password(str(failure))}")


def without_password(text: str) -> str:
    """The text with `user:password@` of every address in it masked."""
    words = []
    for word in text.split(" "):
        scheme, found, rest = word.partition("://")
        credentials, at, host = rest.partition("@")
        words.append(f"{scheme}://***@{host}" if found and at and "/" not in credentials else word)
    return " ".join(words)


MASKED: Final = "***"
"""What stands for the user and password of an address that is shown or stored."""


def login_apart(url: str) -> tuple[str, str | None]:
    """The address with *** for the user and password of an HTTP address, and these as they were written."""
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    login, at, server = host.rpartition("@")
    if not found or scheme.lower() not in ("http", "https") or not at or login == MASKED:
        return url, None
    return f"{scheme}://{MASKED}@{server}{slash}{path}", login


def login_put_in(url: str, login: str) -> str:
    """The address as it was written."""
    return url.replace(f"://{MASKED}@", f"://{login}@", 1)


def checked_url(url: str) -> str:
    """The address, if git may be given it: no option, no transport helper. Raises RemoteUnreachable."""
    if not url or url.startswith("-") or _HELPER.match(url) or any(ord(c) < 32 for c in url):
        raise RemoteUnreachable(f"{url!r} is not an address of a git repository")
    return url


def same_server(repository: str, fork: str) -> bool:
    """True if a stranger's address leads to the server that the repository is at, by a way that is open to anyone.

    Never a folder of this machine, whatever the repository's own address is; never another port of that server.
    """
    ours, theirs = _server(repository), _server(fork)
    if ours is None or theirs is None or ours[1] != theirs[1]:
        return False
    return theirs[0] in ("https", "ssh", ours[0]) and theirs[2] in (None, ours[2])


def _server(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for an address on this machine, or one that is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("https", "http", "ssh", "git"):
            return (parts.scheme, parts.hostname.lower(), parts.port) if parts.hostname else None
    except ValueError:
        return None
    host, colon, _ = url.partition(":")  # user@host:path
    if not colon or "/" in host or "://" in url:
        return None
    return "ssh", host.rpartition("@")[2].lower(), None


def missing(what: str) -> NotInRepository:
    """The error for something that the mirror does not hold."""
    return NotInRepository(f"{what} is not in the repository")
