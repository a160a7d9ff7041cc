"""What the repository promises about how it is installed: locks, floors, images, the compose file."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
RUNTIME, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
# In pieces: this file is read by the test below, too.
INDEX_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry-1", "docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("crates", "io"),
    )
]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: Path) -> dict[str, dict[str, list[str]]]:
    """Name -> requirement line (version and marker) -> hashes. A name may stand twice, under different markers."""
    found: dict[str, dict[str, list[str]]] = {}
    hashes: list[str] = []
    for line in lock.read_text().splitlines():
        if match := re.match(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?(==[^\\]+)", line):
            hashes = found.setdefault(normalised(match[1]), {}).setdefault(match[3].strip(), [])
        elif match := re.match(r"^ {4}--hash=sha256:([0-9a-f]{64})", line):
            hashes.append(match[1])
        else:
            assert re.match(r"^ *#|^$", line), f"{lock.name}: neither a requirement, a hash nor a comment: {line}"
    return found


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


# --- locks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", [RUNTIME, DEV], ids=lambda path: path.name)
def test_every_requirement_is_pinned_by_hash_and_no_lock_names_a_host(lock: Path) -> None:
    locked = entries(lock)
    assert len(locked) > 50
    assert [name for name, lines in locked.items() if not all(lines.values())] == []
    assert "://" not in lock.read_text()
    assert not re.search(r"^\s*--?(index|extra|find|trusted|i |f )", lock.read_text(), re.MULTILINE)


def test_the_lock_with_the_tools_holds_the_runtime_lock_entry_by_entry() -> None:
    runtime, dev = entries(RUNTIME), entries(DEV)
    differing = {
        name: (lines, dev.get(name))
        for name, lines in runtime.items()
        if {line.split(";")[0].strip(): sorted(hashes) for line, hashes in lines.items()}
        != {line.split(";")[0].strip(): sorted(hashes) for line, hashes in dev.get(name, {}).items()}
    }
    assert differing == {}


def test_every_dependency_is_locked() -> None:
    declared = project()["project"]
    extras = declared["optional-dependencies"]

    def missing(requirements: list[str], lock: Path) -> list[str]:
        locked = entries(lock)
        names = [re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0] for requirement in requirements]
        return [name for name in names if normalised(name) not in locked]

    assert missing([*declared["dependencies"], *extras["postgres"], *extras["s3"]], RUNTIME) == []
    assert missing([line for extra in extras.values() for line in extra], DEV) == []


def test_what_is_pinned_in_pyproject_is_what_the_lock_holds() -> None:
    locked = entries(RUNTIME)
    pins = [line.split("==") for line in project()["project"]["dependencies"] if re.match(r"[^;]*==", line)]
    assert pins
    for name, version in pins:
        assert [line.split(";")[0].strip() for line in locked[normalised(name.split("[")[0])]] == [f"=={version}"]


@pytest.mark.needs("git")
def test_no_file_names_a_package_index(tmp_path: Path) -> None:
    line = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(line, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    named = []
    for path in filter(None, listed.stdout.split("\0")):
        file = ROOT / path
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            named += [f"{path}: {host}" for host in INDEX_HOSTS if host.encode() in content]
    assert named == []


# --- floors ----------------------------------------------------------------------------------------------------------


def test_every_module_of_the_core_stands_on_a_floor_and_the_vocabulary_is_pure() -> None:
    layers, pure = project()["tool"]["importlinter"]["contracts"]
    floors = [[name.strip(" ()") for name in re.split(r"[:|]", layer)] for layer in layers["layers"]]
    placed = {name for floor in floors for name in floor}
    there = {
        f"farmgate.{path.stem}"
        for path in (ROOT / "farmgate").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert there - placed == set(), "name the new module in [tool.importlinter] of pyproject.toml"
    vocabulary = next(set(floor) for floor in floors if "farmgate.models" in floor)
    assert (vocabulary & there) - set(pure["source_modules"]) == set(), "pure modules are also in the second contract"


# --- the launcher ----------------------------------------------------------------------------------------------------


def test_the_launcher_is_executable_and_needs_only_the_standard_library() -> None:
    launcher = ROOT / "farm"
    assert launcher.stat().st_mode & stat.S_IXUSR
    nowhere = {"PATH": "/usr/bin:/bin", "FARMGATE_VENV": "/nonexistent/venv"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", launcher, "--help"], env=nowhere, capture_output=True, text=True, check=True
    )
    assert "./farm demo" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "script", [".ci/run", "compose/secrets", "compose/entrypoint", "tests/compose/base", "tests/compose/stand-ins"]
)
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    subprocess.run([shell, "-n", path], check=True)


# --- images ----------------------------------------------------------------------------------------------------------


def test_the_image_holds_every_package_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for package in project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} /opt/farmgate/{package}\n" in dockerfile
        assert f"!{package}" in ignored
    users = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)
    assert users == ["farmgate"]
    assert ignored[1] == "*"  # what is not named is not sent


@pytest.mark.parametrize("service", sorted(compose()["services"]))
def test_every_service_says_when_it_is_healthy_and_comes_back(service: str) -> None:
    said = compose()["services"][service]
    assert said["restart"] == "unless-stopped"
    assert said["healthcheck"]["test"]
    assert ":latest" not in said["image"] or said["image"].startswith("${FARMGATE_IMAGE")
    assert "privileged" not in said


def test_no_service_has_a_password_but_from_a_secret_file() -> None:
    document = compose()
    for name, service in document["services"].items():
        for key, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|TOKEN|KEY|DATABASE_URL|BROKER_URL", key)
            assert not secret or (key.endswith("_FILE") and value.startswith("/run/secrets/")), f"{name}: {key}"
        assert set(service.get("secrets", [])) <= set(document["secrets"])
        assert "requirepass" not in str(service.get("command"))
    for name, secret in document["secrets"].items():
        assert secret == {"file": f"${{FARMGATE_SECRETS:?run compose/secrets first}}/{name}"}


def test_a_node_reaches_neither_the_database_nor_the_store() -> None:
    services = compose()["services"]
    assert services["worker"]["networks"] == ["nodes"]
    for guarded in ("postgres", "s3"):
        assert services[guarded]["networks"] == ["control"]
    assert services["worker"]["secrets"] == ["farmgate_join_token"]


def test_the_secrets_are_drawn_once_and_only_their_owner_gets_at_them(tmp_path: Path) -> None:
    (tmp_path / "compose").mkdir()
    script = tmp_path / "compose" / "secrets"
    script.write_text((ROOT / "compose" / "secrets").read_text())
    script.chmod(0o755)
    line = [script, tmp_path / "work"]
    first = subprocess.run(line, capture_output=True, text=True, check=False)
    if os.geteuid() != 0 and "must exist and belong to user" in first.stderr:
        pytest.skip("only root can give the nodes' folder to the image's user")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "compose" / "private"
    drawn = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(drawn) == set(compose()["secrets"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    assert drawn["redis_password"] in drawn["farmgate_broker_url"]
    assert drawn["postgres_password"] in drawn["farmgate_database_url"]
    assert len(drawn["farmgate_secret_key"]) == 64
    environment = (tmp_path / ".env").read_text()
    assert not any(secret in environment for secret in drawn.values())

    (tmp_path / ".env").write_text(environment + "FARMGATE_PORT=9000\n")
    subprocess.run(line, capture_output=True, check=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == drawn
    assert sorted((tmp_path / ".env").read_text().splitlines()) == sorted(
        [*environment.splitlines(), "FARMGATE_PORT=9000"]
    )
