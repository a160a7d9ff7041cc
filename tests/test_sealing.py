"""Sealed values open at their place alone, by keys that a rotation replaces without losing any."""

from __future__ import annotations

import stat
from base64 import b64encode
from pathlib import Path

import pytest

from farmgate.errors import BadSettings, Conflict
from farmgate.sealing import ROOT, Keyring, keys_in

KEY = b"r" * 32


def test_a_value_opens_at_its_place_alone() -> None:
    ring = Keyring(KEY)
    key, sealed = ring.seal(b"pears", "shop/TOKEN")
    assert key == ROOT
    assert ring.open(key, sealed, "shop/TOKEN") == b"pears"
    assert ring.seal(b"pears", "shop/TOKEN")[1] != sealed
    with pytest.raises(BadSettings):
        ring.open(key, sealed, "shop/OTHER")
    with pytest.raises(BadSettings):
        Keyring(b"x" * 32).open(key, sealed, "shop/TOKEN")


def test_what_an_older_key_sealed_opens_until_the_key_is_forgotten(tmp_path: Path) -> None:
    ring = Keyring(KEY, file=tmp_path / "sealing.keys")
    old = ring.seal(b"pears", "a")
    first = ring.draw()
    sealed = ring.seal(b"plums", "b")
    second = ring.draw()
    assert len({ROOT, first, second}) == 3
    assert ring.newest == second
    again = Keyring(KEY, file=tmp_path / "sealing.keys")
    assert again.open(*old, "a") == b"pears"
    assert again.open(*sealed, "b") == b"plums"
    again.forget({ROOT})
    assert ring.open(*old, "a") == b"pears"
    assert ring.newest == second, "the newest stays although nothing is sealed with it yet"
    with pytest.raises(BadSettings, match=f"'{first}' is not known"):
        ring.open(*sealed, "b")


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    Keyring(KEY, file=tmp_path / "sealing.keys").draw()
    assert stat.S_IMODE((tmp_path / "sealing.keys").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["sealing.keys"]


def test_keys_of_the_settings_are_used_and_never_added_to() -> None:
    ring = Keyring(KEY, fixed=keys_in(f"a={b64encode(b'1' * 32).decode()}, b={b64encode(b'2' * 32).decode()}"))
    assert ring.newest == ring.draw() == "b"
    with pytest.raises(Conflict, match="FARMGATE_SEALING_KEYS"):
        Keyring(KEY).draw()


@pytest.mark.parametrize(
    "text", ["a", "a=short", "=" + "A" * 44, f"{ROOT}={'A' * 43}=", f"a={'A' * 43}=,a={'A' * 43}="]
)
def test_a_bad_key_is_named_by_its_number_and_not_shown(text: str) -> None:
    with pytest.raises(BadSettings, match=r"FARMGATE_SEALING_KEYS: key \d is not id=key") as refused:
        keys_in(text)
    assert "AAAA" not in str(refused.value)
