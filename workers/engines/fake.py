"""An engine that plays what it is told: for tests and simulations. It fails when it is called in the wrong order.

Rules:
1. A play is a list of acts: bytes are written, a number ends it with that code, FOREVER waits to be killed, an error is
   raised. Without a play of its own an attempt passes: every step of its script begins and ends with 0.
2. It passes the same contract suite as the real engines.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Set
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

from farmgate.errors import EngineError, ImageMissing
from farmgate.node_folder import Key
from farmgate.registries import Registry
from workers.engines.engine import BuildOrder, Ended, NotHere, Order, Places, ServiceOrder, ServiceState, Sink
from workers.markers import prefix


class Wait(Enum):
    """Until it is killed."""

    FOREVER = "forever"


FOREVER: Final = Wait.FOREVER
Act = bytes | int | Exception | Wait


class FakeEngine:
    """Plays."""

    name = "fake"
    isolates = True

    def __init__(self, missing: Set[str] = frozenset()) -> None:
        self.missing = missing
        self.lost = False
        self.plays: dict[Key, tuple[Act, ...]] = {}
        self.ran: list[Key] = []
        self.orphans: set[Key] = set()
        self._prepared: set[str] = set()
        self._reserved: set[tuple[Key, int]] = set()
        self._done: set[tuple[Key, int]] = set()
        self._running: dict[Key, threading.Event] = {}

    def warm_up(self) -> None:
        self._answer()

    def check(self) -> None:
        self._answer()

    def prepare(self, image: str, registry: Registry | None = None) -> None:
        self._answer()
        if image in self.missing:
            raise ImageMissing(f"the image {image!r} cannot be had: the fake engine was told so")
        self._prepared.add(image)

    def image_id(self, image: str) -> str | None:
        return f"sha256:{image}"

    def places(self, folder: Path) -> Places:
        at = [str(folder / name) for name in ("steps", "workspace", "home", "tmp")]
        return Places(*at)

    def serve(self, order: ServiceOrder) -> None:
        raise NotHere(
            f"the service {order.name!r} needs containers, and this node runs jobs as the fake engine: give the job a "
            "pool whose nodes have a Docker engine"
        )

    def service(self, key: Key, name: str) -> ServiceState:
        raise NotHere(f"there is no service {name!r}")

    def ask_service(self, key: Key, name: str, command: str) -> int:
        raise NotHere(f"there is no service {name!r}")

    def service_log(self, key: Key, name: str) -> Iterator[bytes]:
        raise NotHere(f"there is no service {name!r}")

    def reserve(self, order: Order) -> None:
        this = (order.key, order.part)
        if order.image not in self._prepared or this in self._reserved or this in self._done:
            raise AssertionError(f"reserve({order.key}) before prepare, twice, or after run")
        self._reserved.add(this)

    def run(self, order: Order, sink: Sink) -> Ended:
        this = (order.key, order.part)
        if order.image not in self._prepared or this in self._done:
            raise AssertionError(f"run({order.key}) before prepare, or twice")
        self._reserved.discard(this)
        self._done.add(this)
        if order.part == 0:
            self.ran.append(order.key)
        killed = self._running[order.key] = threading.Event()
        try:
            self._answer()
            for act in (self.plays.get(order.key) if order.part == 0 else None) or _passing(order):
                match act:
                    case bytes():
                        sink(act)
                    case int():
                        return Ended(act)
                    case Wait.FOREVER:
                        killed.wait()
                    case Exception():
                        raise act
                if killed.is_set():
                    return Ended(137)
            return Ended(0)
        finally:
            del self._running[order.key]

    def build(self, order: BuildOrder, context: BinaryIO, sink: Sink) -> str:
        raise NotHere(
            "images are built by a Docker engine, and this node runs jobs as the fake engine: give the job "
            "a pool whose nodes have one"
        )

    def save(self, image: str) -> Iterator[bytes]:
        raise NotHere("there are no images here")

    def push(self, key: Key, image: str, place: str, tag: str, registry: Registry) -> str:
        raise NotHere("there are no images here")

    def kill(self, key: Key) -> None:
        self._answer()
        if key in self._running:
            self._running[key].set()

    def discard(self, key: Key) -> None:
        self._answer()
        if key in self._running:
            raise AssertionError(f"discard({key}) while it runs")
        self._reserved = {this for this in self._reserved if this[0] != key}

    def sweep(self, keep: Callable[[], Set[Key]]) -> frozenset[Key]:
        self._answer()
        removed = frozenset(self.orphans - keep())
        self.orphans -= removed
        return removed

    def close(self) -> None:
        for event in list(self._running.values()):
            event.set()

    def _answer(self) -> None:
        if self.lost:
            raise EngineError("the fake engine does not answer: it was told so")


def _passing(order: Order) -> tuple[Act, ...]:
    text = (order.folder / "steps" / order.script).read_text()
    nonce = re.findall(r"'farmgate (\S+) '", text)
    first, last = re.findall(r"farmgate_number=([0-9]+)$", text, re.MULTILINE), re.findall(r"-le ([0-9]+) \]", text)
    numbers = range(int(first[0]), int(last[0]) + 1) if first and last else range(0)
    mark = prefix(nonce[0]) if nonce else b""
    acts = [mark + f"{what} {n}{code}\n".encode() for n in numbers for what, code in (("begin", ""), ("end", " 0"))]
    return (*acts, 0)
