"""A whole farm of real processes in a temporary folder, for tests that kill parts of it.

What `farmgate up` starts, with the process engine and target, so that it runs wherever the tests run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from farmgate import broker, embedded, invariants
from farmgate.cli.demo.forge import Forge
from farmgate.cli.demo.story import Change, Part
from farmgate.cli.own_farm import OwnFarm, Wanted
from farmgate.clock import SystemClock, stopwatch
from farmgate.store.database import Store

LOOK = timedelta(milliseconds=100)
AUTHOR = ("Ada Byron", "ada@example.org")

SERVICE = """\
import http.server, os
VERSION = open("VERSION").read().strip()
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = VERSION.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""

LANES = ("staging", "production")
STEPS = (
    'echo "$FARMGATE_SHA" >> "$RAN"',
    'sleep 0.1; echo "$FARMGATE_SHA" > VERSION; tar -czf service.tar.gz service.py VERSION',
)

POLICY = """\
application: web
repository: web
target:
  type: process
  artifact: {artifact}
  command: [python3, service.py]
  instances: 2
  health: /
lanes:
  staging:
    branch: main
    listen: 127.0.0.1:{staging}
    waves: [{{share: 100, soak: 1s}}]
    checks: [{{http: /, every: 1s, timeout: 2s}}]
  production:
    branch: main
    follows: [staging]
    listen: 127.0.0.1:{production}
    waves: [{{share: 20, soak: 1s}}, {{share: 100, soak: 1s}}]
    checks: [{{http: /, every: 1s, timeout: 2s}}]
"""


class RealFarm:
    """Start it, push to it, kill parts of it, look at what is true in the end."""

    def __init__(
        self,
        folder: Path,
        *,
        engine: str = "process",
        image: str | None = None,
        steps: Sequence[str] = STEPS,
        artifact: str = "service.tar.gz",
        inputs: Sequence[str] = (),
    ) -> None:
        """`steps` find the file that tells who ran in RAN (the process engine only); `image`: for the docker engine."""
        self.folder = folder
        self.told: list[str] = []
        self.clock = SystemClock()
        self.ran = folder / "ran"
        self._ports = free_ports(3)
        self._artifact = artifact
        job = {"steps": list(steps), "artifacts": [artifact]} | ({"image": image} if image else {})
        job |= {"inputs": list(inputs)} if inputs else {}
        self._pipeline = json.dumps({"environment": {"RAN": str(self.ran)}, "jobs": {"build": job}})  # JSON is YAML
        self.farm = OwnFarm(
            Wanted(data=folder / "data", port=self._ports[0], slots=2, engine=engine, default_image=image),
            self.told.append,
        )
        self.forge = Forge(folder / "forge", "web", self.clock)

    def start(self) -> None:
        self.farm.start()
        self.farm.wait_for_node()
        self.api = self.farm.api()
        self.store = Store.at(f"sqlite:///{self.farm.data / 'farmgate.db'}")

    def stop(self) -> None:
        self.forge.close()
        with contextlib.suppress(AttributeError):  # it was never started
            self.api.close()
            self.store.close()
        self.farm.stop(retire=True)

    def connect(self) -> None:
        """Add the empty repository, with its webhook, and its two lanes."""
        added = self.api.add_repository("web", str(self.forge.bare), forge="github", branch="main")
        self.forge.connect(str(added["webhook_url"]), str(added["secret"]))
        _, staging, production = self._ports
        policy = POLICY.format(artifact=self._artifact, staging=staging, production=production)
        self.api.apply_policy(policy, "delivery.yml")

    def push(self, count: int) -> list[str]:
        """Commit `count` times, push once, one webhook."""
        known = len(self.forge.pushed)
        changes = [
            Change(
                part=Part.GOOD,
                title=f"change {known + number}",
                author=AUTHOR,
                files={".farmgate.yml": self._pipeline, "service.py": SERVICE, "number": str(known + number)},
            )
            for number in range(count)
        ]
        return [pushed.sha for pushed in self.forge.push(changes)]

    # --- faults ---

    def kill(self, module: str) -> int:
        """kill -9 of the farm's process that runs `python -m module`; its process id."""
        found = self.wait_for(f"a process of {module}", lambda: self._processes(module))
        os.kill(found[0], signal.SIGKILL)
        return int(found[0])

    def flush_redis(self) -> None:
        """Redis forgets everything."""
        client = broker.connect(f"unix://{embedded.socket_path(self.farm.data / 'redis')}")
        client.flushall()
        client.close()

    def _processes(self, module: str) -> list[int]:
        """Processes below this one that run the module."""
        return [pid for pid in descendants(os.getpid()) if f"-m\0{module}\0" in command_line(pid)]

    # --- facts ---

    def wait_for(self, what: str, fact: Callable[[], Any], seconds: float = 90) -> Any:
        """The first truthy value of `fact`; an error from a process that is being restarted is 'not yet'."""
        deadline = stopwatch() + seconds
        problem = ""
        while stopwatch() < deadline:
            try:
                value = fact()
            except Exception as error:  # noqa: BLE001 - the part we killed is on its way back
                problem, value = f"{type(error).__name__}: {error}", None
            if value:
                return value
            self.clock.sleep(LOOK)
        lines = "\n".join(self.told[-30:])
        raise AssertionError(f"within {seconds:.0f} s there was no: {what} {problem}\n{lines}")

    def runs(self) -> list[dict[str, Any]]:
        return list(self.api.runs(repository="web", limit=500))

    def answered(self, shas: list[str]) -> bool:
        ended = {run["sha"] for run in self.runs() if run["state"] not in ("pending", "running")}
        return set(shas) <= ended

    def live(self, environment: str) -> str | None:
        found = self.api.lane("web", environment)["live"]
        return None if found is None else str(found["sha"])

    def live_and_quiet(self, environment: str, sha: str) -> bool:
        """The commit is live there and no rollout is under way."""
        return self.live(environment) == sha and self.api.lane("web", environment)["active"] is None

    def batches(self, environment: str) -> list[list[str]]:
        """The commits of each good rollout that went forward, in order."""
        history = self.api.lane("web", environment)["history"]
        good = [one for one in history if one["state"] == "good" and one["kind"] != "rollback"]
        return [[commit["sha"] for commit in one["commits"]] for one in sorted(good, key=lambda one: one["number"])]

    def violations(self) -> list[str]:
        return [str(one) for one in invariants.check(self.store, self.clock.now())]


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def descendants(pid: int) -> list[int]:
    """Every process below `pid`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rsplit(")", 1)[1].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def command_line(pid: int) -> str:
    """Arguments, each ended by a NUL; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
