"""`plimsoll memory`: what the fleet has learned, asked by a person.

In: the store's file, Redis and snapshots where they are named. Out: rows and sentences. One module a group of
commands: `asking` reads, `keeping` writes, `looking` is for when something is wrong.
"""

import typer

from plimsoll_cli.memory import asking, keeping, looking

app = typer.Typer(help="What the fleet has learned: ask, keep, forget.", no_args_is_help=True)
for group in (asking, keeping, looking):
    for name, command in group.COMMANDS.items():
        app.command(name)(command)
