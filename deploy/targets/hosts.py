"""Running a fixed script on a host by ssh.

Rules:
1. A host is who its key says, and its key stands in the policy: nobody is trusted at first sight, no agent, no
   configuration and no known hosts of this machine count.
2. The script is ours; every other word is an argument, quoted.
3. A host that cannot be reached, or is another one, is a TargetError: it says nothing about the change.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO, Final, Protocol

from farmgate.errors import TargetError

_CONNECT_SECONDS: Final = 15
_TAIL: Final = 600


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script ended, and the end of what it said."""

    code: int
    said: str


class Hosts(Protocol):
    """Runs scripts on hosts."""

    def run(
        self, host: str, script: str, arguments: Sequence[str], timeout: timedelta, content: BinaryIO | None = None
    ) -> Ran:
        """`content` is its standard input. Raises TargetError."""
        ...


class SshHosts:
    """By ssh, one connection for each script. `keys`: the public key of each host; `private`: ours, as PEM."""

    def __init__(self, user: str, private: str, keys: Mapping[str, str]) -> None:
        self._user = user
        self._private = private
        self._keys = keys

    def run(
        self, host: str, script: str, arguments: Sequence[str], timeout: timedelta, content: BinaryIO | None = None
    ) -> Ran:
        line = shlex.join(["sh", "-c", script, "farmgate", *arguments])
        return asyncio.run(self._run(host, line, timeout.total_seconds(), content))

    async def _run(self, host: str, line: str, seconds: float, content: BinaryIO | None) -> Ran:
        ssh = _asyncssh()
        name, _, port = host.partition(":")
        try:
            known = ssh.import_known_hosts(f"{f'[{name}]:{port}' if port else name} {self._keys[host]}\n")
            private = ssh.import_private_key(self._private)
        except (ssh.KeyImportError, ValueError) as error:
            raise TargetError(f"the keys for {host} cannot be read: {error}") from None
        try:
            async with ssh.connect(
                name,
                int(port or 22),
                username=self._user,
                client_keys=[private],
                known_hosts=known,
                agent_path=None,
                config=None,
                connect_timeout=_CONNECT_SECONDS,
                login_timeout=_CONNECT_SECONDS,
                keepalive_interval=15,
            ) as connection:
                given = {"stdin": content} if content is not None else {"stdin": ssh.DEVNULL}
                ended = await connection.run(line, check=False, timeout=seconds, encoding=None, **given)
        except ssh.HostKeyNotVerifiable:
            raise TargetError(
                f"{host} shows another host key than the policy has for it. It is another machine, was set up anew, or "
                f"somebody is in between: ask who runs it, and if the key is right, put the one that "
                f"`ssh-keyscan {'-p ' + port + ' ' if port else ''}{name}` shows into 'host_keys' and apply the policy"
            ) from None
        except ssh.PermissionDenied as error:
            raise TargetError(f"{host} does not let {self._user} in: {error.reason}") from None
        except (ssh.TimeoutError, TimeoutError) as error:
            raise TargetError(f"{host} did not end within {seconds:g} s: {error}".rstrip(": ")) from None
        except (ssh.Error, OSError) as error:
            raise TargetError(f"{host} cannot be reached: {error}") from None
        if ended.exit_status is None or ended.exit_status < 0:
            raise TargetError(f"{host}: the connection ended before the script did")
        return Ran(int(ended.exit_status), (ended.stdout or b"").decode(errors="replace")[-_TAIL:].strip())


def _asyncssh() -> Any:
    try:
        import asyncssh
    except ImportError:
        raise TargetError("an ssh target needs asyncssh where the deploy loop runs: install farmgate[ssh]") from None
    return asyncssh
