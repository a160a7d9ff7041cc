"""An image made from what this machine has: its own Python, a shell and a few programs. No registry is asked.

Rules:
1. Everything lies in the image where it lies here, with every library that `ldd` names: then what runs here runs there.
2. Python's library goes along without its tests, its editors and what is installed on top.
3. The image's name holds a hash of what is in it (paths, sizes, times), so that the next start finds it made.
4. It is tried before it is used. What cannot be made or does not run is an ImageMissing that says why.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from farmgate.errors import ImageMissing
from farmgate.settings import environment_for_child

REPOSITORY = "farmgate-demo/python"
PROGRAMS = (
    *(
        "sh",
        "bash",
        "cat",
        "chmod",
        "cp",
        "cut",
        "date",
        "dirname",
        "env",
        "false",
        "find",
        "grep",
        "gzip",
        "head",
        "id",
    ),
    *(
        "ln",
        "ls",
        "mkdir",
        "mktemp",
        "mv",
        "printf",
        "pwd",
        "rm",
        "sed",
        "sleep",
        "sort",
        "tail",
        "tar",
        "test",
        "touch",
    ),
    *("tr", "true", "uname", "wc"),
)
LEFT_OUT = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "dist-packages"}
)
TRY = "import http.server, json, tarfile, unittest, zlib; print('well')"
FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "app": 0o755, "workspace": 0o777, "proc": 0o555}
_USERS = "root:x:0:0:root:/root:/bin/sh\nfarmgate:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n"
_GROUPS = "root:x:0:\nfarmgate:x:1000:\nnogroup:x:65534:\n"


def ensure() -> str:
    """The image's name, made if it is not there. Raises ImageMissing."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        files = sorted(set(_files()))
        name = f"{REPOSITORY}:{_hash(files)}"
        client = docker.from_env(timeout=120)
        try:
            try:
                client.images.get(name)
            except ImageNotFound:
                _make(client, name, files)
            return name
        finally:
            client.close()
    except (DockerException, OSError, subprocess.SubprocessError) as error:
        raise ImageMissing(f"no image could be made of this machine's Python: {error}") from error


def _make(client: object, name: str, files: list[Path]) -> None:
    from docker.errors import DockerException

    repository, tag = name.split(":")
    with tempfile.TemporaryFile() as tree:
        _write(tree, files)
        tree.seek(0)
        client.api.import_image_from_data(tree, repository=repository, tag=tag)  # type: ignore[attr-defined]
    try:
        client.containers.run(  # type: ignore[attr-defined]
            name, ["sh", "-c", f'date >/dev/null && python3 -c "{TRY}"'], remove=True, network_mode="none", user="1000"
        )
    except DockerException as error:
        client.images.remove(name, force=True)  # type: ignore[attr-defined]
        raise ImageMissing(f"the image of this machine's Python does not run: {error}") from error


def python() -> Path:
    """The interpreter itself, not the environment that it was started through."""
    base = Path(getattr(sys, "_base_executable", "") or sys.executable)
    return base.resolve()


def _files() -> Iterator[Path]:
    """Every file that goes into the image, by the path it has here."""
    programs = [Path(found) for found in map(shutil.which, PROGRAMS) if found]
    library = list(_library(Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))))
    yield python()
    yield from programs
    yield from library
    yield from _shared([python(), *programs, *(path for path in library if path.suffix == ".so")])


def _library(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if name not in LEFT_OUT and not name.startswith("config-")]
        for name in names:
            path = Path(folder) / name
            if name.endswith((".pyc", ".py", ".so")) and ".opt-" not in name:
                yield path


def _shared(programs: Iterable[Path]) -> Iterator[Path]:
    """The libraries that the programs need, the loader included, as `ldd` names them."""
    done = subprocess.run(
        ["ldd", *map(str, programs)],
        env=environment_for_child(None, LC_ALL="C"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,  # it also fails for what is linked statically
    )
    for line in done.stdout.splitlines():
        found = re.search(r"(?:=> )?(/\S+) \(0x", line)
        if found:
            yield Path(found[1])


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"1 {PROGRAMS} {FOLDERS}".encode())
    for path in files:
        about = path.stat()
        digest.update(f"{path} {about.st_size} {int(about.st_mtime)}\n".encode())
    return digest.hexdigest()[:16]


def _write(tree: io.BufferedIOBase | object, files: Iterable[Path]) -> None:
    with tarfile.open(fileobj=tree, mode="w") as tar:  # type: ignore[call-overload]
        for folder, mode in FOLDERS.items():
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, text in (("etc/passwd", _USERS), ("etc/group", _GROUPS)):
            _text(tar, name, text)
        for path in files:
            _file(tar, path)
        interpreter = python()
        for link in ("usr/local/bin/python3", "usr/local/bin/python"):
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, str(interpreter)
            tar.addfile(entry)
        if not any(str(path) == "/bin/sh" for path in files):
            entry = tarfile.TarInfo("bin/sh")
            entry.type, entry.linkname = tarfile.SYMTYPE, shutil.which("sh") or "/usr/bin/sh"
            tar.addfile(entry)


def _file(tar: tarfile.TarFile, path: Path) -> None:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    about = path.stat()  # of what a link leads to: each path holds its own copy
    entry.size, entry.mtime, entry.mode = about.st_size, int(about.st_mtime), 0o755 if about.st_mode & 0o111 else 0o644
    with path.open("rb") as source:
        tar.addfile(entry, source)


def _text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), 0o644
    tar.addfile(entry, io.BytesIO(text.encode()))
