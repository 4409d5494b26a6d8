"""`plimsoll explain WORKLOAD`, and `plimsoll explain SERIES --traces FILE`: why a limit is what it is.

In: a workload's MemoryProfile with the policy that speaks for it, or one recorded series replayed through
the same pipeline. Out: forecast, buffer, price, floors, guards, OOM memory and last changes, as sentences
with numbers or as one document.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plimsoll_cli.cluster import ContextOption, KubeconfigOption, NamespaceOption, open_cluster
from plimsoll_cli.failure import CommandError, OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, print_document
from plimsoll_cli.recorded import refuse_options_of_a_cluster
from plimsoll_cli.workloads import near, profiles_of, reference

if TYPE_CHECKING:
    from plimsoll.replay.series import SeriesBatch
    from plimsoll_cli.advice.explanation import Explanation

app = typer.Typer(help="Why a workload has the limit it has.")


@app.command("explain")
def explain_command(  # noqa: PLR0913, PLR0917  (options of a command)
    asker: typer.Context,
    workload: Annotated[
        str,
        typer.Argument(
            help="namespace/kind/name, kind/name or name; with --traces a series.", show_default=False
        ),
    ],
    traces: Annotated[
        list[Path] | None, typer.Option(help="Explain a series of these files (or `sample`) instead.")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="With --traces: balanced, slack:X or oom:X.", show_default="balanced"),
    ] = None,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Explain the memory of every container of a workload, or of one recorded series."""
    if output is OutputFormat.CSV:
        raise OptionError("an explanation is no table of rows: use -o json or -o yaml")
    if traces:
        refuse_options_of_a_cluster(asker)
        found = [_series(workload, traces, objective or "balanced")]
    elif objective is not None:
        raise OptionError("--objective goes with --traces; in a cluster the policy says it")
    else:
        found = _live(workload, namespace, kubeconfig, context)
    if output is not OutputFormat.TABLE:
        print_document({"containers": [each.document() for each in found]}, output)
        return
    for each in found:
        typer.echo("\n".join(each.sentences()) + "\n")


def _live(
    workload: str, namespace: str | None, kubeconfig: Path | None, context: str | None
) -> "list[Explanation]":
    with open_cluster(kubeconfig, context) as cluster:
        from plimsoll_cli.advice.profiled import explain_profile  # noqa: PLC0415  (keeps `--help` fast)

        profiles = profiles_of(cluster, reference(workload, namespace))
        now_seconds = time.time()
        found = [each for profile in profiles for each in explain_profile(cluster, profile, now_seconds)]
    if not found:
        raise CommandError(f"the MemoryProfile of {profiles[0]} is still empty: the operator fills it soon")
    return found


def _series(name: str, traces: Sequence[Path], objective: str) -> "Explanation":
    from plimsoll_cli.advice.replayed import explain_series  # noqa: PLC0415  (keeps `--help` fast)
    from plimsoll_cli.recommend import settings_for  # noqa: PLC0415
    from plimsoll_cli.traces.parquet import read_traces  # noqa: PLC0415

    settings = settings_for(objective)
    return explain_series(_one(name, read_traces(traces)), settings)


def _one(name: str, batches: "Sequence[SeriesBatch]") -> "SeriesBatch":
    """Return the one series that is meant, as a batch of its own."""
    known = [each for batch in batches for each in batch.series_ids]
    for batch in batches:
        if name in batch.series_ids:
            return batch.take([batch.series_ids.index(name)])
    close = near(name, known)
    hint = f"; did you mean {', '.join(close)}?" if close else f" among {len(known)} series"
    raise CommandError(f"no series {name!r}{hint}")
