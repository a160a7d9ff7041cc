"""Nodes fetch the exact commit over HTTP, once, and check it out without running anything of it."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmgate.errors import BadPayload, Conflict, NotInRepository, RemoteUnreachable
from farmgate.git import Mirror, NodeMirror, advertise, upload_pack
from farmgate.git.serve import REQUEST_LIMIT
from tests.git.repositories import GitServer, RealRepository, noise, serving

pytestmark = pytest.mark.needs("git")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def source(tmp_path: Path) -> RealRepository:
    return RealRepository(tmp_path / "source.git")


@pytest.fixture
def mirror(tmp_path: Path, source: RealRepository) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirror.git", str(source.path)) as made:
        yield made


@pytest.fixture
def server(mirror: Mirror) -> Iterator[GitServer]:
    with serving(mirror.path) as at_work:
        yield at_work


def headers(server: GitServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


def status(folder: Path) -> str:
    return subprocess.run(
        ["git", "-C", folder, "status", "--porcelain"], check=True, capture_output=True
    ).stdout.decode()


def test_a_commit_goes_over_http_into_a_workspace(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    modes = {"run.sh": "100755", "link": "120000"}
    sha = source.add("one", {"dir/file": "content", "run.sh": "#!/bin/sh\n", "link": "dir/file"}, modes=modes)
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(server.url, sha, headers(server))
    node.checkout(sha, tmp_path / "workspace")
    workspace = tmp_path / "workspace"
    assert (workspace / "dir" / "file").read_text() == "content"
    assert os.access(workspace / "run.sh", os.X_OK)
    assert (workspace / "link").readlink() == Path("dir/file")
    head = subprocess.run(["git", "-C", workspace, "rev-parse", "HEAD"], check=True, capture_output=True)
    assert head.stdout.decode().strip() == sha
    assert (
        subprocess.run(["git", "-C", workspace, "symbolic-ref", "-q", "HEAD"], check=False).returncode == 1
    )  # detached
    assert status(workspace) == ""
    assert {protocol for _, _, protocol in server.requests} == {"version=2"}


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_any_git_client_can_clone_from_the_server(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer, version: str
) -> None:
    shas = [source.add(f"commit {i}", {f"f{i}": "x" * i}) for i in range(40)]
    mirror.fetch()
    auth = f"http.extraHeader=Authorization: Bearer {server.token}"
    options = ["-c", auth, "-c", f"protocol.version={version}"]
    clone = ["git", *options, "clone", "-q", server.url, str(tmp_path / "clone")]
    subprocess.run(clone, check=True, capture_output=True)
    head = subprocess.run(["git", "-C", tmp_path / "clone", "rev-parse", "HEAD"], check=True, capture_output=True)
    assert head.stdout.decode().strip() == shas[-1]
    more = source.add("more")
    mirror.fetch()
    subprocess.run(["git", "-C", str(tmp_path / "clone"), *options, "pull", "-q"], check=True, capture_output=True)
    head = subprocess.run(["git", "-C", tmp_path / "clone", "rev-parse", "HEAD"], check=True, capture_output=True)
    assert head.stdout.decode().strip() == more


def test_nothing_can_be_pushed_to_the_server(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    sha = source.add("one")
    mirror.fetch()
    auth = f"http.extraHeader=Authorization: Bearer {server.token}"
    push = ["git", f"--git-dir={source.path}", "-c", auth, "push", server.url, f"{sha}:refs/heads/new"]
    assert subprocess.run(push, check=False, capture_output=True).returncode != 0
    assert set(mirror.refs()) == {"refs/heads/main"}


def test_a_commit_that_a_forced_push_dropped_is_still_given(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    base = source.add("base")
    dropped = source.add("dropped", {"f": "1"})
    mirror.fetch()
    source.add("instead", {"f": "2"}, parents=[base])
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(server.url, dropped, headers(server))
    node.checkout(dropped, tmp_path / "w")
    assert (tmp_path / "w" / "f").read_text() == "1"


def test_many_commits_that_wait_cost_one_fetch(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    shas = [source.add(f"commit {number}", {"file": str(number)}) for number in range(20)]
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(server.url, shas[3], headers(server), also=shas[-1])
    asked = len(server.requests)
    assert not node.holds(shas[2])  # nobody will ask for what is older
    for sha in shas[3:]:
        node.ensure(server.url, sha, headers(server), also=shas[-1])
        node.checkout(sha, tmp_path / sha)
        assert (tmp_path / sha / "file").read_text() == str(shas.index(sha))
    assert len(server.requests) == asked


def test_a_newest_commit_that_is_gone_keeps_nobody_from_the_one_that_is_asked_for(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    sha = source.add("one", {"file": "1"})
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(server.url, sha, headers(server), also="f" * 40)
    node.checkout(sha, tmp_path / "w")
    assert not node.holds("f" * 40)


def test_a_commit_that_is_nowhere_is_told(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    source.add("one")
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    with pytest.raises(NotInRepository, match="is not \\(or no longer\\) at the server"):
        node.ensure(server.url, "f" * 40, headers(server))
    with pytest.raises(NotInRepository):
        node.ensure(server.url, "--upload-pack=x", headers(server))
    with pytest.raises(NotInRepository):
        node.checkout("f" * 40, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_without_the_token_the_server_is_unreachable(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    sha = source.add("one")
    mirror.fetch()
    with pytest.raises(RemoteUnreachable):
        NodeMirror(tmp_path / "node.git").ensure(server.url, sha, {"Authorization": "Bearer wrong"})


def test_the_token_is_in_no_argument_list_and_no_file(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = source.add("one")
    mirror.fetch()
    log = tmp_path / "arguments"
    shim = tmp_path / "git-shim"
    shim.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\nexec git "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setattr("farmgate.git.command.program", lambda: str(shim))
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(server.url, sha, headers(server))
    node.checkout(sha, tmp_path / "w")
    assert "fetch" in log.read_text()
    assert server.token not in log.read_text()
    files = [path for folder in ("node.git", "w") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if server.token.encode() in path.read_bytes()]


FETCH = """
import sys
from pathlib import Path
from farmgate.git import NodeMirror
sys.stdin.readline()
NodeMirror(Path(sys.argv[1])).ensure(sys.argv[2], sys.argv[3], {"Authorization": "Bearer " + sys.argv[4]})
"""


def test_a_commit_is_fetched_once_however_many_ask(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    sha = source.add("one", {"f": "x"})
    mirror.fetch()
    NodeMirror(tmp_path / "alone.git").ensure(server.url, sha, headers(server))
    once = len(server.requests)
    server.requests.clear()
    node = NodeMirror(tmp_path / "node.git")
    arguments = [str(node.path), server.url, sha, server.token]
    others = [
        subprocess.Popen([sys.executable, "-c", FETCH, *arguments], cwd=ROOT, stdin=subprocess.PIPE) for _ in range(2)
    ]
    threads = [threading.Thread(target=node.ensure, args=(server.url, sha, headers(server))) for _ in range(4)]
    for other in others:
        assert other.stdin is not None
        other.stdin.write(b"go\n")
        other.stdin.close()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    assert len(server.requests) == once
    node.checkout(sha, tmp_path / "w")


def test_the_next_commit_costs_only_what_is_new(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    first = source.add("one", {f"f{i}": noise(f"{i}", 20_000) for i in range(20)})
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(server.url, first, headers(server))

    def size() -> int:
        return sum(path.stat().st_size for path in (node.path / "objects").rglob("*") if path.is_file())

    before = size()
    second = source.add("two", {"new": "x"})
    mirror.fetch()
    node.ensure(server.url, second, headers(server))
    assert before > 400_000
    assert size() - before < 5_000


def test_objects_that_a_killed_fetch_left_do_not_count(
    tmp_path: Path, source: RealRepository, mirror: Mirror, server: GitServer
) -> None:
    sha = source.add("one", {"f": "x"})
    mirror.fetch()
    node = NodeMirror(tmp_path / "node.git")
    subprocess.run(["git", "init", "-q", "--bare", node.path], check=True)
    raw = subprocess.run(
        ["git", f"--git-dir={source.path}", "cat-file", "commit", sha], check=True, capture_output=True
    )
    write = ["git", f"--git-dir={node.path}", "hash-object", "-t", "commit", "-w", "--stdin"]
    assert subprocess.run(write, input=raw.stdout, check=True, capture_output=True).stdout.decode().strip() == sha
    assert not node.holds(sha)
    node.ensure(server.url, sha, headers(server))
    node.checkout(sha, tmp_path / "w")
    assert (tmp_path / "w" / "f").read_text() == "x"


def test_a_workspace_is_made_only_in_an_empty_folder(tmp_path: Path, source: RealRepository) -> None:
    sha = source.add("one", {"f": "x"})
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(str(source.path), sha)
    (tmp_path / "empty").mkdir()
    node.checkout(sha, tmp_path / "empty")
    with pytest.raises(Conflict, match="is not empty"):
        node.checkout(sha, tmp_path / "empty")


def test_a_checkout_runs_no_filter_and_no_hook(
    tmp_path: Path, source: RealRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, ran = tmp_path / "home", tmp_path / "ran"
    (home / "hooks").mkdir(parents=True)
    hook = home / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    evil = f'[core]\n\thooksPath = {home}/hooks\n[filter "lfs"]\n\tsmudge = touch {ran}; cat\n\trequired = true\n'
    (home / ".gitconfig").write_text(evil)
    monkeypatch.setenv("HOME", str(home))
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    content = {
        ".gitattributes": "* filter=lfs\n",
        "data": pointer,
        ".gitmodules": '[submodule "m"]\n\tpath = m\n\turl = ./x\n',
    }
    sha = source.add("one", content | {"m": "c" * 40}, modes={"m": "160000"})
    node = NodeMirror(tmp_path / "node.git")
    node.ensure(str(source.path), sha)
    node.checkout(sha, tmp_path / "w")
    assert (tmp_path / "w" / "data").read_text() == pointer
    assert list((tmp_path / "w" / "m").iterdir()) == []
    assert not ran.exists()


def test_a_mirror_that_is_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(NotInRepository):
        advertise(tmp_path / "nowhere")
    with pytest.raises(NotInRepository):
        upload_pack(tmp_path / "nowhere", [b"0000"])


def test_a_request_that_unpacks_to_too_much_is_refused(source: RealRepository) -> None:
    source.add("one")
    bomb = gzip.compress(b"0" * (REQUEST_LIMIT + 2))
    assert len(bomb) < 100_000
    with pytest.raises(BadPayload, match="larger than"):
        upload_pack(source.path, [bomb])
    with pytest.raises(BadPayload, match="not gzip"):
        upload_pack(source.path, [b"\x1f\x8bnothing of the kind"])


def test_an_answer_that_nobody_reads_on_ends_its_process(source: RealRepository) -> None:
    sha = source.add("one", {f"f{i}": noise(f"{i}", 100_000) for i in range(30)})
    line = f"want {sha}\n".encode()
    request = b"%04x" % (len(line) + 4) + line + b"00000009done\n"
    pieces = upload_pack(source.path, [request])
    assert next(pieces)
    frame = pieces.gi_frame  # type: ignore[attr-defined]
    process = frame.f_locals["process"]
    assert process.poll() is None
    pieces.close()  # type: ignore[attr-defined]
    assert process.poll() is not None
