"""`farmgate up`: the embedded farm, for real use on one machine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farmgate.cli import show
from farmgate.cli.show import Json
from farmgate.errors import FarmgateError

if TYPE_CHECKING:
    from farmgate.cli.own_farm import OwnFarm

Data = Annotated[
    Path | None, typer.Option(help="The data folder. Default: FARMGATE_DATA, or data.", show_default=False)
]
Port = Annotated[int | None, typer.Option(min=1, max=65_535, help="Where to listen. Default: 8470.")]
Host = Annotated[str | None, typer.Option(help="The address to listen on. Default: 127.0.0.1, this machine only.")]
Slots = Annotated[int | None, typer.Option(min=1, max=256, help="Jobs at a time. Default: the processors, 2 to 8.")]
Engine = Annotated[
    str | None, typer.Option(help="What runs jobs: docker or process. Default: docker where an engine answers.")
]


def up(
    data: Data = None,
    port: Port = None,
    host: Host = None,
    slots: Slots = None,
    engine: Engine = None,
    retire: Annotated[bool, typer.Option("--retire", help="At the end take down what was deployed.")] = False,
    json: Json = False,
) -> None:
    """Start a farm on this machine and keep it up until Ctrl-C."""
    from farmgate.cli import door
    from farmgate.cli.own_farm import OwnFarm, Wanted

    check_engine(engine)
    tell = teller(quiet=json)
    farm = OwnFarm(Wanted(data=data or door.given.data, host=host, port=port, slots=slots, engine=engine), tell)
    with hearing(again=farm.kill):
        try:
            farm.start()
            farm.wait_for_node()
            if json:
                show.as_json(facts(farm))
            else:
                welcome(farm)
            threading.Event().wait()
        except Asked:
            tell("stopping: jobs under way are given back, what was deployed " + ("goes" if retire else "stays"))
        finally:
            farm.stop(retire=retire)
    tell("stopped")


def check_engine(engine: str | None) -> None:
    """Raises BadParameter, which is a usage error."""
    if engine not in (None, "docker", "process"):
        raise typer.BadParameter("say docker or process", param_hint="--engine")


def teller(*, quiet: bool = False) -> Callable[[str], None]:
    """Prints a line for people; with `quiet` on stderr, since stdout is for JSON."""
    out = show.console(err=quiet)
    return lambda text: out.print(show.clean(text) if "\x1b" in text else text)


class Asked(Exception):
    """The user wants it to end; unwinds whatever is going on in the main thread, once."""


@contextmanager
def hearing(again: Callable[[], None]) -> Iterator[None]:
    """Inside, the first Ctrl-C, SIGTERM or SIGHUP raises Asked; the next one calls `again` and ends at once."""
    asked = False

    def on_signal(number: int, _: Any) -> None:
        nonlocal asked
        if asked:
            again()
            raise SystemExit(128 + number)
        asked = True
        raise Asked

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def facts(farm: OwnFarm) -> dict[str, Any]:
    """What a program wants to know of a farm that has started."""
    return {
        "address": farm.address,
        "signin": signin_link(farm),
        "data": str(farm.data),
        "engine": farm.engine,
        "why_not_docker": farm.no_docker,
    }


def signin_link(farm: OwnFarm) -> str | None:
    """A link that opens the pages, good for one use."""
    try:
        with farm.api() as api:
            return str(api.signin_link()["url"])
    except (FarmgateError, KeyError):
        return None


def welcome(farm: OwnFarm) -> None:
    """Where everything is, and what to do first."""
    if farm.no_docker:
        show.console().print(f"{farm.no_docker}: jobs run as plain processes of this user.")
    show.whole(f"""
Farmgate is up at {farm.address}

  sign in    {signin_link(farm) or "`farmgate signin` prints a link"}
  data       {farm.data}
  engine     {farm.engine}
  logs       {farm.data / "logs"}

Add a repository (in another terminal):

  ./farm --data {farm.data} repo add NAME URL

Ctrl-C stops it.""")
