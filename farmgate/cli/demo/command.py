"""`farmgate demo`: flags, the farm, the play, the summary, the end."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farmgate.cli import show
from farmgate.cli.exits import Exit, leave
from farmgate.cli.show import Json
from farmgate.cli.up import Asked, Engine, Port, Slots, check_engine, hearing, signin_link
from farmgate.errors import FarmgateError

if TYPE_CHECKING:
    from farmgate.cli.demo.play import Play
    from farmgate.cli.demo.screen import Screen


def demo(
    commits: Annotated[int, typer.Option(min=6, max=500, help="How many commits are pushed.")] = 12,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End by itself; exit code 0 only if all that was promised is true.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data folder and what runs from it.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="The data folder. Default: a temporary one, gone at the end.", show_default=False),
    ] = None,
    port: Port = None,
    slots: Slots = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Show the whole farm at work on this machine, from a push to production."""
    from farmgate.cli import door
    from farmgate.cli.demo.play import Play
    from farmgate.cli.demo.screen import Screen
    from farmgate.cli.own_farm import OwnFarm, Wanted

    check_engine(engine)
    folder = data or door.given.data
    temporary = folder is None
    chosen = Path(tempfile.mkdtemp(prefix="farmgate-demo-")) if folder is None else folder
    screen = Screen(err=json)
    wanted = Wanted(data=chosen, port=port, slots=slots, engine=engine, any_port=port is None)
    farm = OwnFarm(wanted, lambda text: screen.say(text, style="yellow"))
    play = Play(farm, screen)
    code = Exit.FAILED
    with hearing(again=farm.kill):
        try:
            with screen:
                farm.choose_engine()
                play.run(commits)
            code = _tell(play, screen, json=json)
            if not exit_:
                _stay(play, screen)
        except Asked:
            screen.say("\nstopping")
            code = code if play.kept else Exit.INTERRUPTED
        except FarmgateError as error:
            screen.say(f"\nThe demo broke: {error}", style="bold red")
            if not keep and temporary:
                screen.say("--keep leaves the data folder and its logs to look at")
        finally:
            play.close()
            farm.stop(retire=not keep)
            if temporary and not keep:
                shutil.rmtree(chosen, ignore_errors=True)
    leave(code)


def _tell(play: Play, screen: Screen, *, json: bool) -> Exit:
    from farmgate.cli.demo.screen import summary
    from farmgate.cli.demo.verdict import as_json

    assert play.forge is not None
    assert play.visitors is not None
    counted = play.visitors.counted
    summary(screen, play.seen, play.forge.pushed, counted, play.kept)
    if json:
        facts = as_json(play.seen, play.forge.pushed, counted, play.kept, play.took)
        show.as_json(facts | {"first_build": play.first_build, "engine": play.farm.engine})
    return Exit.OK if all(promise.kept for promise in play.kept) else Exit.FAILED


def _stay(play: Play, screen: Screen) -> None:
    screen.say(f"""
The farm stays up: look around at {play.farm.address}

  sign in      {signin_link(play.farm) or "`farmgate signin` prints a link"}
  the shop     http://{play.addresses["production"]}/ (staging: http://{play.addresses["staging"]}/)
  commands     ./farm --data {play.farm.data} lanes
  its git      git clone {play.forge.bare if play.forge else ""}

Ctrl-C ends it.""")
    threading.Event().wait()
