"""`farmgate run --local`: the pipeline on the working tree as it stands, without a server.

Rules:
1. The same code decides and runs it as on a farm: a private farm of this machine, without delivery, kept in a cache
   folder per working tree and started for this one run. So caches are warm, and nothing differs but the machine.
2. What is changed, new and not ignored is part of it; the repository itself is left alone.
3. A farm that the environment names is not touched: settings that would lead there are refused.
4. Secrets are the developer's own, given for this run (`local_secrets`); jobs get them as on a farm.
5. Jobs print as they run, each line with its job in front if there are several; with `--json` on stderr. The exit code
   is the run's.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from farmgate.cli import artifacts, local_secrets, show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.logs import tame
from farmgate.cli.runs import OVER, report
from farmgate.clock import SystemClock, stopwatch
from farmgate.errors import BadSettings, FarmgateError, Refused

if TYPE_CHECKING:
    from farmgate.cli.own_farm import OwnFarm
    from farmgate.client.api import Api

LOOK = timedelta(milliseconds=200)
FOUND_WITHIN = 60.0
STARTED = frozenset({"running", "passed", "failed", "error", "lost", "cancelled"})


def run_locally(
    folder: Path,
    jobs: list[str] | None,
    output: Path | None,
    engine: str | None,
    slots: int | None,
    json: bool,
    secrets: list[str] | None = None,
    secrets_file: Path | None = None,
) -> None:
    """Run the pipeline of the working tree that `folder` is in, and leave with its verdict."""
    from farmgate.cli.own_farm import OwnFarm, Wanted
    from farmgate.cli.up import Asked, hearing
    from farmgate.git import working_tree

    _refuse_a_farm_of_others()
    tree = working_tree.find(folder)
    values = local_secrets.gathered(secrets or [], secrets_file, tree.folder)
    place = _place_of(tree.folder)
    replaced = _only(tree.folder, jobs) if jobs else None
    tell = _teller()
    farm = OwnFarm(
        Wanted(
            data=place / "farm",
            host="127.0.0.1",
            slots=slots,
            engine=engine,
            any_port=True,
            delivers=False,
            push_limit=1,  # what the commit stands on was not asked for
        ),
        tell,
    )
    row: dict[str, Any] | None = None
    with hearing(again=farm.kill):
        try:
            taken = working_tree.take(tree, place / "repository.git", replaced)
            farm.start()
            farm.wait_for_node()
            if farm.no_docker:
                tell(f"{farm.no_docker}: jobs run as plain processes of this user")
            with farm.api() as api:
                try:
                    number = _begin(api, tree.folder, place, taken.branch, taken.sha, values)
                    row = _follow(farm, api, number, sys.stderr if json else sys.stdout)
                finally:
                    if values:
                        local_secrets.forget(api, _name_of(tree.folder))
                if output is not None:
                    _fetch(api, int(row["id"]), output, tell)
        except Asked:
            leave(Exit.INTERRUPTED)
        finally:
            farm.stop()
    show.as_json(row) if json else report(row)
    leave(Exit.OK if row["state"] == "passed" else Exit.FAILED)


def _refuse_a_farm_of_others() -> None:
    """Raises BadSettings: the database or the broker of a real farm must not become this run's."""
    from farmgate.settings import SchedulerSettings, read

    given = read(SchedulerSettings).model_fields_set
    for name in ("database_url", "broker_url", "blobs_url", "registry"):
        if name in given:
            variable = f"FARMGATE_{name.upper()}"
            raise BadSettings(f"{variable} is set, and a local run keeps to itself: unset {variable}")


def _place_of(top: Path) -> Path:
    """Where this working tree's runs are kept."""
    mark = hashlib.sha256(str(top).encode(errors="surrogateescape")).hexdigest()[:8]
    return Path.home() / ".cache" / "farmgate" / "local" / f"{_name_of(top)}-{mark}"


def _name_of(top: Path) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", top.name.lower()).strip("-._")[:60] or "repository"


def _only(top: Path, jobs: list[str]) -> dict[str, bytes]:
    """The pipeline file with only these jobs and what they need. Raises BadDocument, Refused."""
    from farmgate.pipeline import FILE_NAME
    from farmgate.pipeline.subset import only

    try:
        text = (top / FILE_NAME).read_bytes()
    except OSError as error:
        raise Refused(f"{top / FILE_NAME} cannot be read: {error.strerror}") from None
    return {FILE_NAME: only(text, jobs, str(FILE_NAME)).encode()}


def _teller() -> Any:
    out = show.console(err=True)
    return lambda text: out.print(f"farmgate: {show.clean(text)}", style="dim")


def _begin(api: Api, top: Path, place: Path, branch: str, sha: str, secrets: dict[str, str]) -> int:
    """The number of the run of the commit. Raises Refused."""
    name = _name_of(top)
    if any(known["name"] == name for known in api.repositories()):
        local_secrets.forget(api, name)
        for secret, value in secrets.items():
            api.set_secret(name, secret, value, "", "")
        api.poll_repository(name)
    else:
        api.add_repository(name, str(place / "repository.git"), forge="git", branch=branch, secrets=secrets)
    clock, deadline = SystemClock(), stopwatch() + FOUND_WITHIN
    while stopwatch() < deadline:
        for row in api.runs(repository=name, sha=sha, limit=1):
            return int(row["id"])
        clock.sleep(LOOK)
    said = api.repository(name)
    raise Refused(f"the working tree was not read: {said.get('poll_error') or 'no run was made of it'}")


def _follow(farm: OwnFarm, api: Api, number: int, out: TextIO) -> dict[str, Any]:
    """Print what the jobs print until the run is over; the run then."""
    printing = threading.Lock()
    threads: dict[int, threading.Thread] = {}
    clock = SystemClock()
    while True:
        row = api.run(number)
        several = len(row["jobs"]) > 1
        for job in row["jobs"]:
            if job["state"] in STARTED and job["attempts"] and job["id"] not in threads:
                label = f"{show.clean(job['name'])} | " if several else ""
                thread = threading.Thread(target=_print, args=(farm, job["id"], label, printing, out), daemon=True)
                threads[job["id"]] = thread
                thread.start()
            if job["state"] == "asking":
                with printing:
                    _answer(api, job)
        if row["state"] in OVER:
            break
        clock.sleep(LOOK)
    for thread in threads.values():
        thread.join(60)
    return row


def _print(farm: OwnFarm, job: int, label: str, printing: threading.Lock, out: TextIO) -> None:
    """One job's log, line by line, from a thread of its own."""
    from farmgate.client.api import LogAgain, LogPiece

    colour, rest = out.isatty(), ""

    def write(text: str) -> None:
        with printing:
            out.writelines(label + tame(line, colour=colour) for line in text.splitlines(keepends=True))
            out.flush()

    try:
        with farm.api() as api:
            for piece in api.follow_log(job):
                match piece:
                    case LogPiece(text=text):
                        lines, end, rest = (rest + text).rpartition("\n")
                        write(lines + end)
                    case LogAgain(attempt=attempt, reason=reason):
                        write(f"{rest}\n" if rest else "")
                        rest = ""
                        write(f"--- {show.clean(reason)}; this is attempt {attempt} ---\n")
                    case _:
                        pass
    except FarmgateError as error:
        write(f"--- the rest of this log could not be read: {error} ---\n")
    if rest:
        write(f"{rest}\n")


def _answer(api: Api, job: dict[str, Any]) -> None:
    """Ask whoever sits here; without a terminal the answer is no."""
    question = show.clean(str((job.get("question") or {}).get("text") or job["name"]))
    if sys.stdin.isatty():
        verdict = "approve" if typer.confirm(f"{job['name']}: {question}", err=True) else "decline"
        said = "at the terminal"
    else:
        verdict, said = "decline", "nobody is at a terminal to ask"
    api.answer_job(int(job["id"]), verdict, said)


def _fetch(api: Api, run: int, output: Path, tell: Any) -> None:
    """Each job's artifacts below its name."""
    rows = [artifact for artifact in api.artifacts(run) if artifact["url"]]
    for target, artifact in artifacts.targets(rows, output, one_job=False):
        artifacts.fetch(api, artifact, output, target)
        tell(f"{output / target} ({artifact['size_bytes']} bytes)")
