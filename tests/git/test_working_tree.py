"""A working tree as a commit, and the user's repository as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from farmgate.errors import NotFound
from farmgate.git import working_tree


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with a commit, and with changes of every kind."""
    folder = tmp_path / "shop with a space"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "feature/x")
    (folder / ".gitignore").write_text("*.log\n")
    for name in ("kept", "changed", "removed", "staged"):
        (folder / name).write_text(name)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    (folder / "changed").write_text("changed since")
    (folder / "staged").write_text("staged")
    git(folder, "add", "staged")
    (folder / "removed").unlink()
    (folder / "new").write_text("new")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "noise.log").write_text("ignored")
    return folder


def files(bare: Path, sha: str) -> dict[str, str]:
    names = git(bare, "ls-tree", "-r", "--name-only", sha).splitlines()
    return {name: git(bare, "show", f"{sha}:{name}") for name in names}


def test_what_is_changed_new_and_not_ignored_is_in_the_commit(tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    taken = working_tree.take(working_tree.find(tree), bare)
    assert taken.changed
    assert taken.branch == "feature/x"
    assert files(bare, taken.sha) == {
        ".gitignore": "*.log",
        "changed": "changed since",
        "kept": "kept",
        "new": "new",
        "run.sh": "#!/bin/sh",
        "staged": "staged",
    }
    assert git(bare, "ls-tree", taken.sha, "run.sh").startswith("100755")
    assert git(bare, "rev-parse", f"{taken.sha}^", "feature/x").splitlines() == [
        git(tree, "rev-parse", "HEAD"),
        taken.sha,
    ]


def test_the_repository_is_left_as_it_was(tree: Path, tmp_path: Path) -> None:
    def state() -> tuple[str, ...]:
        told = git(tree, "status", "--porcelain"), git(tree, "for-each-ref"), git(tree, "count-objects", "-v")
        return (*told, git(tree, "diff", "--cached", "--name-only"))

    before = state()
    working_tree.take(working_tree.find(tree), tmp_path / "bare.git", {".farmgate.yml": b"jobs: {}\n"})
    assert state() == before


def test_a_file_may_stand_in_for_another(tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    taken = working_tree.take(working_tree.find(tree), bare, {".farmgate.yml": b"jobs: {}\n"})
    assert files(bare, taken.sha)[".farmgate.yml"] == "jobs: {}"
    assert not (tree / ".farmgate.yml").exists()


def test_it_is_taken_again_and_again_from_a_folder_below_and_without_a_branch(tree: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    first = working_tree.take(working_tree.find(tree), bare)
    git(tree, "stash", "-qu")
    git(tree, "checkout", "-q", "--detach")
    (tree / "below").mkdir()
    second = working_tree.take(working_tree.find(tree / "below"), bare)
    assert (first.branch, second.branch) == ("feature/x", working_tree.DETACHED)
    assert not second.changed
    assert files(bare, second.sha)["removed"] == "removed"


def test_a_clone_without_its_history_is_taken_too(tree: Path, tmp_path: Path) -> None:
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "two")
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{tree}", shallow], check=True)
    bare = tmp_path / "bare.git"
    taken = working_tree.take(working_tree.find(shallow), bare)
    again = tmp_path / "again.git"
    subprocess.run(["git", "clone", "-q", "--mirror", bare, again], check=True)
    assert "new" in files(again, taken.sha)


def test_where_there_is_no_repository_or_no_commit_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(NotFound, match="in no git working tree"):
        working_tree.find(tmp_path / "plain")
    git(tmp_path / "plain", "init", "-q")
    with pytest.raises(NotFound, match="no commit yet"):
        working_tree.take(working_tree.find(tmp_path / "plain"), tmp_path / "bare.git")
