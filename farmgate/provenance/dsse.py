"""DSSE envelopes (secure-systems-lab/dsse, v1.0): signed, and verified.

Rules:
1. The signature is over the pre-authentication encoding: type and payload with their lengths.
2. A key is called by the SHA-256 of its public half (DER, SubjectPublicKeyInfo), and never trusted for its name: every
   key that is given is tried.
3. An envelope is a stranger's until it is verified: bounded, and what is wrong is named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PAYLOAD: Final = "application/vnd.in-toto+json"
LONGEST: Final = 2**20
MOST_SIGNATURES: Final = 20


class NotGenuine(ValueError):
    """This is no envelope, or nobody who is trusted signed it; the text says which."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A new key. `private`: PEM."""

    kid: str
    public: str
    private: bytes = field(repr=False)


def draw() -> Drawn:
    """A new key pair."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = public_of(private)
    return Drawn(kid_of(public), public, private)


def public_of(private: bytes) -> str:
    """The public half, as PEM."""
    key = serialization.load_pem_private_key(private, None)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def kid_of(public: str) -> str:
    """Rule 2. Raises NotGenuine: this is no public key that is taken."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(_loaded(public).public_bytes(serialization.Encoding.DER, form)).hexdigest()


@lru_cache(maxsize=200)
def _loaded(public: str) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(public.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise NotGenuine("this is no public key in PEM") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise NotGenuine("a key must be of ECDSA over P-256, or Ed25519")


def pae(kind: str, payload: bytes) -> bytes:
    """Rule 1."""
    said = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(said), said, len(payload), payload)


def signed(statement: dict[str, Any], kid: str, private: bytes) -> str:
    """The envelope, as JSON."""
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key = serialization.load_pem_private_key(private, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(pae(PAYLOAD, payload), ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payloadType": PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": kid, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope)


def verified(envelope: str | bytes, keys: Iterable[str]) -> dict[str, Any]:
    """The statement, if one of the keys (PEM) signed it. Raises NotGenuine."""
    kind, payload, signatures = opened(envelope)
    said = pae(kind, payload)
    if not any(_signed_by(key, signature, said) for key in keys for signature in signatures):
        raise NotGenuine("nobody who is trusted signed it")
    try:
        statement = json.loads(payload)
    except (ValueError, RecursionError):
        raise NotGenuine("its payload is not JSON") from None
    if not isinstance(statement, dict):
        raise NotGenuine("its payload is no statement")
    return statement


def opened(envelope: str | bytes) -> tuple[str, bytes, list[bytes]]:
    """Type, payload and signatures of an envelope that nobody verified. Raises NotGenuine."""
    if len(envelope) > LONGEST:
        raise NotGenuine(f"an envelope of more than {LONGEST} bytes")
    try:
        value = json.loads(envelope)
        kind, rows = value["payloadType"], value["signatures"]
        payload = base64.b64decode(value["payload"], validate=True)
        signatures = [base64.b64decode(row["sig"], validate=True) for row in rows[:MOST_SIGNATURES]]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise NotGenuine("this is no DSSE envelope: payloadType, payload and signatures, in base64") from None
    if kind != PAYLOAD:
        raise NotGenuine(f"its payload is {str(kind)[:60]!r}, not {PAYLOAD}")
    return kind, payload, signatures


def _signed_by(public: str, signature: bytes, said: bytes) -> bool:
    key = _loaded(public)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, said)
        else:
            key.verify(signature, said, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
