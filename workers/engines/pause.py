"""An image that does nothing for ever: it holds a network open for jobs to join.

Rules:
1. It must be ours: whatever runs beside a job sees its network. So it is made here, of one file, and never fetched.
2. The program is a loop around one system call that waits for a signal; on other processors than these two there is
   none, and jobs set up their own network.
"""

from __future__ import annotations

import io
import struct
import tarfile
from typing import Final

REPOSITORY: Final = "farmgate/pause"
TAG: Final = "1"
IMAGE: Final = f"{REPOSITORY}:{TAG}"
PROGRAM: Final = "/pause"

_CODE: Final = {
    # mov eax, 34 (pause); syscall; jmp to the start
    "x86_64": (62, bytes.fromhex("b8220000000f05ebf7")),
    # mov x0..x4, 0; mov x8, 73 (ppoll); svc 0; b to the start
    "aarch64": (183, bytes.fromhex("000080d2010080d2020080d2030080d2040080d2280980d2010000d4f9ffff17")),
}


def program(architecture: str) -> bytes | None:
    """The executable for a processor, as the engine calls it; None: there is none."""
    found = _CODE.get(architecture)
    if found is None:
        return None
    machine, code = found
    base, headers = 0x400000, 64 + 56
    size = headers + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code


def image(architecture: str) -> bytes | None:
    """The image's one layer, as a tar archive."""
    content = program(architecture)
    if content is None:
        return None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tree:
        entry = tarfile.TarInfo(PROGRAM.lstrip("/"))
        entry.size, entry.mode = len(content), 0o755
        tree.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
