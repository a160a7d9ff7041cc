"""The line for a plain repository's hook tells of every ref of a push, over real HTTP, from a real push."""

from __future__ import annotations

import hmac
import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from farmgate.webhooks import Change, Deleted, Forge, Pushed, parse, post_receive_line, recognise, verify
from tests.webhooks.builders import NOW

SECRET = 'it\'s a "secret" with $signs and `ticks`'


@pytest.mark.needs("git")
@pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="no curl or no openssl on this machine"
)
def test_every_ref_of_a_push_is_told_and_signed(tmp_path: Path) -> None:
    heard: list[Change] = []
    ids: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = dict(self.headers.items())
            assert recognise(headers) is Forge.PLAIN
            verify(Forge.PLAIN, SECRET, headers, body, now=NOW)
            delivery = parse(Forge.PLAIN, headers, body)
            assert set(json.loads(body)) == {"ref", "before", "after"}
            heard.extend(delivery.changes)
            ids.append(delivery.delivery_id)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(
            ["git", *identity, "-C", str(tmp_path / "work"), *arguments], check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        subprocess.run(["git", "init", "-q", "--bare", tmp_path / "bare"], check=True)
        hook = tmp_path / "bare" / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(
            "#!/bin/sh\n" + post_receive_line(f"http://127.0.0.1:{server.server_port}/hook?a=1&b=2", SECRET) + "\n"
        )
        hook.chmod(0o755)
        (tmp_path / "work").mkdir()
        git("init", "-q", "-b", "main")
        git("commit", "-q", "--allow-empty", "-m", "one")
        first = git("rev-parse", "HEAD")
        odd = 'refs/heads/odd"name%s$HOME'
        git("push", "-q", str(tmp_path / "bare"), "HEAD:refs/heads/main", "HEAD:refs/tags/v1", f"HEAD:{odd}")
        git("commit", "-q", "--allow-empty", "-m", "two")
        second = git("rev-parse", "HEAD")
        git("push", "-q", str(tmp_path / "bare"), "HEAD:refs/heads/main", f":{odd}")
        server.shutdown()

    assert set(heard[:3]) == {
        Pushed("refs/heads/main", None, first),
        Pushed("refs/tags/v1", None, first),
        Pushed(odd, None, first),
    }
    assert set(heard[3:]) == {Pushed("refs/heads/main", first, second), Deleted(odd, first)}
    assert len(set(ids)) == 5


def test_the_line_is_one_line_and_quotes_what_it_is_given() -> None:
    line = post_receive_line("https://farm.example/x'; rm -rf /", "s'ecret")
    assert "\n" not in line
    shell = f"set -n\n{line}\n"
    assert subprocess.run(["sh"], input=shell.encode(), capture_output=True, check=True).stderr == b""


def test_the_page_shows_the_line_as_it_is() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text()
    assert post_receive_line("https://farm.example/the/address", "the-secret") in page


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl on this machine")
@pytest.mark.parametrize("secret", [SECRET, "x" * 64, "longer than a block " * 5, "ключ", "%s\\n"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_signature_is_right_and_no_program_is_given_the_secret(tmp_path: Path, shell: str, secret: str) -> None:
    """openssl and curl are watched: they note their arguments, and what the signature was."""
    openssl = shutil.which("openssl")
    for name, does in (("openssl", f'exec {openssl} "$@"'), ("curl", "cat >/dev/null")):
        watched = tmp_path / name
        watched.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >>{tmp_path}/noted\n{does}\n')
        watched.chmod(0o755)
    line = post_receive_line("http://farm.example/hook", secret)
    script = f'PATH="{tmp_path}:$PATH"\n{line}'
    told = subprocess.run([shell, "-c", script], input=b"a b refs/heads/main\n", check=True, capture_output=True)
    assert told.stderr == b""
    noted = (tmp_path / "noted").read_text()
    body = b'{"ref":"refs/heads/main","before":"a","after":"b"}'
    assert f"X-Farmgate-Signature: sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}\n" in noted
    assert secret not in noted
    assert "\\0" not in noted, "nor its pads"
