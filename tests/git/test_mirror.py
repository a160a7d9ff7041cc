"""The mirror of a real repository: fetching, odd content, hostile names, dying processes."""

from __future__ import annotations

import base64
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farmgate.errors import FarmgateError, MissingProgram, NotAFile, NotInRepository, RemoteUnreachable
from farmgate.git import Mirror
from farmgate.git.command import environment, program, same_server
from tests.git.repositories import RealRepository, serving

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def source(tmp_path: Path) -> RealRepository:
    return RealRepository(tmp_path / "source.git")


@pytest.fixture
def mirror(tmp_path: Path, source: RealRepository) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirrors" / "mirror.git", str(source.path)) as made:
        yield made


def test_nothing_is_there_before_the_first_fetch(mirror: Mirror) -> None:
    with pytest.raises(NotInRepository):
        mirror.commit("a" * 40)
    with pytest.raises(NotInRepository):
        mirror.refs()


def test_what_is_fetched_later_is_seen_by_the_open_process(mirror: Mirror, source: RealRepository) -> None:
    first = source.add("one")
    mirror.fetch()
    assert mirror.commit(first).title == "one"
    later = [source.add(f"later {i}", {"f": str(i)}) for i in range(150)][-1]  # enough for a pack
    with pytest.raises(NotInRepository):
        mirror.commit(later)
    mirror.fetch()
    assert mirror.commit(later).title == "later 149"


def test_a_reading_process_that_died_is_started_again(mirror: Mirror, source: RealRepository) -> None:
    sha = source.add("one")
    mirror.fetch()
    mirror.commit(sha)
    process = mirror._objects._process
    assert process is not None
    process.kill()
    process.wait()
    assert mirror.commit(sha).title == "one"


def test_many_threads_read_at_once(mirror: Mirror, source: RealRepository) -> None:
    shas = [source.add(f"commit {i}", {"f": str(i) * 1000}) for i in range(20)]
    mirror.fetch()
    wrong: list[str] = []

    def read() -> None:
        for index, sha in enumerate(shas * 5):
            number = str(index % 20)
            if mirror.commit(sha).title != f"commit {number}" or mirror.read(sha, "f") != (number * 1000).encode():
                wrong.append(sha)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_threads_fetch_at_once(mirror: Mirror, source: RealRepository) -> None:
    sha = source.add("one")
    failures: list[FarmgateError] = []

    def fetch() -> None:
        try:
            mirror.fetch()
        except FarmgateError as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert mirror.resolve("main") == sha


def test_what_a_killed_fetch_left_locked_is_unlocked(mirror: Mirror, source: RealRepository) -> None:
    source.add("one")
    mirror.fetch()
    sha = source.add("two")
    (mirror.path / "refs" / "heads" / "main.lock").touch()
    mirror.fetch()
    assert mirror.resolve("main") == sha


def test_a_pull_request_is_fetched_by_its_ref_and_survives_the_next_fetch(
    mirror: Mirror, source: RealRepository
) -> None:
    base = source.add("one")
    head = source.add("pull", branch="tmp", parents=[base])
    source.point("refs/pull/7/head", head)
    source.point("refs/heads/tmp", None)
    mirror.fetch(["refs/pull/7/head:refs/pull/7/head"])
    mirror.fetch()
    assert mirror.refs() == {"refs/heads/main": base, "refs/pull/7/head": head}


def test_a_forks_branch_is_fetched_from_the_fork(mirror: Mirror, source: RealRepository, tmp_path: Path) -> None:
    source.add("one")
    fork = RealRepository(tmp_path / "fork.git")
    head = fork.add("from the fork", branch="main")
    mirror.fetch()
    mirror.fetch(["refs/heads/main:refs/pull/3/head"], url=str(fork.path))
    assert mirror.resolve("refs/pull/3/head") == head
    assert mirror.resolve("main") != head


def test_a_branch_that_vanished_before_the_fetch_is_told(mirror: Mirror, source: RealRepository) -> None:
    source.add("one")
    with pytest.raises(NotInRepository, match="refs/heads/gone"):
        mirror.fetch(["refs/heads/gone:refs/heads/gone"])


def test_a_branch_may_become_a_folder_of_branches(mirror: Mirror, source: RealRepository) -> None:
    sha = source.add("one", branch="a")
    mirror.fetch()
    source.point("refs/heads/a", None)
    source.point("refs/heads/a/b", sha)
    mirror.fetch()
    assert mirror.refs() == {"refs/heads/a/b": sha}


def test_the_default_branch_is_told(mirror: Mirror, source: RealRepository) -> None:
    assert mirror.default_branch() is None
    source.add("one", branch="trunk")
    source.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert mirror.default_branch() == "refs/heads/trunk"


def test_annotated_and_nested_tags_lead_to_their_commit(mirror: Mirror, source: RealRepository) -> None:
    sha = source.add("one")
    who = {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b"}
    source.git("tag", "-a", "-m", "x", "v1", sha, env=who)
    source.git("tag", "-a", "-m", "x", "v1-signed-off", "v1", env=who)
    source.point("refs/tags/a-tree", source.git("rev-parse", f"{sha}^{{tree}}"))
    mirror.fetch()
    assert mirror.refs() == {"refs/heads/main": sha, "refs/tags/v1": sha, "refs/tags/v1-signed-off": sha}
    assert mirror.resolve("v1-signed-off") == sha
    with pytest.raises(NotInRepository):
        mirror.resolve("a-tree")


def test_odd_bytes_are_shown_as_well_as_they_can_be(mirror: Mirror, source: RealRepository) -> None:
    tree = source.git("mktree", stdin=b"")
    raw = f"tree {tree}\nauthor \xff <> x\ncommitter C <c@d> 99999999999999999999 +0000\n\nt\xe4".encode("latin-1")
    odd = source.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)
    latin = raw.replace(b"x\ncommitter", b"1 +0000\ncommitter").replace(b"+0000\n\n", b"+0000\nencoding ISO-8859-1\n\n")
    named = source.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=latin)
    source.point("refs/heads/odd", odd)
    source.point("refs/heads/named", named)
    mirror.fetch()
    assert mirror.commit(odd).title == "t\ufffd"
    assert mirror.commit(odd).author_name == "\ufffd"
    assert mirror.commit(odd).committed_at.year == 1970
    assert mirror.commit(named).title == "tä"


@pytest.mark.parametrize("name", ['a"b', "a'b", "a$(x)b", "a;b", "-dash", "ü", "a%00b", "{a}", "|x"])
def test_branches_and_files_with_odd_names_are_only_names(mirror: Mirror, source: RealRepository, name: str) -> None:
    sha = source.add("one", {f"{name}/{name}": "x", "a\nb": "y"})
    source.point(f"refs/heads/x{name}", sha)
    mirror.fetch()
    assert mirror.resolve(f"x{name}") == sha
    assert mirror.resolve(f"refs/heads/x{name}") == sha
    assert mirror.read(sha, f"{name}/{name}") == b"x"
    assert mirror.read(sha, "a\nb") == b"y"
    assert set(mirror.changed_paths(None, sha)) == {f"{name}/{name}", "a\nb"}


def test_a_link_and_a_submodule_are_no_files(mirror: Mirror, source: RealRepository) -> None:
    modes = {"link": "120000", "module": "160000"}
    sha = source.add("one", {"link": "/etc/passwd", "module": "c" * 40, "dir/x": "1"}, modes=modes)
    mirror.fetch()
    with pytest.raises(NotAFile, match=r"'link' at .* is a symbolic link"):
        mirror.read(sha, "link")
    with pytest.raises(NotAFile, match="is a submodule"):
        mirror.read(sha, "module")
    assert mirror.read(sha, "link/x") is None


def test_an_object_over_the_limit_leaves_the_reader_usable(mirror: Mirror, source: RealRepository) -> None:
    sha = source.add("one", {"big": b"x" * 3_000_000, "small": "s"})
    mirror.fetch()
    with pytest.raises(NotAFile, match="larger than"):
        mirror.read(sha, "big")
    assert mirror.read(sha, "small") == b"s"


@pytest.mark.parametrize("url", ["--upload-pack=touch hacked", "-x", "", "ext::sh -c 'touch hacked'", "a\nb", "fd::17"])
def test_an_address_that_is_an_option_or_a_helper_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(RemoteUnreachable, match="is not an address"):
        Mirror(tmp_path / "m", url)


@pytest.mark.parametrize(
    "spec", ["--all", "main:main", "refs/heads/a", "refs/heads/*:refs/heads/*", ":refs/heads/x", "a:b:c"]
)
def test_a_refspec_without_full_names_is_refused(mirror: Mirror, spec: str) -> None:
    with pytest.raises(RemoteUnreachable, match="is not a refspec"):
        mirror.fetch([spec])


def test_a_repository_that_is_not_there_is_told_in_gits_words(tmp_path: Path) -> None:
    with pytest.raises(RemoteUnreachable, match="does not"):
        Mirror(tmp_path / "m", str(tmp_path / "nowhere")).fetch()


def test_a_password_in_the_address_is_not_told(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(RemoteUnreachable) as failure:
        Mirror(tmp_path / "m", f"http://ada:hunter2@127.0.0.1:{free_port}/x.git").fetch()
    assert "127.0.0.1" in str(failure.value)
    assert "hunter2" not in str(failure.value)


def test_a_password_in_the_address_signs_in_and_is_in_no_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = RealRepository(tmp_path / "theirs")
    repository.add("one", {"a": "1"})
    Mirror(tmp_path / "origin", str(repository.path)).fetch()
    pair = base64.b64encode(b"ada:hunter2: %").decode()
    given: list[str] = []
    real = subprocess.Popen

    def watched(arguments: list[str], **more: Any) -> Any:
        given.extend(arguments)
        return real(arguments, **more)

    with serving(tmp_path / "origin", pair, scheme="Basic") as server:
        monkeypatch.setattr("farmgate.git.command.subprocess.Popen", watched)
        mine = Mirror(tmp_path / "m", server.url.replace("://", "://ada:hunter2%3A%20%25@"))
        mine.fetch()
        assert mine.refs()
        assert mine.default_branch() == "refs/heads/main"
        assert not [argument for argument in given if "hunter2" in argument]
        with pytest.raises(RemoteUnreachable):
            Mirror(tmp_path / "n", server.url.replace("://", "://ada:wrong@")).fetch()
        with pytest.raises(RemoteUnreachable):
            Mirror(tmp_path / "n", server.url).fetch()


def test_a_remote_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(RemoteUnreachable, match=r"took longer than 0\.5 s"):
            Mirror(tmp_path / "m", url, timeout=timedelta(seconds=0.5)).fetch()


def test_git_sees_neither_the_users_configuration_nor_our_settings(
    mirror: Mirror, source: RealRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{tmp_path}/nowhere"]\n\tinsteadOf = {tmp_path}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("FARMGATE_SECRET_KEY", "secret")
    sha = source.add("one")
    mirror.fetch()
    assert mirror.resolve("main") == sha
    assert not {"GIT_DIR", "FARMGATE_SECRET_KEY"} & environment().keys()


@pytest.mark.parametrize(
    ("said", "fits"), [("git version 2.36.0", True), ("git version 2.30.2", False), ("no git", False)]
)
def test_a_git_that_would_not_see_our_configuration_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, fits: bool
) -> None:
    old = tmp_path / "git"
    old.write_text(f"#!/bin/sh\necho {said}\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if fits:
        assert program.__wrapped__() == str(old)
    else:
        with pytest.raises(MissingProgram, match=r"is too old .* needs git 2\.36"):
            program.__wrapped__()


@pytest.mark.parametrize(
    ("repository", "fork", "same"),
    [
        ("https://git.example.org/us/shop.git", "https://git.example.org/them/shop.git", True),
        ("git@git.example.org:us/shop.git", "https://git.example.org/them/shop.git", True),
        ("git@git.example.org:us/shop.git", "git@git.example.org:them/shop.git", True),
        ("https://git.example.org:8443/us/shop", "https://git.example.org:8443/them/shop", True),
        ("https://git.example.org/us/shop", "https://git.example.com/them/shop", False),
        ("https://git.example.org/us/shop", "http://git.example.org:6379/them/shop", False),
        ("https://git.example.org/us/shop", "https://git.example.org:6379/them/shop", False),
        ("https://git.example.org/us/shop", "http://git.example.org/them/shop", False),
        ("git@git.example.org:us/shop.git", "/srv/secret.git", False),
        ("git@git.example.org:us/shop.git", "file:///srv/secret.git", False),
        ("/srv/shop.git", "/srv/secret.git", False),
        ("/srv/shop.git", "file:///srv/secret.git", False),
        ("https://git.example.org/us/shop", "https://[nonsense/them/shop", False),
    ],
)
def test_a_fork_is_fetched_from_the_repositorys_own_server_and_never_from_a_folder(
    repository: str, fork: str, *, same: bool
) -> None:
    assert same_server(repository, fork) is same
