"""`plimsoll policy check FILE...`: what a cluster would refuse, and what it cannot see, before anything is
applied.

In: YAML files of one or many documents (`-` is standard input). Out: findings that name file, document and
field; exit status 1 where one of them is an error. Needs no cluster.
"""

from typing import Annotated

import typer

from plimsoll.api.check import Finding, Severity, check
from plimsoll_cli.failure import CommandError
from plimsoll_cli.output import OutputFormat, OutputOption, print_rows
from plimsoll_cli.policy_files import documents_in

app = typer.Typer(help="Check policies before they are applied.", no_args_is_help=True)

Files = Annotated[list[str], typer.Argument(help="YAML files; - reads standard input.", show_default=False)]


@app.callback()
def policy() -> None:
    """Check policies before they are applied."""


@app.command("check")
def check_command(files: Files, output: OutputOption = OutputFormat.TABLE) -> None:
    """Name every field that is wrong, and policies that would contradict each other; exit status 1 on
    errors."""
    from plimsoll.forecast.registry import POLICY_MODELS  # noqa: PLC0415  (keeps `--help` fast)
    from plimsoll.recommend.objective import reachable  # noqa: PLC0415

    places: list[str] = []
    documents: list[object] = []
    for path in files:
        found = list(documents_in(path))
        if not found:
            raise CommandError(f"{path}: there is no policy in this file")
        places += [f"{path}#{number}" for number in range(1, len(found) + 1)]
        documents += found
    findings = check(documents, POLICY_MODELS, reachable())
    if findings or output is not OutputFormat.TABLE:
        print_rows([_row(each, places, documents) for each in findings], output)
    else:
        typer.echo(
            f"{len(documents)} {'policy' if len(documents) == 1 else 'policies'}: nothing to object to"
        )
    if any(each.severity is Severity.ERROR for each in findings):
        raise typer.Exit(1)


def _row(finding: Finding, places: list[str], documents: list[object]) -> dict[str, object]:
    body = documents[finding.document]
    metadata = body.get("metadata") if isinstance(body, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return {
        "severity": finding.severity.value,
        "file": places[finding.document],
        "policy": name,
        "field": finding.path,
        "message": finding.message,
    }
