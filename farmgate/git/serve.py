"""A mirror over smart HTTP, read-only, for the nodes: protocol versions 0, 1 and 2.

Rules:
1. Git itself speaks (`git upload-pack --stateless-rpc`); we only carry bytes. Nothing here can write.
2. Any commit of the mirror may be asked for by its hash. Who may ask at all is the caller's decision, before calling.
3. A request is bounded in size, unpacked as well; an answer is streamed and ends with its reader.

See `git help http-backend` and gitprotocol-http(5). Mount them at `<url>/info/refs?service=git-upload-pack` (GET) and
`<url>/git-upload-pack` (POST), with the request's `Git-Protocol` header as `protocol`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from farmgate.errors import BadPayload
from farmgate.git.command import GitFailed, end, environment, git, missing, program

ADVERTISEMENT_TYPE: Final = "application/x-git-upload-pack-advertisement"
RESULT_TYPE: Final = "application/x-git-upload-pack-result"
REQUEST_LIMIT: Final = 16 * 1024 * 1024
_CHUNK: Final = 64 * 1024
_PROTOCOL: Final = re.compile(r"[A-Za-z0-9=:.-]{1,100}")
_IDLE_SECONDS: Final = 120


def advertise(path: Path, protocol: str | None = None) -> bytes:
    """The answer to `info/refs?service=git-upload-pack` (ADVERTISEMENT_TYPE). Raises NotInRepository."""
    _check(path)
    env = environment(protocol=_known(protocol))
    try:
        refs = git("upload-pack", "--stateless-rpc", "--advertise-refs", "--strict", str(path), env=env)
    except GitFailed as failure:
        raise missing(f"mirror {path.name} ({failure})") from None
    # version 2 does without the line that names the service
    return refs if refs[4:].startswith(b"version 2") else b"001e# service=git-upload-pack\n0000" + refs


def upload_pack(path: Path, body: Iterable[bytes], protocol: str | None = None) -> Iterator[bytes]:
    """The answer to a POST to `git-upload-pack` (RESULT_TYPE), in pieces; `body` may be compressed with gzip.

    Raises NotInRepository and BadPayload before the first piece. Git's own complaints are part of the answer.
    """
    _check(path)
    env = environment(protocol=_known(protocol))
    with tempfile.TemporaryFile() as request:
        for piece in _unpacked(body):
            request.write(piece)
        request.seek(0)
        process = subprocess.Popen(
            [program(), "upload-pack", "--stateless-rpc", "--strict", f"--timeout={_IDLE_SECONDS}", str(path)],
            stdin=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    return _pieces(process)


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    try:
        out = process.stdout
        assert out is not None
        while piece := out.read1(_CHUNK):  # type: ignore[attr-defined]  # typeshed: IO lacks what BufferedReader has
            yield piece
    finally:
        end(process)


def _unpacked(body: Iterable[bytes]) -> Iterator[bytes]:
    """The request's bytes, bounded. Git packs large requests; its own begin with a hexadecimal digit."""
    unpack: zlib._Decompress | None = None
    size, first = 0, True
    for piece in body:
        if not piece:
            continue
        if first and piece[0] == 0x1F:
            unpack = zlib.decompressobj(wbits=31)
        first = False
        try:
            data = unpack.decompress(piece, REQUEST_LIMIT + 1) if unpack else piece
        except zlib.error as error:
            raise BadPayload(f"the request's body is not gzip: {error}") from None
        size += len(data)
        if size > REQUEST_LIMIT:
            raise BadPayload(f"the request is larger than {REQUEST_LIMIT} bytes")
        yield data


def _known(protocol: str | None) -> str | None:
    return protocol if protocol and _PROTOCOL.fullmatch(protocol) else None


def _check(path: Path) -> None:
    if not (path / "HEAD").exists():
        raise missing(f"mirror {path.name}")
