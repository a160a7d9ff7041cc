"""One key, two uses, and no way to end up with two keys."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from farmgate import vault
from farmgate.errors import BadSettings
from farmgate.settings import CommonSettings
from farmgate.vault import Vault

KEY = b"0123456789abcdef0123456789abcdef"


def test_a_token_has_one_hash_per_key() -> None:
    assert Vault(KEY).hash("fgt_a") == Vault(KEY).hash("fgt_a")
    assert Vault(KEY).hash("fgt_a") != Vault(KEY).hash("fgt_b")
    assert Vault(KEY).hash("fgt_a") != Vault(KEY + b"x").hash("fgt_a")
    assert re.fullmatch(r"[0-9a-f]{64}", Vault(KEY).hash("fgt_a"))


def test_hashes_stay_what_they_are_between_versions() -> None:
    """Pinned: another way to derive them would sign everybody out."""
    assert Vault(KEY).hash("fgt_a") == PINNED_HASH
    assert Vault(KEY).decrypt(PINNED_SECRET) == "hook"


def test_a_secret_comes_back_and_never_looks_the_same_twice() -> None:
    keeper = Vault(KEY)
    first, second = keeper.encrypt("hook ✓"), keeper.encrypt("hook ✓")
    assert keeper.decrypt(first) == keeper.decrypt(second) == "hook ✓"
    assert first != second
    assert "hook" not in first


def test_a_secret_of_another_key_says_which_setting_is_wrong() -> None:
    stored = Vault(KEY).encrypt("hook")
    with pytest.raises(BadSettings, match="FARMGATE_SECRET_KEY"):
        Vault(KEY[::-1]).decrypt(stored)


def test_a_secret_that_was_tampered_with_does_not_open() -> None:
    stored = Vault(KEY).encrypt("hook")
    with pytest.raises(BadSettings):
        Vault(KEY).decrypt(stored[:-4] + ("AAA=" if stored[-4:] != "AAA=" else "BBB="))
    with pytest.raises(BadSettings):
        Vault(KEY).decrypt("hook")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(BadSettings, match="at least 16"):
        Vault(b"secret")


def test_the_settings_key_wins_and_nothing_is_written(tmp_path: Path) -> None:
    settings = CommonSettings(data=tmp_path, secret_key=SecretStr(KEY.decode() + "\n"))  # a secret file ends in one
    assert vault.load(settings).hash("t") == Vault(KEY).hash("t")
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_drawn_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = CommonSettings(data=tmp_path / "data")
    first = vault.load(settings)
    assert vault.load(settings).hash("t") == first.hash("t")
    key = tmp_path / "data" / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().strip()) >= 43  # 256 bits
    assert list((tmp_path / "data").iterdir()) == [key]


def test_two_farms_draw_different_keys(tmp_path: Path) -> None:
    one, other = (vault.load(CommonSettings(data=tmp_path / name)) for name in "ab")
    assert one.hash("t") != other.hash("t")


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from farmgate import vault;"
        "from farmgate.settings import CommonSettings;"
        "sys.stdin.readline(); print(vault.load(CommonSettings(data=Path(sys.argv[1]))).hash('t'))"
    )
    line = [sys.executable, "-c", program, str(tmp_path)]
    started = [
        subprocess.Popen(line, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:  # all of them wait at the same line before any goes on
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    hashes = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(hashes) == 1
    assert hashes == {vault.load(CommonSettings(data=tmp_path)).hash("t")}


PINNED_HASH = "8bc687f58f185174ce861ba7dbd5b65304a36f3405f5156afd7ee83866182e2f"
PINNED_SECRET = "gAAAAABrA2Vh8Lm0Lg6IxHG3QdJsYMXOuOSjbGkHDQujZJPNs8SWzNouiL9MHPEJXA1ptyNjcTZDQLkOcy2xk8x4T13YQkkNRA=="
