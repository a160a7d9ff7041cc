"""The farm's one secret key, and what is made with it: token hashes, encrypted secrets, the first sealing key.

Rules:
1. A token is stored as a keyed hash only; a secret that must be read again is stored encrypted and authenticated.
2. All keys are derived from the one key (HKDF, RFC 5869), so that there is one thing to keep.
3. The key comes from the settings; else it is drawn once into `data/secret.key`, readable by its owner alone. Two
   processes that start at once end up with the same key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from farmgate.clock import random_token
from farmgate.errors import BadSettings
from farmgate.sealing import Keyring, keys_in
from farmgate.settings import CommonSettings

LEAST_BYTES = 16


class Vault:
    """Hashes tokens and keeps secrets. Safe to share between threads."""

    def __init__(self, key: bytes, *, file: Path | None = None, fixed: Mapping[str, bytes] | None = None) -> None:
        if len(key) < LEAST_BYTES:
            raise BadSettings(
                f"FARMGATE_SECRET_KEY: {len(key)} bytes are too few, at least {LEAST_BYTES}; "
                "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        self._hash_key = _derive(key, b"farmgate: token hashes")
        self._fernet = Fernet(base64.urlsafe_b64encode(_derive(key, b"farmgate: stored secrets")))
        self.keyring = Keyring(_derive(key, b"farmgate: sealed secrets"), file=file, fixed=fixed)

    def hash(self, token: str) -> str:
        """HMAC-SHA256 of the token, as hex."""
        return hmac.new(self._hash_key, token.encode(), hashlib.sha256).hexdigest()

    def digest(self, place: str, secret: str) -> str:
        """Tells one value of a secret from another at its place, and nothing else: keyed, and short."""
        return "keyed:" + self.hash(f"secret\0{place}\0{secret}")[:16]

    def farm(self) -> str:
        """A name that tells this farm from every other one, and nothing else."""
        return self.hash("which farm this is")[:16]

    def encrypt(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """Raises BadSettings when it was encrypted with another key, or was tampered with."""
        try:
            return self._fernet.decrypt(stored.encode()).decode()
        except InvalidToken:
            raise BadSettings(
                "FARMGATE_SECRET_KEY: a stored secret does not open with this key; give the key that it was stored with"
            ) from None


def load(settings: CommonSettings) -> Vault:
    """The vault of this farm. Raises BadSettings."""
    fixed = keys_in(settings.sealing_keys.get_secret_value()) if settings.sealing_keys is not None else None
    file = settings.data / "sealing.keys"
    if settings.secret_key is not None:
        return Vault(settings.secret_key.get_secret_value().strip().encode(), file=file, fixed=fixed)
    path = settings.data / "secret.key"
    if not path.exists():
        _draw(path)
    return Vault(path.read_text().strip().encode(), file=file, fixed=fixed)


def _draw(path: Path) -> None:
    """Write a fresh key aside and link it in place: whoever comes second keeps the first one's, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".secret.key.")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(random_token() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            return
    finally:
        Path(aside).unlink()


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(key)
