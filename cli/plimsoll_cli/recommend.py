"""`plimsoll recommend`: what limits and requests should be, for a cluster, Prometheus or recorded traces.

In: a kubeconfig (pods, the metrics API, what an operator has kept), `--prometheus URL` (weeks of history) or
`--traces FILE`. Out: one row a container of a workload. It only reads, needs nothing installed in the
cluster, and asks the same pipeline that the operator runs.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plimsoll.api.duration import DurationError, parse_duration
from plimsoll.usage.sample import Quantity
from plimsoll_cli.cluster import (
    AllNamespacesOption,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    NoKubeconfigError,
    one_namespace,
    open_cluster,
)
from plimsoll_cli.failure import ClusterError, CommandError, OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, print_rows
from plimsoll_cli.progress import progress
from plimsoll_cli.recorded import refuse_options_of_a_cluster

if TYPE_CHECKING:
    from plimsoll.pipeline import PipelineSettings
    from plimsoll_cli.advice.judge import Advice
    from plimsoll_cli.advice.subject import Subject

app = typer.Typer(help="Recommend limits for a cluster, Prometheus or traces. Read-only.")

LEAST_HISTORY_SECONDS = 6 * 3600
MOST_HISTORY_SECONDS = 28 * 86_400


class Measure(StrEnum):
    """What `--quantity` takes."""

    WORKING_SET = "working-set"
    USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for."""

    namespace: str | None
    selector: str
    kubeconfig: Path | None
    context: str | None
    prometheus: str | None
    token_file: Path | None
    history_seconds: int
    quantity: Quantity
    now_seconds: float


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found, when it is asked about, and in words what was not found."""

    subjects: "Sequence[Subject]"
    now_seconds: float
    notes: tuple[str, ...] = ()
    failure: str = ""  # some of it could not be read: said after the rows, with exit status 2


@app.command("recommend")
def recommend_command(  # noqa: PLR0913, PLR0917  (options of a command)
    asker: typer.Context,
    traces: Annotated[
        list[Path] | None,
        typer.Option(help="Parquet files or directories of recorded usage, or `sample`; repeat for more."),
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", help="Address of a Prometheus that scrapes cAdvisor.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--prometheus-token-file", help="File with a bearer token for it.")
    ] = None,
    history: Annotated[str, typer.Option(help="How far back to look, at most 28d.")] = "14d",
    namespace: NamespaceOption = None,
    all_namespaces: AllNamespacesOption = False,
    selector: Annotated[str, typer.Option("--selector", "-l", help="Only pods with these labels.")] = "",
    quantity: Annotated[Measure, typer.Option(help="What to ask Prometheus for.")] = Measure.WORKING_SET,
    objective: Annotated[str, typer.Option(help="Operating point: balanced, slack:X or oom:X.")] = "balanced",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Recommend memory limits and requests for every container. Nothing is written anywhere."""
    from plimsoll_cli.advice.judge import advise  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    settings = settings_for(objective)
    if traces:
        refuse_options_of_a_cluster(asker)
    asked = Asked(
        one_namespace(namespace, all_namespaces),
        selector,
        kubeconfig,
        context,
        prometheus,
        token_file,
        _history(history),
        Quantity.USAGE if quantity is Measure.USAGE else Quantity.WORKING_SET,
        time.time(),
    )
    gathered = _from_traces(traces) if traces else _from_cluster(asked)
    with progress("recommending") as report:
        advice = advise(gathered.subjects, settings, gathered.now_seconds, report)
    _show(advice, output)
    for note in gathered.notes:
        typer.echo(f"Note: {note}", err=True)
    if gathered.failure:
        raise ClusterError(gathered.failure)


def settings_for(objective: str) -> "PipelineSettings":
    """Return the pipeline's settings at an operating point; raises `OptionError` for nonsense."""
    from plimsoll.pipeline import PipelineSettings  # noqa: PLC0415
    from plimsoll.recommend.objective import oom_price_of  # noqa: PLC0415

    try:
        oom_price_of(objective)
    except ValueError as error:
        raise OptionError(str(error)) from error
    note_reach(objective)
    return PipelineSettings(objective=objective)


def note_reach(objective: str) -> None:
    """Tell where the price of another operating point stands for the one that is asked for."""
    from plimsoll.api.conditions import objective_sentence  # noqa: PLC0415
    from plimsoll.recommend.objective import reachable  # noqa: PLC0415

    if sentence := objective_sentence(objective, reachable()):
        typer.echo(f"Note: {sentence}", err=True)


def _from_traces(traces: Sequence[Path]) -> Gathered:
    from plimsoll_cli.advice.traces import NOW_SECONDS, subjects_in_traces  # noqa: PLC0415
    from plimsoll_cli.traces.parquet import read_traces  # noqa: PLC0415

    subjects = list(subjects_in_traces(read_traces(traces)))
    if not subjects:
        raise CommandError(f"no series in {', '.join(map(str, traces))}: nothing to recommend")
    return Gathered(subjects, NOW_SECONDS)


def _from_cluster(asked: Asked) -> Gathered:
    """Ask the cluster who runs; without any kubeconfig Prometheus alone must know."""
    try:
        with open_cluster(asked.kubeconfig, asked.context) as cluster:
            from plimsoll_cli.advice import cluster as live  # noqa: PLC0415

            subjects = live.subjects_in_cluster(cluster, asked.namespace, asked.selector)
            if asked.prometheus is None:
                subjects = live.with_kept_history(cluster, asked.namespace, subjects)
                subjects = live.measured_now(cluster, asked.namespace, subjects, asked.now_seconds)
    except NoKubeconfigError as error:
        if asked.prometheus is None:
            raise ClusterError(f"{error}, or give --prometheus URL or --traces FILE") from error
        if asked.kubeconfig or asked.context or asked.selector:
            raise
        return _from_prometheus(asked, None, (f"{error}; workloads are taken from Prometheus alone",))
    if not subjects:
        where = f"namespace {asked.namespace}" if asked.namespace else "this cluster"
        raise CommandError(f"no pod runs in {where}" + (" with these labels" if asked.selector else ""))
    if asked.prometheus is not None:
        return _from_prometheus(asked, subjects)
    note = ""
    if not any(each.checkpoint for each in subjects):
        note = "the metrics API knows the present only; give --prometheus URL for weeks of history"
    return Gathered(subjects, asked.now_seconds, (note,) if note else ())


def _from_prometheus(
    asked: Asked, subjects: "Sequence[Subject] | None", notes: tuple[str, ...] = ()
) -> Gathered:
    from plimsoll_cli.advice import prometheus as past  # noqa: PLC0415
    from plimsoll_operator.observe.prometheus import PrometheusApi  # noqa: PLC0415

    url = asked.prometheus or ""
    if not url.startswith(("http://", "https://")):
        raise OptionError(f"--prometheus {url!r}: want an address that begins with http:// or https://")
    api = PrometheusApi(url, past.TIMEOUT_SECONDS, str(asked.token_file or ""))
    try:
        if subjects is None:
            subjects = past.subjects_in_prometheus(api, asked.namespace, asked.quantity, asked.now_seconds)
            if not subjects:
                raise ClusterError(f"Prometheus at {url} has seen no container lately (cAdvisor's metrics)")
        oldest = asked.now_seconds - asked.history_seconds
        with progress("reading Prometheus") as report:
            made = past.with_past(api, subjects, asked.quantity, oldest, asked.now_seconds, report)
    finally:
        api.close()
    return Gathered(made.subjects, asked.now_seconds, notes, _failure(url, made.failures))


def _failure(url: str, failures: dict[str, str]) -> str:
    if not failures:
        return ""
    workload, why = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more workloads" if len(failures) > 1 else ""
    return f"{url} did not answer for {workload}{more}; nothing is recommended for these. {why}"


def _history(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except DurationError as error:
        raise OptionError(f"--history: {error}") from error
    if not LEAST_HISTORY_SECONDS <= seconds <= MOST_HISTORY_SECONDS:
        raise OptionError(f"--history {text}: must lie between 6h and 28d")
    return seconds


def _show(advice: "Sequence[Advice]", output: OutputFormat) -> None:
    from plimsoll_cli.advice.rows import program_row, sums, table_rows  # noqa: PLC0415

    if output is OutputFormat.TABLE:
        print_rows(table_rows(advice), output)
        typer.echo(sums(advice))
    else:
        print_rows([program_row(each) for each in advice], output)
