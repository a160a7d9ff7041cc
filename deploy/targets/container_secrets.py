"""Secrets in a container: in memory only, there before the program starts, and in nothing that the engine shows.

Rules:
1. They lie on a tmpfs at /run/secrets, a file for each, of the container's user; NAME_FILE says where. What starts
   waits for them, and then has each as the variable NAME as well.
2. They go in by the standard input of a process in the container: in no argument list, no environment that `docker
   inspect` shows, no layer and no disk. So a container that was started again has none until it is given them again.
3. The image needs `sh`, `cat`, `mv` and `sleep`.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from farmgate.errors import TargetError

PLACE: Final = "/run/secrets"
_WHOLE: Final = ".whole"
_BYTES: Final = 4 * 2**20
_SECONDS: Final = 20
_WAITS: Final = f"""\
while [ ! -e {PLACE}/{_WHOLE} ]; do sleep 0.1 || sleep 1; done
for name in $FARMGATE_SECRETS; do export "$name=$(cat "{PLACE}/$name")"; done
unset name FARMGATE_SECRETS
exec "$@"
"""
_TAKES: Final = f"""\
umask 077
cat >"{PLACE}/.new" && mv "{PLACE}/.new" "{PLACE}/$1"
"""


def options(names: Sequence[str], argv: Sequence[str], uid: int | None) -> dict[str, Any]:
    """How such a container differs: its tmpfs, its variables, and what it starts with. `uid`: of its user, if set."""
    owner = f",mode=0700,uid={uid},gid={uid}" if uid is not None else ",mode=1777"
    return {
        "tmpfs": {PLACE: f"size={_BYTES},noexec,nosuid,nodev{owner}"},
        "environment": {"FARMGATE_SECRETS": " ".join(names), **{f"{each}_FILE": f"{PLACE}/{each}" for each in names}},
        "entrypoint": ["sh", "-c", _WAITS, "sh"],
        "command": list(argv),
    }


def give(container: Any, values: Mapping[str, str]) -> None:
    """To a container that runs and waits. May be repeated. Raises TargetError."""
    for name, value in (*values.items(), (_WHOLE, "")):
        _put(container, name, value.encode())


def _put(container: Any, name: str, value: bytes) -> None:
    from docker.errors import APIError

    api = container.client.api
    try:
        made = api.exec_create(container.id, ["sh", "-c", _TAKES, "sh", name], stdin=True)["Id"]
        _send(api.exec_start(made, socket=True), value)
        ended = api.exec_inspect(made)
        why = f"the program in it ended with {ended['ExitCode']}" if ended["ExitCode"] != 0 else ""
    except APIError as error:
        if error.status_code not in (400, 404, 409):
            raise
        why = str(error.explanation)
    if why:
        said = container.logs(tail=3).decode(errors="replace")[-300:].strip()
        needs = "whose image needs sh, cat, mv and sleep"
        raise TargetError(f"the secret {name} cannot be given to {container.name}, {needs}: {why}; {said}")


def _send(stream: Any, value: bytes) -> None:
    """All of it, and wait until the other side has read it and ended."""
    raw: socket.socket = getattr(stream, "_sock", stream)
    try:
        raw.settimeout(_SECONDS)
        raw.sendall(value)
        _say_end(raw)
        with suppress(OSError):
            while raw.recv(4096):
                pass
    finally:
        stream._response.close()  # the client library keeps it for the stream's sake
        raw.close()


def _say_end(raw: socket.socket) -> None:
    """That nothing more comes, while the answer is still read."""
    if not isinstance(raw, ssl.SSLSocket):
        raw.shutdown(socket.SHUT_WR)
        return
    raw.settimeout(0)
    with suppress(ssl.SSLWantReadError):
        raw.unwrap()  # says it, and would then wait for the other side to say it, too
    raw.settimeout(_SECONDS)


def mark(container: Any, values: Mapping[str, str]) -> str:
    """Tells this start of this container, with these names, from another: who has been given needs no more."""
    began = container.attrs.get("State", {}).get("StartedAt", "")
    told = json.dumps([container.id, began, sorted(values)])
    return hashlib.sha256(told.encode()).hexdigest()
