"""What runs a job's script: the seam between a worker and the thing that holds its processes.

Rules:
1. An engine knows nothing of steps, logs or the farm: it is given a folder with a script, and gives bytes back.
2. Time limits, cancellation and lost leases are the caller's: all of them are `kill`.
3. What an engine made for an attempt is gone after `discard`; what a killed worker left is gone after `sweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from farmgate.errors import FarmgateError
from farmgate.node_folder import Key
from farmgate.registries import Registry

Sink = Callable[[bytes], None]
"""Takes the script's output as it comes. It may block: that holds the script up, and memory does not grow."""


class BuildFailed(FarmgateError):
    """An image that could not be built as it is written: its author's."""


class ServiceFailed(FarmgateError):
    """A service that does not start, ends, or never becomes healthy: its author's."""


class NotHere(FarmgateError):
    """Something that this engine cannot do; the text says which one can."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an attempt may use."""

    memory_bytes: int
    cpus: float
    pids: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where the script finds things, as it sees them itself."""

    steps: str
    workspace: str
    home: str
    temporary: str


@dataclass(frozen=True, slots=True)
class Order:
    """One script to run: `folder` holds `steps/job.sh`, `workspace`, `home` and `tmp`."""

    key: Key
    image: str
    folder: Path
    environment: Mapping[str, str]
    limits: Limits
    user: tuple[int, int] | None = None  # uid and gid that own the folder's contents; None: ours
    network: bool = True
    part: int = 0  # a job whose steps need several images has several scripts, one after the other
    script: str = "job.sh"  # of the folder `steps`
    read_only: tuple[Path, ...] = field(default=())  # seen at the same path: the mirror that the checkout borrows from
    given: bytes = field(default=b"", repr=False)  # secret: to the script's standard input, and nowhere else


@dataclass(frozen=True, slots=True)
class ServiceOrder:
    """A container beside the job, on a network of the job's own, where it answers to its name."""

    key: Key
    name: str
    image: str
    environment: Mapping[str, str]
    limits: Limits
    command: tuple[str, ...] | None = None  # None: the image's own
    entrypoint: tuple[str, ...] | None = None
    own_check: bool = True  # the image's own HEALTHCHECK says whether it is well
    outside: bool = True  # it reaches more than the job's network


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """An image to build; `dockerfile` is a path in the context."""

    key: Key
    dockerfile: str
    arguments: Mapping[str, str]
    limits: Limits
    target: str | None = None
    outside: bool = True  # its commands reach the network
    registry: Registry | None = field(default=None, repr=False)  # whose images it may stand on


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is. `health` is that of the image's own check: starting, healthy, unhealthy; empty: it has none."""

    running: bool
    exit_code: int = 0
    out_of_memory: bool = False
    health: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the script ended. Times are seconds."""

    exit_code: int  # 128 + n for a signal n
    out_of_memory: bool = False
    start_seconds: float = 0.0  # from the call to the running script


class Engine(Protocol):
    """Runs scripts; safe for several threads.

    Order of calls for one attempt: `prepare`, then for each part `reserve` at most once, then `run` at most once, one
    part after the other; then `discard`, which removes them all.
    `kill` may come at any time, also before and after, and any number of times. `sweep` may come at any time and never
    touches what its `keep` names. `close` comes last and may be repeated; it ends what still runs.
    """

    name: str
    isolates: bool  # False: jobs run as we do, and images mean nothing

    def warm_up(self) -> None:
        """Connect, and make what all attempts share. May be skipped, and repeated. Raises EngineError."""
        ...

    def check(self) -> None:
        """Ask whether it answers; takes a few seconds at most. At any time. Raises EngineError."""
        ...

    def prepare(self, image: str, registry: Registry | None = None) -> None:
        """Make the image present; cheap when it is. `registry`: whose login lets us pull its images. Raises
        ImageMissing if it cannot be had, EngineError if the engine does not answer. May be repeated."""
        ...

    def image_id(self, image: str) -> str | None:
        """What a prepared image's name stands for, as sha256:...; None where nobody
        can tell; without images it is the machine."""
        ...

    def places(self, folder: Path) -> Places:
        """How a script whose `Order.folder` is `folder` sees its places. Needs no engine."""
        ...

    def serve(self, order: ServiceOrder) -> None:
        """Start a service of a prepared image, before the `reserve` of its job, whose containers then see it. It ends
        with `discard`. Raises NotHere, ServiceFailed, EngineError."""
        ...

    def service(self, key: Key, name: str) -> ServiceState:
        """How it is now. Raises EngineError, also where the service was removed behind us."""
        ...

    def ask_service(self, key: Key, name: str, command: str) -> int:
        """The exit code of a shell command in its container. Raises EngineError."""
        ...

    def service_log(self, key: Key, name: str) -> Iterator[bytes]:
        """What it wrote; the newest of it where that is much. Raises EngineError."""
        ...

    def reserve(self, order: Order) -> None:
        """Do what can be done before the workspace is filled, so that `run` starts sooner. Its failures are kept for
        `run` to raise."""
        ...

    def run(self, order: Order, sink: Sink) -> Ended:
        """Run the script to its end and give all of its output to `sink`, in order, standard error included.

        Nothing that the script started runs on, however it ends. A script that cannot be started ends with code 126 or
        127 and says why.
        Raises EngineError if the engine was lost, and what `sink` raises.
        """
        ...

    def build(self, order: BuildOrder, context: BinaryIO, sink: Sink) -> str:
        """Build an image from a tar archive, after `run`; gives its id. `kill` ends it. Raises NotHere, BuildFailed,
        EngineError."""
        ...

    def save(self, image: str) -> Iterator[bytes]:
        """An image by its id, as `docker save` writes it. Raises EngineError."""
        ...

    def push(self, key: Key, image: str, place: str, tag: str, registry: Registry) -> str:
        """Send an image by its id to the registry, after `build`; gives its digest there, as sha256:...; `kill` ends
        it. Raises NotHere, RegistryRefused, RegistryUnreachable, EngineError."""
        ...

    def kill(self, key: Key) -> None:
        """End the script, the build or the push, and everything it started, now. An attempt that does not run is no
        error: whoever calls repeats it until `run` has returned. Raises EngineError if the engine does not answer."""
        ...

    def discard(self, key: Key) -> None:
        """Remove what `reserve` and `run` made. After `run`, or instead of it; may be repeated. Raises EngineError."""
        ...

    def sweep(self, keep: Callable[[], Set[Key]]) -> frozenset[Key]:
        """Remove what this node's dead workers left, except what `keep` names; gives what was removed. `keep` is asked
        after looking, so that an attempt which begins meanwhile is safe. Raises EngineError."""
        ...

    def close(self) -> None: ...
