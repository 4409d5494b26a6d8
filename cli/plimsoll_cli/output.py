"""One way to print rows: `-o table|json|yaml|csv`.

In: rows as plain dicts (all with the same keys, in the order of the columns). Out: text. A table is for
people (floats rounded, None as -); json, yaml and csv are for programs and carry the values as they are.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, object]
PIPED_WIDTH = 140  # columns, where nobody says how wide the terminal is


class OutputFormat(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to print the result.")]


def print_rows(rows: Sequence[Row], output: OutputFormat, title: str | None = None) -> None:
    """Print rows to standard output. `title` is shown above a table only."""
    if output is OutputFormat.TABLE:
        from plimsoll_cli.console import PlainConsole  # noqa: PLC0415  (keeps `plimsoll --help` fast)

        console = PlainConsole()
        if not console.is_terminal:
            console.width = PIPED_WIDTH
        console.print(table(rows, title))
    else:
        typer.echo(render(rows, output), nl=False)


def render(rows: Sequence[Row], output: OutputFormat) -> str:
    """Rows as text, ending in a newline."""
    plain = [{key: _finite(value) for key, value in row.items()} for row in rows]
    if output is OutputFormat.JSON:
        return json.dumps(plain, indent=2, default=str) + "\n"
    if output is OutputFormat.YAML:
        import yaml  # noqa: PLC0415

        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    if output is OutputFormat.CSV:
        return _csv(plain)
    from plimsoll_cli.console import PlainConsole  # noqa: PLC0415

    console = PlainConsole(file=io.StringIO(), width=PIPED_WIDTH)
    with console.capture() as captured:
        console.print(table(rows))
    return captured.get()


def print_document(document: Mapping[str, object], output: OutputFormat) -> None:
    """Print one nested document as JSON or YAML; None where a number is not known."""
    if output is OutputFormat.YAML:
        import yaml  # noqa: PLC0415

        text = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
    else:
        text = json.dumps(document, indent=2, default=str) + "\n"
    typer.echo(text, nl=False)


def table(rows: Sequence[Row], title: str | None = None) -> "Table":
    """Rows as a rich table: numbers to the right, text to the left, headings that may wrap."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    # As Text: rich would take `[blue]` in a plain string, a series' name for one, for a colour.
    heading = None if title is None else Text(title, style="table.title")
    made = Table(title=heading, box=SIMPLE_HEAD, title_justify="left")
    for name in rows[0] if rows else ():
        number = any(isinstance(row[name], (int, float)) for row in rows)
        made.add_column(name.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(_cell(value)) for value in row.values()))
    return made


def _csv(rows: Sequence[Row]) -> str:
    if not rows:
        return ""  # nobody knows the columns
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity: what is not a number is absent."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)
