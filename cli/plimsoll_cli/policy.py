"""`plimsoll policy check FILE...`: what a cluster would refuse, and what it cannot see, before anything is
applied.

In: YAML files of one or many documents (`-` is standard input). Out: findings that name file, document and
field; exit status 1 where one of them is an error. Needs no cluster.
"""

import sys
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from plimsoll.api.check import Finding, Severity, check
from plimsoll_cli.failure import CommandError
from plimsoll_cli.output import OutputFormat, OutputOption, print_rows

app = typer.Typer(help="Check policies before they are applied.", no_args_is_help=True)

Files = Annotated[list[str], typer.Argument(help="YAML files; - reads standard input.", show_default=False)]


class _OneOfEach(yaml.SafeLoader):
    """Refuses a key that is there twice, as the API server does; PyYAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


@app.callback()
def policy() -> None:
    """Check policies before they are applied."""


@app.command("check")
def check_command(files: Files, output: OutputOption = OutputFormat.TABLE) -> None:
    """Name every field that is wrong, and policies that would contradict each other; exit status 1 on
    errors."""
    from plimsoll.forecast.registry import model_names  # noqa: PLC0415  (keeps `--help` fast)

    places: list[str] = []
    documents: list[object] = []
    for path in files:
        for number, document in enumerate(_documents(path), start=1):
            places.append(f"{path}#{number}")
            documents.append(document)
    findings = check(documents, model_names())
    if findings or output is not OutputFormat.TABLE:
        print_rows([_row(each, places, documents) for each in findings], output)
    else:
        typer.echo(
            f"{len(documents)} {'policy' if len(documents) == 1 else 'policies'}: nothing to object to"
        )
    if any(each.severity is Severity.ERROR for each in findings):
        raise typer.Exit(1)


def _documents(path: str) -> Iterator[object]:
    """The documents of a file; empty ones are left out, as kubectl does."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        yield from (each for each in yaml.load_all(text, Loader=_OneOfEach) if each is not None)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


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
