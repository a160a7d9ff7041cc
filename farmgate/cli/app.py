"""The command line's tree: which command is where. What each does stands in its own module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farmgate.cli import (
    artifacts,
    audit,
    caches,
    candidates,
    door,
    groups,
    hotfixes,
    identities,
    importing,
    lanes,
    ledger,
    logs,
    nodes,
    pipelines,
    provenance,
    repositories,
    results,
    reverts,
    runs,
    secrets,
    server,
    templates,
    up,
    vulnerabilities,
)
from farmgate.cli.demo import command as demo

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Farmgate: every commit gets its answer fast, good commits ride to production in batches.",
)


@app.callback()
def root(
    server: Annotated[
        str | None, typer.Option(help="The farm's address. Default: FARMGATE_SERVER, or the farm of the data folder.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data folder of a farm on this machine. Default: FARMGATE_DATA, or data.")
    ] = None,
) -> None:
    """Which farm to talk to."""
    door.given.server, door.given.data = server, data


START, BUILD, DELIVER, RUN = "Start a farm", "Build", "Deliver", "Look after it"

app.command(rich_help_panel=START)(up.up)
app.command(rich_help_panel=START)(demo.demo)
app.command(rich_help_panel=START)(nodes.agent)
app.add_typer(repositories.app, name="repo", rich_help_panel=BUILD)
app.command(rich_help_panel=BUILD)(runs.runs)
app.add_typer(runs.app, name="run", rich_help_panel=BUILD)
app.command(rich_help_panel=BUILD)(runs.approve)
app.command(rich_help_panel=BUILD)(runs.decline)
app.command(rich_help_panel=BUILD)(logs.log)
app.add_typer(artifacts.app, name="artifacts", rich_help_panel=BUILD)
app.command("tests", rich_help_panel=BUILD)(results.of_run)
app.add_typer(results.app, name="test", rich_help_panel=BUILD)
app.add_typer(pipelines.app, name="pipeline", rich_help_panel=BUILD)
pipelines.app.command("import")(importing.convert)
app.add_typer(secrets.app, name="secret", rich_help_panel=BUILD)
app.add_typer(identities.app, name="identity", rich_help_panel=BUILD)
app.add_typer(templates.app, name="template", rich_help_panel=BUILD)
app.add_typer(caches.app, name="cache", rich_help_panel=BUILD)
app.command(rich_help_panel=DELIVER)(lanes.lanes)
app.add_typer(lanes.app, name="lane", rich_help_panel=DELIVER)
app.command(rich_help_panel=DELIVER)(groups.groups)
app.add_typer(groups.app, name="group", rich_help_panel=DELIVER)
app.command(rich_help_panel=DELIVER)(lanes.rollback)
lanes.app.command("diff")(ledger.diff)
lanes.app.command("hotfix")(hotfixes.hotfix)
lanes.app.command("hotfixes")(hotfixes.hotfixes)
lanes.app.command("cancel-hotfix")(hotfixes.cancel_hotfix)
lanes.app.command("contains")(hotfixes.contains)
lanes.app.command("reverts")(reverts.reverts)
lanes.app.command("revert-text")(reverts.revert_text)
app.command("show", rich_help_panel=DELIVER)(ledger.rollout)
app.add_typer(vulnerabilities.app, name="vulnerabilities", rich_help_panel=DELIVER)
app.add_typer(provenance.app, name="provenance", rich_help_panel=DELIVER)
app.command(rich_help_panel=DELIVER)(ledger.where)
app.add_typer(candidates.app, name="candidate", rich_help_panel=DELIVER)
app.command(rich_help_panel=RUN)(nodes.nodes)
app.add_typer(nodes.app, name="node", rich_help_panel=RUN)
app.command(rich_help_panel=RUN)(server.status)
app.command(rich_help_panel=RUN)(server.doctor)
app.add_typer(server.tokens, name="token", rich_help_panel=RUN)
app.add_typer(audit.app, name="audit", rich_help_panel=RUN)
app.command(rich_help_panel=RUN)(server.signin)
app.command(rich_help_panel=RUN)(server.version)
