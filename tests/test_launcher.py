"""The launcher, with an installer that needs no network: what it makes, keeps, refuses and survives."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from farmgate.clock import SystemClock, stopwatch
from farmgate.embedded import LOOK_AGAIN

ROOT = Path(__file__).parent.parent

# Stands for uv on the PATH: makes a real, empty environment, and records each installation.
INSTALLER = """#!{python}
import os, subprocess, sys, time
folder = {folder!r}
if sys.argv[1] == "venv":
    subprocess.run([{python!r}, "-m", "venv", "--without-pip", sys.argv[-1]], check=True)
else:
    if os.path.exists(folder + "/fail"):
        sys.exit("no network here")
    with open(folder + "/installed", "a") as log:
        log.write(sys.argv[-1] + chr(10))
    while os.path.exists(folder + "/wait"):
        time.sleep(0.01)
"""


class Checkout:
    """A copy of what the launcher reads, in a folder of its own, with a command line that prints its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder.parent / f"{folder.name}-tools"
        (folder / "farmgate").mkdir(parents=True)
        self.tools.mkdir()
        for name in ("farm", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        for name in ("requirements.lock", "requirements-dev.lock"):
            (folder / name).write_text(f"# {name}\n")
        (folder / "farmgate" / "__init__.py").touch()
        (folder / "farmgate" / "cli.py").write_text("import sys\n\ndef main():\n    print(sys.argv[1:])\n\nmain()\n")
        installer = self.tools / "uv"
        installer.write_text(INSTALLER.format(python=sys.executable, folder=str(self.tools)))
        installer.chmod(0o755)

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    @property
    def installed(self) -> list[str]:
        log = self.tools / "installed"
        return [Path(line).name for line in log.read_text().splitlines()] if log.exists() else []

    def start(self, arguments: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, self.folder / "farm", *arguments],
            env={"PATH": f"{self.tools}:/usr/bin:/bin", **environment},
            cwd=self.tools,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that was started in the background has Ctrl-C ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )

    def farm(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def wait_until_installing(checkout: Checkout) -> None:
    deadline = stopwatch() + 30
    while not checkout.installed:
        assert stopwatch() < deadline, "the installer was not started"
        SystemClock().sleep(LOOK_AGAIN)


def test_the_first_command_makes_the_environment_and_the_next_one_uses_it(checkout: Checkout) -> None:
    status, out, err = checkout.farm("status", "--json")
    assert (status, out) == (0, "['status', '--json']\n")
    assert err.count("\n") == 2
    assert checkout.farm("status") == (0, "['status']\n", "")
    assert checkout.installed == ["requirements.lock"]
    assert sorted(path.name for path in checkout.folder.glob(".venv*")) == [".venv", ".venv.lock"]


def test_the_project_is_importable_from_anywhere_and_has_its_script(checkout: Checkout) -> None:
    assert checkout.farm("setup")[0] == 0
    script = checkout.venv / "bin" / "farmgate"
    done = subprocess.run([script, "a"], cwd="/", capture_output=True, text=True, check=True)
    assert "['a']" in done.stdout
    line = "from importlib.metadata import version; print(version('farmgate'))"
    done = subprocess.run([checkout.venv / "bin" / "python", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


def test_a_changed_lock_makes_it_anew(checkout: Checkout) -> None:
    checkout.farm("setup")
    (checkout.folder / "requirements.lock").write_text("# other\n")
    assert "the lock has changed" in checkout.farm("setup")[2]
    assert checkout.installed == ["requirements.lock"] * 2


def test_an_environment_with_the_tools_serves_for_both_and_stays_one(checkout: Checkout) -> None:
    checkout.farm("setup", "--dev")
    checkout.farm("status")
    assert checkout.installed == ["requirements-dev.lock"]
    (checkout.folder / "requirements-dev.lock").write_text("# other\n")
    checkout.farm("status")
    assert checkout.installed == ["requirements-dev.lock"] * 2


def test_the_tools_are_added_when_they_are_asked_for(checkout: Checkout) -> None:
    checkout.farm("setup")
    assert "the tools of the check are missing" in checkout.farm("setup", "--dev")[2]


def test_a_folder_that_was_moved_notices(checkout: Checkout) -> None:
    checkout.farm("setup")
    moved = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.folder = moved
    status, out, err = checkout.farm("status")
    assert "the folder was moved" in err
    assert (status, out) == (0, "['status']\n")
    assert str(moved) in (moved / ".venv" / "bin" / "farmgate").read_text()


def test_a_python_that_is_gone_is_noticed(checkout: Checkout) -> None:
    checkout.farm("setup")
    python = checkout.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3")
    assert "its Python is gone" in checkout.farm("setup")[2]


def test_a_failed_set_up_says_why_and_leaves_what_was_there(checkout: Checkout) -> None:
    checkout.farm("setup")
    before = json.loads((checkout.venv / "farmgate.json").read_text())
    (checkout.folder / "requirements.lock").write_text("# other\n")
    (checkout.tools / "fail").touch()
    status, _, err = checkout.farm("setup")
    assert status == 1
    assert "no network here" in err
    assert "nothing was changed" in err
    assert json.loads((checkout.venv / "farmgate.json").read_text()) == before
    assert not (checkout.folder / ".venv.new").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_set_up_leaves_nothing_half_made(checkout: Checkout, how: signal.Signals) -> None:
    (checkout.tools / "wait").touch()
    process = checkout.start(["setup"])
    wait_until_installing(checkout)
    process.send_signal(how)
    process.wait(timeout=80)
    assert not checkout.venv.exists()
    (checkout.tools / "wait").unlink()  # a killed launcher's installer ends, and lets go of the lock
    process.communicate(timeout=80)
    assert checkout.farm("status")[:2] == (0, "['status']\n")


def test_two_at_once_make_it_once(checkout: Checkout) -> None:
    (checkout.tools / "wait").touch()
    first = checkout.start(["a"])
    wait_until_installing(checkout)
    second = checkout.start(["b"])
    assert second.stderr is not None
    assert "waiting for another ./farm" in second.stderr.readline()
    (checkout.tools / "wait").unlink()
    assert first.communicate(timeout=60)[0] == "['a']\n"
    assert second.communicate(timeout=60)[0] == "['b']\n"
    assert checkout.installed == ["requirements.lock"]


def test_the_environment_may_stand_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where" / "venv"
    status, out, _ = checkout.farm("status", FARMGATE_VENV=str(elsewhere))
    assert (status, out) == (0, "['status']\n")
    assert (elsewhere / "bin" / "python").exists()
    assert not checkout.venv.exists()


def test_a_place_that_cannot_be_written_is_named_with_the_way_out(checkout: Checkout) -> None:
    status, _, err = checkout.farm("status", FARMGATE_VENV="/proc/nowhere/venv")
    assert status == 1
    assert "/proc/nowhere not be written" in err
    assert "there is none yet" in err
    assert "FARMGATE_VENV=FOLDER" in err


def test_a_folder_that_is_not_an_environment_is_never_replaced(checkout: Checkout) -> None:
    checkout.venv.mkdir()
    (checkout.venv / "thesis.txt").write_text("precious")
    status, _, err = checkout.farm("status")
    assert status == 1
    assert "is not an environment" in err
    assert (checkout.venv / "thesis.txt").read_text() == "precious"


def test_the_check_prints_a_line_per_stage_and_ends_with_pytest(checkout: Checkout) -> None:
    checkout.farm("setup", "--dev")
    for name, status in {"ruff": 0, "mypy": 1, "lint-imports": 0}.items():
        tool = checkout.venv / "bin" / name
        tool.write_text(f"#!/bin/sh\necho {name} says\nexit {status}\n")
        tool.chmod(0o755)
    fake = "import os\nprint('tests', os.environ['FARMGATE_CHECK_FAILED'])\nprint('1 passed')\n"
    (checkout.folder / "pytest.py").write_text(fake)
    status, out, _ = checkout.farm("test")
    assert status == 1
    assert [line.split()[0] for line in out.splitlines()] == [
        *("format", "lint", "mypy", "types", "floors", "failed:", "tests", "1")
    ]
    assert out.splitlines()[-2:] == ["tests types", "1 passed"]
    assert checkout.farm("check")[0] == 1
    status, out, _ = checkout.farm("test", "-k", "lanes")  # only the tests
    assert (status, out) == (0, "tests \n1 passed\n")


def test_a_machine_without_venv_gets_one_line_that_says_what_to_install(checkout: Checkout) -> None:
    (checkout.tools / "uv").unlink()
    bare = checkout.tools / "python"  # a Python that finds neither ensurepip nor pip
    bare.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*|*"\'pip\'"*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    bare.chmod(0o755)
    program = (
        f"import runpy, sys; sys.executable = {str(bare)!r}; sys.argv = ['farm', 'setup']\n"
        f"runpy.run_path({str(checkout.folder / 'farm')!r}, run_name='__main__')"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3-venv" in done.stderr
