"""`plimsoll sandbox`: watch the real operator move the limits of recorded containers, then read what it was
worth.

In: flags. Out: a live table (plain lines without a terminal), the outcome table, the notable events; exit
code 0 only if the run was whole.
"""

import contextlib
import io
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.live import Live

from plimsoll.api.duration import UNIT_SECONDS
from plimsoll_cli.console import PlainConsole
from plimsoll_cli.ending import told_to_end
from plimsoll_cli.failure import FileError
from plimsoll_cli.sandbox import table
from plimsoll_cli.sandbox.run import RunSettings, sandbox_run
from plimsoll_cli.written import can_be_written, write_file
from plimsoll_nodeagent.show.written import Holds

app = typer.Typer(add_completion=False)

DEFAULT_SEED = 7
DEFAULT_HOURS = 48.0
LEAST_HOURS, MOST_HOURS = 0.1, 10_000.0  # the most is above a year; no recording is nearly as long
DEFAULT_PODS = 150
_PLAIN_LINE_BINS = 36  # without a terminal a line this often
_SVG_WIDTH = 118
# rich's own format without the fonts it would fetch from the network whenever somebody looks at the picture.
_SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
_MARGIN_LINES = 8  # of the terminal, for what is not a workload's row


def hours_of(text: str | float) -> float:
    """Hours of `6h`, `0.2h` or `90m`; a float is hours. Raises `typer.BadParameter`."""
    if isinstance(text, str):
        number, unit = text[:-1], text[-1:]
        if unit not in UNIT_SECONDS or not re.fullmatch(r"[0-9]{1,8}([.][0-9]{1,8})?", number):
            raise typer.BadParameter(f"{text!r} is not a duration; write for example 6h, 0.2h or 90m")
        hours = float(number) * UNIT_SECONDS[unit] / 3600
    else:
        hours = text
    if not LEAST_HOURS <= hours <= MOST_HOURS:
        raise typer.BadParameter(f"{text}: from {LEAST_HOURS:g} to {MOST_HOURS:g} hours")
    return hours


@app.command()
def sandbox(  # noqa: PLR0913, PLR0917 - a flag each
    traces: Annotated[
        list[Path] | None,
        typer.Option(help="Parquet files or directories; default: the unseen part of the sample."),
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.01, help="Hours of the world a second; default: as fast as it goes.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = DEFAULT_SEED,
    policy: Annotated[Path | None, typer.Option(help="YAML with policies; default: InPlace for all.")] = None,
    duration: Annotated[
        float,
        typer.Option(
            parser=hours_of, metavar="DURATION", help="How long to play: 6h, 0.2h, 90m.", show_default="48h"
        ),
    ] = DEFAULT_HOURS,
    pods: Annotated[
        int, typer.Option(min=1, help="Series to draw where the traces have more.")
    ] = DEFAULT_PODS,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the outcome here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a picture of the last table here.")] = None,
) -> None:
    """Play recorded memory in a sandboxed cluster with the real operator, beside a static limit and VPA."""
    settings = RunSettings(
        traces=traces or [],
        seed=seed,
        hours=duration,
        pods=pods,
        speed_hours_per_second=speed,
        policy=policy,
    )
    _can_be_written(settings, json_, svg)
    signal.signal(signal.SIGTERM, told_to_end)
    console = PlainConsole()
    screen = Screen(console)
    with sandbox_run(settings) as run, screen.shown():
        if not run.has_admission:
            console.print("openssl was not found: new pods are not admitted with a limit in this run")
        outcome = run.outcome(screen.show)
    _print_outcome(console, outcome)
    if json_ is not None:
        write_file(json_, json.dumps(outcome, indent=1) + "\n")
    if svg is not None:
        _write_svg(svg, screen.last, outcome)


def _can_be_written(settings: RunSettings, json_: Path | None, svg: Path | None) -> None:
    """Raise where the outcome cannot or shall not be written, before anything is played."""
    if json_ is None and svg is None:
        return
    from plimsoll_cli.traces.parquet import trace_files  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    inputs = [*trace_files(settings.traces), *([settings.policy] if settings.policy else [])]
    can_be_written(json_, Holds.OUTCOME, inputs)
    can_be_written(svg, Holds.PICTURE, inputs)
    if json_ is not None and svg is not None and json_.resolve() == svg.resolve():
        raise FileError(f"{svg}: is what --json names too; name another file")


class Screen:
    """Shows frames: a live table on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.last: dict[str, Any] = {}
        self._console = console
        self._live: Live | None = None
        self._next_line = 0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Take the terminal, if it is one, until the block ends."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as self._live:
            yield

    def show(self, frame: dict[str, Any]) -> None:
        """Show how things stand."""
        self.last = frame
        if self._live is not None:
            rows = max(5, self._console.size.height - _MARGIN_LINES)
            self._live.update(table.live_view(frame, rows, self._console.width))
        elif frame["bins"] >= self._next_line or frame["bins"] == frame["of"]:
            self._next_line = frame["bins"] + _PLAIN_LINE_BINS
            self._console.print(table.plain_line(frame), soft_wrap=True, highlight=False)


def _print_outcome(console: Console, outcome: dict[str, Any]) -> None:
    for line in table.notable_events(outcome):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(table.outcome_table(outcome))


def _write_svg(path: Path, frame: dict[str, Any], outcome: dict[str, Any]) -> None:
    """The last live table and the outcome as a picture."""
    console = PlainConsole(record=True, width=_SVG_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(table.live_view(frame, 18, _SVG_WIDTH))
    console.print()
    console.print(table.outcome_table(outcome))
    write_file(path, console.export_svg(title="make demo", code_format=_SVG_FORMAT))
