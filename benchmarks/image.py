"""The smallest image that can run a job: one static busybox, imported into the local engine; nothing is pulled."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from farmgate.errors import MissingProgram

NAME = "farmgate-bench/busybox:local"
APPLETS = (
    "sh",
    "true",
    "echo",
    "cat",
    "sleep",
    "mkdir",
    "date",
    "tar",
    "ls",
    "env",
    "printf",
    "test",
    "kill",
    "rm",
    "yes",
    "head",
    "awk",
)


def make() -> str:
    """Import it; its name. Raises MissingProgram without a static busybox."""
    import docker

    busybox = shutil.which("busybox")
    if busybox is None:
        raise MissingProgram("busybox is not on this machine: apt-get install busybox-static")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in ("bin", "tmp", "workspace", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = Path(busybox).stat().st_size, 0o755
        with Path(busybox).open("rb") as file:
            tar.addfile(program, file)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    client = docker.from_env(timeout=120)
    name, tag = NAME.rsplit(":", 1)
    client.api.import_image_from_data(packed.getvalue(), repository=name, tag=tag)
    client.close()
    return NAME
