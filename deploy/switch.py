"""The switch in front of a lane's instances: HAProxy, one per lane, told by shares who serves.

Rules:
1. It is started on its own (detached): the death of the deploy loop stops no request.
2. Its configuration file always says what it was told last, so a restart comes up right. A running one is told through
   its admin socket and not restarted; a new address to listen on is taken over by a second process without a gap.
3. Two groups of slots stand ready, one for the old release, one for the new. A share is spread over the group's servers
   as weights; share 0 means: finish what you serve, take nothing new.
4. A request that an instance refused, or closed without an answer, is tried again on another; only such that may be
   repeated (GET, HEAD, OPTIONS) after they were sent. A host that went silent counts as closed after a few seconds:
   the kernel asks it, or waits for it to confirm what was sent.
5. A unix path holds about 100 bytes, and HAProxy adds its own ending: a longer one moves to a short folder of our own.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from farmgate.clock import Clock, stopwatch
from farmgate.embedded import find_haproxy
from farmgate.errors import MissingProgram, TargetError
from farmgate.policy import INSTANCE_LIMIT

_GROUPS: Final = ("a", "b")
_NOWHERE: Final = "127.0.0.1:1"
_LOOK_AGAIN: Final = timedelta(milliseconds=20)
_PATIENCE: Final = 10.0
_SOCKET_LIMIT: Final = 85
_CAN_NOTICE: Final = hasattr(socket, "TCP_USER_TIMEOUT")
_NOTICES: Final = """\
    option srvtcpka
    srvtcpka-idle 2s
    srvtcpka-intvl 1s
    srvtcpka-cnt 3
"""


@dataclass(frozen=True, slots=True)
class Route:
    """A release's servers (host:port) and its share of the traffic in percent."""

    rollout_id: int
    addresses: tuple[str, ...]
    share: int


@dataclass(slots=True)
class _Group:
    rollout_id: int
    addresses: list[str]
    share: int


@dataclass(slots=True)
class _State:
    listen: str
    health: str
    groups: dict[str, _Group] = field(default_factory=dict)


class Switch:
    """The switch whose files stand in `folder`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder.resolve()
        self._clock = clock
        self._socket = _socket_path(self._folder)

    def route(self, listen: str, health: str, routes: Sequence[Route]) -> None:
        """Serve these releases by these shares, and no other. Raises TargetError, MissingProgram."""
        with self._alone():
            self._route(listen, health, routes)

    def _route(self, listen: str, health: str, routes: Sequence[Route]) -> None:
        before = self._read()
        state = _State(listen, health, _assigned(before, routes))
        self._write(state)
        if not self._answers():
            self._launch(None)
        elif before is None or (before.listen, before.health) != (listen, health):
            self._launch(self._pid())
        else:
            self._tell(state, before)

    def mend(self) -> bool:
        """Start it again as it was, if it should run and does not answer; True if that was needed."""
        with self._alone():
            if self._read() is None or self._answers():
                return False
            self._launch(None)
            return True

    def is_dead(self) -> bool:
        """It should run, and its process is not there: cheap enough to ask many times a second."""
        return (self._folder / "state.json").exists() and self._pid() is None

    def sessions(self, rollout_id: int) -> int:
        """Requests that the release is serving right now."""
        state = self._read()
        group = (
            next((name for name, each in state.groups.items() if each.rollout_id == rollout_id), None)
            if state
            else None
        )
        if group is None or not self._answers():
            return 0
        rows = csv.DictReader(self._say("show stat").lstrip("# ").splitlines())
        return sum(int(row["scur"] or 0) for row in rows if row["pxname"] == "app" and row["svname"].startswith(group))

    def shares(self) -> dict[int, int]:
        """The share of each release, by rollout."""
        state = self._read()
        return {group.rollout_id: group.share for group in state.groups.values()} if state is not None else {}

    def addresses(self, rollout_id: int) -> tuple[str, ...]:
        """Where it sends a release's requests."""
        state = self._read()
        held = (group for group in state.groups.values() if group.rollout_id == rollout_id) if state else ()
        return next((tuple(group.addresses) for group in held), ())

    def stop(self) -> None:
        """End it and forget its state; harmless if it does not run."""
        with self._alone():
            self._stop()

    def _stop(self) -> None:
        pid = self._pid()
        for name in ("state.json", "haproxy.cfg"):
            (self._folder / name).unlink(missing_ok=True)
        if pid is not None:
            self._end(pid)
        self._socket.unlink(missing_ok=True)
        (self._folder / "haproxy.pid").unlink(missing_ok=True)

    def _end(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = stopwatch() + _PATIENCE
        while self._is_ours(pid):
            if stopwatch() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                deadline += _PATIENCE
            self._clock.sleep(_LOOK_AGAIN)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One of us at a time: steps, tending and watching come from several threads."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._folder / "switch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    # --- its files -------------------------------------------------------------------------------------------------

    def _read(self) -> _State | None:
        try:
            raw = json.loads((self._folder / "state.json").read_text())
        except FileNotFoundError:
            return None
        return _State(raw["listen"], raw["health"], {name: _Group(**group) for name, group in raw["groups"].items()})

    def _write(self, state: _State) -> None:
        for name, text in (("haproxy.cfg", self._configuration(state)), ("state.json", json.dumps(asdict(state)))):
            with suppress(FileNotFoundError):
                if (self._folder / name).read_text() == text:
                    continue  # going back to what it is must work on a full disk too
            aside = self._folder / f"{name}.new"
            aside.write_text(text)
            aside.replace(self._folder / name)

    def _configuration(self, state: _State) -> str:
        slots = "\n".join(
            f"    server {name} {address} weight {weight}{'' if ready else ' disabled'}"
            for name, address, weight, ready in _slots(state)
        )
        return f"""global
    stats socket {self._socket} mode 600 level admin expose-fd listeners
    maxconn 4000
    hard-stop-after 10m
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout queue 10s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout tunnel 1h
    timeout check 2s
    option http-server-close
    option redispatch 1
{_NOTICES if _CAN_NOTICE else ""}    retries 8
    retry-on conn-failure empty-response
frontend in
    bind {state.listen}
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
    default_backend app
backend app
    balance roundrobin
    option httpchk
    http-check send meth GET uri {state.health} ver HTTP/1.1 hdr host farmgate.local
    http-check expect status 200
    default-server check inter 2s fastinter 500ms fall 3 rise 1{" tcp-ut 3s" if _CAN_NOTICE else ""}
{slots}
"""

    # --- the process -----------------------------------------------------------------------------------------------

    def _launch(self, replaces: int | None) -> None:
        program = find_haproxy()
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line: list[str | Path] = [program, "-D", "-f", self._folder / "haproxy.cfg", "-p", self._folder / "haproxy.pid"]
        if replaces is not None:
            line += ["-x", self._socket, "-sf", str(replaces)]
        else:
            stale = self._pid()
            if stale is not None:
                self._end(stale)  # it runs and does not answer
        started = subprocess.run(
            line, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False, start_new_session=True
        )
        if started.returncode != 0:
            said = started.stderr.decode(errors="replace").strip().splitlines()
            raise TargetError(f"haproxy did not start: {'; '.join(said[-3:]) or 'it said nothing'}")
        deadline = stopwatch() + _PATIENCE
        while not self._answers() or self._pid() == replaces:
            if stopwatch() > deadline:
                raise TargetError("haproxy started but its admin socket does not answer")
            self._clock.sleep(_LOOK_AGAIN)

    def _tell(self, state: _State, before: _State) -> None:
        commands: list[str] = []
        known = {name: address for name, address, _, _ in _slots(before)}
        for name, address, weight, ready in _slots(state):
            if ready:
                host, _, port = address.rpartition(":")
                commands += [f"set server app/{name} addr {host} port {port}", f"set server app/{name} weight {weight}"]
                commands.append(f"set server app/{name} state ready")
                if known[name] != address:  # 'down' was said of who had the slot before
                    commands.append(f"set server app/{name} health up")
            else:
                commands.append(f"set server app/{name} state maint")
        for start in range(0, len(commands), 40):
            self._say("; ".join(commands[start : start + 40]))
        self._verify(state)

    def _verify(self, state: _State) -> None:
        """HAProxy answers in prose: believe what it shows, not what it says."""
        shown = {
            row["svname"]: row
            for row in csv.DictReader(self._say("show stat").lstrip("# ").splitlines())
            if row["pxname"] == "app"
        }
        for name, address, weight, ready in _slots(state):
            row = shown.get(name)
            right = row is not None and (
                (row["status"].startswith("MAINT") and not ready)
                or (ready and row["weight"] == str(weight) and not row["status"].startswith("MAINT"))
            )
            if not right:
                raise TargetError(f"haproxy did not take over server {name} ({address}, weight {weight})")

    def _say(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(5)
                connection.connect(str(self._socket))
                connection.sendall(command.encode() + b"\n")
                parts = []
                while part := connection.recv(65536):
                    parts.append(part)
        except OSError as error:
            raise TargetError(f"haproxy's admin socket does not answer: {error}") from error
        return b"".join(parts).decode(errors="replace")

    def _answers(self) -> bool:
        try:
            return "Pid:" in self._say("show info")
        except TargetError:
            return False

    def _pid(self) -> int | None:
        """Of a process that is really this switch."""
        try:
            pid = int((self._folder / "haproxy.pid").read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        return pid if self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return False
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return not Path("/proc/self").exists()  # a system without /proc
        return status != "Z" and os.fsencode(self._folder / "haproxy.cfg") in line


def _assigned(before: _State | None, routes: Sequence[Route]) -> dict[str, _Group]:
    """Who keeps a group keeps it; a newcomer takes a free one."""
    if len(routes) > len(_GROUPS):
        raise TargetError(f"a switch serves at most {len(_GROUPS)} releases at a time")
    held = {group.rollout_id: name for name, group in before.groups.items()} if before is not None else {}
    taken = {held[route.rollout_id] for route in routes if route.rollout_id in held}
    free = [name for name in _GROUPS if name not in taken]
    groups = {}
    for route in routes:
        if not 0 < len(route.addresses) <= INSTANCE_LIMIT:
            raise TargetError(f"a release has 1 to {INSTANCE_LIMIT} instances behind a switch")
        name = held.get(route.rollout_id) or free.pop(0)
        groups[name] = _Group(route.rollout_id, list(route.addresses), route.share)
    return groups


def _slots(state: _State) -> list[tuple[str, str, int, bool]]:
    """Every slot: its name, address, weight, and whether it is in use."""
    each = {name: group.share / len(group.addresses) for name, group in state.groups.items()}
    heaviest = max(each.values(), default=0.0) or 1.0
    slots = []
    for name in _GROUPS:
        group = state.groups.get(name)
        weight = max(1, round(256 * each[name] / heaviest)) if group is not None and group.share > 0 else 0
        for index in range(INSTANCE_LIMIT):
            used = group is not None and index < len(group.addresses)
            address = group.addresses[index] if group is not None and used else _NOWHERE
            slots.append((f"{name}{index + 1}", address, weight if used else 0, used))
    return slots


def _socket_path(folder: Path) -> Path:
    near = folder / "admin.sock"
    if len(os.fsencode(near)) <= _SOCKET_LIMIT:
        return near
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"farmgate-{os.getuid()}-{name}" / "admin.sock"


__all__ = ["MissingProgram", "Route", "Switch"]
