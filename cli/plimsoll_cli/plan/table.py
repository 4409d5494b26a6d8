"""A what-if in a terminal: up to three tables, and what is an estimate.

In: `Answers`. Out: text on standard output.
"""

from collections.abc import Iterable

import typer

from plimsoll_cli.amounts import short
from plimsoll_cli.output import OutputFormat, print_rows
from plimsoll_cli.plan.answers import Answers, Row
from plimsoll_cli.plan.fleet import counted

LEAST = 1e-6  # no tail is known further out


def print_answers(answers: Answers) -> None:
    """Print all of it."""
    question = answers.question
    typer.echo(f"{answers.fleet.source.said}.")
    size = short(round(question.node_bytes))
    print_rows(needed_rows(answers), OutputFormat.TABLE, f"Nodes of {size} that would do")
    print_rows(risk_rows(answers), OutputFormat.TABLE, "How surely")
    if answers.weeks:
        print_rows(week_rows(answers), OutputFormat.TABLE, "Weeks ahead")
    for sentence in answers.sentences():
        typer.echo(f"- {sentence}")


def needed_rows(answers: Answers) -> list[Row]:
    """Nodes by each way to count them, and how likely one of them is short within a day."""
    rows: list[Row] = [
        {
            "by": each["by"],
            "memory": _amount(each["memory_bytes"]),
            "by_their_sum": each["least_nodes"],
            "nodes": each["nodes"],
            "any_short": _chance(each["any_short_probability"]),
            "worst_short": _chance(each["worst_short_probability"]),
            "why": each["why"],
        }
        for each in answers.needed
    ]
    return _without_empty(rows)


def risk_rows(answers: Answers) -> list[Row]:
    """Chances of a shortage on the nodes asked about, and OOM kills."""
    rows: list[Row] = []
    made, bound = answers.answer.given, answers.question.bound
    if made is not None:
        on = f"on {counted(made.nodes, 'node')}, placed by forecast"
        rows.append(_risk(f"any node is short within a day, {on}", chance(made.any_short)))
        rows.append(_risk(f"the worst node is, {on} (bound {bound:g})", chance(made.worst_short)))
    kills = None if answers.kills is None else f"{answers.kills:.3g}"
    rows.append(_risk(f"OOM kills in 1000 container-days, limits at {answers.policy}", kills))
    return rows


def week_rows(answers: Answers) -> list[Row]:
    """Nodes and peaks of the weeks ahead, with their intervals."""
    return [
        {
            "week": each["week"],
            "nodes": each["nodes"],
            "nodes_interval": f"{each['nodes_low']} to {each['nodes_high']}",
            "peak": _amount(each["peak_bytes"]),
            "peak_interval": f"{_amount(each['peak_bytes_low'])} to {_amount(each['peak_bytes_high'])}",
        }
        for each in answers.weeks
    ]


def _without_empty(rows: list[Row]) -> list[Row]:
    """The rows without columns that say nothing anywhere."""
    kept = [name for name in rows[0] if any(row[name] not in ("", None) for row in rows)]
    return [{name: row[name] for name in kept} for row in rows]


def chance(probability: float) -> str:
    """A probability for people: never 0 or 1 by rounding."""
    if probability < LEAST:
        return f"under {LEAST:g}"
    return "over 0.999" if probability > 0.999 else f"{probability:.2g}"


def headings(rows: Iterable[Row]) -> list[str]:
    """Column names as they are shown."""
    return [name.replace("_", " ") for name in next(iter(rows), {})]


def _risk(what: str, value: str | None) -> Row:
    return {"what": what, "estimate": value}


def _chance(value: object) -> str | None:
    return chance(value) if isinstance(value, float) else None


def _amount(value: object) -> str | None:
    return short(value) if isinstance(value, int) else None
