"""The keys that seal secrets at rest, and sealing itself.

Rules:
1. A key never stands in the database. `root` is derived from the farm's one key and is always known; a rotation draws
   further ones into `data/sealing.keys`, readable by its owner alone, or takes them from FARMGATE_SEALING_KEYS.
2. What is sealed says by which key (its id), and is bound to its place: moved to another row it does not open.
3. The newest key seals; every key that is known opens. A key is forgotten only when nothing is sealed with it.
4. The file is replaced as a whole: a process that dies in the middle leaves the old one or the new one.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farmgate.clock import random_bytes
from farmgate.errors import BadSettings, Conflict

ROOT: Final = "root"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class Keyring:
    """Seals and opens. `file`: where drawn keys are kept; `fixed`: keys of the settings, which nobody adds to."""

    def __init__(self, root: bytes, *, file: Path | None = None, fixed: Mapping[str, bytes] | None = None) -> None:
        self._root, self._file, self._fixed = root, file, dict(fixed or {})
        self._lock = threading.Lock()

    @property
    def newest(self) -> str:
        """The id of the key that seals."""
        return list(self._read())[-1]

    def seal(self, value: bytes, place: str) -> tuple[str, str]:
        """The key's id, and the sealed value as text. `place`: what it is bound to (rule 2)."""
        keys = self._read()
        name = list(keys)[-1]
        nonce = random_bytes(_NONCE_BYTES)
        return name, base64.b64encode(nonce + AESGCM(keys[name]).encrypt(nonce, value, place.encode())).decode()

    def open(self, key: str, sealed: str, place: str) -> bytes:
        """Raises BadSettings: the key is not known, or the value was tampered with."""
        keys = self._read()
        if key not in keys:
            raise BadSettings(f"sealing key {key!r} is not known here: give back data/sealing.keys as it was")
        raw = base64.b64decode(sealed)
        try:
            return AESGCM(keys[key]).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
        except InvalidTag:
            said = "a stored secret does not open with its key: FARMGATE_SECRET_KEY is another, or the row was changed"
            raise BadSettings(said) from None

    def draw(self) -> str:
        """Add a new key, the newest from now on; its id. With keys of the settings: the newest of those."""
        if self._fixed:
            return self.newest
        if self._file is None:
            raise Conflict("this farm keeps no file of sealing keys: put a new one into FARMGATE_SEALING_KEYS")
        with self._lock:
            keys = self._of_file()
            name = base64.b16encode(random_bytes(4)).decode().lower()
            self._write({**keys, name: random_bytes(_KEY_BYTES)})
            return name

    def forget(self, needed: Collection[str]) -> None:
        """Take drawn keys away that nothing is sealed with, but never the newest."""
        with self._lock:
            keys = self._of_file()
            kept = {name: key for name, key in keys.items() if name in needed or name == list(keys)[-1]}
            if kept != keys:
                self._write(kept)

    def _read(self) -> dict[str, bytes]:
        """Every key that is known, the newest last."""
        return {ROOT: self._root, **(self._fixed or self._of_file())}

    def _of_file(self) -> dict[str, bytes]:
        if self._file is None:
            return {}
        try:
            lines = self._file.read_text().split()
        except FileNotFoundError:
            return {}
        return keys_in(",".join(lines), str(self._file))

    def _write(self, keys: Mapping[str, bytes]) -> None:
        assert self._file is not None
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=self._file.parent, prefix=".sealing.keys.")  # mode 0600
        try:
            with os.fdopen(handle, "w") as file:
                file.writelines(f"{name}={base64.b64encode(key).decode()}\n" for name, key in keys.items())
                file.flush()
                os.fsync(file.fileno())
            Path(aside).replace(self._file)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def keys_in(text: str, source: str = "FARMGATE_SEALING_KEYS") -> dict[str, bytes]:
    """`id=key,id=key`, each key 32 bytes in base64, the newest last. Raises BadSettings, naming no key."""
    found: dict[str, bytes] = {}
    for number, part in enumerate(filter(None, (each.strip() for each in text.split(","))), 1):
        name, _, written = part.partition("=")
        try:
            key = base64.b64decode(written, validate=True)
        except binascii.Error:
            key = b""
        if not name.isalnum() or name == ROOT or name in found or len(key) != _KEY_BYTES:
            raise BadSettings(
                f"{source}: key {number} is not id=key, with an id of its own (letters and digits) and 32 bytes in "
                "base64; make one with: "
                "python3 -c 'import secrets, base64; print(base64.b64encode(secrets.token_bytes(32)).decode())'"
            )
        found[name] = key
    return found
