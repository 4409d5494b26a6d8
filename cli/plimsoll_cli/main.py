"""`plimsoll` and `kubectl plimsoll`: the root of all commands.

One module a command, each with a typer app called `app`; a module is imported when its command is called,
so that `plimsoll --help` is fast. A `CommandError` becomes one sentence on standard error and its exit
status; so does a package that only an extra brings.
"""

import errno
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from plimsoll_cli.failure import CommandError, FileError, extra_needed

if TYPE_CHECKING:
    # typer carries its own click; these names are for the type checker only.
    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and its line in `plimsoll --help`."""

    module: str
    help: str
    app: str = "app"  # the name of the typer app in the module
    extra: str = "operator"  # what the base install lacks for it; most commands need it for some things only


COMMANDS = {
    "sandbox": Entry(
        "plimsoll_cli.sandbox.command",
        "Watch the real operator move limits of recorded memory.",
        extra="sandbox",
    ),
    "recommend": Entry(
        "plimsoll_cli.recommend", "Recommend limits for a cluster, Prometheus or traces. Read-only."
    ),
    "status": Entry("plimsoll_cli.status", "What Plimsoll does in this cluster now."),
    "explain": Entry("plimsoll_cli.explain", "Why a workload has the limit it has."),
    "plan": Entry(
        "plimsoll_cli.plan.command", "What if: how many nodes would do, and how surely. Read-only."
    ),
    "drain-advice": Entry(
        "plimsoll_cli.drain.command", "Which pods should leave a kube node before it is short. Read-only."
    ),
    "replay": Entry("plimsoll_cli.replay", "Replay recorded memory and score what would have happened."),
    "memory": Entry(
        "plimsoll_cli.memory.command", "What the fleet has learned: ask, keep, forget.", extra="redis"
    ),
    "policy": Entry("plimsoll_cli.policy", "Check policies before they are applied."),
    "restore": Entry("plimsoll_cli.restore", "Put a workload's original resources back."),
    "pause": Entry("plimsoll_cli.pause", "Stop all acting within one loop."),
    "resume": Entry("plimsoll_cli.pause", "Act again.", "resume_app"),
}

# What a full disk behind `>` says, and a pipe whose reader left.
OF_A_STREAM = frozenset({errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG, errno.EDQUOT, errno.EPIPE})
READER_LEFT = 141  # what a shell says of a program that a closed pipe ended
COMPLETION = ("install_completion", "show_completion")


class LazyCommands(TyperGroup):
    """Imports a command's module when it is called; help is made from `COMMANDS` alone."""

    _listing = False

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002
        """In the order of `COMMANDS`."""
        return [name for name, entry in COMMANDS.items() if importlib.util.find_spec(entry.module)]

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """The command itself, or while help is printed only its name and line."""
        if cmd_name not in self.list_commands(ctx):
            return None
        entry = COMMANDS[cmd_name]
        if self._listing:
            return TyperCommand(cmd_name, help=entry.help)
        try:
            app: typer.Typer = getattr(importlib.import_module(entry.module), entry.app)
        except ModuleNotFoundError as error:
            raise _said(error, cmd_name) from error
        command = typer.main.get_command(app)
        command.name = cmd_name
        # typer gives every root its completion options; only ours is one.
        command.params = [param for param in command.params if param.name not in COMPLETION]
        return command

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Print help without importing a single command."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Read what was typed; here `--help` and `--version` print."""
        with _in_one_sentence():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: "Context") -> object:
        """Run; a failure is one sentence."""
        with _in_one_sentence():
            return self._invoke(ctx)

    def _invoke(self, ctx: "Context") -> object:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _said(error, ctx.invoked_subcommand) from error


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """What ends a command, as a sentence and an exit status; nobody is told that a reader left."""
    try:
        yield
    except CommandError as failure:
        typer.echo(f"Error: {failure}", err=True)
        raise typer.Exit(failure.status) from failure
    except OSError as error:
        if error.filename is not None or error.errno not in OF_A_STREAM:
            raise
        # The interpreter would try, and complain, once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.errno == errno.EPIPE:
            raise typer.Exit(READER_LEFT) from error
        typer.echo(f"Error: cannot write the output: {error.strerror}", err=True)
        raise typer.Exit(FileError.status) from error
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's own way out
            raise typer.Exit(READER_LEFT) from end
        raise


def _said(error: ModuleNotFoundError, command: str | None) -> Exception:
    """The failure that names the extra, where it is one's packages that are missing."""
    if command is None:
        return error
    return extra_needed(error, f"plimsoll {command}", COMMANDS[command].extra) or error


app = typer.Typer(
    name="plimsoll",
    cls=LazyCommands,
    help="Plimsoll: the memory load line for Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  (typer's way)
    if wanted:
        typer.echo(f"plimsoll {importlib.metadata.version('plimsoll')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Plimsoll: the memory load line for Kubernetes."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
