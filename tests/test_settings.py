"""Settings are read once, from where the rules say, and a wrong one is named."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from farmgate import settings as module
from farmgate.errors import BadSettings
from farmgate.settings import (
    ClientSettings,
    CommonSettings,
    DeploySettings,
    NodeSettings,
    SchedulerSettings,
    environment_for_child,
    read,
)

ALL = [CommonSettings, SchedulerSettings, DeploySettings, NodeSettings, ClientSettings]
ROOT = Path(module.__file__).parents[1]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("FARMGATE_")]:  # noqa: TID251
        monkeypatch.delenv(name)
    monkeypatch.setenv("FARMGATE_SECRETS_DIR", str(tmp_path / "none"))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_process_starts_without_any_setting(kind: type[BaseSettings]) -> None:
    assert read(kind) == kind()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_setting_is_described(kind: type[BaseSettings]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


def test_the_defaults_listen_on_the_loopback_only() -> None:
    assert SchedulerSettings().host == "127.0.0.1"


def test_a_node_has_no_place_for_a_database_credential() -> None:
    assert not {"database_url", "secret_key", "s3_secret_key"} & set(NodeSettings.model_fields)


def test_the_environment_wins_over_a_secret_file_and_what_is_given_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "farmgate_database_url").write_text("sqlite:///from-file\n")
    monkeypatch.setenv("FARMGATE_SECRETS_DIR", str(tmp_path))
    assert database_url(read(CommonSettings)) == "sqlite:///from-file"
    monkeypatch.setenv("FARMGATE_DATABASE_URL", "sqlite:///from-environment")
    assert database_url(read(CommonSettings)) == "sqlite:///from-environment"
    assert database_url(read(CommonSettings, database_url=SecretStr("sqlite:///given"))) == "sqlite:///given"
    assert database_url(read(CommonSettings, database_url=None)) == "sqlite:///from-environment"


def database_url(settings: CommonSettings) -> str | None:
    return settings.database_url.get_secret_value() if settings.database_url else None


def test_secrets_are_not_shown() -> None:
    settings = CommonSettings(secret_key=SecretStr("hush"), database_url=SecretStr("postgresql://farm:hush@db/farm"))
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SchedulerSettings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (SchedulerSettings, "PORT", "0"),
        (SchedulerSettings, "PORT", "eighty"),
        (SchedulerSettings, "PORT", "65536"),
        (SchedulerSettings, "LEASE", "soon"),
        (SchedulerSettings, "INFRASTRUCTURE_RETRIES", "-1"),
        (NodeSettings, "SLOTS", "0"),
        (NodeSettings, "ENGINE", "podman"),
        (CommonSettings, "LOG_FORMAT", "xml"),
        (CommonSettings, "EMBEDDED", "perhaps"),
    ],
)
def test_a_bad_value_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str, value: str
) -> None:
    monkeypatch.setenv(f"FARMGATE_{name}", value)
    with pytest.raises(BadSettings, match=f"^FARMGATE_{name}: "):
        read(kind)


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMGATE_SLOTS", "none")
    monkeypatch.setenv("FARMGATE_ENGINE", "podman")
    with pytest.raises(BadSettings, match=r"FARMGATE_SLOTS: .*; FARMGATE_ENGINE: "):
        read(NodeSettings)


def test_a_bad_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMGATE_SLOTS", "hush")
    with pytest.raises(BadSettings) as caught:
        read(NodeSettings)
    assert "hush" not in str(caught.value)


# --- what a child gets -----------------------------------------------------------------------------------------------

FULL: list[BaseSettings] = [
    SchedulerSettings(
        data=Path("/srv/farm"),
        database_url=SecretStr("sqlite:////srv/farm.db"),
        secret_key=SecretStr("a key that is long enough"),
        embedded=True,
        port=9000,
        lease=timedelta(seconds=2.5),
        ring_again=timedelta(milliseconds=250),
        poll_every=timedelta(days=2, hours=1),
        look_ahead=0.25,
    ),
    DeploySettings(tick=timedelta(seconds=0.1), blobs_url="s3://farm/blobs", s3_access_key=SecretStr("me")),
    NodeSettings(node_name="n 1", slots=7, join_token=SecretStr("fgj_x"), default_cpus=1.5, engine="process"),
    ClientSettings(token=SecretStr("fgt_x"), data=Path("over here")),
    SchedulerSettings(),
]


@pytest.mark.parametrize("given", FULL, ids=lambda given: type(given).__name__)
def test_a_child_reads_what_its_parent_read(monkeypatch: pytest.MonkeyPatch, given: BaseSettings) -> None:
    for name, value in environment_for_child(given).items():
        monkeypatch.setenv(name, value)
    assert read(type(given)) == given


def test_a_child_keeps_the_environment_and_the_extras_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMGATE_PORT", "1")
    monkeypatch.setenv("HOME_OF_MANY", "kept")
    child = environment_for_child(SchedulerSettings(port=2), FARMGATE_PORT="3", PYTHONUNBUFFERED="1")
    assert (child["FARMGATE_PORT"], child["HOME_OF_MANY"], child["PYTHONUNBUFFERED"]) == ("3", "kept", "1")
    assert environment_for_child()["FARMGATE_PORT"] == "1"


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.5, 59.999, 60.0, 3600.0, 86400.0 * 400])
def test_spans_survive_the_journey(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    span = timedelta(seconds=seconds)
    monkeypatch.setenv("FARMGATE_TICK", environment_for_child(DeploySettings(tick=span))["FARMGATE_TICK"])
    assert read(DeploySettings).tick == span


def test_nobody_else_reads_the_environment() -> None:
    """ruff says so too; this one also sees `from os import environ`."""
    readers = set()
    for folder in ("farmgate", "scheduler", "workers", "agents", "deploy"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                named = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
                imported = (
                    isinstance(node, ast.ImportFrom)
                    and node.module == "os"
                    and any(alias.name in ("environ", "getenv") for alias in node.names)
                )
                if named or imported:
                    readers.add(path.relative_to(ROOT).as_posix())
    assert readers == {"farmgate/settings.py"}
