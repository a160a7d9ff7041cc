"""Envelopes and statements: other tools take them, and what was changed is told."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from farmgate.provenance.dsse import NotGenuine, draw, kid_of, pae, public_of, signed, verified
from farmgate.provenance.statements import SLSA, against, plain_address, provenance, release

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHA = "c0ffee" + "0" * 34
ARTIFACTS = {"app.tar": "sha256:" + "a" * 64, "image": "registry.example/shop@sha256:" + "b" * 64}


def statement(**more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "artifacts": ARTIFACTS,
        "sha": SHA,
        "url": "https://user:secret@forge.example/shop.git",
        "ref": "refs/heads/main",
        "builder": "https://farm.example",
        "version": "1",
        "invocation": "https://farm.example/runs/7",
        "parameters": {"trigger": "push"},
        "jobs": [{"name": "test"}],
        "byproducts": {"bom.json": "d" * 64},
        "started": NOW,
        "finished": None,
    }
    return provenance(**{**values, **more})


def test_what_is_signed_is_verified_and_says_slsa() -> None:
    key = draw()
    said = verified(signed(statement(), key.kid, key.private), [draw().public, key.public])
    assert (said["predicateType"], key.kid) == (SLSA, kid_of(public_of(key.private)))
    assert [each["name"] for each in said["subject"]] == ["app.tar", "image", "commit"]
    build = said["predicate"]["buildDefinition"]
    assert build["resolvedDependencies"] == [
        {"uri": "git+https://forge.example/shop.git@refs/heads/main", "digest": {"gitCommit": SHA}}
    ]
    assert "secret" not in json.dumps(said)
    assert said["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-01-01T00:00:00Z"
    assert plain_address("git@forge.example:shop.git") == "git@forge.example:shop.git"


def test_the_library_of_in_toto_and_openssl_take_it(tmp_path: Path) -> None:
    key = draw()
    envelope = json.loads(signed(statement(), key.kid, key.private))
    theirs = SSlibKey.from_crypto(
        serialization.load_pem_public_key(key.public.encode()), keyid=key.kid, scheme="ecdsa-sha2-nistp256"
    )
    Envelope.from_dict(json.loads(json.dumps(envelope))).verify([theirs], 1)
    changed = {**json.loads(json.dumps(envelope)), "payload": base64.b64encode(b"{}").decode()}
    with pytest.raises(VerificationError):
        Envelope.from_dict(changed).verify([theirs], 1)
    (tmp_path / "key.pem").write_text(key.public)
    (tmp_path / "said").write_bytes(pae(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    line = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "said"]
    told = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout.strip()) == (0, "Verified OK")


def test_the_encoding_is_that_of_the_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_key_of_ed25519_is_taken_and_others_are_not() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    key = draw()
    envelope = json.loads(signed(statement(), key.kid, key.private))
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64encode(private.sign(pae(envelope["payloadType"], payload))).decode()
    envelope["signatures"] = [{"keyid": "", "sig": signature}]
    assert verified(json.dumps(envelope), [public])["predicateType"] == SLSA
    weak = rsa.generate_private_key(65537, 2048).public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    for bad in (weak, "", "not a key", key.private.decode()):
        with pytest.raises(NotGenuine):
            kid_of(bad)


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        ("", "this is no DSSE envelope"),
        ("[]", "this is no DSSE envelope"),
        ('{"payloadType": "x", "payload": "e30=", "signatures": []}', "its payload is 'x'"),
        ('{"payloadType": "application/vnd.in-toto+json", "payload": "é", "signatures": []}', "no DSSE envelope"),
        (
            '{"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": []}',
            "nobody who is trusted",
        ),
        ('{"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": {}}', "no DSSE envelope"),
        (
            '{"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{"sig": "e30="}]}',
            "nobody",
        ),
        ("x" * (2**20 + 1), "more than"),
    ],
)
def test_what_is_no_envelope_is_named(envelope: str, said: str) -> None:
    with pytest.raises(NotGenuine, match=said):
        verified(envelope, [draw().public])


def test_what_a_candidate_is_now_is_held_against_what_was_said() -> None:
    said = statement()
    assert against(said, ARTIFACTS, SHA) == ""
    other = {**ARTIFACTS, "app.tar": "sha256:" + "e" * 64}
    assert against(said, other, SHA) == "app.tar is not what was signed"
    assert against(said, {"image": ARTIFACTS["image"], "new": "sha256:" + "f" * 64}, SHA) == (
        "app.tar, new are not what was signed"
    )
    assert against(said, ARTIFACTS, "1" * 40) == "commit is not what was signed"
    record = release(artifacts=ARTIFACTS, sha=SHA, config={}, said={"lane": "shop/production"})
    assert "not where something comes from" in against(record, ARTIFACTS, SHA)


def test_of_another_system_the_digests_count_whatever_their_names() -> None:
    said = statement()
    said["subject"] = [{"name": "x", "digest": {"sha256": "a" * 64}}, {"name": "y", "digest": {"sha256": "b" * 64}}]
    assert against(said, ARTIFACTS, SHA, by_name=False) == ""
    assert against(said, {}, SHA, by_name=False) == ""
    assert "does not speak of commit" in against(said, {}, "1" * 40, by_name=False)
    said["subject"].pop()
    assert against(said, ARTIFACTS, SHA, by_name=False) == "image is not among its subjects"
    for odd in ({}, {"_type": said["_type"]}, {**said, "subject": 7}, {**said, "subject": [7, {"digest": 7}]}):
        assert against(odd, ARTIFACTS, SHA, by_name=False)
