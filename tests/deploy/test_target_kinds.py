"""Kinds of targets that others bring: found by their entry point, read, kept, made, and missed without harm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.targets.place import RealTargets
from farmgate.blobs import MemoryBlobs
from farmgate.clock import SystemClock
from farmgate.errors import BadDocument, TargetError
from farmgate.policy import LanePolicy, parse
from farmgate.policy.targets import UnknownTarget, registry

MODULE = """
from typing import ClassVar, Literal
from farmgate.policy.targets import Kind, TargetFile, TargetPolicy

class BoatFile(TargetFile):
    harbour: str
    crew: int | None = None

class BoatTarget(TargetPolicy):
    TAKES_SHARES: ClassVar[bool] = False
    type: Literal["boat"] = "boat"
    harbour: str
    crew: int = 2

    def contradictions(self, lane):
        if lane.branch != self.harbour:
            yield ("branch",), "a boat leaves from the harbour of its own name"

class Boat:
    def __init__(self, site):
        self.site = site

KIND = Kind("boat", BoatFile, BoatTarget, "acme_boats:Boat")
"""
POLICY = """\
application: ferry
target: {type: boat, harbour: main}
lanes:
  sea: {}
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of somebody else, as an installer leaves it."""
    info = tmp_path / "site" / "acme_boats-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-boats\nVersion: 1\n")
    lines = ("boat = acme_boats:KIND", "docker = acme_boats:KIND", "wreck = acme_wreck:KIND", "raft = acme_boats:KIND")
    (info / "entry_points.txt").write_text("[farmgate.targets]\n" + "\n".join(lines) + "\n")
    (tmp_path / "site" / "acme_boats.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    _forget()
    yield
    sys.modules.pop("acme_boats", None)
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    registry._outside.cache_clear()
    registry._loaded.cache_clear()


def words(text: str) -> list[str]:
    with pytest.raises(BadDocument) as refused:
        parse(text)
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.usefixtures("installed")
def test_a_kind_from_outside_is_read_kept_and_made(tmp_path: Path) -> None:
    (policy,) = parse(POLICY)
    assert policy.target.type == "boat"
    row = policy.model_dump(mode="json")
    assert row["target"] == {"type": "boat", "artifact": None, "harbour": "main", "crew": 2}
    assert LanePolicy.model_validate(row) == policy
    made = RealTargets(tmp_path / "deploy", MemoryBlobs(), SystemClock(), embedded=False)
    (tmp_path / "deploy").mkdir()
    target = made.of(7, policy)
    assert type(target).__name__ == "Boat"
    assert target.site.policy is policy  # type: ignore[attr-defined]
    assert target.site.folder == tmp_path / "deploy" / "7"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("harbour: main", "harbor: main", "2:22: a boat target knows no 'harbor' (did you mean 'harbour'?)"),
        (", harbour: main", "", "2:1: target needs 'harbour'"),
        ("harbour: main", "harbour: main, crew: few", "2:43: target.crew: must be a whole number"),
        ("sea: {}", "sea: {target: {crew: few}}", "4:24: lanes.sea.target.crew: must be a whole number"),
        ("sea: {}", "sea: {branch: next}", "4:17: a boat leaves from the harbour of its own name"),
        ("sea: {}", "sea: {waves: [{share: 5}, {share: 100}]}", "4:37: a boat target has everything or nothing"),
        ("sea: {}", "sea: {listen: ':8101'}", "4:9: a boat target has no switch"),
        ("sea: {}", "sea: {checks: [{http: /up}]}", "4:25: a boat target has no instances to ask"),
        ("boat", "boot", "2:16: no target type 'boot' is installed here; there are docker, process, command"),
        ("boat", "wreck", "2:16: the target type 'wreck' cannot be loaded: ModuleNotFoundError"),
        ("boat", "raft", "2:16: the target type 'raft' cannot be loaded: TypeError: acme_boats:KIND is not the Kind"),
        ("boat", "[boat]", "2:16: the type of a target must be text, but is a list"),
    ],
)
def test_what_is_wrong_with_it_is_told_at_its_place(old: str, new: str, told: str) -> None:
    assert old in POLICY
    found = words(POLICY.replace(old, new, 1))
    assert any(problem.startswith(f"delivery.yml:{told}") for problem in found), found


@pytest.mark.usefixtures("installed")
def test_a_built_in_name_is_never_taken_over() -> None:
    assert registry.kind("docker").policy.__name__ == "DockerTarget"
    assert registry.names().count("docker") == 1


def test_a_row_whose_kind_is_not_installed_is_kept_whole_and_only_its_target_cannot_be_made(tmp_path: Path) -> None:
    target = {"type": "boat", "artifact": None, "harbour": "main", "crew": 2}
    row = {"application": "ferry", "environment": "sea", "repository": "ferry", "branch": "main", "target": target}
    policy = LanePolicy.model_validate(row)
    assert isinstance(policy.target, UnknownTarget)
    assert policy.model_dump(mode="json")["target"] == target
    with pytest.raises(TargetError, match="no target type 'boat' is installed here"):
        RealTargets(tmp_path, MemoryBlobs(), SystemClock(), embedded=False).of(1, policy)


def test_another_kind_takes_over_only_what_both_have_from_the_same_class() -> None:
    text = """\
application: shop
target: {type: docker, image: shop, command: [run], port: 80, environment: {A: b}, artifact: x.tgz}
lanes:
  store: {target: {type: command, shift: [./s], restore: [./r]}}
"""
    (policy,) = parse(text)
    assert policy.target.model_dump(exclude_defaults=True) == {
        "artifact": "x.tgz",
        "environment": {"A": "b"},
        "shift": ("./s",),
        "restore": ("./r",),
    }
