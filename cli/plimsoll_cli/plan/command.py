"""`plimsoll plan`: how many kube nodes would do, with which chances, and in the weeks to come.

In: trace files, or a cluster's pods, MemoryProfiles and kube nodes. Out: nodes by requests and by forecast,
chances of shortages and OOM kills, a forecast of capacity; as tables, JSON, YAML, CSV and a page. It only
reads, but for the page.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plimsoll.api.effective import LEAST_LIMIT_BYTES
from plimsoll.api.quantity import QuantityError, parse_quantity
from plimsoll_cli.amounts import short
from plimsoll_cli.cluster import (
    AllNamespacesOption,
    Cluster,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    NoKubeconfigError,
    one_namespace,
    open_cluster,
)
from plimsoll_cli.failure import ClusterError, CommandError, FileError, OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, print_document, print_rows
from plimsoll_cli.recommend import settings_for
from plimsoll_cli.recorded import refuse_options_of_a_cluster
from plimsoll_cli.written import write_file
from plimsoll_nodeagent.show.written import Holds, refusal

if TYPE_CHECKING:
    from plimsoll.pipeline import PipelineSettings
    from plimsoll_cli.plan.answers import Answers
    from plimsoll_cli.plan.fleet import Fleet

app = typer.Typer(help="What if: how many nodes would do, and how surely. Read-only.")

RECORDED_NODE = "64Gi"
MOST_BOUND = 0.5
MOST_WEEKS = 52
MOST_NODES = 10_000  # twice what Kubernetes supports in one cluster


@app.command("plan")
def plan_command(  # noqa: PLR0913, PLR0917  (options of a command)
    asker: typer.Context,
    traces: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Parquet files, directories of them, or `sample`; none: a live cluster.", show_default=False
        ),
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Also answer for so many kube nodes.")] = None,
    node_memory: Annotated[
        str | None,
        typer.Option(
            help="What pods may use on a kube node.", show_default="64Gi; live: what kube nodes can give"
        ),
    ] = None,
    system_reserved: Annotated[str, typer.Option(help="Taken off --node-memory, on each node.")] = "0",
    bound: Annotated[float, typer.Option(help="Greatest chance of a node being short within a day.")] = 0.02,
    policy: Annotated[
        str, typer.Option(help="Operating point of the limits: balanced, slack:X or oom:X.")
    ] = "balanced",
    weeks: Annotated[int, typer.Option(help="How many weeks ahead.")] = 4,
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts to this file.")] = None,
    namespace: NamespaceOption = None,
    all_namespaces: AllNamespacesOption = False,
    selector: Annotated[str, typer.Option("--selector", "-l", help="Only pods with these labels.")] = "",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """How many kube nodes would do, and how likely is one short? Nothing in a cluster is changed."""
    _refuse_nonsense(nodes, bound, weeks)
    settings = _settings(policy)
    size = None if node_memory is None else _quantity("--node-memory", node_memory)
    reserved = _quantity("--system-reserved", system_reserved)
    _can_be_written(html, traces or ())
    if traces:
        refuse_options_of_a_cluster(asker, "plan TRACES reads")
        found = _recorded(traces, settings, size, nodes)
    else:
        within = one_namespace(namespace, all_namespaces)
        with _cluster(kubeconfig, context) as cluster:
            found = _live(cluster, within, selector, settings, size, nodes)
    room = found.node_bytes - reserved
    if room <= 0:
        raise OptionError(f"--system-reserved {system_reserved}: a node has but {short(found.node_bytes)}")
    answers = _answered(found, float(room), bound, weeks, policy)
    if html is not None:
        _write_page(html, answers)
    _show(answers, output)


@dataclass(frozen=True, slots=True)
class Found:
    """The pods, what a node has, and how many nodes to answer for."""

    fleet: "Fleet"
    node_bytes: int
    nodes: int | None
    notes: tuple[str, ...] = ()


def _recorded(
    traces: Sequence[Path], settings: "PipelineSettings", size: int | None, nodes: int | None
) -> Found:
    from plimsoll_cli.plan.recorded import recorded_fleet  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    return Found(recorded_fleet(traces, settings), size or parse_quantity(RECORDED_NODE), nodes)


def _live(
    cluster: Cluster,
    namespace: str | None,
    selector: str,
    settings: "PipelineSettings",
    size: int | None,
    nodes: int | None,
) -> Found:
    """The cluster as it is; nodes are those that are there, unless a person says otherwise."""
    from plimsoll_cli.plan.live import kube_nodes, live_fleet  # noqa: PLC0415  (keeps `--help` fast)

    there = kube_nodes(cluster) if size is None else None
    fleet = live_fleet(cluster, namespace, selector, settings, time.time())
    if there is None or size is not None:
        return Found(fleet, size or 0, nodes)
    notes = (there.note,) if there.note else ()
    return Found(fleet, there.typical_bytes, nodes or len(there.allocatable_bytes), notes)


@contextmanager
def _cluster(kubeconfig: Path | None, context: str | None) -> "Iterator[Cluster]":
    try:
        with open_cluster(kubeconfig, context) as cluster:
            yield cluster
    except NoKubeconfigError as error:
        raise ClusterError(f"{error}, or name recordings: plimsoll plan TRACES") from error


def _answered(found: Found, room_bytes: float, bound: float, weeks: int, policy: str) -> "Answers":
    """Ask the core; what cannot be is one sentence that names the pod."""
    from plimsoll.placement.sizing import TooFewError  # noqa: PLC0415  (keeps `plimsoll --help` fast)
    from plimsoll.replay.whatif import (  # noqa: PLC0415
        NoRoomError,
        PodTooLargeError,
        Question,
        what_if,
    )
    from plimsoll_cli.plan.answers import Answers  # noqa: PLC0415
    from plimsoll_cli.plan.fleet import OWN  # noqa: PLC0415

    question = Question(room_bytes, bound, found.nodes, weeks, judge_by=OWN)
    try:
        answer = what_if(found.fleet.pods, question)
    except PodTooLargeError as error:
        need = short(round(error.need_bytes))
        raise CommandError(
            f"{found.fleet.names[error.pod]} alone needs {need} at a bound of {bound:g}, a node has"
            f" {short(round(error.room_bytes))}; give a larger --node-memory"
        ) from error
    except (TooFewError, NoRoomError) as error:
        raise CommandError(str(error)) from error
    return Answers(found.fleet, question, answer, policy, found.notes)


def _refuse_nonsense(nodes: int | None, bound: float, weeks: int) -> None:
    if nodes is not None and nodes < 1:
        raise OptionError(f"--nodes {nodes}: at least one is needed")
    if nodes is not None and nodes > MOST_NODES:
        raise OptionError(f"--nodes {nodes}: at most {MOST_NODES}")
    if not 0.0 < bound <= MOST_BOUND:
        raise OptionError(f"--bound {bound:g}: must lie above 0 and not above {MOST_BOUND:g}")
    if not 1 <= weeks <= MOST_WEEKS:
        raise OptionError(f"--weeks {weeks}: must lie between 1 and {MOST_WEEKS}")


def _settings(policy: str) -> "PipelineSettings":
    try:
        return settings_for(policy)
    except OptionError as error:
        raise OptionError(f"--policy: {error}") from error


def _quantity(option: str, text: str) -> int:
    try:
        value = parse_quantity(text)
    except QuantityError as error:
        raise OptionError(f"{option}: {error}") from error
    if option == "--node-memory" and not value:
        raise OptionError(f"{option} {text}: a node must have some")
    if option == "--node-memory" and value < LEAST_LIMIT_BYTES:
        raise OptionError(f"{option} {text}: a number without a unit means bytes; write for example 64Gi")
    return value


def _can_be_written(html: Path | None, traces: Sequence[Path]) -> None:
    """Raise where the page cannot or shall not be written, before the work begins."""
    if html is None:
        return
    from plimsoll_cli.traces.parquet import trace_files  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    if (why := refusal(html, Holds.PAGE, trace_files(traces))) is not None:
        raise FileError(why)


def _write_page(path: Path, answers: "Answers") -> None:
    from plimsoll_cli.plan.page import page  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    write_file(path, page(answers))


def _show(answers: "Answers", output: OutputFormat) -> None:
    from plimsoll_cli.plan.table import print_answers  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    if output is OutputFormat.TABLE:
        print_answers(answers)
    elif output is OutputFormat.CSV:
        print_rows(answers.rows(), output)
    else:
        print_document(answers.document(), output)
