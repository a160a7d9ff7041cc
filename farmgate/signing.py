"""Keys that sign identity tokens: drawn, and used.

Rules:
1. RSA with 2048 bits: what AWS, Google Cloud, Azure and Vault all take. A key is called by its thumbprint (RFC 7638).
2. A private half is text for farmgate.sealing alone; what is opened stays in this process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from farmgate.identity import ALGORITHM

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class Drawn:
    """A new key. `private`: PEM."""

    kid: str
    public: dict[str, Any]
    private: bytes = field(repr=False)


def draw() -> Drawn:
    """Takes some 0.1 s."""
    from joserfc.jwk import RSAKey

    key = RSAKey.generate_key(BITS)
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    return Drawn(kid, public, key.as_pem(private=True))


def sign(claims: Mapping[str, str | int], kid: str, private: bytes) -> str:
    """A JSON Web Token (RFC 7519)."""
    from joserfc import jwt

    return jwt.encode({"alg": ALGORITHM, "kid": kid}, dict(claims), _loaded(private), algorithms=[ALGORITHM])


@lru_cache(maxsize=4)
def _loaded(private: bytes) -> RSAKey:
    """To read and check a key costs 20 times a signature."""
    from joserfc.jwk import RSAKey

    return RSAKey.import_key(private)
