"""The command line: `farmgate`, `./farm`, `python -m farmgate.cli`.

Rules:
1. It starts quickly: a command imports what it needs when it runs, `--help` imports nothing but Typer.
2. Every command has `--json`: what the server said, as it stands.
3. An error is one line on stderr: what, where, remedy; the exit code says which kind (`farmgate.cli.exits`).
4. Without a terminal: no colour, no cursor movement, one line per fact.
"""

from __future__ import annotations


def main() -> None:
    """The entry point of `farmgate`; ends the process with one of the documented exit codes."""
    from farmgate.cli.exits import guarded

    def run() -> None:
        from farmgate.cli.app import app

        app(prog_name="farmgate")

    guarded(run)
